"""What a verified header says of the execution block, fork by fork."""

from __future__ import annotations

import pickle
from copy import deepcopy
from dataclasses import replace
from functools import cache

import pytest

from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.sync import VerifiedHeader
from tests.sync.chains import GENESIS, chain

FORKS = ["altair", "bellatrix", "capella", "deneb", "electra", "fulu", "gloas"]


@cache
def all_forks() -> SimulatedChain:
    """An epoch of each fork."""
    network = simulated_network(
        "minimal",
        {name: index for index, name in enumerate(FORKS)},
        genesis_time=GENESIS,
    )
    made = SimulatedChain(network, keys=chain().keys)
    made.advance_to(8 * len(FORKS) - 1)
    return made


def header_at(slot: int) -> VerifiedHeader:
    source = all_forks()
    block = source.block_at(slot + 1)
    attested = source.update_signed_by(block).attested_header
    return VerifiedHeader(attested, source.network)


@pytest.mark.parametrize(("index", "fork"), list(enumerate(FORKS)))
def test_it_tells_what_its_fork_proves_and_no_more(index: int, fork: str) -> None:
    header = header_at(8 * index + 3)
    block = all_forks().block_at(header.slot)
    assert header.fork == fork
    assert header.root == block.root
    assert header.beacon == block.header
    proven = (
        header.execution_block_hash,
        header.execution_block_number,
        header.execution_state_root,
        header.is_parent_execution_block,
    )
    if fork in ("altair", "bellatrix"):
        assert proven == (None, None, None, False)
    elif fork == "gloas":
        assert block.parent is not None
        assert proven == (block.parent.execution.block_hash, None, None, True)
    else:
        payload = block.block.body.execution_payload
        assert proven == (
            bytes(payload.block_hash),
            int(payload.block_number),
            bytes(payload.state_root),
            False,
        )


def test_age_counts_from_the_start_of_the_slot_and_may_be_negative() -> None:
    header = header_at(20)
    start_ms = GENESIS * 1000 + header.slot * 6_000
    assert header.age(start_ms) == 0.0
    assert header.age(start_ms + 1_500) == 1.5
    assert header.age(start_ms - 3_000) == -3.0
    with pytest.raises(ValueError, match="without a clock"):
        header.age()
    assert replace(header, clock=lambda: start_ms + 4_500).age() == 4.5


def test_its_text_names_slot_root_and_fork() -> None:
    header = header_at(20)
    assert repr(header) == (
        f"VerifiedHeader(slot={header.slot}, root=0x{header.root.hex()}, fork='capella')"
    )


@pytest.mark.parametrize("index", range(len(FORKS)))
def test_it_can_be_sent_to_another_process_and_copied(index: int) -> None:
    header = header_at(8 * index + 3)
    assert header.network.forks_by_digest  # kept with the network once it was computed
    for copied in (pickle.loads(pickle.dumps(header)), deepcopy(header)):
        assert copied == header
        assert hash(copied) == hash(header)
        assert copied.root == header.root
        assert copied.network.forks_by_digest == header.network.forks_by_digest
