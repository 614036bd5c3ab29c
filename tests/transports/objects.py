"""Unsigned but well-formed light client objects, and answers that carry them."""

from __future__ import annotations

from lightclient.config import FORKS_BY_NAME, Network
from lightclient.containers import (
    BeaconBlockHeader,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    encode_ssz,
    object_type,
    to_json,
)
from lightclient.ssz import Json
from lightclient.transports.fetching import Answer


def make_object(kind: ObjectKind, network: Network, slot: int, fork: str = "") -> LightClientObject:
    """An object of zeros but for the slot of its main header, in ``fork``'s format."""
    row = FORKS_BY_NAME[fork] if fork else network.fork_at_slot(slot)
    layout = object_type(kind, row.data_format, network.preset.sync_committee_size)
    text = layout.to_json(layout.default())
    name = "header" if kind is ObjectKind.BOOTSTRAP else "attested_header"
    header = text[name]
    assert isinstance(header, dict)
    beacon = header.get("beacon", header)
    assert isinstance(beacon, dict)
    beacon["slot"] = str(slot)
    return layout.from_json(text)


def make_update(network: Network, period: int) -> LightClientUpdate:
    """An update attested in ``period``."""
    slot = network.compute_start_slot_at_sync_committee_period(period) + 1
    update = make_object(ObjectKind.UPDATE, network, slot)
    assert isinstance(update, LightClientUpdate)
    return update


def header(slot: int) -> BeaconBlockHeader:
    return BeaconBlockHeader(slot, 1, bytes(32), bytes(32), bytes(32))


def chunk(update: LightClientObject, digest: bytes = b"\xde\xad\xbe\xef") -> bytes:
    """An update as the Beacon API's stream frames it."""
    payload = encode_ssz(update)
    return (len(payload) + 4).to_bytes(8, "little") + digest + payload


def enveloped(value: LightClientObject) -> dict[str, Json]:
    return {"version": value.data_format.name, "data": to_json(value)}


def answer(body: bytes, content_type: str = "", version: str | None = None) -> Answer:
    """A 200."""
    headers = {"content-type": content_type} if content_type else {}
    if version is not None:
        headers["eth-consensus-version"] = version
    return Answer(200, headers, body)
