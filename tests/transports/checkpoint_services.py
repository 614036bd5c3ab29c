"""Checkpoint services of all kinds in process, and what is heard from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from lightclient.config import Network
from lightclient.sync.checkpoint_quorum import Decision, Statement
from lightclient.transports.checkpoints import CheckpointService, ask_for_checkpoint

SLOTS_PER_EPOCH = 8
NOW = 40
"""The current epoch."""
HEAD = "/eth/v1/beacon/states/head/finality_checkpoints"
FINALIZED = "/eth/v1/beacon/states/finalized/finality_checkpoints"
GENESIS = "/eth/v1/beacon/genesis"
STATUS = "/checkpointz/v1/status"
SLOTS = "/checkpointz/v1/beacon/slots"
HEADER = "/eth/v1/beacon/headers/finalized"


def root(number: int) -> str:
    return f"0x{number:064x}"


def checkpoint(epoch: object, value: object) -> dict[str, Any]:
    return {"finalized": {"epoch": epoch, "root": value}}


@dataclass
class Service:
    """Answers by path; what is not there is a 404. ``{"data": ...}`` is put around."""

    answers: dict[str, Any] = field(default_factory=dict)
    name: str = "a"
    asked: list[str] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        found = self.answers.get(request.url.path)
        if found is None:
            return httpx.Response(404, json={"code": 404, "message": "Not found"})
        if isinstance(found, httpx.Response):
            return httpx.Response(found.status_code, headers=found.headers, content=found.content)
        if isinstance(found, Exception):
            raise found
        return httpx.Response(200, json={"data": found})

    def service(self, **options: Any) -> CheckpointService:
        return CheckpointService(
            f"https://{self.name}.example",
            http_transport=httpx.MockTransport(self.answer),
            **options,
        )


def beacon_node(name: str, epoch: int, chain: Callable[[int], str] = root) -> Service:
    """A beacon node that has finalized ``epoch``; the checkpoint of epoch n has root n."""
    blocks = {
        f"/eth/v1/beacon/blocks/{SLOTS_PER_EPOCH * e}/root": {"root": chain(e)}
        for e in range(epoch + 1)
    }
    return Service({HEAD: checkpoint(str(epoch), chain(epoch)), **blocks}, name)


def checkpointz(name: str, epoch: int, history: Sequence[int] = ()) -> Service:
    """Of the Beacon API it serves no headers; blocks it does not keep are 500s."""
    status = {"upstreams": {}, "finality": checkpoint(str(epoch), root(epoch))}
    slots = [
        {"slot": SLOTS_PER_EPOCH * e, "epoch": e, "block_root": root(e), "state_root": root(0)}
        for e in (epoch, *history)
    ]
    return Service({STATUS: status, SLOTS: {"slots": slots}}, name)


async def hear(service: Service, network: Network, **options: Any) -> Statement:
    asked = service.service(**options)
    asked.open()
    try:
        return await asked.tell(network, NOW)
    finally:
        await asked.aclose()


async def decide(
    network: Network, *services: Service, quorum: int = 2
) -> tuple[list[Statement], Decision]:
    return await ask_for_checkpoint([s.service() for s in services], network, quorum, NOW)


def standings(decision: Decision) -> list[str]:
    return [str(standing) for standing in decision.standings]
