"""Answers decode whatever their labels say, and nothing but a DecodeError comes of the others."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightclient.config import Network, network_from_config_mapping
from lightclient.containers import ObjectKind, encode_ssz, to_json
from lightclient.errors import DecodeError, ProviderUnavailable
from lightclient.transports.answers import decode_event, decode_object, decode_range
from lightclient.transports.events import ServerSentEvent
from lightclient.transports.fetching import Answer
from tests.transports.objects import answer, chunk, enveloped, make_object, make_update

SSZ = "application/octet-stream"
JSON = "application/json"


@pytest.fixture(scope="module")
def network() -> Network:
    """Minimal preset; deneb from epoch 0, electra from epoch 16 (period 2)."""
    epochs = {f"{fork}_FORK_EPOCH": 0 for fork in ("ALTAIR", "BELLATRIX", "CAPELLA", "DENEB")}
    return network_from_config_mapping(
        {"PRESET_BASE": "minimal", **epochs, "ELECTRA_FORK_EPOCH": 16}
    )


@pytest.mark.parametrize("kind", list(ObjectKind))
@pytest.mark.parametrize("slot", [64, 192])
@pytest.mark.parametrize("version", [None, "", "deneb", "electra", "altair", "no-such-fork", '"'])
def test_an_object_decodes_whatever_the_version_header_says(
    kind: ObjectKind, slot: int, version: str | None, network: Network
) -> None:
    value = make_object(kind, network, slot)
    text = json.dumps(enveloped(value)).encode()
    bare = json.dumps(to_json(value)).encode()
    for body, label in ((encode_ssz(value), SSZ), (text, JSON), (bare, JSON)):
        decoded = decode_object(kind, answer(body, label, version), network)
        assert encode_ssz(decoded) == encode_ssz(value)
        if version not in ("deneb", "electra"):  # they share some layouts: then the label decides
            assert decoded == value


@pytest.mark.parametrize("label", [SSZ, JSON, "", "text/plain", "application/vnd.x+json"])
def test_json_is_recognised_under_odd_labels(label: str, network: Network) -> None:
    value = make_object(ObjectKind.OPTIMISTIC_UPDATE, network, 192)
    body = b"\n  " + json.dumps(enveloped(value)).encode()
    assert decode_object(ObjectKind.OPTIMISTIC_UPDATE, answer(body, label), network) == value


@pytest.mark.parametrize("label", [SSZ, JSON, "", "text/plain", "application/x-ssz"])
@pytest.mark.parametrize("slot", [1, 0x7B5B, 192])
def test_ssz_is_recognised_under_odd_labels(label: str, slot: int, network: Network) -> None:
    for kind in ObjectKind:
        value = make_object(kind, network, slot)
        assert decode_object(kind, answer(encode_ssz(value), label), network) == value
    update = make_update(network, 1)
    assert decode_range(answer(chunk(update), label), network).updates == (update,)


def test_a_web_page_is_called_one(network: Network) -> None:
    page = answer(b"<!DOCTYPE html><html><body>Welcome</body></html>", "text/html")
    with pytest.raises(DecodeError, match="web page"):
        decode_object(ObjectKind.BOOTSTRAP, page, network)
    error = decode_range(page, network).error
    assert error is not None
    assert "web page" in str(error)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"   \n",
        b"null",
        b"[]",
        b"[1]",
        b'"x"',
        b"{",
        b'{"data": null}',
        b'{"data": NaN}',
        b'{"data": {"attested_header": NaN}}',
        b'{"data":' * 50_000,
        b"[" * 100_000,
        b'{"a": ' + b"9" * 9000 + b"}",
        b"\xff\xfe\x00",
        bytes(200_000),
        bytes(400),
    ],
    ids=lambda body: repr(body[:20]),
)
@pytest.mark.parametrize("label", [SSZ, JSON, ""])
def test_junk_is_a_decode_error(body: bytes, label: str, network: Network) -> None:
    for kind in ObjectKind:
        with pytest.raises(DecodeError) as caught:
            decode_object(kind, answer(body, label), network)
        assert len(str(caught.value)) < 1000
    read = decode_range(answer(body, label), network)
    assert read.updates == ()


@given(st.sampled_from([SSZ, JSON, ""]), st.binary(max_size=400), st.data())
def test_only_decode_errors_escape(label: str, junk: bytes, data: st.DataObject) -> None:
    network = network_from_config_mapping({"PRESET_BASE": "minimal", "ALTAIR_FORK_EPOCH": 0})
    body = bytearray(chunk(make_update(network, 1)) * 2)
    at = data.draw(st.integers(0, len(body)))
    body[at : at + data.draw(st.integers(0, 40))] = junk
    for content in (junk, bytes(body)):
        read = decode_range(answer(content, label), network)
        assert len(read.updates) <= 3
        with suppress(DecodeError):
            decode_object(ObjectKind.UPDATE, answer(content, label), network)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["data", "version", "attested_header", "beacon", "slot"]), inner
            )
        ),
        max_leaves=12,
    )
)
def test_any_json_is_refused_cleanly(value: object) -> None:
    network = network_from_config_mapping({"PRESET_BASE": "minimal", "ALTAIR_FORK_EPOCH": 0})
    text = json.dumps(value)
    read = decode_range(answer(text.encode(), JSON), network)
    assert read.updates == ()
    with pytest.raises(DecodeError):
        decode_object(ObjectKind.FINALITY_UPDATE, answer(text.encode(), JSON), network)
    with pytest.raises(DecodeError):
        decode_event(ServerSentEvent("light_client_finality_update", text), network)


# Ranges ------------------------------------------------------------


@pytest.mark.parametrize("version", [None, "", "deneb,electra", "electra", "electra,deneb", ",,,"])
def test_a_range_decodes_whatever_its_versions_and_digests_say(
    network: Network, version: str | None
) -> None:
    updates = (make_update(network, 1), make_update(network, 2))
    digests = (network.compute_fork_digest(0), bytes(4))
    for digest in digests:
        body = b"".join(chunk(update, digest) for update in updates)
        assert decode_range(answer(body, SSZ, version), network).updates == updates
    bare = [to_json(update) for update in updates]
    for value in (
        [enveloped(u) for u in updates],
        bare,
        {"data": bare},
        {"data": [enveloped(updates[0]), bare[1]], "version": "electra"},
    ):
        body = json.dumps(value).encode()
        read = decode_range(answer(body, JSON, version), network)
        assert read.error is None
        assert read.updates == updates


def test_a_range_of_one_update_without_a_list_decodes(network: Network) -> None:
    update = make_update(network, 1)
    body = json.dumps(enveloped(update)).encode()
    assert decode_range(answer(body, JSON), network).updates == (update,)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"data": []}'])
def test_an_empty_range_is_no_error(network: Network, body: bytes) -> None:
    assert decode_range(answer(body, ""), network).error is None


def test_what_came_before_an_unreadable_item_is_kept(network: Network) -> None:
    first, second = make_update(network, 1), make_update(network, 2)
    broken = chunk(second)[:8] + b"\xff" * (len(chunk(second)) - 8)
    in_json: list[object] = [
        enveloped(first),
        {"version": "electra", "data": {}},
        enveloped(second),
    ]
    for item in (
        answer(chunk(first) + broken + chunk(second), SSZ),
        answer(chunk(first) + chunk(second)[:-1], SSZ),
        answer(chunk(first) + b"\xff" * 8, SSZ),
        answer(json.dumps(in_json).encode(), JSON),
    ):
        read = decode_range(item, network)
        assert read.updates == (first,)
        assert read.error is not None
        assert str(read.error).startswith("update 1: ")


@pytest.mark.parametrize("indent", [None, 1])
def test_the_whole_items_of_json_that_broke_off_are_kept(
    network: Network, indent: int | None
) -> None:
    updates = [make_update(network, period) for period in (1, 2, 3)]
    body = json.dumps([enveloped(update) for update in updates], indent=indent).encode()
    broken = Answer(200, {"content-type": JSON}, body[:-90], ProviderUnavailable("broke off"))
    assert decode_range(broken, network).updates == tuple(updates[:2])


def test_no_more_than_128_updates_are_taken(network: Network) -> None:
    body = chunk(make_update(network, 1)) * 129
    read = decode_range(answer(body, SSZ), network)
    assert len(read.updates) == 128
    assert read.error is not None
    assert "more than 128" in str(read.error)


def test_a_chunk_beyond_its_bound_is_refused_before_it_is_read(network: Network) -> None:
    body = (128 * 1024 + 5).to_bytes(8, "little") + bytes(200_000)
    error = decode_range(answer(body, SSZ), network).error
    assert error is not None
    assert "131077 bytes" in str(error)


# Events ------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", "_v0"])
@pytest.mark.parametrize("kind", [ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE])
@pytest.mark.parametrize("slot", [64, 192])
def test_an_event_decodes_in_every_shape(
    network: Network, kind: ObjectKind, suffix: str, slot: int
) -> None:
    value = make_object(kind, network, slot)
    for shape in (to_json(value), enveloped(value), {"data": enveloped(value)}):
        event = ServerSentEvent(f"light_client_{kind}{suffix}", json.dumps(shape))
        assert decode_event(event, network) == value


@pytest.mark.parametrize("name", ["head", "message", "light_client_update", ""])
def test_other_events_are_passed_over(network: Network, name: str) -> None:
    assert decode_event(ServerSentEvent(name, "not even JSON"), network) is None
