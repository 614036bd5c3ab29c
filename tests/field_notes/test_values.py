"""What is handed to applications: proven values, typed, and nothing that merely passed through."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import lightclient
from lightclient import BlockingLightClient, LightClient, VerifiedHeader
from lightclient.config import FORKS
from lightclient.simulator import SimulatedChain, simulated_network
from lightclient.sync import Processor
from tests.field_notes.playing import PERIODS, client_of, make_world, synced

pytestmark = pytest.mark.anyio


# Other bindings ---------------------------------------------------------------------------------


def test_the_public_face_is_typed_throughout(checkout: Path) -> None:
    assert (checkout / "lightclient" / "py.typed").exists()
    assert (checkout / "cli" / "py.typed").exists()
    for kind in (LightClient, BlockingLightClient, VerifiedHeader, Processor):
        for name, member in inspect.getmembers(kind):
            if name.startswith("_"):
                continue
            function = member.fget if isinstance(member, property) else member
            if inspect.isfunction(function):
                annotations = function.__annotations__
                assert "return" in annotations, f"{kind.__name__}.{name}"
                parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
                assert parameters <= set(annotations), f"{kind.__name__}.{name}"


def test_without_a_root_to_start_from_there_is_no_client() -> None:
    # Nothing is built in that would be trusted by default.
    parameter = inspect.signature(LightClient).parameters["trusted_block_root"]
    assert parameter.default is inspect.Parameter.empty
    with pytest.raises(lightclient.ConfigError):
        LightClient(trusted_block_root="", transports=["http://127.0.0.1:1"])


# Unverified pass-through -------------------------------------------------------------------------


UNVERIFIED = {"Any", "Json", "Update", "Bootstrap", "LightClientHeader", "BeaconBlockHeader"}


def test_the_client_hands_out_no_object_as_a_server_sent_it() -> None:
    for kind in (LightClient, BlockingLightClient):
        for name, member in inspect.getmembers(kind):
            function = member.fget if isinstance(member, property) else member
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            returned = str(function.__annotations__.get("return", ""))
            assert not [word for word in UNVERIFIED if word in returned], f"{name}: {returned}"


PROVEN = {
    "bare": (False, False, False, False),
    "payload": (True, True, True, False),
    "block_hash": (True, False, False, True),
}
"""By layout: block hash, block number, state root, and whether the hash is the parent's."""


async def test_every_value_of_a_header_is_what_the_chain_holds_or_none() -> None:
    forks = {fork.name: 3 * index for index, fork in enumerate(FORKS[1:])}
    chain = SimulatedChain(simulated_network("minimal", forks))
    chain.advance_to(8 * (3 * len(forks) + 5))
    network, checked = chain.network, set()
    for start in range(3 * len(forks)):
        try:
            root = chain.trusted_block_root(8 * start)
        except LookupError:
            break
        bootstrap = chain.bootstrap(root)
        assert bootstrap is not None
        processor = Processor(network, root)
        processor.process(bootstrap, network.slot_start_ms(chain.head.slot + 1))
        header = processor.finalized_header
        assert header is not None
        block = chain.blocks_by_root[header.root]
        assert (header.slot, header.beacon) == (block.slot, block.header)
        row = network.fork_at_slot(header.slot)
        assert header.fork == row.name
        proven = (
            header.execution_block_hash is not None,
            header.execution_block_number is not None,
            header.execution_state_root is not None,
            header.is_parent_execution_block,
        )
        assert proven == PROVEN[row.data_format.header], header.fork
        checked.add(header.fork)
    assert checked == {fork.name for fork in FORKS[1:]}


# eth_getProof; history ----------------------------------------------------------------------------


def test_what_is_not_there_is_not_half_there() -> None:
    # No execution RPC, no account proofs, no ancestor proofs: nothing by these names to rely on.
    names = [name.lower() for name in lightclient.__all__]
    assert not [n for n in names if any(w in n for w in ("getproof", "rpc", "ancestor"))]


async def test_every_finalized_header_of_a_history_is_told_in_order() -> None:
    world = make_world()
    told: list[VerifiedHeader] = []
    async with client_of(world, world.provider(), on_finalized_header=told.append) as client:
        await synced(client)
    periods = [world.network.compute_sync_committee_period_at_slot(h.slot) for h in told]
    assert periods == sorted(periods)
    assert set(periods) == set(range(PERIODS + 1))
    assert all(header.root in world.chain.blocks_by_root for header in told)
