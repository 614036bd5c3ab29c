"""For a root without a bootstrap the transport says which of the known reasons it is."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx
import pytest

from lightclient.config import Network
from lightclient.containers import LightClientObject, ObjectKind, object_type
from lightclient.errors import ProviderRefused, ProviderUnavailable, UnknownBootstrap
from tests.transports.conftest import provider
from tests.transports.objects import enveloped, make_object

pytestmark = pytest.mark.anyio

ROOT = b"\x5a" * 32
MISSING = {"code": 404, "message": "LC bootstrap unavailable"}


@dataclass
class Node:
    """A node that knows blocks, and has no bootstrap for any of them."""

    network: Network
    bootstrap: httpx.Response = field(default_factory=lambda: httpx.Response(404, json=MISSING))
    header: httpx.Response = field(
        default_factory=lambda: httpx.Response(404, json={"message": "Block header not found"})
    )
    children: list[int] = field(default_factory=list)
    finalized_epoch: int = 20
    checkpoint_root: bytes = bytes(32)
    execution_block_hash: bytes = b"\x11" * 32
    serves_updates: bool = True

    def knows(self, slot: int, *, finalized: bool | None = True, canonical: bool = True) -> Node:
        value = {"data": _block(slot, canonical=canonical), "finalized": finalized}
        self.header = httpx.Response(200, json=value)
        return self

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if "bootstrap" in path:
            return self.bootstrap
        if path.endswith("/headers"):
            assert request.url.params["parent_root"] == f"0x{ROOT.hex()}"
            return httpx.Response(200, json={"data": [_block(slot) for slot in self.children]})
        if "/headers/" in path:
            return self.header
        if path.endswith("finality_checkpoints"):
            root = f"0x{self.checkpoint_root.hex()}"
            checkpoint = {"epoch": str(self.finalized_epoch), "root": root}
            return httpx.Response(200, json={"data": {"finalized": checkpoint}})
        if "_update" in path and self.serves_updates:
            kind = ObjectKind(path.rpartition("/")[2])
            return httpx.Response(200, json=enveloped(self._update(kind)))
        return httpx.Response(501)

    def _update(self, kind: ObjectKind) -> LightClientObject:
        value = make_object(kind, self.network, 170)
        layout = object_type(kind, value.data_format, value.sync_committee_size)
        text = layout.to_json(value)
        header = text["attested_header"]
        assert isinstance(header, dict)
        execution = header["execution"]
        assert isinstance(execution, dict)
        execution["block_hash"] = f"0x{self.execution_block_hash.hex()}"
        return layout.from_json(text)

    async def why(self) -> UnknownBootstrap:
        transport = provider(self.answer)
        await transport.open(self.network)
        with pytest.raises(UnknownBootstrap) as caught:
            await transport.get_light_client_bootstrap(ROOT)
        await transport.aclose()
        assert f"no bootstrap for block 0x{ROOT.hex()}" in str(caught.value)
        assert caught.value.provider == "https://node.example"
        return caught.value


def _block(slot: int, *, canonical: bool = True) -> dict[str, object]:
    message = {"slot": str(slot), "proposer_index": "1"}
    return {"root": "0x00", "canonical": canonical, "header": {"message": message}}


@pytest.fixture
def node(minimal_network: Network) -> Node:
    return Node(minimal_network)


async def test_a_root_that_the_node_does_not_know(node: Node) -> None:
    error = await node.why()
    assert error.reason == "unknown_root"
    assert "hash of an execution block" in str(error)
    assert "LC bootstrap unavailable" in str(error)


async def test_the_hash_of_an_execution_block(node: Node) -> None:
    node.execution_block_hash = ROOT
    error = await node.why()
    assert error.reason == "execution_block_hash"
    assert "not the root of a beacon block" in str(error)


async def test_an_unknown_root_at_a_node_without_updates(node: Node) -> None:
    node.serves_updates = False
    assert (await node.why()).reason == "unknown_root"


async def test_a_block_within_an_epoch(node: Node) -> None:
    node.knows(83).children.append(84)
    error = await node.why()
    assert error.reason == "not_epoch_boundary"
    assert "slot 83" in str(error)


async def test_a_block_whose_child_is_not_told_counts_as_within_its_epoch(node: Node) -> None:
    assert (await node.knows(83).why()).reason == "not_epoch_boundary"


async def test_the_last_block_before_an_empty_first_slot_is_an_epoch_boundary(node: Node) -> None:
    node.knows(87).children.append(88)
    assert (await node.why()).reason == "not_epoch_boundary"
    node.children = [89]
    assert (await node.why()).reason == "not_kept"


async def test_a_checkpoint_at_an_odd_slot_is_an_epoch_boundary(node: Node) -> None:
    node.knows(87).checkpoint_root = ROOT
    assert (await node.why()).reason == "not_kept"


@pytest.mark.parametrize("finalized", [True, False, None])
async def test_a_block_that_is_not_finalized(node: Node, finalized: bool | None) -> None:
    error = await node.knows(21 * 8, finalized=finalized).why()
    assert error.reason == "not_finalized"
    assert "epoch 20" in str(error)


async def test_a_block_that_was_orphaned(node: Node) -> None:
    error = await node.knows(80, canonical=False).why()
    assert error.reason == "not_finalized"
    assert "not part of the chain" in str(error)


async def test_a_block_older_than_nodes_keep(node: Node) -> None:
    node.finalized_epoch = 11 + node.network.min_epochs_for_block_requests
    error = await node.knows(80).why()
    assert error.reason == "too_old"
    node.finalized_epoch -= 1
    assert (await node.knows(80).why()).reason == "not_kept"


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(501), httpx.Response(405), httpx.Response(404, text="404 page not found")],
    ids=["501", "405", "404 of the route"],
)
async def test_a_node_without_light_client_serving(node: Node, answer: httpx.Response) -> None:
    node.bootstrap = answer
    error = await node.why()
    assert error.reason == "light_client_off"
    assert "does not serve light client data" in str(error)


async def test_a_node_that_has_no_update_either_serves_no_light_client_data(node: Node) -> None:
    node.serves_updates = False
    assert (await node.knows(80).why()).reason == "light_client_off"


@pytest.mark.parametrize(
    "header",
    [
        httpx.Response(500, json={"message": "oops"}),
        httpx.Response(200, content=b"{"),
        httpx.Response(200, json={"data": {"header": {"message": {"slot": "-1"}}}}),
        httpx.Response(200, json=[]),
        httpx.Response(200, content=b"x" * 1_000_000),
    ],
)
async def test_a_node_that_does_not_tell(node: Node, header: httpx.Response) -> None:
    node.header = header
    error = await node.why()
    assert error.reason == "not_told"
    assert "does not say why" in str(error)


async def test_a_500_of_another_kind_stays_one_unless_the_block_accounts_for_it(
    node: Node,
) -> None:
    node.bootstrap = httpx.Response(500, json={"message": "out of memory"})
    assert (await node.why()).reason == "unknown_root"
    transport = provider(node.knows(80).answer)
    await transport.open(node.network)
    with pytest.raises(ProviderUnavailable, match="out of memory"):
        await transport.get_light_client_bootstrap(ROOT)
    await transport.aclose()


async def test_a_refused_request_is_not_explained_as_a_missing_root(node: Node) -> None:
    node.bootstrap = httpx.Response(403)
    transport = provider(node.answer)
    await transport.open(node.network)
    with pytest.raises(ProviderRefused) as caught:
        await transport.get_light_client_bootstrap(ROOT)
    assert not isinstance(caught.value, UnknownBootstrap)
    await transport.aclose()
