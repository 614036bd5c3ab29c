"""Find an object's format and decode it: lenient about labels, strict about bytes.

Servers omit, misname or misplace versions, so a label is only a hint: it says which format to try
first. What decodes is still unverified; the protocol judges it by its slots alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from lightclient.config.forks import DATA_FORMATS, FORKS_BY_NAME, DataFormat
from lightclient.config.network import Network
from lightclient.containers.codec import object_type
from lightclient.containers.objects import LightClientObject, ObjectKind
from lightclient.errors import DecodeError
from lightclient.ssz import Container, Json

_JSON_NAMES: dict[type, str] = {
    list: "a list",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def format_of_version(name: object) -> DataFormat | None:
    """The format of a fork by its Beacon API name; None for a name nobody knows."""
    if not isinstance(name, str):
        return None
    fork = FORKS_BY_NAME.get(name.strip().strip('"').lower())
    return fork.data_format if fork else None


def format_of_digest(digest: bytes, network: Network) -> DataFormat | None:
    """The format of a fork digest (4 bytes); None for a digest of no fork of ``network``."""
    fork = network.forks_by_digest.get(bytes(digest))
    return fork.data_format if fork else None


def _decode_by_format(
    kind: ObjectKind,
    network: Network,
    hints: Sequence[DataFormat | None],
    decode: Callable[[Container[LightClientObject]], LightClientObject],
) -> LightClientObject:
    size = network.preset.sync_committee_size
    named = [hint for hint in hints if hint is not None]
    errors: dict[str, str] = {}
    for data_format in dict.fromkeys(named):
        try:
            return decode(object_type(kind, data_format, size))
        except DecodeError as error:
            errors[data_format.name] = str(error)
    readings = []
    for data_format in reversed(DATA_FORMATS):
        if data_format.name in errors:
            continue
        try:
            readings.append(decode(object_type(kind, data_format, size)))
        except DecodeError as error:
            errors[data_format.name] = str(error)
    if not readings:
        raise DecodeError(_no_format(kind, network, errors, named))
    # Two formats can share a layout: then the slot decides. Otherwise the newest one that fits.
    for reading in readings:
        if network.fork_at_slot(reading.main_header.beacon.slot).data_format is reading.data_format:
            return reading
    return readings[0]


def _no_format(
    kind: ObjectKind, network: Network, errors: dict[str, str], named: Sequence[DataFormat]
) -> str:
    if named:
        said = named[0].name
        return f"no {kind} of format {said} ({network.preset.name} preset): {errors[said]}"
    reasons = "; ".join(f"{name}: {reason}" for name, reason in errors.items())
    return f"no {kind} in any format of the {network.preset.name} preset ({reasons})"


def decode_ssz(
    kind: ObjectKind,
    data: bytes,
    network: Network,
    hints: Sequence[DataFormat | None] = (),
) -> LightClientObject:
    """Decode SSZ bytes whose format is not certain.

    Args:
        hints: formats to try first, most trusted first; None entries are passed over.

    Raises:
        DecodeError: no format fits, with the reason.
    """
    return _decode_by_format(kind, network, hints, lambda layout: layout.decode(data))


def decode_json(
    kind: ObjectKind,
    value: Json,
    network: Network,
    hints: Sequence[DataFormat | None] = (),
) -> LightClientObject:
    """Decode parsed JSON, with or without the ``{version, data}`` envelope around it.

    The hints come before the envelope's version. Raises DecodeError.
    """
    version, body = unwrap_envelope(value)
    if not isinstance(body, dict):
        raise DecodeError(f"{_JSON_NAMES.get(type(body), 'junk')} where one {kind} was expected")
    all_hints = (*hints, format_of_version(version))
    return _decode_by_format(kind, network, all_hints, lambda layout: layout.from_json(body))


def unwrap_envelope(value: Json) -> tuple[object, Json]:
    """``(version, data)`` of an envelope; ``(None, value)`` of anything else."""
    if isinstance(value, dict) and "data" in value:
        return value.get("version"), value["data"]
    return None, value


def split_update_stream(data: bytes, max_payload: int) -> Iterator[tuple[bytes, bytes]]:
    """The chunks of the Beacon API's update stream as ``(fork digest, SSZ)``.

    Each is a little-endian u64 length, which counts the 4-byte digest, then digest and payload.

    Raises:
        DecodeError: a length of less than 4, of more than ``max_payload`` + 4, or beyond the end.
    """
    position = 0
    while position < len(data):
        if len(data) - position < 12:
            raise DecodeError(f"{len(data) - position} bytes after the last chunk of the stream")
        length = int.from_bytes(data[position : position + 8], "little")
        start, end = position + 12, position + 8 + length
        if not 4 <= length <= max_payload + 4:
            raise DecodeError(
                f"a stream chunk of {length} bytes, where 4 to {max_payload + 4} may be"
            )
        if end > len(data):
            raise DecodeError(f"the stream ends {end - len(data)} bytes before its last chunk does")
        yield data[start - 4 : start], data[start:end]
        position = end
