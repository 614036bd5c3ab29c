"""Slots worth trying: near what a store would accept, at boundaries, at the ends of the range."""

from __future__ import annotations

from random import Random

from lightclient.protocol import LightClientStore
from tests.oracle.worlds import World

UINT64_MAX = 2**64 - 1


class Slots:
    """Draws slots in a world."""

    def __init__(self, draw: Random, world: World) -> None:
        self.draw = draw
        self.world = world
        self.period_slots = world.network.preset.slots_per_sync_committee_period
        self.epoch_slots = world.network.preset.slots_per_epoch

    def period(self, slot: int) -> int:
        """The sync committee period of a slot."""
        return slot // self.period_slots

    def bootstrap(self) -> int:
        draw = self.draw
        boundary = draw.choice([0, *self.world.boundaries])
        drawn = draw.choice(
            [
                boundary,
                boundary - 1,
                boundary + draw.randrange(2 * self.period_slots),
                boundary - draw.randrange(1, self.period_slots + 1),
                draw.randrange(4 * self.period_slots),
            ]
        )
        return max(drawn, 0)

    def attested(self, store: LightClientStore) -> int:
        draw, length = self.draw, self.period_slots
        finalized = store.finalized_header.beacon.slot
        start = self.period(finalized) * length
        ahead = start + length
        near = [slot for slot in self.world.boundaries if -3 < slot - finalized < 3 * length // 2]
        known = store.next_sync_committee is not None
        choices: list[tuple[float, int]] = [
            (5, finalized + draw.randrange(1, 3 * self.epoch_slots)),
            (2, draw.randrange(finalized + 1, max(ahead, finalized + 2))),
            (1, start + draw.randrange(length)),
            (2 if known else 0.3, ahead + draw.randrange(-3, 3)),
            (4 if known else 0.2, ahead + draw.randrange(length)),
            (3 if near else 0, (draw.choice(near) if near else 0) + draw.randrange(-3, 3)),
            (0.7, finalized + draw.randrange(-2, 2)),
            (0.4, draw.randrange(finalized + 1)),
            (1, store.optimistic_header.beacon.slot + draw.randrange(-1, 2)),
            (0.3, ahead + length + draw.randrange(-2, 2)),
            (0.05, draw.choice([0, 1, UINT64_MAX, UINT64_MAX - 1, 2**63])),
        ]
        weights = [weight for weight, _slot in choices]
        slot = draw.choices([slot for _weight, slot in choices], weights)[0]
        return min(max(slot, 0), UINT64_MAX)

    def signature(self, attested: int) -> int:
        draw = self.draw
        next_period = (self.period(attested) + 1) * self.period_slots
        near = [slot for slot in self.world.boundaries if 0 < slot - attested < self.period_slots]
        choices: list[tuple[float, int]] = [
            (12, attested + 1),
            (3, attested + draw.randrange(1, 2 * self.epoch_slots)),
            (1.2, next_period + draw.randrange(2)),
            (2 if near else 0, (draw.choice(near) if near else 0) + draw.randrange(2)),
            (0.4, attested - draw.randrange(2)),
            (0.2, draw.choice([0, 1, UINT64_MAX, attested + 2 * self.period_slots])),
        ]
        weights = [weight for weight, _slot in choices]
        slot = draw.choices([slot for _weight, slot in choices], weights)[0]
        return min(max(slot, 0), UINT64_MAX)

    def finalized(self, store: LightClientStore, attested: int) -> int:
        draw = self.draw
        finalized = store.finalized_header.beacon.slot
        two_epochs = (attested // self.epoch_slots - 2) * self.epoch_slots
        drawn = draw.choice(
            [
                two_epochs,
                two_epochs,
                attested - draw.randrange(3 * self.epoch_slots),
                self.period(attested) * self.period_slots,
                finalized + draw.randrange(-1, 2),
                attested,
                attested + 1 if draw.random() < 0.2 else attested - 1,
                draw.choice([attested, *self.world.boundaries]) + draw.randrange(-1, 1),
                0 if draw.random() < 0.3 else two_epochs,
            ]
        )
        if draw.random() < 0.9:
            drawn = min(drawn, attested)
        return min(max(drawn, 0), UINT64_MAX)
