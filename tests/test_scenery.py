"""What chains remember is what they would make: never a block, update or signature of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lightclient.simulator import SimulatedChain, simulated_network
from tests.scenery import Memory, scenery_of

HEAD = 44
FORKS = {"altair": 0, "capella": 2, "electra": 4}
VARIATIONS: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "another seed": {"seed": 5},
    "fewer signers": {"participation": 0.8},
    "missed slots": {"missed_slots": {30, 31}},
    "no finality": {"non_final_epochs": range(3, 9)},
}


def chain_of(**options: Any) -> SimulatedChain:
    chain = SimulatedChain(simulated_network("minimal", FORKS), **options)
    chain.advance_to(HEAD)
    return chain


@pytest.mark.parametrize("name", VARIATIONS)
def test_a_chain_with_memory_is_the_chain_without(name: str) -> None:
    for other in VARIATIONS:
        chain_of(**VARIATIONS[other]).finality_update()
    remembered = chain_of(**VARIATIONS[name])
    # The making is not remembered where it is what is tested.
    with scenery_of("simulator/test_chain.py"):
        made = chain_of(**VARIATIONS[name])
    assert [block.root for block in remembered.blocks] == [block.root for block in made.blocks]
    assert remembered.finality_update() == made.finality_update()
    assert remembered.optimistic_update() == made.optimistic_update()
    assert remembered.updates(0, 1) == made.updates(0, 1)


def test_the_same_chain_is_made_once() -> None:
    first, second = chain_of(), chain_of()
    assert first.head is second.head
    assert first.blocks is not second.blocks


def test_where_chains_are_tested_each_is_made_anew() -> None:
    first = chain_of()
    with scenery_of("simulator/test_chain.py"):
        assert chain_of().head is not first.head


def test_the_oldest_is_forgotten_and_what_was_asked_for_again_is_not_old() -> None:
    memory, made = Memory(2), list[str]()

    def recall(name: str) -> None:
        def make() -> str:
            made.append(name)
            return name.upper()

        assert memory.recall(name, None, make) == name.upper()

    for name in "ababcaba":
        recall(name)
    assert made == ["a", "b", "c", "a", "b"]
