"""Imported once, before targets are forked: what most of them begin from, read already.

No signature backend has run by then: threads that it might have would not survive a fork.
"""

from __future__ import annotations

from tests.fuzz.histories import SPEC_VECTORS, VECTORS, histories, raw_objects
from tests.fuzz.targets import add_spec_vectors

add_spec_vectors()
for root in (VECTORS, SPEC_VECTORS):
    raw_objects(root)
histories()
