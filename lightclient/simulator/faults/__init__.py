"""What goes wrong at servers, each as a small object with a name: composable, seeded, switchable.

``FAULTS`` lists them; :func:`faults_from_seed` draws a composition that the seed reproduces. They
work over HTTP (``ServerHabits.faults``) and in process (``lightclient.simulator.in_process``).
"""

from __future__ import annotations

from lightclient.simulator.faults.base import Episode, Fault, FaultSet
from lightclient.simulator.faults.catalogue import (
    FAULTS,
    fault_names,
    faults_from_seed,
    make_fault,
)

__all__ = [
    "FAULTS",
    "Episode",
    "Fault",
    "FaultSet",
    "fault_names",
    "faults_from_seed",
    "make_fault",
]
