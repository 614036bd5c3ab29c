"""Signatures that are checked together while they are still being gathered, perhaps on two cores.

Gathered ones are split into lots. The second process is kept busy with the oldest; once all are
gathered, this one takes the latest, until both meet. So neither waits for long for the other,
whatever gathering (proofs, a committee's root) costs beside checking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Protocol, Self

from lightclient.bls.backend import Backend
from lightclient.bls.batch import CommitteeSignature, verify_together
from lightclient.bls.questions import ANSWER_HOLDS

_LOT: Final = 6
"""A smaller lot costs more in final exponentiations than the better division saves."""
_AHEAD: Final = 2
"""So many lots are with the second process at most: one that it checks, and one to go on with."""


class OtherProcess(Protocol):
    """Another process of this program that checks signatures; may come and go at any time."""

    @property
    def is_ready(self) -> bool:
        """Whether it waits for questions."""
        ...

    def start(self) -> None:
        """Start it, unless it runs or cannot be had. Does not wait."""
        ...

    def close(self) -> None:
        """End it. Does not wait; may be called twice."""
        ...

    def ask(self, signatures: Sequence[CommitteeSignature]) -> bool:
        """Hand over signatures to be checked together; False if they are to be checked here."""
        ...

    def answers(self, *, wait: bool = False) -> bytes | None:
        """A byte for each answer that has come, oldest first; None if no more will come.

        Args:
            wait: for at least one, if nothing has come.
        """
        ...


class SharedCheck:
    """Takes signatures one by one, then says whether all of them hold; a context manager.

    What True means is told in :mod:`lightclient.bls.batch`. All keys must be of ``backend``.

    Args:
        second: None if there is no second process; then all are checked at once, and here.
    """

    def __init__(self, backend: Backend, second: OtherProcess | None) -> None:
        self._backend = backend
        self._second = second if second is not None and second.is_ready else None
        self._gathered: list[CommitteeSignature] = []
        self._lots: deque[list[CommitteeSignature]] = deque()
        self._away: deque[list[CommitteeSignature]] = deque()
        self._hold = True

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
        if self._second is not None and len(self._gathered) == _LOT:
            self._lots.append(self._gathered)
            self._gathered = []
            self._hand_over()

    def all_hold(self) -> bool:
        """Whether all do; True without any. False only says that single checks must decide."""
        if self._gathered:
            self._lots.append(self._gathered)
            self._gathered = []
        while self._lots:
            # The last one is checked here unless the other has nothing to do.
            if len(self._lots) > 1 or not self._away:
                self._hand_over()
            if self._lots:
                self._check_here(self._lots.pop())
                self._take_answers(wait=False)
        while self._away:
            self._take_answers(wait=True)
        return self._hold

    def _check_here(self, lot: list[CommitteeSignature]) -> None:
        self._hold = verify_together(self._backend, lot) and self._hold

    def _hand_over(self) -> None:
        self._take_answers(wait=False)
        while self._second is not None and self._lots and len(self._away) < _AHEAD:
            if not self._second.ask(self._lots[0]):
                self._second = None if not self._second.is_ready else self._second
                return
            self._away.append(self._lots.popleft())

    def _take_answers(self, *, wait: bool) -> None:
        if not self._away:
            return
        answers = None if self._second is None else self._second.answers(wait=wait)
        if answers is None:  # the process is lost
            self._second = None
            while self._away:
                self._check_here(self._away.popleft())
            return
        for answer in answers:
            self._away.popleft()
            self._hold = self._hold and answer == ANSWER_HOLDS[0]
