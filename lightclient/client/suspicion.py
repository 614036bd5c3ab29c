"""Whose clock is wrong when an object comes from the future, the provider's or ours.

If two providers say so, ours is suspected and nobody is blamed. What a single one says is held back
until another, with an object of the very slot that our clock shows, tells that ours is right.
"""

from __future__ import annotations

from dataclasses import dataclass, field

_REMEMBERED_SLOTS = 64


@dataclass(slots=True)
class FutureSlots:
    """Who sent objects that are signed after our current slot, lately.

    Attributes:
        suspected_slot: the slot that our clock showed when two providers last were ahead of it;
            None if that never happened.
        slots_ahead: how far ahead they were then, at least.
    """

    suspected_slot: int | None = None
    slots_ahead: int = 0
    _ahead: dict[str, tuple[int, int]] = field(default_factory=dict)

    def note_future(self, provider: str, signature_slot: int, current_slot: int) -> bool:
        """An object from the future; whether our own clock is the suspect, newly or still."""
        self._forget(current_slot)
        self._ahead[provider] = (current_slot, signature_slot - current_slot)
        if len(self._ahead) < 2:
            return False
        self.suspected_slot = current_slot
        self.slots_ahead = min(ahead for _, ahead in self._ahead.values())
        return True

    def note_present(self, provider: str, signature_slot: int, current_slot: int) -> list[str]:
        """An accepted object; the names of those who now stand alone with theirs, to be blamed.

        Only an object of the current slot says that the clock is right: whoever merely lags would
        agree with a clock that is slow. What has come true meanwhile was no lie: our clock is slow
        by a part of a slot.
        """
        self._forget(current_slot)
        self._ahead = {
            name: noted
            for name, noted in self._ahead.items()
            if name != provider and sum(noted) > current_slot
        }
        if signature_slot != current_slot or len(self._ahead) != 1:
            return []
        alone = list(self._ahead)
        self._ahead.clear()
        return alone

    def _forget(self, current_slot: int) -> None:
        self._ahead = {
            name: noted
            for name, noted in self._ahead.items()
            if 0 <= current_slot - noted[0] <= _REMEMBERED_SLOTS
        }
