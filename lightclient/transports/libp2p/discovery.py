"""Discovery v5 on a UDP socket: finds peers on our network and fork for as long as they are wanted.

The protocol is in ``wire.discv5``, without I/O; this gives it a socket, a clock and randomness,
keeps our own record true, and keeps nodes that answered for the next start. Runs on trio and on
asyncio, all in one task, so that nothing queues up between socket and protocol.
"""

from __future__ import annotations

import logging
import os
import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from typing import Final

import anyio
import anyio.to_thread

from lightclient.config import Network
from lightclient.errors import ListenError
from lightclient.transports.libp2p.addresses import PeerAddress, address_of_record
from lightclient.transports.libp2p.known_nodes import MAX_KEPT, KnownNodes
from lightclient.transports.libp2p.options import DiscoveryOptions
from lightclient.transports.libp2p.own_record import OwnRecord, RecordFile
from lightclient.transports.libp2p.supervision import BackOff
from lightclient.transports.libp2p.udp import (
    READS_PER_TURN,
    TURN_SECONDS,
    Doorkeeper,
    UdpSocket,
)
from lightclient.transports.scores import Uniform
from lightclient.wire.discv5.addresses import MIN_PORT
from lightclient.wire.discv5.discovery import (
    TICK_INTERVAL_MS,
    Discovery,
    ExternalAddress,
    LookupFinished,
    NodeFound,
)
from lightclient.wire.enr import NodeRecord
from lightclient.wire.fork_id import ForkMatch, compare_forks
from lightclient.wire.identity import IdentityKey

_logger = logging.getLogger("lightclient.libp2p")

SAVE_INTERVAL_MS: Final = 600_000
_FIRST_SAVE_MS: Final = 30_000
_SHORTEST_PAUSE_MS: Final = 2_000
LONGEST_PAUSE_MS: Final = 64_000
"""Between look-ups that bring nobody new."""
_REMEMBERED: Final = 1024
_SECOND_CHOICE: Final = 64
_PARTING_SECONDS: Final = 1.0


@dataclass(slots=True)
class DiscoveryFigures:
    """What happened so far; ``left_out`` are datagrams not looked into: too many, or too long."""

    received: int = 0
    left_out: int = 0
    sent: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    peers_found: int = 0
    restarts: int = 0


def dialable_address(record: NodeRecord) -> PeerAddress | None:
    """Where to dial the node of a record over TCP; None where no stranger may send us.

    Discovery has judged the address for datagrams; one that is there for TCP alone is judged here,
    so that nobody has us knock at our own network's doors.
    """
    address = address_of_record(record)
    if address is None or address.port < MIN_PORT:
        return None
    endpoint = record.udp_endpoint
    if endpoint is None or endpoint[0] != address.host:
        ip = ip_address(address.host)
        if not ip.is_global or ip.is_multicast:
            return None
    return address


class DiscoveryService:
    """Looks for peers.

    Args:
        key: our identity.
        listen_address: address of this machine, for IPv4, or for IPv6 (``::`` takes both).
        external_address: what others are told that we are reached at; None to find out.
        wanted: how many peers are wanted now.
        on_found: called with the address of each peer found on our fork; one may come again.
        tcp_port: where peers reach us over TCP now; 0 if they do not.
        clock: Unix milliseconds. Intervals go by the event loop's clock, which nobody sets.
        random_bytes: gives so many unpredictable bytes.

    Attributes:
        port: where it is bound; 0 while it is not.
        figures: what happened so far.
    """

    def __init__(
        self,
        options: DiscoveryOptions,
        key: IdentityKey,
        network: Network,
        *,
        wanted: Callable[[], int],
        on_found: Callable[[PeerAddress], None],
        tcp_port: Callable[[], int],
        clock: Callable[[], int],
        listen_address: str | None = "0.0.0.0",  # noqa: S104 - a node of a network is to be reached
        external_address: str | None = None,
        random_bytes: Callable[[int], bytes] = os.urandom,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._options = options
        self._key = key
        self._network = network
        self._wanted = wanted
        self._on_found = on_found
        self._tcp_port = tcp_port
        self._clock = clock
        self._listen_address = listen_address or "0.0.0.0"  # noqa: S104 - answers must come in
        self._random_bytes = random_bytes
        self.port = 0
        self.figures = DiscoveryFigures()
        self._back_off = BackOff(uniform)
        self._own = self._own_record(external_address)
        self._kept = None if options.directory is None else KnownNodes(options.directory)
        self._record_file = None if options.directory is None else RecordFile(options.directory)
        self._is_record_kept = True
        self._start: list[NodeRecord] = list(options.records)
        self._core = self._new_core()
        self._doorkeeper = Doorkeeper()
        self._offered: OrderedDict[bytes, None] = OrderedDict()
        self._second_choice: OrderedDict[bytes, PeerAddress] = OrderedDict()
        self._has_news = False
        self._pause_ms = _SHORTEST_PAUSE_MS
        self._look_from_ms = 0
        self._save_at_ms = 0

    def _own_record(self, external_address: str | None) -> OwnRecord:
        listening = ip_address(self._listen_address)
        listens_at = None
        if external_address is None and self._options.learns_address:
            if listening.is_global or listening.is_loopback:
                external_address = self._listen_address
            elif not listening.is_unspecified:
                listens_at = self._listen_address
        return OwnRecord(self._key, self._network, external_address, self._clock(), listens_at)

    def _new_core(self) -> Discovery:
        return Discovery(self._key, self._own.record, self._random_bytes, self._start)

    @property
    def record(self) -> NodeRecord:
        """Our own record."""
        return self._own.record

    @property
    def node_count(self) -> int:
        """Nodes that answered us and are remembered."""
        return len(self._core.table)

    # Life ---------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look for peers until cancelled.

        Raises:
            ListenError: at the first start, the port cannot be had.
        """
        await self._begin()
        while True:
            started_at = anyio.current_time()
            try:
                await self._run_socket()
            except OSError as error:
                if not self.port:
                    raise self._cannot_listen(error) from None
                reason = error.strerror or str(error)
                _logger.warning(
                    "Discovery's socket failed; it is opened again",
                    extra={"lc": {"reason": reason}},
                )
            except Exception:
                _logger.exception("Discovery ended; it is started again")
                self._core = self._new_core()
            pause = self._back_off.after(anyio.current_time() - started_at)
            self.figures.restarts = self._back_off.restarts
            await anyio.sleep(pause)

    async def _begin(self) -> None:
        """Read what was kept; whoever is on our fork can be dialled before anyone answers."""
        if self._kept is not None:
            self._start += await anyio.to_thread.run_sync(self._kept.load)
        if self._record_file is not None:
            kept = await anyio.to_thread.run_sync(self._record_file.load)
            if kept is not None:
                self._own.replace(kept)
        self._core = self._new_core()
        about = {"boot_nodes": len(self._options.bootstrap_nodes), "known_nodes": len(self._start)}
        if not self._start:
            _logger.warning("No boot nodes are known: give one with --bootstrap-node")
        _logger.debug("Discovery starts", extra={"lc": about})
        for record in self._start:
            self._offer(record)

    def _cannot_listen(self, error: OSError) -> ListenError:
        return ListenError(
            f"cannot listen at {self._listen_address} port {self._options.udp_port} (UDP) for"
            f" discovery: {error.strerror or error}; choose another with --udp-port or"
            " --listen-address, or do without it with --no-discv5"
        )

    async def _run_socket(self) -> None:
        # After a restart at the same port, which others were told.
        socket = UdpSocket(self._listen_address, self.port or self._options.udp_port)
        self.port = socket.port
        self._save_at_ms = _now_ms() + _FIRST_SAVE_MS
        try:
            await self._talk(socket)
        finally:
            socket.close()
            with anyio.move_on_after(_PARTING_SECONDS, shield=True):
                await self._save()

    async def _talk(self, socket: UdpSocket) -> None:
        tick_at_ms = _now_ms()
        read, turn_ms = 0, _now_ms()
        while True:
            now_ms = _now_ms()
            # Before the tick: what came while this machine slept is not too late.
            read += self._receive(socket, now_ms)
            if now_ms >= tick_at_ms:
                tick_at_ms = now_ms + TICK_INTERVAL_MS
                self._tick(now_ms)
                socket.listen_together_unless(self._core.engine.expects)
                await self._keep_record()
                if now_ms >= self._save_at_ms:
                    self._save_at_ms = now_ms + SAVE_INTERVAL_MS
                    await self._save()
            self._tell(now_ms)
            self._send(socket)
            if read >= READS_PER_TURN:
                # Faster than this nobody is listened to: the kernel drops what comes meanwhile.
                await anyio.sleep(max(turn_ms / 1000 + TURN_SECONDS - anyio.current_time(), 0))
                read, turn_ms = 0, _now_ms()
            await socket.wait(max(tick_at_ms - _now_ms(), 1) / 1000)

    async def _save(self) -> None:
        if self._kept is None:
            return
        # Those on our fork first: they can be dialled at once.
        records = sorted(self._core.table.good_records, key=self._is_elsewhere)[:MAX_KEPT]
        await anyio.to_thread.run_sync(partial(self._kept.save, records), abandon_on_cancel=True)

    async def _keep_record(self) -> None:
        if self._record_file is None or self._is_record_kept:
            return
        self._is_record_kept = True
        save = partial(self._record_file.save, self._own.record)
        await anyio.to_thread.run_sync(save, abandon_on_cancel=True)

    # Datagrams and time -------------------------------------------------------------------------

    def _receive(self, socket: UdpSocket, now_ms: int) -> int:
        batch = socket.receive()
        for data, address in batch:
            self.figures.received_bytes += len(data)
            expected = self._core.engine.expects(address)
            if self._doorkeeper.admits(len(data), address, now_ms, expected=expected):
                self._core.receive(data, address, now_ms)
            else:
                self.figures.left_out += 1
        self.figures.received += len(batch)
        return len(batch)

    def _send(self, socket: UdpSocket) -> None:
        for data, address in self._core.datagrams():
            if self._core.engine.expects(address):
                socket.listen_apart(address)
            socket.send(data, address)
            self.figures.sent += 1
            self.figures.sent_bytes += len(data)

    def _tick(self, now_ms: int) -> None:
        if self._own.update(self._epoch, self._tcp_port(), self.port):
            self._core.record = self._own.record
            self._is_record_kept = False
        self._core.wanted = self._wanted() > 0 and now_ms >= self._look_from_ms
        self._core.tick(now_ms)

    @property
    def _epoch(self) -> int:
        network = self._network
        return network.compute_epoch_at_slot(network.slot_at_time_ms(self._clock()))

    # What is found ------------------------------------------------------------------------------

    def _tell(self, now_ms: int) -> None:
        for event in self._core.events():
            match event:
                case NodeFound(record, _):
                    self._offer(record)
                case ExternalAddress(address):
                    about = {"ip": address[0], "port": address[1]}
                    _logger.info("Others see us at an address", extra={"lc": about})
                    if self._options.learns_address:
                        self._own.note_seen(address)
                case LookupFinished():
                    self._finish_lookup(now_ms)

    def _offer(self, record: NodeRecord) -> None:
        node_id = record.node_id
        address = None if node_id == self._key.node_id else dialable_address(record)
        if address is None:
            return
        match compare_forks(record, self._network, self._epoch):
            case ForkMatch.SAME:
                self._second_choice.pop(node_id, None)
                self._tell_of(node_id, address)
            case ForkMatch.OTHER_NEXT_FORK:
                self._second_choice[node_id] = address
                if len(self._second_choice) > _SECOND_CHOICE:
                    self._second_choice.popitem(last=False)

    def _tell_of(self, node_id: bytes, address: PeerAddress) -> None:
        if node_id not in self._offered:
            self._has_news = True
            self.figures.peers_found += 1
            _logger.debug("Peer found", extra={"lc": {"peer": str(address)}})
        self._offered[node_id] = None
        self._offered.move_to_end(node_id)
        if len(self._offered) > _REMEMBERED:
            self._offered.popitem(last=False)
        self._on_found(address)

    def _finish_lookup(self, now_ms: int) -> None:
        if not self._has_news:
            # Better a peer that we part from at the next fork than none.
            for node_id, address in self._second_choice.items():
                self._tell_of(node_id, address)
        self._second_choice.clear()
        if self._has_news:
            self._pause_ms = _SHORTEST_PAUSE_MS
        else:
            self._pause_ms = min(2 * self._pause_ms, LONGEST_PAUSE_MS)
        self._has_news = False
        self._look_from_ms = now_ms + self._pause_ms

    def _is_elsewhere(self, record: NodeRecord) -> bool:
        match = compare_forks(record, self._network, self._epoch)
        return match not in (ForkMatch.SAME, ForkMatch.OTHER_NEXT_FORK)


def _now_ms() -> int:
    """The event loop's clock: no one sets it, and a test may."""
    return int(anyio.current_time() * 1000)
