"""Signatures that are checked together while they are still being gathered, perhaps on two cores.

Gathering one (proofs, a committee's root) takes half as long as checking it, or more. So the first
three quarters go to the second process as they come, in three lots, and the rest is checked here.
"""

from __future__ import annotations

from types import TracebackType
from typing import Final, Self

from lightclient.bls.backend import Backend
from lightclient.bls.batch import CommitteeSignature, verify_together
from lightclient.bls.second_process import SecondProcess

_LOTS: Final = 3
_LEAST_LOT: Final = 4
"""A smaller lot costs more to hand over, and in final exponentiations, than it saves."""


class SharedCheck:
    """Takes signatures one by one, then says whether all of them hold; a context manager.

    What True means is told in :mod:`lightclient.bls.batch`. All keys must be of ``backend``.

    Args:
        second: None if there is no second process.
        expected: how many signatures will come.
    """

    def __init__(self, backend: Backend, second: SecondProcess | None, expected: int) -> None:
        self._backend = backend
        self._second = second
        self._lot_size = max(expected // (_LOTS + 1), _LEAST_LOT)
        self._to_hand_over = 0 if second is None else _LOTS
        self._gathered: list[CommitteeSignature] = []
        self._away: list[list[CommitteeSignature]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._away and self._second is not None:
            # An answer that nobody took would be taken for the next one.
            self._second.close()

    def add(self, signature: CommitteeSignature) -> None:
        """One more."""
        self._gathered.append(signature)
        if self._to_hand_over and len(self._gathered) == self._lot_size:
            assert self._second is not None
            if self._second.ask(self._gathered):
                self._away.append(self._gathered)
                self._gathered = []
                self._to_hand_over -= 1
            else:
                self._to_hand_over = 0

    def all_hold(self) -> bool:
        """Whether all do; True without any. False only says that single checks must decide."""
        hold = not self._gathered or verify_together(self._backend, self._gathered)
        while self._away:
            assert self._second is not None
            answer = self._second.answer()
            lot = self._away.pop(0)
            if answer is None:  # the process is lost
                answer = verify_together(self._backend, lot)
            hold = answer and hold
        return hold
