"""Connections to peers: TCP, noise, a multiplexer, and the streams that peers open on them.

Theory of operation. Each connection is one task with all its streams' tasks below it, and
whatever is raised in there ends that connection and nothing else. So a frame that a library
stumbles on costs a peer its connection, never the host its life. Of py-libp2p this uses the noise
handshake, the two multiplexers and nothing else: no switch, no peer store, no dialler that acts by
itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
import trio
from anyio.abc import TaskStatus
from libp2p.abc import ISecureConn
from libp2p.crypto.keys import KeyPair
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID

from lightclient.transports.libp2p import multistream
from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.libp2p.muxers import MUXERS, Muxer, ReceiveBudget, drop, make_muxer
from lightclient.transports.libp2p.noise import NOISE, Noise
from lightclient.transports.libp2p.pacing import Pace
from lightclient.transports.libp2p.reception import Reception
from lightclient.transports.libp2p.streams import Stream, StreamBroken
from lightclient.transports.libp2p.tcp import TcpStream, Traffic

_logger = logging.getLogger("lightclient.libp2p")

DIAL_SECONDS: Final = 5.0
UPGRADE_SECONDS: Final = 5.0
NEGOTIATION_SECONDS: Final = 5.0
STREAMS_PER_SECOND: Final = 30
STREAM_BURST: Final = 128
"""Streams that a peer may open; who asks us all that we may be asked needs half as many."""
STREAMS_PER_SECOND_OF_ALL: Final = 100
STREAM_BURST_OF_ALL: Final = 1000
"""Streams of all peers together: each costs some 3 ms, whatever is said on it."""
_CLOSE_SECONDS: Final = 2.0


class DialError(Exception):
    """A peer cannot be reached, or is not who it should be."""


@dataclass(eq=False)
class Connection:
    """A connection that is up.

    Attributes:
        peer_id: who has proven to be at the other end.
        remote: its IP address and port.
        is_outbound: whether we dialled.
        muxer: the multiplexer's protocol.
        takes_early_requests: whether a request may go out with the proposal of its protocol.
    """

    peer_id: str
    remote: tuple[str, int]
    is_outbound: bool
    muxer: str
    _muxed: Muxer = field(repr=False)
    takes_early_requests: bool = True
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope, repr=False)
    closed: trio.Event = field(default_factory=trio.Event, repr=False)

    async def open_stream(self) -> Stream:
        """A new stream, nothing agreed yet. Raises StreamBroken."""
        try:
            return Stream(await self._muxed.open_stream(), self.peer_id)
        except Exception as error:  # noqa: BLE001 - the library raises anything
            raise StreamBroken(str(error)[:200] or "no stream can be opened") from None

    def close(self) -> None:
        """End it, with all its streams; :attr:`closed` tells when that is done."""
        self._scope.cancel()


StreamServer = Callable[[Connection, str, Stream], Awaitable[None]]
"""Called with each stream that a peer opened, and the protocol agreed on."""


class Switchboard:
    """Makes and takes connections.

    Args:
        secret: the identity key, 32 bytes.
        muxers: protocols of multiplexers to offer, best first.
        protocols: what streams may be opened for.
        serve_stream: serves a stream; what it raises ends that stream.
        on_connection: awaited with each connection that is up; it lasts at most as long as this
            runs.
        max_inbound: connections that others made, at once; see ``reception`` for the rest.
        traffic: counts bytes.
    """

    def __init__(
        self,
        secret: bytes,
        *,
        serve_stream: StreamServer,
        on_connection: Callable[[Connection], Awaitable[None]],
        protocols: Sequence[str],
        max_inbound: int,
        muxers: Sequence[str] = MUXERS,
        traffic: Traffic | None = None,
    ) -> None:
        _silence_libraries()
        self._keys: KeyPair = create_new_key_pair(secret)
        self.peer_id = ID.from_pubkey(self._keys.public_key).to_base58()
        self._noise = Noise(self._keys)
        self._muxers = tuple(muxers)
        self._protocols = tuple(protocols)
        self._serve_stream = serve_stream
        self._on_connection = on_connection
        self._reception = Reception(max_inbound)
        self._shaking_hands: dict[trio.CancelScope, None] = {}
        self._budget = ReceiveBudget()
        self._traffic = traffic or Traffic()
        self._nursery: trio.Nursery | None = None
        self._pace_of_all: Pace | None = None

    @property
    def public_key(self) -> bytes:
        """Our identity as a protocol buffer, as identify tells it."""
        return self._keys.public_key.serialize()

    @property
    def unread_bytes(self) -> int:
        """Bytes that peers sent and nobody has read yet."""
        return self._budget.total

    async def run(
        self,
        host: str | None,
        port: int,
        *,
        task_status: TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Listen, if ``host`` is an address, and keep connections until cancelled.

        At ``::`` connections of IPv4 are taken as well, as discovery's datagrams are.

        Tells the port once it listens (0 if it does not). Raises OSError if it cannot.
        """
        listeners = [] if host is None else await _listen(host, port)
        self._pace_of_all = Pace(STREAMS_PER_SECOND_OF_ALL, STREAM_BURST_OF_ALL)
        try:
            async with trio.open_nursery() as self._nursery:
                bound = listeners[0].socket.getsockname()[1] if listeners else 0
                if listeners:
                    self._nursery.start_soon(trio.serve_listeners, self._take, listeners)
                task_status.started(bound)
                await trio.sleep_forever()
        finally:
            self._nursery = None

    # Making and taking --------------------------------------------------------------------------

    async def dial(self, address: PeerAddress) -> Connection:
        """Connect to a peer.

        Raises:
            DialError: why that failed.
        """
        nursery = self._nursery
        if nursery is None:
            raise DialError("the host is not up")
        stream: trio.SocketStream | None = None
        try:
            with trio.fail_after(DIAL_SECONDS):
                stream = await trio.open_tcp_stream(address.host, address.port)
                connection = await self._upgrade(stream, address.peer_id)
        except trio.TooSlowError:
            reason = f"no answer within {DIAL_SECONDS:g} s"
        except Exception as error:  # noqa: BLE001 - the libraries raise anything
            reason = _reason(error)
        else:
            nursery.start_soon(self._keep, connection)
            return connection
        if stream is not None:
            await trio.aclose_forcefully(stream)
        raise DialError(f"{address}: {reason}")

    async def _take(self, stream: trio.SocketStream) -> None:
        try:
            host = str(stream.socket.getpeername()[0])
            if self._reception.admits(host, int(trio.current_time() * 1000)):
                await self._receive(stream, host)
        except Exception as error:  # noqa: BLE001 - a peer must not end the listener
            _logger.debug("Inbound connection failed", extra=_fields(reason=_reason(error)))
        finally:
            await trio.aclose_forcefully(stream)

    async def _receive(self, stream: trio.SocketStream, host: str) -> None:
        """Shake hands with who connected, and keep it if there is a place."""
        self._reception.begin(host)
        scope = trio.move_on_after(UPGRADE_SECONDS)
        self._shaking_hands[scope] = None
        if self._reception.is_crowded:
            next(iter(self._shaking_hands)).cancel()
        try:
            with scope:
                connection = await self._upgrade(stream, None)
        finally:
            del self._shaking_hands[scope]
            self._reception.end(host)
        if scope.cancelled_caught or not self._reception.take_place(host):
            return
        try:
            await self._keep(connection)
        finally:
            self._reception.leave_place(host)

    async def _upgrade(self, stream: trio.SocketStream, expected: str | None) -> Connection:
        """Noise, then a multiplexer; ``expected`` is the peer that we dialled."""
        remote = stream.socket.getpeername()[:2]
        is_outbound = expected is not None
        raw = RawConnection(TcpStream(stream, self._traffic), is_outbound)
        secured: ISecureConn
        if expected is not None:
            await multistream.propose(raw, (NOISE,))
            secured = await self._noise.secure(raw, ID.from_base58(expected))
        else:
            await multistream.accept(raw, (NOISE,))
            secured = await self._noise.secure(raw, None)
        peer = secured.get_remote_peer()
        peer_id = peer.to_base58()
        if peer_id == self.peer_id:
            raise DialError("that is ourselves")
        if is_outbound:
            muxer = await multistream.propose(secured, self._muxers)
        else:
            muxer = await multistream.accept(secured, self._muxers)
        muxed = make_muxer(muxer, secured, peer, self._budget)
        return Connection(peer_id, (str(remote[0]), int(remote[1])), is_outbound, muxer, muxed)

    # Life of a connection -----------------------------------------------------------------------

    async def _keep(self, connection: Connection) -> None:
        """Run a connection until either side ends it."""
        muxed = connection._muxed  # noqa: SLF001 - of one module
        try:
            with connection._scope:  # noqa: SLF001
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._run_muxer, connection, nursery.cancel_scope)
                    await muxed.event_started.wait()
                    nursery.start_soon(self._accept_streams, connection, nursery)
                    await self._on_connection(connection)
                    nursery.cancel_scope.cancel()
        # A failure while all is cancelled comes with that in one group, which must not go further.
        except* Exception as group:  # noqa: BLE001 - ends this connection alone
            _logger.debug(
                "Connection failed",
                extra=_fields(peer=connection.peer_id, reason=_reason(group)),
            )
        finally:
            with (
                trio.CancelScope(shield=True),
                trio.move_on_after(_CLOSE_SECONDS),
                suppress(Exception),
            ):
                await muxed.close()
            # A peer that reads nothing has the parting word wait, and what it sent is counted.
            drop(muxed)
            connection.closed.set()

    async def _run_muxer(self, connection: Connection, scope: trio.CancelScope) -> None:
        try:
            await connection._muxed.start()  # noqa: SLF001
        finally:
            scope.cancel()

    async def _accept_streams(self, connection: Connection, nursery: trio.Nursery) -> None:
        pace = Pace(STREAMS_PER_SECOND, STREAM_BURST)
        while True:
            await pace.wait()
            try:
                muxed = await connection._muxed.accept_stream()  # noqa: SLF001
            except Exception:  # noqa: BLE001 - whatever it is, the connection has ended
                nursery.cancel_scope.cancel()
                return
            if self._pace_of_all is not None:
                # In turn: each connection waits for one stream at a time.
                await self._pace_of_all.wait()
            stream = Stream(muxed, connection.peer_id)
            nursery.start_soon(self._serve, connection, stream)

    async def _serve(self, connection: Connection, stream: Stream) -> None:
        try:
            with trio.fail_after(NEGOTIATION_SECONDS):
                protocol = await multistream.accept(stream, self._protocols)
            await self._serve_stream(connection, protocol, stream)
            await stream.part()
        except Exception as error:  # noqa: BLE001 - ends this stream alone
            _logger.debug(
                "Stream given up", extra=_fields(peer=connection.peer_id, reason=_reason(error))
            )
            await stream.reset()


async def _listen(host: str, port: int) -> list[trio.SocketListener]:
    listeners = list(await trio.open_tcp_listeners(port, host=host))
    if host == "::":
        bound = listeners[0].socket.getsockname()[1]
        try:
            listeners += await trio.open_tcp_listeners(bound, host="0.0.0.0")  # noqa: S104
        except OSError:
            for listener in listeners:
                await listener.aclose()
            raise
    return listeners


def _silence_libraries() -> None:
    """What peers do is no error of ours; py-libp2p would write it on standard error, line by line.

    Whoever gave its log somewhere to go has it all the same.
    """
    logger = logging.getLogger("libp2p")
    if not logger.handlers:
        logger.setLevel(logging.CRITICAL)


def _reason(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return (str(error) or type(error).__name__)[:200]


def _fields(**fields: object) -> dict[str, object]:
    return {"lc": fields}
