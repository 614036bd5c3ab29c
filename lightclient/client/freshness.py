"""A header that is young enough for what the caller means to do with it, or an exception.

Whoever pays out money on a finalized header asks for its age; an old header handed over in silence
is how a stalled client costs somebody something.
"""

from __future__ import annotations

from lightclient.errors import NotSyncedError, StaleError
from lightclient.sync import VerifiedHeader


def require_recent(
    header: VerifiedHeader | None, name: str, max_age: float, now_ms: int, slow_ms: int = 0
) -> VerifiedHeader:
    """``header`` if the start of its slot is at most ``max_age`` seconds before ``now_ms``.

    Args:
        name: what the header is called in a message: "finalized" or "optimistic".
        now_ms: Unix milliseconds, by a clock that is known to be at least ``slow_ms`` slow.

    Raises:
        ValueError: ``max_age`` is negative or no number.
        NotSyncedError: there is no header yet.
        StaleError: the header is older, or of a slot that has not begun by this clock: then the
            clock was set back, and nobody knows how old the header is.
    """
    if not max_age >= 0:
        raise ValueError(f"max_age is a number of seconds, 0 or more, not {max_age!r}")
    if header is None:
        raise NotSyncedError(f"there is no {name} header yet: wait for wait_until_synced()")
    age = header.age(now_ms)
    if age < 0:
        raise StaleError(
            f"the slot of the {name} header ({header.slot}) has not begun by this machine's clock,"
            " which is slow: nobody can tell how old the header is; set the clock (NTP)",
            age=age,
        )
    age += slow_ms / 1000
    if age > max_age:
        by = f" (the clock is {slow_ms / 1000:.0f} s slow)" if slow_ms else ""
        raise StaleError(
            f"the {name} header (slot {header.slot}) is {age:.0f} seconds old{by}, more than the"
            f" {max_age:g} asked for: wait for a newer one, and look at status and providers",
            age=age,
        )
    return header
