"""Servers that know something else: less than the others, or another chain."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import ClassVar

from lightclient.containers import LightClientObject, ObjectKind
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.exchange import Asked
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.views import ChainView, PastView, honest_objects

_NEVER_DENSE = 2**63


class Lagging(Fault):
    """Serves the chain as it was some epochs or some periods ago."""

    name = "lagging"

    def __init__(
        self, rng: random.Random, chance: float = 1.0, *, slots: int | None = None
    ) -> None:
        super().__init__(rng, chance)
        self.slots = slots
        self._past: PastView | None = None

    def applies_to(self, asked: Asked) -> bool:
        return True

    def view(self, view: ChainView) -> ChainView:
        if self.slots is None:
            preset = view.network.preset
            longest = 2 * preset.slots_per_sync_committee_period
            self.slots = self.rng.choice(
                (self.rng.randint(3, 8) * preset.slots_per_epoch, self.rng.randint(1, longest))
            )
        if self._past is None or self._past.chain is not view.chain:
            self._past = PastView(view.chain, view.head.slot)
        self._past.slot = view.head.slot - self.slots
        return self._past


class Frozen(Fault):
    """Stopped when it was first asked, and serves that moment ever since."""

    name = "frozen"

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        super().__init__(rng, chance)
        self._past: PastView | None = None

    def applies_to(self, asked: Asked) -> bool:
        return True

    def view(self, view: ChainView) -> ChainView:
        if self._past is None:
            self._past = PastView(view.chain, view.head.slot)
        return self._past


class StaleLatest(Fault):
    """Of the latest updates an old one; everything else is as it should be."""

    name = "stale_latest"
    stale_kinds: ClassVar[tuple[ObjectKind, ...]] = (
        ObjectKind.FINALITY_UPDATE,
        ObjectKind.OPTIMISTIC_UPDATE,
    )

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        super().__init__(rng, chance)
        self._epochs = rng.randint(4, 12)

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind in self.stale_kinds

    def objects(
        self, asked: Asked, values: list[LightClientObject], view: ChainView
    ) -> list[LightClientObject]:
        behind = self._epochs * view.network.preset.slots_per_epoch
        return honest_objects(PastView(view.chain, view.head.slot - behind), asked) or values


class StaleFinality(StaleLatest):
    """An old finality update; the head is new."""

    name = "stale_finality"
    stale_kinds = (ObjectKind.FINALITY_UPDATE,)


class WrongNetwork(Fault):
    """Another network altogether: other validators, another genesis, honest in itself."""

    name = "wrong_network"

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        super().__init__(rng, chance)
        self._seed = rng.randint(10**6, 10**9)
        self._other: SimulatedChain | None = None

    def applies_to(self, asked: Asked) -> bool:
        return True

    def view(self, view: ChainView) -> ChainView:
        if self._other is None:
            network = replace(view.network, name="other", genesis_validators_root=bytes(32))
            self._other = SimulatedChain(
                network,
                seed=self._seed,
                dense_from_slot=_NEVER_DENSE,
                backend=view.chain.backend,
            )
        self._other.advance_to(view.head.slot)
        return self._other
