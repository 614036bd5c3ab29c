"""Starting again what ended although it should not have, a little later each time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lightclient.transports.scores import Uniform

FIRST_RESTART_SECONDS: Final = 1.0
LONGEST_RESTART_SECONDS: Final = 60.0
GOOD_RUN_SECONDS: Final = 300.0
"""What ran for so long is started again as soon as the first time."""


@dataclass(slots=True)
class BackOff:
    """How long to wait before the next start.

    Attributes:
        restarts: how often it was asked.
    """

    uniform: Uniform
    restarts: int = 0
    _pause: float = 0.0

    def after(self, seconds: float) -> float:
        """The wait, in seconds, after a run of ``seconds``."""
        self.restarts += 1
        if seconds > GOOD_RUN_SECONDS or not self._pause:
            self._pause = FIRST_RESTART_SECONDS
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_RESTART_SECONDS)
        return pause * self.uniform(0.75, 1.25)
