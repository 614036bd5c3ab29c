"""Whatever a server answers, the only thing that escapes is an object or a TransportError."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.config import Network
from lightclient.errors import TransportError
from lightclient.transports.rest import RestTransport
from tests.transports.conftest import Handler, provider
from tests.transports.objects import chunk, make_update

LATIN = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"))
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "content-type",
            "content-encoding",
            "content-length",
            "eth-consensus-version",
            "retry-after",
            "date",
            "location",
        ]
    ),
    LATIN
    | st.sampled_from(
        [
            "application/json",
            "application/octet-stream",
            "text/event-stream",
            "gzip",
            "deflate",
            "/other",
            "https://node.example/",
            "deneb,,electra",
            "-1",
            "99999999999999999999",
        ]
    ),
    max_size=4,
)
STATUSES = st.sampled_from([200, 200, 200, 204, 206, 301, 304, 307, 400, 404, 406, 500, 503, 599])
BODIES = st.binary(max_size=200) | st.sampled_from(
    [
        b"[]",
        b"{}",
        b"null",
        b'{"data":[{}]}',
        b'{"message":{"message":[]}}',
        b"data: {}\n\n",
        b"event: light_client_finality_update\ndata: []\n\n",
    ]
)


ASKED: list[Callable[[RestTransport], Awaitable[object]]] = [
    lambda transport: transport.get_light_client_bootstrap(bytes(32)),
    lambda transport: transport.get_light_client_updates_by_range(0, 3),
    lambda transport: transport.get_light_client_finality_update(),
    lambda transport: transport.get_light_client_optimistic_update(),
    lambda transport: anext(transport.stream_updates()),
]


async def _checked(asking: Awaitable[object]) -> None:
    """Let an object or a presentable TransportError come of it, and nothing else."""
    try:
        await asking
    except TransportError as raised:
        error = raised
    else:
        return
    assert error.provider == "https://node.example"
    assert str(error).startswith("https://node.example: ")
    assert str(error).isprintable()
    assert len(str(error)) < 1000


def _served(answers: list[httpx.Response]) -> Handler:
    left = iter(answers)
    return lambda _: next(left, None) or httpx.Response(500)


def _outcome_of(answers: list[httpx.Response], network: Network) -> None:
    async def run() -> None:
        for ask in ASKED:
            transport = provider(_served(answers))
            await transport.open(network)
            await _checked(ask(transport))
            await transport.aclose()

    anyio.run(run)


@settings(max_examples=60)
@given(drawn=st.lists(st.tuples(STATUSES, HEADERS, BODIES), min_size=1, max_size=4))
def test_any_sequence_of_answers_is_lived_with(
    drawn: list[tuple[int, dict[str, str], bytes]], minimal_network: Network
) -> None:
    answers = [_response(status, headers, body) for status, headers, body in drawn]
    _outcome_of(answers, minimal_network)


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_range_is_lived_with(data: st.DataObject, minimal_network: Network) -> None:
    body = bytearray(chunk(make_update(minimal_network, 1)) * 2)
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] ^= data.draw(st.integers(1, 255))
    label = data.draw(st.sampled_from(["application/octet-stream", "application/json", ""]))
    answers = [_response(200, {"content-type": label}, bytes(body))] * 2
    _outcome_of(answers, minimal_network)


def _response(status: int, headers: dict[str, str], body: bytes) -> httpx.Response:
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return httpx.Response(status, headers=encoded, stream=httpx.ByteStream(body))
