"""Recorded answers of a Lodestar node, networks, and a provider made of a function."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lightclient.config import MINIMAL, Network, network_by_name, network_from_config_mapping
from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    ObjectKind,
)
from lightclient.errors import TransportError
from lightclient.transports.fetching import Answer
from lightclient.transports.rest import RestTransport
from tests.transports.objects import enveloped, make_object

Handler = Callable[[httpx.Request], httpx.Response]


@dataclass(frozen=True)
class Recording:
    """A folder of ``NAME.hdr`` with response head and ``NAME.json|.ssz|.sse`` with the body."""

    folder: Path

    def answer(self, name: str) -> Answer:
        head = (self.folder / f"{name}.hdr").read_text().splitlines()
        status = int(head[0].split()[1])
        pairs = [line.split(":", 1) for line in head[1:] if ":" in line]
        headers = {key.strip().lower(): value.strip() for key, value in pairs}
        return Answer(status, headers, self.body(name))

    def body(self, name: str) -> bytes:
        return next(
            path.read_bytes() for path in self.folder.glob(f"{name}.*") if path.suffix != ".hdr"
        )

    def response(self, name: str) -> httpx.Response:
        answer = self.answer(name)
        # What carried the body is not part of it; stack traces were shortened in the recording.
        skipped = ("content-length", "transfer-encoding", "connection", "keep-alive")
        headers = {k: v for k, v in answer.headers.items() if k not in skipped}
        return httpx.Response(answer.status, headers=headers, content=answer.body)

    @property
    def network(self) -> Network:
        spec = json.loads(self.body("spec"))["data"]
        genesis = json.loads(self.body("genesis"))["data"]
        return network_from_config_mapping(
            spec,
            genesis_time=int(genesis["genesis_time"]),
            genesis_validators_root=genesis["genesis_validators_root"],
        )


@pytest.fixture(scope="session")
def recording(real_data: Path) -> Recording:
    """What a Lodestar node answered on a local chain of the minimal preset."""
    return Recording(real_data / "lodestar-minimal-electra")


@pytest.fixture(scope="session")
def minimal_network() -> Network:
    """A network of the minimal preset in which every fork up to electra is in force."""
    forks = ("ALTAIR", "BELLATRIX", "CAPELLA", "DENEB", "ELECTRA")
    return network_from_config_mapping(
        {"PRESET_BASE": "minimal", **{f"{fork}_FORK_EPOCH": "0" for fork in forks}},
        preset=MINIMAL,
        genesis_time=1_700_000_000,
        genesis_validators_root=bytes([7]) * 32,
    )


@pytest.fixture(scope="session")
def mainnet() -> Network:
    return network_by_name("mainnet")


@pytest.fixture
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy of the environment comes between."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def body(minimal_network: Network) -> bytes:
    """An optimistic update of slot 80 as JSON."""
    value = make_object(ObjectKind.OPTIMISTIC_UPDATE, minimal_network, 80)
    return json.dumps(enveloped(value)).encode()


def provider(
    handler: Handler, url: str = "https://node.example", **options: object
) -> RestTransport:
    """A REST transport whose network is ``handler``."""
    return RestTransport(url, http_transport=httpx.MockTransport(handler), **options)  # type: ignore[arg-type]


Pushed = LightClientFinalityUpdate | LightClientOptimisticUpdate


async def collected(transport: RestTransport) -> tuple[list[Pushed], TransportError | None]:
    """The updates that a transport pushes until its stream ends, and the error that ended it."""
    updates: list[Pushed] = []
    try:
        async for update in transport.stream_updates():
            updates.append(update)  # noqa: PERF401 - what came before the error is wanted, too
    except TransportError as error:
        return updates, error
    return updates, None
