"""A full node of a simulated chain, for light clients: it serves, gossips and is found.

Real sockets, real noise, the real multiplexers and the real gossip router; what is simulated is the
chain, and what goes wrong on purpose. It dials nobody. Runs on trio.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import trio
from anyio.abc import TaskStatus

from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    ObjectKind,
    encode_ssz,
)
from lightclient.errors import DecodeError
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.exchange import Asked
from lightclient.simulator.faults import FaultSet
from lightclient.simulator.libp2p.answers import SERVED_BY_FULL_NODES, FaultyResponder
from lightclient.simulator.libp2p.faults import PeerFault
from lightclient.simulator.libp2p.roles import HONEST, Role
from lightclient.simulator.libp2p.served import is_of_chain
from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.connections import Connection, Switchboard
from lightclient.transports.libp2p.gossip import Gossip
from lightclient.transports.libp2p.gossip_rpc import GossipMessage
from lightclient.transports.libp2p.gossipsub import MESHSUB, Arrival, Router
from lightclient.transports.libp2p.identify import IDENTIFY, PING, answer_ping, encode_identify
from lightclient.transports.libp2p.judgement import Acceptance, decode_gossip
from lightclient.transports.libp2p.muxers import MUXERS
from lightclient.transports.libp2p.serving import Client
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.wire.gossip import encode_payload, parse_topic, topic_of, topics_at
from lightclient.wire.messages import GoodbyeReason, Metadata, Status

LISTEN_ADDRESS: Final = "127.0.0.1"
MAX_CLIENTS: Final = 32
_BLOCKS_WAITING: Final = 64
_KINDS: Final = (ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE)


@dataclass(slots=True)
class PeerTally:
    """What clients did with a peer.

    Attributes:
        met: connections so far. connected: those that are up.
        goodbyes: why clients left, by the reason's name.
        statuses: what clients said of themselves, newest last, a few.
        told_true, told_false: gossip that clients brought: of the chain, and not of it.
    """

    met: int = 0
    connected: int = 0
    goodbyes: Counter[str] = field(default_factory=Counter)
    statuses: list[Status] = field(default_factory=list)
    told_true: int = 0
    told_false: int = 0


class SimulatedPeer:
    """One peer.

    Args:
        secret: its identity key, 32 bytes.
        role: its character; ``rng`` draws what the character leaves open.
        muxers: protocols of multiplexers that it speaks, best first.
        port: to listen at; 0 for any.
        clock: Unix milliseconds.

    Attributes:
        faults: what goes wrong; may be replaced at any time.
        tally: what clients did with it.
        port: where it listens, once it does.
    """

    def __init__(
        self,
        chain: SimulatedChain,
        secret: bytes,
        *,
        clock: Callable[[], int],
        role: Role = HONEST,
        muxers: Sequence[str] = MUXERS,
        rng: random.Random | None = None,
        name: str = "simulated peer",
        port: int = 0,
    ) -> None:
        rng = rng or random.Random(0)
        self.name = name
        self.chain = chain
        self.role = role
        self.secret = secret
        self.muxers = tuple(muxers)
        self.port = port
        self.tally = PeerTally()
        self.faults = FaultSet(role.make_faults(rng), rng)
        self._clock = clock
        self._clients: dict[str, Client] = {}
        network = chain.network
        self.responder = FaultyResponder(
            network=network,
            status=_never_asked,
            metadata=lambda: Metadata(1, custody_group_count=network.custody_requirement),
            light_client=None,
            on_status=self._note_status,
            on_goodbye=self._note_goodbye,
            view=chain,
            faults=self.faults,
            slot=self._slot,
        )
        epochs_seconds = 2 * network.preset.slots_per_epoch * network.slot_duration_ms / 1000
        self.gossip = Gossip(Router(epochs_seconds, rng.sample), self._judge, _overlook)
        self._board = Switchboard(
            secret,
            serve_stream=self._serve,
            on_connection=self._meet,
            protocols=[
                IDENTIFY,
                PING,
                *MESHSUB,
                *(protocol.protocol_id for protocol in SERVED_BY_FULL_NODES),
            ],
            max_inbound=MAX_CLIENTS,
            muxers=self.muxers,
        )

    def __repr__(self) -> str:
        return f"<SimulatedPeer {self.name}, {self.role.name}>"

    @property
    def peer_id(self) -> str:
        """Its id, in base58."""
        return self._board.peer_id

    @property
    def address(self) -> PeerAddress:
        """Where to dial it, once it listens."""
        return PeerAddress("ip4", LISTEN_ADDRESS, self.port, self.peer_id)

    def _slot(self) -> int:
        return self.chain.network.slot_at_time_ms(self._clock())

    # Life ---------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be there until cancelled."""
        for fault in self.faults.faults:
            fault.view(self.chain)  # whoever needs a chain of its own makes it before anyone waits
        async with anyio.create_task_group() as tasks:
            self.port = await tasks.start(self._board.run, LISTEN_ADDRESS, self.port)
            tasks.start_soon(self.gossip.run)
            await tasks.start(self._gossip_blocks)
            task_status.started()

    async def _meet(self, connection: Connection) -> None:
        peer_id = connection.peer_id
        if peer_id in self._clients:
            return
        self._clients[peer_id] = Client()
        self.tally.met += 1
        self.tally.connected += 1
        self.gossip.attach(peer_id)
        try:
            await self.gossip.talk(connection)
            await trio.sleep_forever()
        finally:
            self.gossip.detach(peer_id)
            self.tally.connected -= 1
            del self._clients[peer_id]

    async def _serve(self, connection: Connection, protocol: str, stream: Stream) -> None:
        client = self._clients.get(connection.peer_id)
        if protocol == IDENTIFY:
            await stream.write(self._identify())
            await stream.close()
        elif protocol == PING:
            await answer_ping(stream)
        elif client is None:
            raise StreamBroken("a connection that is not kept")
        elif protocol in MESHSUB:
            await self.gossip.listen(stream)
        else:
            await self.responder.serve(client, protocol, stream)

    def _identify(self) -> bytes:
        spoken = [protocol.protocol_id for protocol in SERVED_BY_FULL_NODES]
        return encode_identify(
            public_key=self._board.public_key,
            agent="lightclient-simulator",
            protocols=[IDENTIFY, PING, *MESHSUB, *spoken],
            listen=[],
            observed=b"",
        )

    async def _note_status(self, _: str, status: Status) -> None:
        self.tally.statuses = [*self.tally.statuses[-7:], status]

    def _note_goodbye(self, _: str, reason: int) -> None:
        try:
            name = GoodbyeReason(reason).name.lower()
        except ValueError:
            name = str(reason)
        self.tally.goodbyes[name] += 1

    # Gossip -------------------------------------------------------------------------------------

    async def _gossip_blocks(self, *, task_status: TaskStatus[None]) -> None:
        """Gossip what each new block brings, when it is due."""
        send, receive = trio.open_memory_channel[SimulatedBlock](_BLOCKS_WAITING)

        def note(block: SimulatedBlock) -> None:
            with suppress(trio.WouldBlock):  # a peer that cannot keep up says less
                send.send_nowait(block)

        self.chain.listeners.append(note)
        try:
            self._choose_topics(self.chain.head.slot)
            task_status.started()
            async for block in receive:
                self._choose_topics(block.slot)
                await self._until_due(block)
                self._publish(block)
        finally:
            self.chain.listeners.remove(note)

    def _choose_topics(self, slot: int) -> None:
        self.gossip.set_topics(map(str, topics_at(self.chain.network, slot + 1)))

    async def _until_due(self, block: SimulatedBlock) -> None:
        network = self.chain.network
        due_ms = network.slot_start_ms(block.slot) + network.get_sync_message_due_ms(block.slot)
        await anyio.sleep(max(due_ms - self._clock(), 0) / 1000)

    def _publish(self, block: SimulatedBlock) -> None:
        latest = (self.chain.is_latest_finality(block), self.chain.is_latest_optimistic(block))
        for kind, is_new in zip(_KINDS, latest, strict=True):
            if is_new:
                for message in self._messages(Asked(kind, pushed=True)):
                    self.gossip.publish(message.topic, message.data)

    def _messages(self, asked: Asked) -> list[GossipMessage]:
        episode = self.faults.begin(asked, self.chain)
        network = episode.view.network
        messages = [
            GossipMessage(str(topic_of(update, network)), encode_payload(encode_ssz(update)))
            for update in episode.objects()
            if isinstance(update, LightClientFinalityUpdate | LightClientOptimisticUpdate)
        ]
        for fault in episode.faults:
            if isinstance(fault, PeerFault):
                messages = fault.messages(messages, episode.view)
        return messages

    async def _judge(self, arrival: Arrival) -> Acceptance:
        """What a client tells: a full node knows better."""
        topic = parse_topic(arrival.message.topic)
        is_true = False
        if topic is not None and arrival.content is not None:
            try:
                update = decode_gossip(topic, arrival.content, self.chain.network)
                is_true = is_of_chain(update, self.chain)
            except DecodeError:
                pass
        self.tally.told_true += is_true
        self.tally.told_false += not is_true
        return Acceptance.ACCEPT if is_true else Acceptance.REJECT


def _never_asked() -> Status:
    raise AssertionError("a simulated peer tells the status of its view")


def _overlook(peer_id: str, offence: str, is_malice: bool) -> None:
    """A simulated peer holds nothing against its clients; it counts."""
