"""What a client itself holds in memory, apart from the world that is simulated around it."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Iterable
from types import BuiltinFunctionType, FunctionType, ModuleType

_NOT_OURS = (ModuleType, type, logging.Logger, BuiltinFunctionType)
_EVENT_LOOPS = ("trio", "anyio", "outcome")


def reachable_bytes(start: object, but: Iterable[object] = ()) -> int:
    """Bytes of all objects that ``start`` leads to, itself included.

    The way ends at ``but``, at code, and at the event loop, which leads everywhere.
    """
    seen = {id(item) for item in but}
    waiting, total = [start], 0
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, _NOT_OURS):
            continue
        if type(item).__module__.startswith(_EVENT_LOOPS):
            continue
        seen.add(id(item))
        total += sys.getsizeof(item)
        if isinstance(item, FunctionType):
            waiting.append(item.__closure__)  # its globals are code
        else:
            waiting += gc.get_referents(item)
    return total
