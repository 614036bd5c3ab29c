"""What the tests of the rules share: forges for every fork and format, and the act of judging."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lightclient.config.forks import DATA_FORMATS, FORKS_BY_NAME
from lightclient.containers import AnyUpdate, LightClientHeader, LightClientUpdate
from lightclient.protocol import (
    LightClientStore,
    Verdict,
    VerdictKind,
    process_light_client_update,
)
from tests.protocol.forge import FORK_NAMES, PERIOD, Forge, hashed, network_from_genesis

FORGES = {
    # Every fork in its own format, and every newer format in which its objects may come.
    f"{name}-{data_format.name}": Forge(network_from_genesis(name), data_format)
    for name in FORK_NAMES
    for data_format in DATA_FORMATS
    if DATA_FORMATS.index(data_format) >= DATA_FORMATS.index(FORKS_BY_NAME[name].data_format)
}
every_forge = pytest.mark.parametrize("forge", FORGES.values(), ids=list(FORGES))

START = PERIOD + 8
NOW = 3 * PERIOD


def judge(forge: Forge, store: LightClientStore, update: AnyUpdate, now: int = NOW) -> Verdict:
    """The verdict; a refusal or a duplicate must leave the store alone."""
    before = store.copy()
    verdict = process_light_client_update(store, update, now, forge.network, forge.signatures)
    assert (verdict.kind is VerdictKind.ACCEPTED) == (store != before)
    assert isinstance(verdict.detail, str)
    return verdict


def sound(forge: Forge) -> LightClientUpdate:
    return forge.update(START + 24, finalized_slot=START + 8, committee=True)


def other_node(branch: tuple[bytes, ...], index: int = -1) -> tuple[bytes, ...]:
    """``branch`` with one node replaced."""
    nodes = list(branch)
    nodes[index] = hashed("another node")
    return tuple(nodes)


def with_broken_execution(header: LightClientHeader) -> LightClientHeader:
    """The header with an execution that its block does not hold; bare headers have none."""
    if header.execution is not None:
        return replace(header, execution=replace(header.execution, gas_used=1))
    if header.execution_block_hash is not None:
        return replace(header, execution_block_hash=hashed("another block"))
    return header


def at_slot(header: LightClientHeader, slot: int) -> LightClientHeader:
    """The header moved to another slot; no proof in it is about the slot."""
    return replace(header, beacon=replace(header.beacon, slot=slot))


def store_that_knows(forge: Forge) -> LightClientStore:
    store = forge.store(START)
    first = forge.update(START + 16, finalized_slot=START + 8, committee=True)
    assert judge(forge, store, first).kind is VerdictKind.ACCEPTED
    assert store.next_sync_committee is not None
    return store
