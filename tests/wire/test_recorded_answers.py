"""What a real beacon node answered on its req/resp streams, byte for byte.

Lodestar, source of October 2024, on a local chain of the minimal preset.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lightclient.config import MINIMAL, network_by_name
from lightclient.containers import LightClientBootstrap, encode_ssz
from lightclient.wire.messages import Metadata
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_OPTIMISTIC_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    METADATA_2,
    PING_1,
    Protocol,
)
from lightclient.wire.responses import (
    Chunk,
    ErrorChunk,
    ResponseEvent,
    ResponseReader,
    decode_object,
    decode_payload,
)

# Its local chain: the digests are none of mainnet's, so formats are found by the bytes.
LOCAL = replace(network_by_name("mainnet"), preset=MINIMAL)
OBJECTS = {
    "01_light_client_bootstrap": (LIGHT_CLIENT_BOOTSTRAP_1, 1),
    "02_light_client_updates_by_range": (LIGHT_CLIENT_UPDATES_BY_RANGE_1, 3),
    "03_light_client_finality_update": (LIGHT_CLIENT_FINALITY_UPDATE_1, 1),
    "04_light_client_optimistic_update": (LIGHT_CLIENT_OPTIMISTIC_UPDATE_1, 1),
    "06_light_client_updates_by_range": (LIGHT_CLIENT_UPDATES_BY_RANGE_1, 3),
}


def read_answer(protocol: Protocol, data: bytes, step: int) -> list[ResponseEvent]:
    reader = ResponseReader(protocol, LOCAL)
    events = []
    for start in range(0, len(data), step):
        reader.receive(data[start : start + step])
        while (event := reader.next_event()) is not None:
            events.append(event)
    reader.receive_end()
    assert reader.next_event() is None
    return events


def recorded(real_data: Path, name: str) -> bytes:
    return (real_data / "lodestar-p2p" / f"{name}.bin").read_bytes()


@pytest.mark.parametrize("name", OBJECTS)
@pytest.mark.parametrize("step", [1, 10_000])
def test_recorded_objects_decode_and_encode_to_the_same_bytes(
    real_data: Path, name: str, step: int
) -> None:
    protocol, count = OBJECTS[name]
    events = read_answer(protocol, recorded(real_data, name), step)
    for chunk in events[:count]:
        assert isinstance(chunk, Chunk)
        value = decode_object(protocol, chunk, LOCAL)
        assert value.kind is protocol.kind
        assert value.data_format.name in ("deneb", "electra")
        assert encode_ssz(value) == chunk.payload
    # A range that reaches past its newest period ends with an error after what there is.
    errors = [event.code for event in events[count:] if isinstance(event, ErrorChunk)]
    assert errors == ([2] if protocol.answers_list else [])
    assert len(events) == count + len(errors)


def test_the_recorded_bootstrap_is_the_one_that_was_asked_for(real_data: Path) -> None:
    answer = recorded(real_data, "01_light_client_bootstrap")
    [chunk] = read_answer(LIGHT_CLIENT_BOOTSTRAP_1, answer, 100)
    assert isinstance(chunk, Chunk)
    bootstrap = decode_object(LIGHT_CLIENT_BOOTSTRAP_1, chunk, LOCAL)
    assert isinstance(bootstrap, LightClientBootstrap)
    asked = (real_data / "lodestar-p2p" / "bootstrap_request_root.hex").read_text().strip()
    assert bootstrap.header.beacon.hash_tree_root().hex() == asked.removeprefix("0x")


def test_recorded_refusals_are_read_with_their_reasons(real_data: Path) -> None:
    unknown = recorded(real_data, "05_light_client_bootstrap")
    [refusal] = read_answer(LIGHT_CLIENT_BOOTSTRAP_1, unknown, 3)
    assert isinstance(refusal, ErrorChunk)
    assert refusal.name == "resource_unavailable"
    assert refusal.text.startswith("RESPONSE_ERROR_RESOURCE_UNAVAILABLE: sy")
    past_the_end = recorded(real_data, "07_light_client_updates_by_range")
    [refusal] = read_answer(LIGHT_CLIENT_UPDATES_BY_RANGE_1, past_the_end, 3)
    assert isinstance(refusal, ErrorChunk)
    assert refusal.code == 2
    assert "No partialUpdate" in refusal.text


def test_the_recorded_ping_and_metadata_decode(real_data: Path) -> None:
    [pong] = read_answer(PING_1, recorded(real_data, "08_ping"), 1)
    [metadata] = read_answer(METADATA_2, recorded(real_data, "09_metadata"), 1)
    assert isinstance(pong, Chunk)
    assert isinstance(metadata, Chunk)
    assert isinstance(decode_payload(PING_1, pong), int)
    assert isinstance(decode_payload(METADATA_2, metadata), Metadata)
