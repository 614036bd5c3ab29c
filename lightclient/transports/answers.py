"""What a provider's answer holds, sans I/O: status, headers and body in, objects out.

Lenient about labels (content type, version header, envelope), strict about bytes. Everything here
raises DecodeError; whose fault that is and what to do next is for ``rest`` to say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lightclient.config.forks import DataFormat
from lightclient.config.network import Network
from lightclient.containers import (
    MAX_OBJECT_BYTES,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    ObjectKind,
    Undecoded,
    decode_json,
    decode_ssz,
    format_of_digest,
    format_of_version,
    parse_json,
    split_update_stream,
    unwrap_envelope,
)
from lightclient.errors import DecodeError
from lightclient.ssz import Json
from lightclient.transports.base import MAX_REQUEST_LIGHT_CLIENT_UPDATES
from lightclient.transports.events import ServerSentEvent
from lightclient.transports.fetching import Answer

MAX_JSON_OBJECT_BYTES: Final = 4 * MAX_OBJECT_BYTES + 4096
"""JSON spells a byte in two characters and names its fields; twice that is left for habits."""
MAX_RANGE_BYTES: Final = MAX_REQUEST_LIGHT_CLIENT_UPDATES * MAX_OBJECT_BYTES
"""Of a range of updates in either encoding: 128 real ones take 3.3 MB of SSZ, 7.3 MB of JSON."""

SSZ_TYPE: Final = "application/octet-stream"
JSON_TYPE: Final = "application/json"
EVENT_TYPE: Final = "text/event-stream"

EVENT_KINDS: Final = {
    "light_client_finality_update": ObjectKind.FINALITY_UPDATE,
    "light_client_optimistic_update": ObjectKind.OPTIMISTIC_UPDATE,
}
_MAX_ENVELOPES: Final = 3
_BETWEEN_ITEMS: Final = re.compile(rb"\}\s{0,64},\s{0,64}\{")


@dataclass(frozen=True, slots=True)
class DecodedRange:
    """Updates up to the first that could not be read.

    Attributes:
        error: why it ended there; None if it did not.
        undecoded: the bytes that could not be read, where they are one update's.
    """

    updates: tuple[LightClientUpdate, ...]
    error: DecodeError | None = None
    undecoded: Undecoded | None = None


class _Unreadable(DecodeError):
    """One update of a range cannot be read; carries its bytes."""

    def __init__(self, error: DecodeError, undecoded: Undecoded) -> None:
        super().__init__(str(error))
        self.undecoded = undecoded


def content_type(answer: Answer) -> str:
    """Media type of the answer, in lower case, without parameters."""
    return answer.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_json(answer: Answer) -> bool:
    """Whether to read the body as JSON: by its media type, or by its looks where that is odd."""
    media_type = content_type(answer)
    if media_type == SSZ_TYPE or _cannot_be_json(answer.body):
        return False
    return media_type == JSON_TYPE or media_type.endswith("+json") or _looks_like_json(answer.body)


def _looks_like_json(body: bytes) -> bool:
    return body[:64].removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def _cannot_be_json(body: bytes) -> bool:
    """Whether there are zero bytes where every light client object has some and no text does."""
    return b"\0" in body[:64]


def _looks_like_html(body: bytes) -> bool:
    return body[:256].lstrip().lower().startswith((b"<!doctype", b"<html", b"<head"))


def _version(answer: Answer) -> str:
    return answer.headers.get("eth-consensus-version", "")


def undecoded_object(kind: ObjectKind, answer: Answer) -> Undecoded:
    """The body of an answer that should have been an object of ``kind``."""
    return Undecoded(kind, answer.body, content_type(answer), _version(answer))


def version_hints(answer: Answer) -> list[DataFormat | None]:
    """Formats that the version header names: one, or one for each object of a range."""
    names = _version(answer).split(",")
    return [format_of_version(name) for name in names[:MAX_REQUEST_LIGHT_CLIENT_UPDATES]]


def decode_object(kind: ObjectKind, answer: Answer, network: Network) -> LightClientObject:
    """The one object of an answer.

    Raises:
        DecodeError: no object of ``kind`` in any encoding.
    """
    hints = version_hints(answer)[:1]
    if not answer.body.strip():
        raise DecodeError(f"an empty answer where a {kind} was expected")
    if is_json(answer):
        return _json_object(kind, answer.body, network, hints)
    if _looks_like_html(answer.body):
        raise DecodeError("a web page, not the Beacon API; check the URL")
    try:
        if len(answer.body) > MAX_OBJECT_BYTES:
            raise DecodeError(f"{len(answer.body)} bytes where a {kind} was expected")
        return decode_ssz(kind, answer.body, network, hints)
    except DecodeError:
        # Servers exist that label JSON as SSZ; and some slot's low byte looks like a bracket.
        if not _looks_like_json(answer.body):
            raise
        return _json_object(kind, answer.body, network, hints)


def _json_object(
    kind: ObjectKind, body: bytes, network: Network, hints: list[DataFormat | None]
) -> LightClientObject:
    return decode_json(kind, parse_json(body), network, hints)


def decode_range(answer: Answer, network: Network) -> DecodedRange:
    """The updates of an answer, at most 128, up to the first that cannot be read."""
    if is_json(answer):
        return _collect(_json_updates(answer, network))
    if _looks_like_html(answer.body):
        return DecodedRange((), DecodeError("a web page, not the Beacon API; check the URL"))
    read = _collect(_ssz_updates(answer, network))
    if not read.updates and read.error is not None and _looks_like_json(answer.body):
        return _collect(_json_updates(answer, network))
    return read


def _collect(updates: Iterator[LightClientObject]) -> DecodedRange:
    collected: list[LightClientUpdate] = []
    try:
        for update in updates:
            assert isinstance(update, LightClientUpdate)
            if len(collected) == MAX_REQUEST_LIGHT_CLIENT_UPDATES:
                raise DecodeError(
                    f"more than {MAX_REQUEST_LIGHT_CLIENT_UPDATES} updates in one answer"
                )
            collected.append(update)
    except DecodeError as error:
        undecoded = error.undecoded if isinstance(error, _Unreadable) else None
        reason = DecodeError(f"update {len(collected)}: {error}")
        return DecodedRange(tuple(collected), reason, undecoded)
    return DecodedRange(tuple(collected))


def _hint_of(hints: list[DataFormat | None], index: int) -> DataFormat | None:
    # A list names one version for each object; a single one is meant for all.
    if len(hints) == 1:
        return hints[0]
    return hints[index] if index < len(hints) else None


def _ssz_updates(answer: Answer, network: Network) -> Iterator[LightClientObject]:
    hints = version_hints(answer)
    for index, (digest, payload) in enumerate(split_update_stream(answer.body, MAX_OBJECT_BYTES)):
        named = (_hint_of(hints, index), format_of_digest(digest, network))
        try:
            update = decode_ssz(ObjectKind.UPDATE, payload, network, named)
        except DecodeError as error:
            labels = (SSZ_TYPE, _version(answer), digest)
            raise _Unreadable(error, Undecoded(ObjectKind.UPDATE, payload, *labels)) from None
        yield update


def _json_updates(answer: Answer, network: Network) -> Iterator[LightClientObject]:
    hints = version_hints(answer)
    whole = answer.body if answer.incomplete is None else _whole_items(answer.body)
    value = parse_json(whole)
    version, body = unwrap_envelope(value)
    # The whole range in one envelope, or a single update: both seen in the wild.
    items: list[Json] = body if isinstance(body, list) else [value]
    shared = format_of_version(version) if isinstance(body, list) else None
    for index, item in enumerate(items):
        named = (_hint_of(hints, index), _item_version(item), shared)
        try:
            update = decode_json(ObjectKind.UPDATE, item, network, named)
        except DecodeError as error:
            labels = (JSON_TYPE, _version(answer))
            undecoded = Undecoded(ObjectKind.UPDATE, _json_bytes(item), *labels)
            raise _Unreadable(error, undecoded) from None
        yield update


def _json_bytes(item: Json) -> bytes:
    try:
        return json.dumps(item).encode()
    except RecursionError:  # parsed only just
        return b""


def _whole_items(body: bytes) -> bytes:
    """A JSON array that broke off, closed after its last whole item. No update nests another."""
    ends = [match.start() for match in _BETWEEN_ITEMS.finditer(body)]
    return body[: ends[-1] + 1] + b"]" if ends and body.lstrip()[:1] == b"[" else body


def _item_version(item: Json) -> DataFormat | None:
    return format_of_version(unwrap_envelope(item)[0])


def event_kind(event: ServerSentEvent) -> ObjectKind | None:
    """What an event brings, under its v1 or v0 name; None for one that is of no concern."""
    return EVENT_KINDS.get(event.name.strip().removesuffix("_v0"))


def decode_event(
    event: ServerSentEvent, network: Network
) -> LightClientFinalityUpdate | LightClientOptimisticUpdate | None:
    """The update of an event, under its v1 or v0 name; None for any other event.

    The data is the update, or ``{version, data}`` around it, as the API's versions have it.

    Raises:
        DecodeError: an event of a known name whose data is no such update.
    """
    kind = event_kind(event)
    if kind is None:
        return None
    value = parse_json(event.data)
    version: object = None
    for _ in range(_MAX_ENVELOPES):
        found, body = unwrap_envelope(value)
        if body is value:
            break
        version, value = found or version, body
    update = decode_json(kind, value, network, (format_of_version(version),))
    assert isinstance(update, LightClientFinalityUpdate | LightClientOptimisticUpdate)
    return update
