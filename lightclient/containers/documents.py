"""Objects from a file's bytes, whatever way they were written down.

A document is JSON or SSZ; one object, an array, or the Beacon API's length-prefixed update stream;
with or without the ``{version, data}`` envelope. What cannot be decoded becomes a DecodeError in
its place, so that the rest can still be used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from lightclient.config.network import Network
from lightclient.containers.detect import (
    decode_json,
    decode_ssz,
    format_of_digest,
    format_of_version,
    split_update_stream,
    unwrap_envelope,
)
from lightclient.containers.json_text import parse_json
from lightclient.containers.objects import LightClientObject, ObjectKind
from lightclient.errors import DecodeError
from lightclient.ssz import Json

MAX_OBJECT_BYTES = 128 * 1024
"""No light client object of any fork comes near this many SSZ bytes."""


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """One object of a document, not decoded yet: :meth:`decode` does that, and can be timed."""

    index: int
    decode: Callable[[], LightClientObject]


def read_document(kind: ObjectKind, data: bytes, network: Network) -> Iterator[DocumentEntry]:
    """The objects of a document in order; nothing for an empty one.

    Each entry's ``decode`` raises DecodeError if that object cannot be read.
    """
    if not data.strip(b" \t\r\n"):
        return
    if _looks_like_json(data):
        try:
            value = parse_json(data)
        except DecodeError as error:
            # Half a JSON file, unless some slot's low byte just looks like a bracket.
            if not _is_ssz(kind, data, network):
                yield _refused(0, str(error))
                return
        else:
            yield from _json_entries(kind, value, network)
            return
    yield from _ssz_entries(kind, data, network)


def _looks_like_json(data: bytes) -> bool:
    start = data[:64].removeprefix(b"\xef\xbb\xbf").lstrip(b" \t\r\n")
    return start[:1] in (b"{", b"[")


def _is_ssz(kind: ObjectKind, data: bytes, network: Network) -> bool:
    return _is_object(kind, data, network) or _first_chunk(data) is not None


def _is_object(kind: ObjectKind, data: bytes, network: Network) -> bool:
    try:
        decode_ssz(kind, data, network)
    except DecodeError:
        return False
    return True


def _is_stream(kind: ObjectKind, data: bytes, network: Network) -> bool:
    """Whether the data is an update stream rather than a single object.

    Objects of fixed size, of which any bytes of the right number are one, begin with their slot: a
    low one reads like a chunk's length. And a stream may have their size by chance. So where both
    could be, it is a stream if its first chunk holds an object and its last ends with the data.
    Data that is no object is a damaged one, unless a chunk holds an object or all chunks fit.
    """
    first = _first_chunk(data)
    if first is None:
        return False
    if not _is_object(kind, data, network):
        return _holds_object_in_chunk(kind, data, network) or _is_whole_stream(data)
    return _is_whole_stream(data) and _is_object(kind, first[1], network)


def _holds_object_in_chunk(kind: ObjectKind, data: bytes, network: Network) -> bool:
    try:
        chunks = split_update_stream(data, MAX_OBJECT_BYTES)
        return any(_is_object(kind, payload, network) for _, payload in chunks)
    except DecodeError:
        return False


def _first_chunk(data: bytes) -> tuple[bytes, bytes] | None:
    try:
        return next(split_update_stream(data, MAX_OBJECT_BYTES), None)
    except DecodeError:
        return None


def _is_whole_stream(data: bytes) -> bool:
    try:
        return all(split_update_stream(data, MAX_OBJECT_BYTES))
    except DecodeError:
        return False


def _refused(index: int, reason: str) -> DocumentEntry:
    def decode() -> LightClientObject:
        raise DecodeError(reason)

    return DocumentEntry(index, decode)


def _json_entries(kind: ObjectKind, value: Json, network: Network) -> Iterator[DocumentEntry]:
    version, body = unwrap_envelope(value)
    if isinstance(body, list):
        hints = (format_of_version(version),)
        for index, item in enumerate(body):
            yield DocumentEntry(index, partial(decode_json, kind, item, network, hints))
    else:
        yield DocumentEntry(0, partial(decode_json, kind, value, network))


def _ssz_entries(kind: ObjectKind, data: bytes, network: Network) -> Iterator[DocumentEntry]:
    if _is_stream(kind, data, network):
        yield from _stream_entries(kind, data, network)
    else:
        yield DocumentEntry(0, partial(decode_ssz, kind, data, network))


def _stream_entries(kind: ObjectKind, data: bytes, network: Network) -> Iterator[DocumentEntry]:
    index = 0
    try:
        for digest, payload in split_update_stream(data, MAX_OBJECT_BYTES):
            hints = (format_of_digest(digest, network),)
            yield DocumentEntry(index, partial(decode_ssz, kind, payload, network, hints))
            index += 1
    except DecodeError as error:
        yield _refused(index, str(error))
