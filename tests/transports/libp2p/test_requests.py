"""What servers may do to us: every answer is bounded, and what came whole is kept."""

from __future__ import annotations

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.containers import ObjectKind, encode_ssz
from lightclient.errors import (
    MalformedAnswer,
    NotServed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    UnknownBootstrap,
)
from lightclient.transports.base import Transport
from lightclient.transports.libp2p import limits, multistream, requests
from lightclient.transports.libp2p.limits import Quota
from lightclient.transports.libp2p.muxers import MPLEX, YAMUX
from lightclient.transports.libp2p.requests import (
    BadAnswer,
    Deadlines,
    NoAnswer,
    NotSpoken,
    ask,
)
from lightclient.transports.libp2p.streams import Stream
from lightclient.transports.libp2p.transport import Libp2pTransport
from lightclient.wire.messages import Status, UpdatesByRange
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    STATUS_1,
    STATUS_2,
    Protocol,
)
from lightclient.wire.requests import RequestReader
from lightclient.wire.responses import encode_chunk, encode_error
from lightclient.wire.snappy_frames import STREAM_IDENTIFIER, frame
from lightclient.wire.varint import encode_varint
from tests.transports.libp2p.hosts import Host, Serve, read_all, two_hosts
from tests.transports.libp2p.served import DIGEST, NETWORK, UPDATES
from tests.transports.objects import make_object

pytestmark = pytest.mark.anyio
BOTH = pytest.mark.parametrize("muxer", [YAMUX, MPLEX])
STATUS = Status(DIGEST, bytes(32), 0, bytes(32), 0)
RANGE = UpdatesByRange(0, 4)


def says(answer: bytes, *, drip: float = 0, hold: bool = False) -> Serve:
    """A handler that reads the request and sends ``answer``, perhaps a byte at a time."""

    async def serve(stream: Stream) -> None:
        await read_all(stream)
        for piece in [answer] if not drip else [bytes([byte]) for byte in answer]:
            await stream.write(piece)
            await trio.sleep(drip)
        if hold:
            await trio.sleep_forever()
        await stream.close()

    return serve


def resets_after(answer: bytes) -> Serve:
    async def serve(stream: Stream) -> None:
        await read_all(stream)
        await stream.write(answer)
        await trio.sleep(0.05)
        await stream.reset()

    return serve


async def answer_of(
    serve: Serve, protocol: Protocol, request: object = None, muxer: str = YAMUX
) -> requests.Answer:
    server = Host({protocol.protocol_id: serve}, muxers=(muxer,))
    async with two_hosts(Host(), server) as connection:
        return await ask(connection, protocol, request, NETWORK)


async def failure_of(serve: Serve, protocol: Protocol, request: object = None) -> Exception:
    server = Host({protocol.protocol_id: serve})
    async with two_hosts(Host(), server) as connection:
        try:
            answer = await ask(connection, protocol, request, NETWORK)
        except Exception as error:  # noqa: BLE001 - what is asked for here
            return error
        raise AssertionError(f"answered {answer}")


@BOTH
async def test_a_status_is_asked_and_answered(muxer: str) -> None:
    serve = says(encode_chunk(STATUS_1.response.encode(STATUS)))  # type: ignore[union-attr]
    answer = await answer_of(serve, STATUS_1, STATUS, muxer)
    assert len(answer.chunks) == 1
    assert answer.refusal is None


@BOTH
async def test_chunks_before_an_error_are_kept(muxer: str) -> None:
    chunks = b"".join(encode_chunk(item, DIGEST) for item in UPDATES[:2])
    serve = says(chunks + encode_error(2, "no more"))
    answer = await answer_of(serve, LIGHT_CLIENT_UPDATES_BY_RANGE_1, RANGE, muxer)
    assert [chunk.payload for chunk in answer.chunks] == UPDATES[:2]
    assert answer.refusal is not None
    assert answer.refusal.text == "no more"


@BOTH
async def test_a_reset_in_the_midst_is_told_and_whole_chunks_are_kept(muxer: str) -> None:
    chunks = b"".join(encode_chunk(item, DIGEST) for item in UPDATES[:2])
    serve = resets_after(chunks + encode_chunk(UPDATES[2], DIGEST)[:-5])
    answer = await answer_of(serve, LIGHT_CLIENT_UPDATES_BY_RANGE_1, RANGE, muxer)
    assert len(answer.chunks) == 2
    assert isinstance(answer.failure, NoAnswer), "a lost connection is no lie"


@BOTH
async def test_a_reset_before_anything_is_no_empty_list(muxer: str) -> None:
    with pytest.raises(NoAnswer):
        await answer_of(resets_after(b""), LIGHT_CLIENT_UPDATES_BY_RANGE_1, RANGE, muxer)


async def test_more_chunks_than_asked_for_are_not_read() -> None:
    serve = says(b"".join(encode_chunk(item, DIGEST) for item in UPDATES), hold=True)
    server = Host({LIGHT_CLIENT_UPDATES_BY_RANGE_1.protocol_id: serve})
    async with two_hosts(Host(), server) as connection:
        request = UpdatesByRange(0, 2)
        answer = await ask(connection, LIGHT_CLIENT_UPDATES_BY_RANGE_1, request, NETWORK, 2)
    assert len(answer.chunks) == 2


HOSTILE = {
    "a length of 4 GiB": b"\0" + DIGEST + encode_varint(2**32) + frame(b"x"),
    "a length without end": b"\0" + DIGEST + b"\xff" * 12,
    "a length one less": b"\0" + DIGEST + encode_varint(len(UPDATES[0]) - 1) + frame(UPDATES[0]),
    "no stream identifier": b"\0" + DIGEST + encode_varint(len(UPDATES[0])) + bytes(100),
    "a frame of 16 MB": b"\0"
    + DIGEST
    + encode_varint(len(UPDATES[0]))
    + STREAM_IDENTIFIER
    + b"\x00\xff\xff\xff",
    "a snappy bomb": b"\0" + DIGEST + encode_varint(len(UPDATES[0])) + frame(bytes(10_000_000)),
    "an end in the midst": encode_chunk(UPDATES[0], DIGEST)[:-1],
    "an error message of a megabyte": b"\2" + encode_varint(2**20) + frame(bytes(2**20)),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_answer_is_refused_as_such(name: str) -> None:
    error = await failure_of(says(HOSTILE[name]), LIGHT_CLIENT_UPDATES_BY_RANGE_1, RANGE)
    assert isinstance(error, BadAnswer), error


async def test_an_endless_answer_is_cut_at_what_may_be() -> None:
    async def endless(stream: Stream) -> None:
        await read_all(stream)
        await stream.write(b"\0" + DIGEST + encode_varint(len(UPDATES[0])) + STREAM_IDENTIFIER)
        while True:
            await stream.write(b"\xfe\xff\xff\x00" + bytes(65535))  # padding frames

    error = await failure_of(endless, LIGHT_CLIENT_UPDATES_BY_RANGE_1, RANGE)
    assert isinstance(error, BadAnswer)


@pytest.mark.parametrize("drip", [0.02, 0])
async def test_neither_a_drip_nor_silence_holds_us_beyond_the_deadline(
    drip: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "deadlines_of", lambda _: Deadlines(0.5, 0.3))
    serve = says(encode_chunk(UPDATES[0], DIGEST) if drip else b"", drip=drip, hold=True)
    with trio.fail_after(60):
        error = await failure_of(serve, LIGHT_CLIENT_UPDATES_BY_RANGE_1, RANGE)
    assert isinstance(error, NoAnswer)


async def test_a_protocol_that_is_not_spoken_is_told_from_a_failure() -> None:
    async with two_hosts(Host(), Host()) as connection:
        with pytest.raises(NotSpoken):
            await ask(connection, STATUS_2, STATUS, NETWORK)


async def test_who_does_not_take_early_requests_is_asked_the_classic_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = 0

    async def strict_accept(stream: Stream, protocols: list[str]) -> str:
        """Resets a stream on which more than a header comes before it has answered."""
        nonlocal asked
        asked += 1
        await trio.sleep(0.05)
        first = await stream.read()
        if first != multistream.encode_line(multistream.MULTISTREAM) + multistream.encode_line(
            STATUS_1.protocol_id
        ):
            raise multistream.NegotiationError("too much at once")
        await stream.write(first)
        return STATUS_1.protocol_id

    serve = says(encode_chunk(STATUS_1.response.encode(STATUS)))  # type: ignore[union-attr]
    server = Host({STATUS_1.protocol_id: serve})
    async with two_hosts(Host(), server) as connection:
        monkeypatch.setattr(multistream, "accept", strict_accept)
        for _ in range(2):
            assert (await ask(connection, STATUS_1, STATUS, NETWORK)).chunks
        assert not connection.takes_early_requests
        assert asked == 3, "one in vain, then the classic way at once"


@BOTH
async def test_no_stream_is_reset_that_has_ended(muxer: str) -> None:
    # js-libp2p disconnects from who names streams that are no more.
    serve = says(encode_chunk(STATUS_1.response.encode(STATUS)))  # type: ignore[union-attr]
    server = Host({STATUS_1.protocol_id: serve}, muxers=(muxer,))
    resets = 0
    async with two_hosts(Host(), server) as connection:
        write = connection._muxed.secured_conn.write

        async def note(frame: bytes) -> None:
            nonlocal resets
            if muxer == YAMUX:
                resets += bool(len(frame) >= 4 and frame[3] & 8)
            else:
                resets += frame[0] & 7 in (5, 6)
            await write(frame)

        # Its own stubs take a plain function for a method.
        connection._muxed.secured_conn.write = note  # type: ignore[method-assign, assignment]
        for _ in range(20):
            assert (await ask(connection, STATUS_1, STATUS, NETWORK)).chunks
    assert resets == 0


# As a transport --------------------------------------------------------------------------------

FINALITY = encode_ssz(make_object(ObjectKind.FINALITY_UPDATE, NETWORK, 9))
OPTIMISTIC = encode_ssz(make_object(ObjectKind.OPTIMISTIC_UPDATE, NETWORK, 9))


async def call(serve: Serve, protocol: Protocol) -> object:
    async with two_hosts(Host(), Host({protocol.protocol_id: serve})) as connection:
        transport: Transport = Libp2pTransport(connection, NETWORK)
        if protocol is LIGHT_CLIENT_BOOTSTRAP_1:
            return await transport.get_light_client_bootstrap(bytes(32))
        if protocol is LIGHT_CLIENT_FINALITY_UPDATE_1:
            return await transport.get_light_client_finality_update()
        if protocol is LIGHT_CLIENT_OPTIMISTIC_UPDATE_1:
            return await transport.get_light_client_optimistic_update()
        return await transport.get_light_client_updates_by_range(0, 4)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (1, ProviderRefused),
        (2, ProviderUnavailable),
        (3, UnknownBootstrap),
        (139, RateLimited),
        (200, ProviderUnavailable),
    ],
)
async def test_each_result_code_means_what_it_should(code: int, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"libp2p:\w{12}: light_client_bootstrap") as caught:
        await call(says(encode_error(code, "for\na reason")), LIGHT_CLIENT_BOOTSTRAP_1)
    assert "\n" not in str(caught.value)


async def test_objects_are_decoded_whatever_their_digest() -> None:
    for digest in (DIGEST, b"\xde\xad\xbe\xef"):
        update = await call(says(encode_chunk(FINALITY, digest)), LIGHT_CLIENT_FINALITY_UPDATE_1)
        assert update == make_object(ObjectKind.FINALITY_UPDATE, NETWORK, 9)


async def test_an_object_that_is_none_is_malformed_and_its_bytes_are_kept() -> None:
    ones = b"\xff" * (len(OPTIMISTIC) + 1)
    with pytest.raises(MalformedAnswer) as caught:
        await call(says(encode_chunk(ones, DIGEST)), LIGHT_CLIENT_OPTIMISTIC_UPDATE_1)
    assert caught.value.undecoded.content == ones  # type: ignore[attr-defined]


async def test_a_range_keeps_what_decodes_before_what_does_not() -> None:
    bad = b"\xff" * (len(UPDATES[1]) - 1)
    serve = says(encode_chunk(UPDATES[0], DIGEST) + encode_chunk(bad, DIGEST))
    answer = await call(serve, LIGHT_CLIENT_UPDATES_BY_RANGE_1)
    assert len(answer.updates) == 1  # type: ignore[attr-defined]
    assert isinstance(answer.error, MalformedAnswer)  # type: ignore[attr-defined]


async def test_an_empty_range_is_an_answer() -> None:
    answer = await call(says(b""), LIGHT_CLIENT_UPDATES_BY_RANGE_1)
    assert answer.updates == ()  # type: ignore[attr-defined]
    assert answer.error is None  # type: ignore[attr-defined]


async def test_a_peer_without_the_protocol_serves_nothing() -> None:
    async with two_hosts(Host(), Host()) as connection:
        with pytest.raises(NotServed):
            await Libp2pTransport(connection, NETWORK).get_light_client_finality_update()


async def test_we_ask_no_oftener_than_servers_tolerate() -> None:
    protocol = LIGHT_CLIENT_FINALITY_UPDATE_1
    server = Host({protocol.protocol_id: says(encode_chunk(FINALITY, DIGEST))})
    async with two_hosts(Host(), server) as connection:
        transport = Libp2pTransport(connection, NETWORK)
        for _ in range(2):
            await transport.get_light_client_finality_update()
        with trio.move_on_after(0.5) as scope:
            await transport.get_light_client_finality_update()
        assert scope.cancelled_caught


def serves_like_lighthouse(seconds: float, asked: list[tuple[float, int]]) -> Serve:
    """One request in ``seconds``, for one period; ``asked`` tells when, and for how many."""

    async def serve(stream: Stream) -> None:
        reader = RequestReader(LIGHT_CLIENT_UPDATES_BY_RANGE_1)
        reader.receive(await read_all(stream))
        start, count = reader.request.start_period, reader.request.count
        now, before = trio.current_time(), [then for then, number in asked if number == 1]
        asked.append((now, count))
        if count > 1 or (before and now < before[-1] + seconds):
            await stream.write(encode_error(139, "Rate limited"))
        else:
            await stream.write(encode_chunk(UPDATES[start], DIGEST))
        await stream.close()

    return serve


async def test_a_server_that_takes_one_period_at_a_time_is_asked_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "STRICTEST", Quota(1, 0.4))
    asked: list[tuple[float, int]] = []
    serve = serves_like_lighthouse(0.4, asked)
    server = Host({LIGHT_CLIENT_UPDATES_BY_RANGE_1.protocol_id: serve})
    async with two_hosts(Host(), server) as connection:
        transport = Libp2pTransport(connection, NETWORK)
        for period in range(3):
            answer = await transport.get_light_client_updates_by_range(period, 4 - period)
            assert [encode_ssz(item) for item in answer.updates] == [UPDATES[period]]
            assert answer.error is None, "to have been refused was our fault"
        # Whoever refuses even that is told of.
        asked.append((trio.current_time() + 10, 1))
        with pytest.raises(RateLimited):
            await transport.get_light_client_updates_by_range(3, 1)
    assert [count for _, count in asked] == [4, 1, 1, 1, 1, 1]


async def test_who_asks_too_often_asks_less_often_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "STRICTEST", Quota(1, 30))
    protocol = LIGHT_CLIENT_FINALITY_UPDATE_1
    server = Host({protocol.protocol_id: says(encode_error(139, "Rate limited"))})
    async with two_hosts(Host(), server) as connection:
        transport = Libp2pTransport(connection, NETWORK)
        with pytest.raises(RateLimited):
            await transport.get_light_client_finality_update()
        with trio.move_on_after(0.5) as scope:
            await transport.get_light_client_finality_update()
        assert scope.cancelled_caught


async def test_a_peer_that_is_gone_is_unavailable() -> None:
    async with two_hosts(Host(), Host()) as connection:
        transport = Libp2pTransport(connection, NETWORK)
        connection.close()
        await connection.closed.wait()
        with pytest.raises(ProviderUnavailable):
            await transport.get_light_client_optimistic_update()
