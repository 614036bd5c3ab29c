"""Error answers become errors of the right kind that quote the server safely."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.errors import (
    NotServed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    TransportError,
)
from lightclient.transports.fetching import Answer
from lightclient.transports.redaction import Redactor
from lightclient.transports.refusals import (
    MAX_RETRY_AFTER,
    Absence,
    absence,
    refusal,
    retry_after,
    server_message,
)

REDACTOR = Redactor(["sekret"])


def refused(status: int, body: bytes = b"", **headers: str) -> TransportError:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return refusal(Answer(status, named, body), "the thing", "https://node.example", REDACTOR)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, ProviderUnavailable),
        (400, ProviderRefused),
        (401, ProviderRefused),
        (403, ProviderRefused),
        (405, NotServed),
        (406, ProviderRefused),
        (408, ProviderUnavailable),
        (410, NotServed),
        (429, RateLimited),
        (500, ProviderUnavailable),
        (501, NotServed),
        (502, ProviderUnavailable),
        (503, ProviderUnavailable),
        (504, ProviderUnavailable),
        (520, ProviderUnavailable),
    ],
)
def test_a_status_has_its_error(status: int, kind: type[TransportError]) -> None:
    error = refused(status)
    assert type(error) is kind
    assert error.provider == "https://node.example"
    assert f"https://node.example: HTTP {status} for the thing" in str(error)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"code":404,"message":"LC finality update unavailable"}', Absence.OBJECT),
        (b'{"code":404,"message":"NOT_FOUND: beacon block with root 0x12"}', Absence.OBJECT),
        (b'{"code":404,"message":"Block header not found"}', Absence.OBJECT),
        (b'{"message":"Could not get light client bootstrap: x"}', Absence.OBJECT),
        (b'{"code":404,"message":"NOT_FOUND","stacktraces":[]}', Absence.ROUTE),
        (b'{"message":"Route GET:/eth/v1/beacon/x not found","statusCode":404}', Absence.ROUTE),
        (b'{"status":404,"title":"Endpoint not found"}', Absence.ROUTE),
        (b"404 page not found\n", Absence.ROUTE),
        (b"<html><title>404</title><h1>Not Found</h1>nginx</html>", Absence.ROUTE),
        (b'{"detail":"Not Found"}', Absence.UNCLEAR),
        (b"{}", Absence.UNCLEAR),
        (b"", Absence.UNCLEAR),
    ],
)
def test_a_404_of_the_route_is_told_from_one_of_the_object(body: bytes, expected: Absence) -> None:
    assert absence(Answer(404, {}, body)) is expected


def test_a_500_about_a_missing_object_counts_as_its_absence() -> None:
    body = b'{"code":500,"message":"syncCommitteeWitness not available 0xab"}'
    assert absence(Answer(500, {}, body)) is Absence.OBJECT
    assert absence(Answer(500, {}, b'{"message":"out of memory"}')) is Absence.NOTHING


@pytest.mark.parametrize(
    ("stated", "seconds"),
    [
        ("7", 7.0),
        (" 0 ", 0.0),
        ("999999999999", MAX_RETRY_AFTER),
        ("Sun, 22 Nov 2026 08:21:40 GMT", 60.0),
        ("Sun, 22 Nov 2026 08:00:00 GMT", 0.0),
        ("Sun, 22 Nov 2099 08:00:00 GMT", MAX_RETRY_AFTER),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("²", None),
        ("Sun, 99 Nov 2026 99:99:99 GMT", None),
        ("x" * 1000, None),
    ],
)
def test_retry_after_is_read_by_the_servers_clock_and_bounded(
    stated: str, seconds: float | None
) -> None:
    headers = {"retry-after": stated, "date": "Sun, 22 Nov 2026 08:20:40 GMT"}
    assert retry_after(Answer(429, headers, b"")) == seconds


def test_a_pause_is_carried_by_the_error() -> None:
    for status in (429, 503):
        error = refused(status, retry_after="12")
        assert isinstance(error, RateLimited)
        assert error.retry_after == 12.0
        assert "pause of 12 s" in str(error)


@pytest.mark.parametrize(
    ("body", "quoted"),
    [
        (
            b'{"message":"no\\nsekret\\u001b[31m here","stacktraces":["at x.js"]}',
            "no *** [31m here",
        ),
        (b'{"error":{"code":-1,"message":"inner"}}', "inner"),
        (
            b"<html><head><title>t</title><style>p{}</style></head><h1>Bad  gateway</h1>",
            "Bad gateway",
        ),
        (b'{"message":"cut off","stacktraces":["at', "cut off"),
        (b"", ""),
        (b"\xff\x00", "\ufffd"),
        (b'{"message": 5}', ""),
    ],
)
def test_a_servers_words_become_one_safe_line(body: bytes, quoted: str) -> None:
    assert server_message(Answer(500, {}, body), REDACTOR) == quoted


def test_a_servers_words_are_cut() -> None:
    assert len(server_message(Answer(500, {}, b"word " * 10_000), REDACTOR)) <= 240


@given(st.integers(300, 599), st.binary(max_size=300), st.text(max_size=40))
def test_any_refusal_is_one_printable_line(status: int, body: bytes, pause: str) -> None:
    answer = Answer(status, {"retry-after": pause, "date": pause}, body)
    error = refusal(answer, "x", "https://node.example", REDACTOR)
    assert str(error).isprintable()
    assert len(str(error)) < 600


@given(
    st.recursive(
        st.none() | st.text(max_size=9) | st.integers(),
        lambda inner: (
            st.dictionaries(st.sampled_from(["message", "error", "detail"]), inner)
            | st.lists(inner)
        ),
        max_leaves=8,
    )
)
def test_any_json_error_body_is_lived_with(value: object) -> None:
    assert isinstance(refused(404, json.dumps(value).encode()), TransportError)
