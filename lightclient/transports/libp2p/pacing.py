"""Making a peer that says too much wait, by reading on later: nobody but itself is held up.

Pacing costs a peer nothing but time, so that its bounds need not be generous; and between two
things of one peer everybody else has a turn.
"""

from __future__ import annotations

import trio


class Pace:
    """Lets so much pass a second, and ``burst`` at once."""

    def __init__(self, per_second: float, burst: float) -> None:
        self._per_second = per_second
        self._burst = burst
        self._level = burst
        self._then = trio.current_time()

    async def wait(self, cost: float = 1.0) -> None:
        """Until ``cost`` more may pass. Others have a turn in any case."""
        now = trio.current_time()
        gained = (now - self._then) * self._per_second
        self._level = min(self._level + gained, self._burst) - cost
        self._then = now
        if self._level < 0:
            await trio.sleep(-self._level / self._per_second)
        else:
            await trio.lowlevel.checkpoint()
