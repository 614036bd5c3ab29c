"""Files as they are found: JSON or SSZ, one object or many, whole or damaged."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lightclient.config import network_by_name
from lightclient.config.forks import DATA_FORMATS
from lightclient.config.presets import MINIMAL
from lightclient.containers import (
    MAX_OBJECT_BYTES,
    LightClientObject,
    ObjectKind,
    encode_ssz,
    parse_json,
    read_document,
    split_update_stream,
    to_json,
)
from lightclient.errors import DecodeError
from tests.containers.samples import (
    MINIMAL_SHAPES,
    Shape,
    digest_of,
    network_with_all_forks,
    random_ssz,
    slot_of,
    stream_of,
)

NETWORK = network_with_all_forks(MINIMAL)
BOM = b"\xef\xbb\xbf"
every_shape = pytest.mark.parametrize("shape", MINIMAL_SHAPES, ids=str)


def sample(shape: Shape, seed: object = "document") -> LightClientObject:
    slot = slot_of(shape.data_format, NETWORK)
    return shape.layout.decode(random_ssz(shape, seed, slot))


def updates() -> list[LightClientObject]:
    """A full update in each format."""
    return [sample(shape) for shape in MINIMAL_SHAPES if shape.kind is ObjectKind.UPDATE]


def read(kind: ObjectKind, data: bytes) -> list[LightClientObject | str]:
    """What is in a document: objects, and the reason for each that cannot be read."""

    def one(decode: Callable[[], LightClientObject]) -> LightClientObject | str:
        try:
            return decode()
        except DecodeError as error:
            return str(error)

    entries = list(read_document(kind, data, NETWORK))
    assert [entry.index for entry in entries] == list(range(len(entries)))
    return [one(entry.decode) for entry in entries]


# One object -------------------------------------------------------------------------------------


@every_shape
def test_one_object_is_read_however_it_is_written(shape: Shape) -> None:
    value = sample(shape)
    body = to_json(value)
    name = shape.data_format.name
    for written in (body, {"data": body}, {"version": name, "data": body}, [body]):
        for text in (json.dumps(written), json.dumps(written, indent=2)):
            for data in (text.encode(), BOM + text.encode(), b"\r\n\t " + text.encode() + b"\n\n"):
                assert read(shape.kind, data) == [value]
    assert read(shape.kind, encode_ssz(value)) == [value]
    stream = stream_of((digest_of(shape.data_format, NETWORK), encode_ssz(value)))
    assert read(shape.kind, stream) == [value]


@pytest.mark.parametrize("low_byte", [0x5B, 0x7B, 0x20, 0x0A, 0x09, 0x0D, 0xEF, 0x22])
@pytest.mark.parametrize("name", ["altair", "gloas"])
@pytest.mark.parametrize("kind", ObjectKind)
def test_ssz_that_begins_like_json_is_still_ssz(kind: ObjectKind, name: str, low_byte: int) -> None:
    """Fixed-size formats begin with the slot, whose low byte may be a bracket or a blank."""
    [shape] = [s for s in MINIMAL_SHAPES if s.kind is kind and s.data_format.name == name]
    for second_byte in (0, 0x5B, 0x7B, 0x7D, 0x22):
        slot = second_byte << 8 | low_byte
        value = shape.layout.decode(random_ssz(shape, low_byte, slot))
        assert encode_ssz(value)[0] == low_byte
        assert read(kind, encode_ssz(value)) == [value]


@pytest.mark.parametrize("low_byte", [0x5B, 0x7B])
def test_a_stream_whose_first_length_begins_like_json_is_still_a_stream(low_byte: int) -> None:
    digest = digest_of(DATA_FORMATS[0], NETWORK)
    junk = bytes(0x100 + low_byte - 4)
    [refused, value] = read(
        ObjectKind.UPDATE, stream_of((digest, junk), (digest, encode_ssz(updates()[0])))
    )
    assert isinstance(refused, str)
    assert value == updates()[0]


@pytest.mark.parametrize("name", ["altair", "gloas"])
def test_a_low_slot_is_not_taken_for_the_length_of_a_chunk(name: str) -> None:
    for kind in ObjectKind:
        [shape] = [s for s in MINIMAL_SHAPES if s.kind is kind and s.data_format.name == name]
        size = shape.layout.fixed_size
        assert size is not None
        for slot in (0, 3, 4, *range(size % 97, size + 100, 97), size - 8, size - 7):
            value = shape.layout.decode(random_ssz(shape, slot, slot))
            assert read(kind, encode_ssz(value)) == [value]


@pytest.mark.parametrize("kind", list(ObjectKind))
def test_a_damaged_object_of_a_low_slot_is_one_refused_object(kind: ObjectKind) -> None:
    [shape] = [s for s in MINIMAL_SHAPES if s.kind is kind and s.data_format.name == "altair"]
    for slot, cut in ((8, 1), (64, 40), (200, 100)):
        [refused] = read(kind, random_ssz(shape, "damaged", slot)[:-cut])
        assert isinstance(refused, str)


# Many objects -----------------------------------------------------------------------------------


def test_a_stream_of_every_format_is_read_in_order_whatever_its_digests_say() -> None:
    values = updates()
    digests = [digest_of(value.data_format, NETWORK) for value in values]
    for labels in (digests, digests[::-1], [b"\xde\xad\xbe\xef"] * len(values)):
        stream = stream_of(*zip(labels, map(encode_ssz, values), strict=True))
        assert read(ObjectKind.UPDATE, stream) == values


def test_an_array_is_read_in_order_with_and_without_envelopes() -> None:
    values = updates()
    bodies = [to_json(value) for value in values]
    enveloped = [{"version": value.data_format.name, "data": to_json(value)} for value in values]
    for written in (bodies, enveloped, {"data": bodies}, {"version": "deneb", "data": enveloped}):
        assert read(ObjectKind.UPDATE, json.dumps(written).encode()) == values


def test_what_cannot_be_read_keeps_its_place_and_the_rest_is_still_read() -> None:
    values = updates()
    bodies: list[Any] = [to_json(value) for value in values]
    bodies[1], bodies[3] = {"junk": True}, None
    first, refused, third, missing, fifth = read(ObjectKind.UPDATE, json.dumps(bodies).encode())
    assert [first, third, fifth] == values[::2]
    assert isinstance(refused, str)
    assert isinstance(missing, str)
    chunks = [(b"\0\0\0\0", encode_ssz(value)) for value in values]
    chunks[2] = (b"\0\0\0\0", b"junk")
    one, two, broken, *others = read(ObjectKind.UPDATE, stream_of(*chunks))
    assert [one, two, *others] == [*values[:2], *values[3:]]
    assert isinstance(broken, str)


def test_a_stream_cut_anywhere_keeps_its_whole_objects_and_tells_of_the_rest() -> None:
    values = updates()[:2]
    chunks = [stream_of((b"\0\0\0\0", encode_ssz(value))) for value in values]
    stream = b"".join(chunks)
    # What is left may have the size of an object that any bytes are: then it is one.
    sizes = {s.layout.fixed_size for s in MINIMAL_SHAPES if s.kind is ObjectKind.UPDATE}
    for length in range(1, len(stream)):
        results = read(ObjectKind.UPDATE, stream[:length])
        if length in sizes:
            assert len(results) == 1
        elif length < len(chunks[0]):
            [refused] = results
            assert isinstance(refused, str)
        elif length > len(chunks[0]):
            [whole, refused] = results
            assert whole == values[0]
            assert isinstance(refused, str)
            assert "stream" in refused


def test_a_whole_stream_that_has_the_size_of_one_object_is_a_stream() -> None:
    [gloas] = [value for value in updates() if value.data_format.name == "gloas"]
    room = len(encode_ssz(gloas)) - 12 - len(encode_ssz(updates()[0])) - 12
    stream = stream_of((b"\0\0\0\0", encode_ssz(updates()[0])), (b"\0\0\0\0", bytes(room)))
    assert len(stream) == len(encode_ssz(gloas))
    whole, refused = read(ObjectKind.UPDATE, stream)
    assert whole == updates()[0]
    assert isinstance(refused, str)


def test_chunks_of_impossible_lengths_end_the_stream() -> None:
    value = updates()[0]
    good = stream_of((b"\0\0\0\0", encode_ssz(value)))
    for length in (0, 1, 3, MAX_OBJECT_BYTES + 5, 2**32, 2**63, 2**64 - 1):
        bad = length.to_bytes(8, "little") + bytes(200)
        whole, refused = read(ObjectKind.UPDATE, good + bad)
        assert whole == value
        assert isinstance(refused, str)
        with pytest.raises(DecodeError):
            list(split_update_stream(bad, MAX_OBJECT_BYTES))
    largest = stream_of((b"\1\2\3\4", bytes(MAX_OBJECT_BYTES)))
    assert list(split_update_stream(largest, MAX_OBJECT_BYTES)) == [
        (b"\1\2\3\4", bytes(MAX_OBJECT_BYTES))
    ]
    assert list(split_update_stream(b"", MAX_OBJECT_BYTES)) == []


# No object --------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b" ", b"\n\n\t", b"[]", b" [ ] ", b'{"data":[]}'])
def test_an_empty_document_has_no_objects(data: bytes) -> None:
    assert read(ObjectKind.UPDATE, data) == []


def _nested(opening: str, closing: str, depth: int) -> bytes:
    return (opening * depth + "1" + closing * depth).encode()


JUNK = {
    "half a file": json.dumps(to_json(updates()[0])).encode()[:2000],
    "lonely bracket": b"[",
    "lonely brace": b"{",
    "unclosed": b'{"data": {"attested_header": ',
    "trailing comma": b'{"data": {},}',
    "two documents": b"{} {}",
    "single quotes": b"{'data': 1}",
    "nan": b'{"data": {"signature_slot": NaN}}',
    "infinity": b'[{"signature_slot": -Infinity}]',
    "huge number": b'{"signature_slot": ' + b"9" * 10_000 + b"}",
    "huge float": b'{"signature_slot": 1e99999}',
    "deep lists": _nested("[", "]", 100_000),
    "deep lists, unclosed": b"[" * 1_000_000,
    "deep objects": _nested('{"data":', "}", 100_000),
    "lone surrogate": b'{"version": "\\ud800", "data": {"\\udfff": "\\ud800"}}',
    "nul in a string": b'{"version": "a\\u0000b", "data": {}}',
    "control character": b'{"version": "a\x01"}',
    "not utf-8": b'{"version": "\xff\xfe"}',
    "utf-16": '{"data": {}}'.encode("utf-16"),
    "a page": b"<html><body>502 Bad Gateway</body></html>",
    "text": b"no such thing\n",
    "a number": b"12",
    "a string": b'"0x1234"',
    "null": b"null",
    "git lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
    "gzip": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03",
    "zeros": bytes(100_000),
    "ones": b"\xff" * 100_000,
    "bom alone": BOM,
}


@pytest.mark.parametrize("data", JUNK.values(), ids=list(JUNK))
@pytest.mark.parametrize("kind", ObjectKind)
def test_junk_is_refused_in_one_line(kind: ObjectKind, data: bytes) -> None:
    results = read(kind, data)
    assert results
    for reason in results:
        assert isinstance(reason, str)
        assert "\n" not in reason
        assert 0 < len(reason) < 1500
        assert reason.isprintable()


@pytest.mark.parametrize("depth", [10, 500, 850, 950, 1000, 5000])
def test_deep_json_is_refused_wherever_in_the_stack_it_is_decoded(depth: int) -> None:
    deep = _nested("[", "]", depth).decode()
    text = f'{{"data": {{"attested_header": {deep}, "sync_aggregate": 1, "signature_slot": 1}}}}'

    def decode_below(frames: int, decode: Callable[[], LightClientObject]) -> LightClientObject:
        return decode() if frames == 0 else decode_below(frames - 1, decode)

    for entry in read_document(ObjectKind.OPTIMISTIC_UPDATE, text.encode(), NETWORK):
        with pytest.raises(DecodeError):
            decode_below(sys.getrecursionlimit() // 4, entry.decode)


@given(st.binary(max_size=200) | st.text("[]{}:,\"'0x1e-.data nul\\", max_size=60).map(str.encode))
@example(b"[" * 70)
@example(b"\xef\xbb\xbf\xef\xbb\xbf{}")
def test_any_bytes_are_read_as_nothing_or_refused(data: bytes) -> None:
    for kind in ObjectKind:
        assert all(isinstance(result, str) for result in read(kind, data))


@given(st.data())
def test_an_altered_document_never_fails_but_by_refusing(data: st.DataObject) -> None:
    shape = data.draw(st.sampled_from(MINIMAL_SHAPES))
    value = sample(shape)
    written = bytearray(
        data.draw(
            st.sampled_from(
                [
                    encode_ssz(value),
                    stream_of((b"\0\0\0\0", encode_ssz(value))) * 2,
                    json.dumps({"version": "electra", "data": to_json(value)}).encode(),
                    json.dumps([to_json(value)] * 2).encode(),
                ]
            )
        )
    )
    draw = random.Random(data.draw(st.integers(0, 2**32)))
    for _ in range(draw.randrange(1, 4)):
        start = draw.randrange(len(written))
        end = min(start + draw.choice([0, 1, 2, 8, 100]), len(written))
        written[start:end] = draw.randbytes(draw.choice([0, 1, 2, 8]))
    for result in read(shape.kind, bytes(written)):
        assert isinstance(result, str) or result.kind is shape.kind


# JSON text --------------------------------------------------------------------------------------


def test_json_text_is_read_from_bytes_and_from_strings() -> None:
    for text in ('{"a": [1, "x", null, true]}', b'{"a": [1, "x", null, true]}'):
        assert parse_json(text) == {"a": [1, "x", None, True]}
    assert parse_json(BOM + b"[]") == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"{", r"not JSON: .* \(line 1, column 2\)"),
        (b"[NaN]", "NaN is not a number"),
        (b"[Infinity]", "Infinity is not a number"),
        (b"[-Infinity]", "-Infinity is not a number"),
        (b"[" + b"1" * 5000 + b"]", "thousands of digits"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_text_that_is_not_json_is_refused_with_its_reason(text: bytes, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        parse_json(text)


def test_a_mainnet_reader_refuses_minimal_objects_without_misreading_them() -> None:
    for shape in MINIMAL_SHAPES:
        value = sample(shape)
        for data in (encode_ssz(value), json.dumps(to_json(value)).encode()):
            for entry in read_document(shape.kind, data, network_by_name("mainnet")):
                with pytest.raises(DecodeError):
                    entry.decode()
