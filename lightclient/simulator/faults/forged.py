"""Lies about the chain: every forgery that an object can be by itself, in place of honest ones."""

from __future__ import annotations

import random
from typing import ClassVar

from lightclient.containers import LightClientObject, ObjectKind
from lightclient.protocol import Rule
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.exchange import Asked
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.live_scenes import (
    BOOTSTRAP_RULES,
    UPDATE_RULES,
    conflicting,
    kinds_breaking,
    live_forgeries,
)
from lightclient.simulator.views import ChainView

_KEPT = 32


class Forging(Fault):
    """Breaks one rule: in one object of a range, or in the only one. See :data:`FORGING`."""

    rule: ClassVar[Rule]

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        super().__init__(rng, chance)
        self._made: dict[tuple[bytes, int, ObjectKind], list[LightClientObject]] = {}

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind in kinds_breaking(self.rule)

    def objects(
        self, asked: Asked, values: list[LightClientObject], view: ChainView
    ) -> list[LightClientObject]:
        if not values:
            return values
        index = self.rng.randrange(len(values))
        forged = self._forged(view.chain, values[index])
        return [*values[:index], self.rng.choice(forged), *values[index + 1 :]]

    def _forged(self, chain: SimulatedChain, value: LightClientObject) -> list[LightClientObject]:
        root = value.main_header.beacon.hash_tree_root()
        if chain.block_of_root(root) is None:
            return [value]  # another fault's lie: as bad as it gets
        key = (root, getattr(value, "signature_slot", 0), value.kind)
        made = self._made.get(key)
        if made is None:
            # In the first forks some rules cannot be broken: then another one is.
            default = Rule.BAD_SIGNATURE
            if value.kind is ObjectKind.BOOTSTRAP:
                default = Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH
            made = live_forgeries(chain, value, self.rule) or live_forgeries(chain, value, default)
            if len(self._made) >= _KEPT:
                self._made.clear()
            self._made[key] = made
        return made


def _forging(broken: Rule) -> type[Forging]:
    class OneRule(Forging):
        __doc__ = f"Objects that break the rule ``{broken}``."
        name = f"forged_{broken}"
        rule = broken

    return OneRule


FORGING: dict[Rule, type[Forging]] = {
    rule: _forging(rule) for rule in (*BOOTSTRAP_RULES, *UPDATE_RULES)
}
"""The fault for each rule."""


class Equivocating(Fault):
    """Another block in the attested slot, under a true signature of the whole committee."""

    name = "equivocating"
    needs_dishonest_committee = True

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind in (ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE)

    def objects(
        self, asked: Asked, values: list[LightClientObject], view: ChainView
    ) -> list[LightClientObject]:
        return [
            conflicting(view.chain, value)
            if view.chain.block_of_root(value.main_header.beacon.hash_tree_root())
            else value
            for value in values
        ]
