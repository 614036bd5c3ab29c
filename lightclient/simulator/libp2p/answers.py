"""How a simulated peer answers requests: as our own nodes do, with faults in between.

Rate limits, bounds and deadlines are those of the real responder. What it says comes from the
chain's view that the faults leave; blocks are served besides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, Final

from lightclient.beacon import containers_for
from lightclient.containers import ObjectKind
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.exchange import Answer, Asked, ConnectionLost, Refusal
from lightclient.simulator.faults import Episode, FaultSet
from lightclient.simulator.libp2p.served import status_of
from lightclient.simulator.views import ChainView
from lightclient.transports.libp2p.serving import RATE_LIMITED, SERVED, Responder
from lightclient.transports.libp2p.streams import StreamBroken
from lightclient.wire.messages import MAX_REQUEST_BLOCKS, BlocksByRange
from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    BEACON_BLOCKS_BY_ROOT_2,
    GOODBYE_1,
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    STATUS_1,
    Protocol,
)
from lightclient.wire.responses import ResultCode, encode_chunk, encode_error, encode_object

SERVED_BY_FULL_NODES: Final = (*SERVED, BEACON_BLOCKS_BY_ROOT_2, BEACON_BLOCKS_BY_RANGE_2)
_SIGNATURE: Final = bytes([0xC0]) + bytes(95)
"""Of blocks: nobody who follows light client data looks at a proposer's signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultyResponder(Responder):
    """Answers from a chain, spoilt by faults.

    Attributes:
        requests: how many there were of each protocol, by its name.
        slot: the slot by the peer's clock.
    """

    view: ChainView
    faults: FaultSet
    slot: Callable[[], int]
    requests: Counter[str] = field(default_factory=Counter)

    async def _chunks(
        self, protocol: Protocol, request: Any, peer_id: str
    ) -> AsyncGenerator[bytes, None]:
        self.requests[protocol.name] += 1
        if protocol is GOODBYE_1:
            # Heard whatever happens to the answer: it is how a peer learns what it did.
            self.on_goodbye(peer_id, request)
        episode = self.faults.begin(asked_by(protocol, request), self.view)
        try:
            await episode.before()
            content = await self._content(protocol, request, peer_id, episode)
            answer = episode.answer(Answer(200, {}, content))
            async with aclosing(episode.body(_in_one(answer.body))) as pieces:
                async for piece in pieces:
                    yield piece
        except Refusal as refusal:
            yield encode_error(_code_of(refusal), refusal.message)
        except ConnectionLost:
            raise StreamBroken("reset on purpose") from None

    async def _content(
        self, protocol: Protocol, request: Any, peer_id: str, episode: Episode
    ) -> bytes:
        """The whole answer, before its bytes are spoilt. Raises Refusal."""
        view = episode.view
        if protocol.kind is not None:
            values = episode.objects()
            if not values and not protocol.answers_list:
                raise Refusal(404, "not available")
            return b"".join(encode_object(value, view.network) for value in values)
        if protocol.response is None:
            return b"".join(self._block(block, view) for block in _blocks(view, protocol, request))
        if protocol.name == STATUS_1.name:
            await self.on_status(peer_id, request)
            reply: Any = status_of(view, self.slot())
        else:
            reply = request if protocol is GOODBYE_1 else await self._reply(protocol, None, peer_id)
        return encode_chunk(protocol.response.encode(reply))

    @staticmethod
    def _block(block: SimulatedBlock, view: ChainView) -> bytes:
        network = view.network
        signed = containers_for(block.fork.name, network.preset).SignedBeaconBlock(
            message=block.block, signature=_SIGNATURE
        )
        digest = network.compute_fork_digest(network.compute_epoch_at_slot(block.slot))
        return encode_chunk(bytes(signed.encode_bytes()), digest)


def asked_by(protocol: Protocol, request: Any) -> Asked:
    """What a request asks for, as faults see it."""
    if protocol is LIGHT_CLIENT_BOOTSTRAP_1:
        return Asked(ObjectKind.BOOTSTRAP, block_root=request, path=protocol.name)
    if protocol is LIGHT_CLIENT_UPDATES_BY_RANGE_1:
        start, count = request.start_period, min(request.count, protocol.max_chunks)
        return Asked(ObjectKind.UPDATE, start_period=start, count=count, path=protocol.name)
    return Asked(protocol.kind, path=protocol.name)


def _blocks(view: ChainView, protocol: Protocol, request: Any) -> Sequence[SimulatedBlock]:
    if protocol is BEACON_BLOCKS_BY_ROOT_2:
        found = [view.block_of_root(root) for root in request]
        return [block for block in found if block is not None]
    assert isinstance(request, BlocksByRange)
    first = view.chain.first_slot
    end = min(request.start_slot + min(request.count, MAX_REQUEST_BLOCKS), view.head.slot + 1)
    slots = range(max(request.start_slot, first), end)
    blocks = (view.block_at(slot) for slot in slots)
    return [block for slot, block in zip(slots, blocks, strict=True) if block.slot == slot]


def _code_of(refusal: Refusal) -> int:
    """The result code that says what an HTTP status says."""
    if refusal.status == 429:
        return RATE_LIMITED
    if refusal.status in (404, 501, 503):
        return ResultCode.RESOURCE_UNAVAILABLE
    return ResultCode.SERVER_ERROR if refusal.status >= 500 else ResultCode.INVALID_REQUEST


async def _in_one(content: bytes) -> AsyncIterator[bytes]:
    if content:
        yield content
