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
from lightclient.errors import DecodeError, ListenError
from lightclient.transports.libp2p.acquaintance import (
    GOODBYE_SECONDS,
    Peer,
    ask_identity,
    exchange_status,
    say_goodbye,
)
from lightclient.transports.libp2p.addresses import PeerAddress, multiaddress_bytes
from lightclient.transports.libp2p.connections import Connection, DialError, Switchboard
from lightclient.transports.libp2p.gossip import Gossip, GossipFigures
from lightclient.transports.libp2p.gossipsub import MESHSUB, Arrival, Router
from lightclient.transports.libp2p.identify import (
    IDENTIFY,
    PING,
    answer_ping,
    encode_identify,
)
from lightclient.transports.libp2p.judgement import Acceptance, GossipRules, decode_gossip
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.peers import KnownPeer, PeerBook
from lightclient.transports.libp2p.requests import RequestFailed, ask
from lightclient.transports.libp2p.serving import SERVED, Responder
from lightclient.transports.libp2p.standing import irrelevance, own_status
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.transports.libp2p.transport import Libp2pTransport
from lightclient.transports.pools import PoolMember
from lightclient.transports.scores import Uniform
from lightclient.wire.gossip import encode_payload, parse_topic, topics_at
from lightclient.wire.messages import GoodbyeReason, Metadata, Status
from lightclient.wire.protocols import PING_1

_logger = logging.getLogger("lightclient.libp2p")

MAX_PUSHES_A_SLOT: Final = 16
"""Updates that a peer may be the first to tell; two are usual, and each costs a signature check."""
DIALS_AT_ONCE: Final = 4
_UPKEEP_SECONDS: Final = 1.0
_PING_SECONDS: Final = 30.0
_PINGS_TO_STATUS: Final = 10
_FIRST_RESTART_SECONDS: Final = 1.0
_LONGEST_RESTART_SECONDS: Final = 60.0
_GOOD_RUN_SECONDS: Final = 300.0
_IRRELEVANT_MS: Final = 3_600_000
_UNWANTED_MS: Final = 600_000
_FULL_MS: Final = 60_000


class Node:
    """A node for one client.

    Args:
        clock: Unix milliseconds. uniform, sample: as of ``random.Random``.

    Attributes:
        peers: those connected, by id.
        port: where it listens; 0 while it does not.
        restarts: how often the host had to be started again.
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
    ) -> None:
        self._options = options
        self._network = network
        self._member = member
        self._clock = clock
        self._uniform = uniform
        self._sample = sample
        self.book = PeerBook(options.direct_peers, clock, uniform)
        self.peers: dict[str, Peer] = {}
        self.port = 0
        self.restarts = 0
        self.metadata = Metadata(seq_number=1)
        self._rules = GossipRules(network)
        self._dialling: set[str] = set()
        self._figures = GossipFigures()
        self._gossip = self._new_gossip()
        self._responder = Responder(
            network=network,
            status=self.status,
            metadata=lambda: self.metadata,
            light_client=options.light_client,
            on_status=self._note_status,
            on_goodbye=self._note_goodbye,
        )
        self._switchboard = self._new_switchboard()

    def _new_gossip(self) -> Gossip:
        epochs_seconds = 2 * self._network.preset.slots_per_epoch * self._slot_seconds
        router = Router(epochs_seconds, self._sample)
        return Gossip(router, self._validate, self._note_offence, self._figures)

    def _new_switchboard(self) -> Switchboard:
        return Switchboard(
            self._options.secret,
            serve_stream=self._serve_stream,
            on_connection=self._meet,
            protocols=[IDENTIFY, PING, *MESHSUB, *(item.protocol_id for item in SERVED)],
            max_inbound=self._options.peer_limit,
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
    def unread_bytes(self) -> int:
        """Bytes that peers sent and nobody has read yet."""
        return self._switchboard.unread_bytes

    @property
    def _slot_seconds(self) -> float:
        return self._network.slot_duration_ms / 1000

    @property
    def _slot(self) -> int:
        return self._network.slot_at_time_ms(self._clock())

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
        pause = _FIRST_RESTART_SECONDS
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
            self.restarts += 1
            if trio.current_time() - started_at > _GOOD_RUN_SECONDS:
                pause = _FIRST_RESTART_SECONDS
            await trio.sleep(pause * self._uniform(0.75, 1.25))
            pause = min(2 * pause, _LONGEST_RESTART_SECONDS)

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
        """Dial, drop, and follow the forks' topics, once a second."""
        async with trio.open_nursery() as nursery:
            while True:
                self._choose_topics()
                self._drop_bad_peers()
                self._dial_peers(nursery)
                await trio.sleep(_UPKEEP_SECONDS)

    def _choose_topics(self) -> None:
        # Those of the slot to come: a second's delay costs nothing then.
        wanted = topics_at(self._network, self._slot + 1)
        self._gossip.set_topics(map(str, wanted) if self._member.can_judge_pushes() else ())

    def _drop_bad_peers(self) -> None:
        now_ms = self._clock()
        for peer in self.peers.values():
            score = peer.known.score
            if score.is_dropped(now_ms) and not peer.leaving.is_set():
                self.book.ban(peer.connection.peer_id, score.dropped_until_ms - now_ms)
                _log(peer, "Peer dropped", reason=f"score {score.value}")
                peer.leave(GoodbyeReason.BAD_SCORE)

    # Connections --------------------------------------------------------------------------------

    def _dial_peers(self, nursery: trio.Nursery) -> None:
        busy = self.peers.keys() | self._dialling
        wanted = self._options.max_peers - len(busy)
        for address in self.book.to_dial(busy, wanted):
            if len(self._dialling) >= DIALS_AT_ONCE:
                return
            self._dialling.add(address.peer_id)
            nursery.start_soon(self._dial, address)

    async def _dial(self, address: PeerAddress) -> None:
        try:
            await self._switchboard.dial(address)
        except DialError as error:
            self.book.note_dial(address.peer_id, succeeded=False)
            level = (
                logging.INFO if self.book.known(address.peer_id).failures == 1 else logging.DEBUG
            )
            _logger.log(level, "Peer cannot be reached", extra={"lc": {"reason": str(error)}})
        finally:
            self._dialling.discard(address.peer_id)

    async def _meet(self, connection: Connection) -> None:
        """Keep a connection for as long as it is wanted."""
        peer_id = connection.peer_id
        known = self.book.known(peer_id)
        refusal = self._refusal(peer_id, known)
        if refusal is not None:
            await say_goodbye(connection, refusal, self._network)
            return
        peer = Peer(connection, known, Libp2pTransport(connection, self._network))
        self.peers[peer_id] = peer
        self._gossip.attach(peer_id)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._gossip.talk, connection)
                nursery.start_soon(self._get_acquainted, peer)
                await peer.leaving.wait()
                nursery.cancel_scope.cancel()
            if peer.reason is not None:
                await say_goodbye(connection, peer.reason, self._network)
        finally:
            self._part_from(peer)

    def _refusal(self, peer_id: str, known: KnownPeer) -> GoodbyeReason | None:
        """Why not to keep a new connection."""
        if known.is_banned(self._clock()):
            return GoodbyeReason.BANNED
        is_full = len(self.peers) >= self._options.peer_limit and not known.is_direct
        # Of two connections to a peer the older one stays.
        return GoodbyeReason.TOO_MANY_PEERS if is_full or peer_id in self.peers else None

    def _part_from(self, peer: Peer) -> None:
        peer_id = peer.connection.peer_id
        del self.peers[peer_id]
        self._gossip.detach(peer_id)
        self.book.note_gone(peer_id)
        if peer.has_joined:
            self._member.leave(peer.transport)
        _log(peer, "Peer disconnected")

    # Getting acquainted -------------------------------------------------------------------------

    async def _get_acquainted(self, peer: Peer) -> None:
        try:
            await self._exchange_status(peer)
            if peer.leaving.is_set():
                return
            peer.identity = await ask_identity(peer.connection)
            self._welcome(peer)
            await self._stay_in_touch(peer)
        except (RequestFailed, StreamBroken, DecodeError) as error:
            _log(peer, "Peer does not answer", reason=str(error))
            self.book.note_dial(peer.connection.peer_id, succeeded=False)
            peer.leave(GoodbyeReason.FAULT)

    async def _exchange_status(self, peer: Peer) -> None:
        """Tell and hear where both stand. Raises RequestFailed, DecodeError."""
        status = await exchange_status(peer.connection, self.status(), self._network)
        await self._note_status(peer.connection.peer_id, status)

    async def _note_status(self, peer_id: str, status: Status) -> None:
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        peer.status = status
        reason = irrelevance(self._network, self._member.heads(), status, self._slot)
        if reason is not None:
            _log(peer, "Peer is on another chain", reason=reason)
            self.book.ban(peer_id, _IRRELEVANT_MS)
            peer.leave(GoodbyeReason.IRRELEVANT_NETWORK)

    def _welcome(self, peer: Peer) -> None:
        spoken = peer.identity.protocols
        serves = {item.protocol_id for item in SERVED if item.kind is not None}
        self.book.note_dial(peer.connection.peer_id, succeeded=True)
        # Who does not say what it speaks is asked, and soon known.
        can_serve = not spoken or bool(serves & spoken)
        _log(peer, "Peer connected", serves=can_serve)
        peer.has_joined = True
        self._member.join(peer.transport, peer.known.score, serves=can_serve)

    async def _stay_in_touch(self, peer: Peer) -> None:
        for count in range(1, 2**62):
            await trio.sleep(_PING_SECONDS * self._uniform(0.75, 1.25))
            self.book.note_useful(peer.connection.peer_id)
            if count % _PINGS_TO_STATUS == 0:
                await self._exchange_status(peer)
            else:
                await ask(peer.connection, PING_1, self.metadata.seq_number, self._network)

    def _note_goodbye(self, peer_id: str, reason: int) -> None:
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        _log(peer, "Peer says goodbye", reason=reason)
        if reason == GoodbyeReason.TOO_MANY_PEERS:
            self.book.ban(peer_id, _FULL_MS)
        elif reason not in (GoodbyeReason.CLIENT_SHUTDOWN, GoodbyeReason.FAULT):
            self.book.ban(peer_id, _UNWANTED_MS)
        peer.leave(None)

    # What peers do ------------------------------------------------------------------------------

    async def _serve_stream(self, connection: Connection, protocol: str, stream: Stream) -> None:
        peer = self.peers.get(connection.peer_id)
        if protocol == IDENTIFY:
            await stream.write(self._own_identify(connection))
            await stream.close()
        elif protocol == PING:
            await answer_ping(stream)
        elif peer is None or peer.connection is not connection:
            raise StreamBroken("a connection that is not kept")
        elif protocol in MESHSUB:
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

    def _note_offence(self, peer_id: str, offence: str, is_malice: bool) -> None:
        peer = self.peers.get(peer_id)
        if peer is None:
            return
        _log(peer, "Peer breaks the rules of gossip", reason=offence)
        now_ms, slot_ms = self._clock(), self._network.slot_duration_ms
        if is_malice:
            peer.known.score.note_malformed(now_ms, slot_ms, self._uniform)
        else:
            peer.known.score.note_failure(now_ms, slot_ms, self._uniform)

    async def _validate(self, arrival: Arrival) -> Acceptance:
        peer = self.peers.get(arrival.peer)
        topic = parse_topic(arrival.message.topic)
        if peer is None or topic is None:
            return Acceptance.IGNORE
        try:
            if arrival.content is None:
                raise DecodeError("a message that is not snappy")
            update = decode_gossip(topic, arrival.content, self._network)
        except DecodeError as error:
            self._note_offence(arrival.peer, f"{topic.name}: {error}", is_malice=True)
            return Acceptance.REJECT
        if not peer.has_joined or not self._may_push(peer):
            return Acceptance.IGNORE
        outcome = await self._member.judge(peer.transport, update)
        return self._rules.decide(update, outcome, self._clock())

    def _may_push(self, peer: Peer) -> bool:
        slot = self._slot
        peer.slot, peer.pushes = slot, peer.pushes + 1 if peer.slot == slot else 1
        return peer.pushes <= MAX_PUSHES_A_SLOT


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _log(peer: Peer, message: str, **fields: object) -> None:
    connection = peer.connection
    about = {"peer": peer.transport.name, "agent": peer.identity.agent or "unknown"}
    about["way"] = "outbound" if connection.is_outbound else "inbound"
    _logger.debug(message, extra={"lc": {**about, **fields}})
