"""Who gets a place among our peers, and who has to make room. Pure.

Places are few and peers many; most of them serve no light client data, and anybody may connect to
us. So those who serve are looked for until there are enough of them, whoever else is there; and who
is known to serve nothing is the first to go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

SIMULTANEOUS_SECONDS: Final = 10.0
"""Two connections to a peer that are no further apart may both have been dialled in good faith."""
MIN_STAY_SECONDS: Final = 30.0
"""So long somebody may stay who was let in: to show what it is worth, and so that a crowd of
newcomers cannot have everybody change places all the time."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A peer, as far as its place goes.

    Attributes:
        is_direct: the user named it.
        serves: whether it serves light client data; None while it has not said.
        score: -1000 to 1000.
        seconds: for how long it has been here.
        is_ours: we dialled it.
    """

    is_direct: bool = False
    serves: bool | None = None
    score: int = 0
    seconds: float = 0.0
    is_ours: bool = False

    @property
    def worth(self) -> tuple[int, int]:
        """What to compare: to be of use counts for more than any score."""
        return {True: 2, None: 1, False: 0}[self.serves], self.score


def kept_for_us(target: int) -> int:
    """Places for peers that we dial: whoever fills all others cannot choose these, too."""
    return target // 2


def missing_peers(seats: Iterable[Seat], target: int) -> int:
    """How many peers are still to be looked for; who serves nothing does not count."""
    serving = [seat for seat in seats if seat.serves is not False]
    ours = sum(seat.is_ours for seat in serving)
    return max(target - len(serving), kept_for_us(target) - ours, 0)


def worst_of(seats: Mapping[str, Seat]) -> str | None:
    """Who would have to go first; None if nobody has to."""
    movable = {
        peer_id: seat
        for peer_id, seat in seats.items()
        if not seat.is_direct and seat.seconds >= MIN_STAY_SECONDS
    }
    return min(movable, key=lambda peer_id: movable[peer_id].worth, default=None)


def whom_to_replace(seats: Mapping[str, Seat], newcomer: Seat) -> str | None:
    """Who has to make room for a newcomer, because it is worth less; None if nobody is."""
    worst = worst_of(seats)
    if worst is None:
        return None
    return worst if newcomer.is_direct or newcomer.worth > seats[worst].worth else None


def useless_one(seats: Mapping[str, Seat]) -> str | None:
    """Who can go so that others are looked for: the worst, if it serves nothing."""
    worst = worst_of(seats)
    return worst if worst is not None and seats[worst].serves is False else None


def newer_one_stays(
    own_id: str, peer_id: str, *, old_is_ours: bool, new_is_ours: bool, seconds_apart: float
) -> bool:
    """Which of two connections to one peer stays; both sides must come to the same answer.

    If both dialled at once, that of whom has the smaller id. Otherwise the newer one: who dials
    again has lost the older, of which we only have not heard yet.

    Args:
        old_is_ours, new_is_ours: whether we dialled it.
    """
    if old_is_ours == new_is_ours or seconds_apart > SIMULTANEOUS_SECONDS:
        return True
    return new_is_ours == (own_id < peer_id)
