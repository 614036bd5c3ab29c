"""A refused object with everything that is needed to judge it again, as one self-contained file.

The file is JSON, gzip'd when this program writes it. Whoever reads one may have it from anybody:
lengths are bounded before anything is parsed, and whatever does not fit is one DecodeError.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from lightclient.config import Network, config_mapping, network_from_config_mapping
from lightclient.config.forks import DATA_FORMATS, DataFormat
from lightclient.containers import (
    MAX_OBJECT_BYTES,
    LightClientHeader,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    SyncCommittee,
    Undecoded,
    encode_ssz,
    light_client_header_type,
    object_type,
    parse_json,
    sync_committee_type,
)
from lightclient.errors import ConfigError, DecodeError
from lightclient.protocol import ACCEPTED, LightClientStore, Rule, Verdict, verdict_of

FORMAT_NAME: Final = "lightclient refused object"
FORMAT_VERSION: Final = 1
MAX_DUMP_BYTES: Final = 2 * 1024 * 1024
"""Of a file, packed or not. A mainnet update with the store before it takes 210 KB, packed 110;
half a megabyte of JSON that is no object at all takes twice that in hex."""
MAX_UNDECODED_BYTES: Final = 640 * 1024
"""Of bytes that are no object no more than these are kept, which is all that a transport lets in
for one."""
LAST_TIME_MS: Final = 253_402_300_799_999
"""The end of the year 9999, Unix milliseconds."""

_UINT64_MAX: Final = 2**64 - 1
_MAX_TEXT: Final = 2000
_MAX_VALUES: Final = 16
_HEX: Final = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)
_FORMATS: Final = {data_format.name: data_format for data_format in DATA_FORMATS}
_GZIP_START: Final = b"\x1f\x8b"
_LABELS: Final = ("content_type", "version", "digest")


@dataclass(frozen=True, slots=True)
class RefusedObject:
    """An object that was refused, and the circumstances.

    Attributes:
        refused: the object, or its bytes if they could not be decoded.
        store: the store that it was judged against; None before the bootstrap.
        time_ms: the clock then, Unix milliseconds.
        provider: safe name of who sent it.
        program_version: of the program that refused it.
    """

    network: Network
    trusted_block_root: bytes | None
    store: LightClientStore | None
    time_ms: int
    provider: str
    refused: LightClientObject | Undecoded
    verdict: Verdict
    program_version: str

    @property
    def kind(self) -> ObjectKind:
        """What the object is, or was to be."""
        return self.refused.kind

    @property
    def content(self) -> bytes:
        """The object's bytes: its SSZ, or what came instead."""
        if isinstance(self.refused, Undecoded):
            return self.refused.content
        return encode_ssz(self.refused)


# Writing ------------------------------------------------------------------------------------------


def encode_dump(dump: RefusedObject) -> bytes:
    """The file's content: JSON, gzip'd; the same input gives the same bytes.

    Raises:
        ValueError: the object or its circumstances cannot be written down.
    """
    text = json.dumps(_document(dump), indent=1).encode("ascii")
    if len(text) > MAX_DUMP_BYTES:
        raise ValueError(f"{len(text)} bytes are more than a file may have")
    packer = zlib.compressobj(wbits=zlib.MAX_WBITS | 16)
    return packer.compress(text) + packer.flush()


def _document(dump: RefusedObject) -> dict[str, Any]:
    verdict = dump.verdict
    return {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "program_version": dump.program_version,
        "provider": dump.provider,
        "time_ms": dump.time_ms,
        "verdict": {
            "kind": verdict.kind.value,
            "rule": None if verdict.rule is None else verdict.rule.value,
            "values": shown_values(verdict.values),
            "detail": verdict.detail[:_MAX_TEXT],
        },
        "network": {
            "name": dump.network.name,
            "genesis_time": dump.network.genesis_time,
            "genesis_validators_root": _hex(dump.network.genesis_validators_root),
            "config": config_mapping(dump.network),
        },
        "trusted_block_root": _hex_or_null(dump.trusted_block_root),
        "object": _object_document(dump.refused),
        "store": None if dump.store is None else _store_document(dump.store),
    }


def shown_values(values: Mapping[str, object]) -> dict[str, object]:
    """What a rule saw, as JSON holds it: bytes in hex, text bounded."""
    return {name: _shown(value) for name, value in values.items()}


def _shown(value: object) -> object:
    if isinstance(value, bytes):
        return _hex(value)
    return value if isinstance(value, int) or value is None else str(value)[:_MAX_TEXT]


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _hex_or_null(value: bytes | None) -> str | None:
    return None if value is None else _hex(value)


def _object_document(value: LightClientObject | Undecoded) -> dict[str, object]:
    if not isinstance(value, Undecoded):
        return {
            "kind": value.kind.value,
            "format": value.data_format.name,
            "ssz": _hex(encode_ssz(value)),
        }
    return {
        "kind": value.kind.value,
        "content_type": value.content_type[:_MAX_TEXT],
        "version": value.version[:_MAX_TEXT],
        "digest": _hex(value.digest),
        "bytes": _hex(value.content[:MAX_UNDECODED_BYTES]),
    }


def _header_document(header: LightClientHeader) -> dict[str, object]:
    return {
        "format": header.data_format.name,
        # For human readers; the bytes say it again.
        "slot": header.beacon.slot,
        "root": _hex(header.beacon.hash_tree_root()),
        "ssz": _hex(light_client_header_type(header.data_format).encode(header)),
    }


def _committee_document(committee: SyncCommittee | None) -> str | None:
    if committee is None:
        return None
    return _hex(sync_committee_type(committee.size).encode(committee))


def _store_document(store: LightClientStore) -> dict[str, object]:
    best = store.best_valid_update
    return {
        "format": store.data_format.name,
        "finalized_header": _header_document(store.finalized_header),
        "optimistic_header": _header_document(store.optimistic_header),
        "previous_max_active_participants": store.previous_max_active_participants,
        "current_max_active_participants": store.current_max_active_participants,
        "current_sync_committee": _committee_document(store.current_sync_committee),
        "next_sync_committee": _committee_document(store.next_sync_committee),
        "best_valid_update": None if best is None else _object_document(best),
    }


# Reading ------------------------------------------------------------------------------------------


def decode_dump(data: bytes, *, may_be_accepted: bool = False) -> RefusedObject:
    """The refused object in a file's content, packed or not.

    Evidence of a conflict has the same form, and its objects may have been accepted.

    Raises:
        DecodeError: it is no such file, or holds something that cannot be.
    """
    if len(data) > MAX_DUMP_BYTES:
        raise DecodeError(
            f"more than {MAX_DUMP_BYTES} bytes, which no file of a refused object has"
        )
    if data.startswith(_GZIP_START):
        data = _unpacked(data)
    document = _Fields(parse_json(data), "the file")
    if document.text("format") != FORMAT_NAME:
        raise DecodeError("this is no file of a refused object (format)")
    version = document.number("format_version")
    if version != FORMAT_VERSION:
        raise DecodeError(
            f"format version {version}, where this program reads {FORMAT_VERSION}; take a"
            " newer version of it"
        )
    network = _network_of(document.fields("network"))
    store = document.optional_fields("store")
    return RefusedObject(
        network=network,
        trusted_block_root=document.optional_octets("trusted_block_root", 32),
        store=None if store is None else _store_of(store, network),
        time_ms=document.number("time_ms", LAST_TIME_MS),
        provider=document.text("provider"),
        refused=_object_of(document.fields("object"), network),
        verdict=_verdict_of(document.fields("verdict"), may_be_accepted),
        program_version=document.text("program_version"),
    )


def _unpacked(data: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        text = stream.decompress(data, MAX_DUMP_BYTES + 1)
    except zlib.error:
        raise DecodeError("damaged in its gzip compression") from None
    if len(text) > MAX_DUMP_BYTES:
        raise DecodeError(f"unpacks to more than {MAX_DUMP_BYTES} bytes")
    if not stream.eof or stream.unused_data:
        raise DecodeError("cut short, or followed by something else")
    return text


class _Fields:
    """Typed access to a JSON object; every error names the place."""

    def __init__(self, value: object, place: str) -> None:
        if not isinstance(value, dict):
            raise DecodeError(f"{place} is not a JSON object")
        self._values: dict[str, Any] = value
        self._place = place

    def fault(self, key: str, problem: str) -> DecodeError:
        return DecodeError(f"{self._place}: {key}: {problem}")

    def get(self, key: str) -> Any:
        return self._values.get(key)

    def fields(self, key: str) -> _Fields:
        return _Fields(self.get(key), key)

    def optional_fields(self, key: str) -> _Fields | None:
        return None if self.get(key) is None else self.fields(key)

    def text(self, key: str) -> str:
        value = self.get(key)
        if not isinstance(value, str) or len(value) > _MAX_TEXT:
            raise self.fault(key, f"not a text of at most {_MAX_TEXT} characters")
        return value

    def number(self, key: str, most: int = _UINT64_MAX) -> int:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
            raise self.fault(key, f"not a whole number from 0 to {most}")
        return value

    def octets(self, key: str, length: int | None = None, most: int = MAX_OBJECT_BYTES) -> bytes:
        value = self.get(key)
        if not isinstance(value, str) or len(value) > 2 + 2 * most or not _HEX.fullmatch(value):
            raise self.fault(key, f"not at most {most} bytes in 0x hex")
        content = bytes.fromhex(value[2:])
        if length is not None and len(content) != length:
            raise self.fault(key, f"{len(content)} bytes where {length} were expected")
        return content

    def optional_octets(self, key: str, length: int | None = None) -> bytes | None:
        return None if self.get(key) is None else self.octets(key, length)

    def data_format(self, key: str = "format") -> DataFormat:
        name = self.text(key)
        if name not in _FORMATS:
            raise self.fault(key, f"{name[:40]!a} is none of {', '.join(_FORMATS)}")
        return _FORMATS[name]

    def kind(self) -> ObjectKind:
        value = self.get("kind")
        if value not in tuple(ObjectKind):
            raise self.fault("kind", f"none of {', '.join(ObjectKind)}")
        return ObjectKind(value)


def _network_of(fields: _Fields) -> Network:
    name = fields.text("name")
    if not 1 <= len(name) <= 64 or not name.isprintable():
        raise fields.fault("name", "not 1 to 64 printable characters")
    try:
        return network_from_config_mapping(
            fields.get("config"),
            name=name,
            genesis_time=fields.get("genesis_time"),
            genesis_validators_root=fields.octets("genesis_validators_root", 32),
            check_order=False,
            source="network",
        )
    except ConfigError as error:
        raise DecodeError(str(error)) from None


def _object_of(fields: _Fields, network: Network) -> LightClientObject | Undecoded:
    kind = fields.kind()
    if fields.get("ssz") is None:
        content_type, version, _ = (fields.text(label) for label in _LABELS)
        content = fields.octets("bytes", most=MAX_UNDECODED_BYTES)
        return Undecoded(kind, content, content_type, version, fields.octets("digest", most=4))
    data_format, ssz = fields.data_format(), fields.octets("ssz")
    try:
        return object_type(kind, data_format, network.preset.sync_committee_size).decode(ssz)
    except DecodeError:
        # An object that an embedder put together, of a size that this network does not have.
        return Undecoded(kind, ssz, "application/octet-stream", data_format.name)


def _verdict_of(fields: _Fields, may_be_accepted: bool) -> Verdict:
    name, values = fields.get("rule"), fields.get("values")
    if may_be_accepted and name is None:
        return ACCEPTED
    if name not in tuple(Rule):
        raise fields.fault("rule", "no rule that this program knows")
    if not isinstance(values, dict) or len(values) > _MAX_VALUES:
        raise fields.fault("values", f"not a JSON object of at most {_MAX_VALUES} values")
    for key, value in values.items():
        if not _is_plain(key) or not _is_plain(value):
            raise fields.fault("values", "not texts and numbers")
    rule = Rule(name)
    verdict = Verdict(verdict_of(rule).kind, rule, values)
    try:
        _ = verdict.detail
    except KeyError:
        raise fields.fault("values", f"not those of the rule {rule}") from None
    return verdict


def _is_plain(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _MAX_TEXT
    return value is None or (isinstance(value, int) and abs(value) <= _UINT64_MAX)


def _store_of(fields: _Fields, network: Network) -> LightClientStore:
    size = network.preset.sync_committee_size
    next_committee = fields.optional_octets("next_sync_committee")
    return LightClientStore(
        finalized_header=_header_of(fields.fields("finalized_header")),
        current_sync_committee=_committee_of(fields.octets("current_sync_committee"), size),
        next_sync_committee=None if next_committee is None else _committee_of(next_committee, size),
        best_valid_update=_best_update_of(fields.optional_fields("best_valid_update"), network),
        optimistic_header=_header_of(fields.fields("optimistic_header")),
        previous_max_active_participants=fields.number("previous_max_active_participants"),
        current_max_active_participants=fields.number("current_max_active_participants"),
        data_format=fields.data_format(),
    )


def _header_of(fields: _Fields) -> LightClientHeader:
    return light_client_header_type(fields.data_format()).decode(fields.octets("ssz"))


def _committee_of(ssz: bytes, size: int) -> SyncCommittee:
    return sync_committee_type(size).decode(ssz)


def _best_update_of(fields: _Fields | None, network: Network) -> LightClientUpdate | None:
    if fields is None:
        return None
    best = _object_of(fields, network)
    if not isinstance(best, LightClientUpdate):
        raise fields.fault("kind", "not an update")
    return best
