"""Our node on the network: it finds peers, gets acquainted, asks, listens, serves and parts.

Theory of operation. One connection's task (see ``connections``) runs :meth:`Node._meet` for as long
as the connection is wanted. A peer that says it is on our chain becomes a provider of the client;
its score, which the client lowers for lies and this for broken rules, decides how long it stays. A
host that ends in spite of all guards is started again, a little later each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

import anyio
import trio
from anyio.abc import TaskStatus

from lightclient.config import Network
from lightclient.errors import ListenError
from lightclient.transports.libp2p.acquaintance import GOODBYE_SECONDS, Peer, say_goodbye
from lightclient.transports.libp2p.addresses import PeerAddress, multiaddress_bytes
from lightclient.transports.libp2p.blocks import BlockFeed, BlockListener, BlockRequests
from lightclient.transports.libp2p.company import Company
from lightclient.transports.libp2p.connections import Connection, DialError, Switchboard
from lightclient.transports.libp2p.conversation import Conversation
from lightclient.transports.libp2p.gossip import MAX_RPC, Gossip, GossipFigures
from lightclient.transports.libp2p.gossipsub import MESHSUB, Router
from lightclient.transports.libp2p.identify import (
    IDENTIFY,
    PING,
    answer_ping,
    encode_identify,
)
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.peers import PeerBook
from lightclient.transports.libp2p.serving import SERVED, Responder
from lightclient.transports.libp2p.standing import own_status
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.transports.libp2p.supervision import BackOff
from lightclient.transports.libp2p.tcp import Traffic
from lightclient.transports.libp2p.validation import GossipValidation
from lightclient.transports.pools import PoolMember
from lightclient.transports.scores import Uniform
from lightclient.wire.gossip import (
    BEACON_BLOCK,
    LIGHT_CLIENT_TOPICS,
    MAX_MESSAGE_SIZE,
    encode_payload,
    topics_at,
)
from lightclient.wire.messages import GoodbyeReason, Metadata, Status

_logger = logging.getLogger("lightclient.libp2p")

DIALS_AT_ONCE: Final = 4
UPKEEP_SECONDS: Final = 1.0
_ADMISSION_SECONDS: Final = 2.0
_AT_THE_DOOR: Final = 4
"""Connections beyond the limit, for as long as it takes to see who it is and to say goodbye."""


class Node:
    """A node for one client.

    Args:
        clock: Unix milliseconds. uniform, sample: as of ``random.Random``.
        block_listeners: called with each block that is heard, see ``blocks``; may change any time.
        book: what is remembered of peers; None to begin anew.

    Attributes:
        company: the peers that are connected.
        blocks: for whoever wants blocks.
        port: where it listens; 0 while it does not.
        traffic: bytes over TCP.
    """

    def __init__(
        self,
        options: Libp2pOptions,
        network: Network,
        member: PoolMember,
        *,
        clock: Callable[[], int],
        uniform: Uniform,
        sample: Callable[[Sequence[str], int], list[str]],
        block_listeners: list[BlockListener] | None = None,
        book: PeerBook | None = None,
    ) -> None:
        self._options = options
        self._network = network
        self._member = member
        self._clock = clock
        self._sample = sample
        self._back_off = BackOff(uniform)
        self.book = PeerBook(options.direct_addresses, clock, uniform) if book is None else book
        self.company = Company(options, network, member, self.book, clock, uniform)
        self.peers = self.company.peers
        self.port = 0
        self.metadata = Metadata(1, custody_group_count=network.custody_requirement)
        self.traffic = Traffic()
        self.blocks = BlockRequests(network, self.peers, clock, uniform)
        self._block_listeners = [] if block_listeners is None else block_listeners
        self._validation = GossipValidation(
            network,
            member,
            self.peers,
            BlockFeed(network, clock, self._block_listeners),
            self.company.note_offence,
            clock,
        )
        self._conversation = Conversation(
            self.company, network, self.status, lambda: self.metadata, uniform
        )
        self._dialling: set[str] = set()
        self._figures = GossipFigures()
        self._gossip = self._new_gossip()
        self._responder = Responder(
            network=network,
            status=self.status,
            metadata=lambda: self.metadata,
            light_client=options.light_client,
            on_status=self.company.note_status,
            on_goodbye=self.company.note_goodbye,
            on_offence=self.company.note_offence,
        )
        self._switchboard = self._new_switchboard()
        self._has_candidate = trio.Event()
        self._at_the_door: dict[Connection, trio.Event] = {}

    def _new_gossip(self) -> Gossip:
        slots = 2 * self._network.preset.slots_per_epoch
        router = Router(slots * self._network.slot_duration_ms / 1000, self._sample)
        return Gossip(router, self._validation.judge, self.company.note_offence, self._figures)

    def _new_switchboard(self) -> Switchboard:
        assert self._options.secret is not None
        return Switchboard(
            self._options.secret,
            serve_stream=self._serve_stream,
            on_connection=self._meet,
            protocols=[IDENTIFY, PING, *MESHSUB, *(item.protocol_id for item in SERVED)],
            max_inbound=self._options.peer_limit + _AT_THE_DOOR,
            traffic=self.traffic,
        )

    # What it is ---------------------------------------------------------------------------------

    @property
    def peer_id(self) -> str:
        """Our own id."""
        return self._switchboard.peer_id

    @property
    def gossip(self) -> GossipFigures:
        """What became of gossip."""
        return self._figures

    @property
    def restarts(self) -> int:
        """How often the host had to be started again."""
        return self._back_off.restarts

    @property
    def unread_bytes(self) -> int:
        """Bytes that peers sent and nobody has read yet."""
        return self._switchboard.unread_bytes

    @property
    def wanted_candidates(self) -> int:
        """How many peers are missing that nobody is known for who could be dialled."""
        # Whoever can be dialled already is worth a try before others are looked for.
        missing = self.company.missing
        return missing if len(self.book.to_dial(self.peers, missing)) < missing else 0

    @property
    def _slot(self) -> int:
        return self._network.slot_at_time_ms(self._clock())

    def add_candidate(self, address: PeerAddress) -> None:
        """Somebody was found who may be dialled."""
        self.book.add_candidate(address)
        self._has_candidate.set()

    def status(self) -> Status:
        """What we say of our place on the chain."""
        return own_status(self._network, self._member.heads(), self._slot)

    def publish(self, name: str, content: bytes, fork_digest: bytes) -> int:
        """Tell SSZ bytes on a topic; to how many peers they go, perhaps none."""
        topic = f"/eth2/{fork_digest.hex()}/{name}/ssz_snappy"
        return self._gossip.publish(topic, encode_payload(content))

    # Life ---------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Be on the network until cancelled.

        Raises:
            ListenError: at the first start, there is nothing to listen at.
        """
        has_started = False
        while True:
            started_at = trio.current_time()
            try:
                await self._run_host(None if has_started else task_status)
            except Exception as error:
                has_started = has_started or self.port > 0
                if not has_started and isinstance(_first(error), OSError):
                    raise self._cannot_listen(_first(error)) from None
                _logger.exception("The libp2p host ended; it is started again")
            has_started = True
            await trio.sleep(self._back_off.after(trio.current_time() - started_at))

    def _cannot_listen(self, error: BaseException) -> ListenError:
        options = self._options
        reason = getattr(error, "strerror", None) or str(error)
        return ListenError(
            f"cannot listen at {options.listen_address} port {options.tcp_port} for peers:"
            f" {reason}; choose another with --tcp-port or --listen-address"
        )

    async def _run_host(self, task_status: TaskStatus[None] | None) -> None:
        self._switchboard, self._gossip = self._new_switchboard(), self._new_gossip()
        self.peers.clear()
        scope = trio.CancelScope()
        async with anyio.create_task_group() as tasks:
            try:
                self.port = await tasks.start(self._listen, scope)
                # Ended last from now on, so that goodbyes can be said; not before, or being
                # cancelled while it starts would wait for it for ever.
                scope.shield = True
                tasks.start_soon(self._gossip.run)
                tasks.start_soon(self._keep_up)
                if task_status is not None:
                    task_status.started()
                await trio.sleep_forever()
            finally:
                with trio.CancelScope(shield=True), trio.move_on_after(GOODBYE_SECONDS):
                    await self._say_goodbye()
                scope.cancel()

    async def _listen(
        self, scope: trio.CancelScope, *, task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        options = self._options
        with scope:
            # After a restart at the same port, which peers were told.
            port = self.port or options.tcp_port
            await self._switchboard.run(options.listen_address, port, task_status=task_status)

    async def _say_goodbye(self) -> None:
        async with trio.open_nursery() as nursery:
            for peer in list(self.peers.values()):
                nursery.start_soon(
                    say_goodbye, peer.connection, GoodbyeReason.CLIENT_SHUTDOWN, self._network
                )

    async def _keep_up(self) -> None:
        """Dial, drop, and follow the forks' topics: once a second, and when somebody is found."""
        async with trio.open_nursery() as nursery:
            while True:
                self._choose_topics()
                self.company.drop_bad_peers()
                self._dial_peers(nursery)
                self._has_candidate = trio.Event()
                with trio.move_on_after(UPKEEP_SECONDS):
                    await self._has_candidate.wait()

    def _choose_topics(self) -> None:
        names = LIGHT_CLIENT_TOPICS if self._member.can_judge_pushes() else ()
        self._gossip.max_rpc = MAX_RPC
        if self._block_listeners:
            names = (*names, BEACON_BLOCK)
            self._gossip.max_rpc = MAX_MESSAGE_SIZE
        # Those of the slot to come: a second's delay costs nothing then.
        self._gossip.set_topics(map(str, topics_at(self._network, self._slot + 1, names)))

    # Connections --------------------------------------------------------------------------------

    def _dial_peers(self, nursery: trio.Nursery) -> None:
        wanted = self.company.make_room(len(self._dialling))
        for address in self.book.to_dial(self.peers.keys() | self._dialling, wanted):
            if len(self._dialling) >= DIALS_AT_ONCE:
                return
            self._dialling.add(address.peer_id)
            nursery.start_soon(self._dial, address)

    async def _dial(self, address: PeerAddress) -> None:
        try:
            await self._switchboard.dial(address)
        except DialError as error:
            self.book.note_dial(address.peer_id, succeeded=False)
            known = self.book.known(address.peer_id)
            # Of those whom discovery finds, many cannot be: that is nobody's business.
            level = logging.INFO if known.is_direct and known.failures == 1 else logging.DEBUG
            _logger.log(level, "Peer cannot be reached", extra={"lc": {"reason": str(error)}})
        finally:
            self._dialling.discard(address.peer_id)

    async def _meet(self, connection: Connection) -> None:
        """Keep a connection for as long as it is wanted."""
        self._at_the_door[connection] = at_the_door = trio.Event()
        try:
            peer = await self.company.admit(self.peer_id, connection)
        finally:
            del self._at_the_door[connection]
            at_the_door.set()
        if not isinstance(peer, Peer):
            if peer is not None:
                await say_goodbye(connection, peer, self._network)
            return
        self._gossip.attach(connection.peer_id, is_outbound=connection.is_outbound)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._gossip.talk, connection)
                nursery.start_soon(self._conversation.run, peer)
                await peer.leaving.wait()
                nursery.cancel_scope.cancel()
            if peer.reason is not None:
                await say_goodbye(connection, peer.reason, self._network)
        finally:
            self._gossip.detach(connection.peer_id)
            self.company.part_from(peer)

    # What peers do ------------------------------------------------------------------------------

    async def _serve_stream(self, connection: Connection, protocol: str, stream: Stream) -> None:
        if protocol == IDENTIFY:
            await stream.write_last(self._own_identify(connection))
            return
        if protocol == PING:
            await answer_ping(stream)
            return
        if connection in self._at_the_door:
            # Who comes again waits until the connection that it lost is gone.
            with trio.move_on_after(_ADMISSION_SECONDS):
                await self._at_the_door[connection].wait()
        peer = self.peers.get(connection.peer_id)
        if peer is None or peer.connection is not connection:
            raise StreamBroken("a connection that is not kept")
        if protocol in MESHSUB:
            await self._gossip.listen(stream)
        else:
            await self._responder.serve(peer.client, protocol, stream)

    def _own_identify(self, connection: Connection) -> bytes:
        options = self._options
        own = [item for item in SERVED if item.kind is None or options.light_client is not None]
        address = options.external_address
        return encode_identify(
            public_key=self._switchboard.public_key,
            agent=options.agent,
            protocols=[IDENTIFY, PING, *MESHSUB, *(item.protocol_id for item in own)],
            listen=[multiaddress_bytes(address, self.port)] if address and self.port else [],
            observed=multiaddress_bytes(*connection.remote),
        )


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
