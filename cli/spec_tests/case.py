"""A vector: where it lies, what it is called, and bounded, typed access to its files.

Whatever is wrong with a vector's files is a :class:`CaseFailed` with the reason; nothing else
escapes from here. YAML scalars stay text, so hex is hex and a number has all its digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightclient.config.yaml_text import parse_yaml
from lightclient.errors import ConfigError

MAX_FILE_BYTES = 32 * 1024 * 1024
"""For one file of a vector; the largest known one has not a hundredth of it."""
MAX_OBJECT_BYTES = 64 * 1024 * 1024
"""What a snappy block may declare; the largest object in any vector is a state of a few MiB."""

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,254}", re.ASCII)
_DECIMAL = re.compile(r"[0-9]{1,20}", re.ASCII)
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*", re.ASCII)


class CaseFailed(Exception):
    """The vector and this implementation disagree, or the vector cannot be read."""


class CaseSkipped(Exception):
    """The vector is not judged, for the reason given."""


@dataclass(frozen=True, slots=True)
class Case:
    """One vector. ``path`` is its directory, or its file where a file is a case.

    ``entry`` tells apart the cases of one file.
    """

    path: Path
    preset: str
    fork: str
    runner: str
    handler: str
    suite: str
    name: str
    entry: str = ""

    @property
    def title(self) -> str:
        """The case in the words of the official layout."""
        parts = [self.preset, self.fork, self.runner, self.handler, self.suite, self.name]
        return "/".join(part for part in parts if part) + (f"#{self.entry}" if self.entry else "")

    def has(self, file_name: str) -> bool:
        """Whether the case has that file."""
        return (self.path / file_name).is_file()

    def yaml(self, file_name: str) -> Any:
        """The document in ``file_name``: mappings, lists and text."""
        return read_yaml(read_bounded(self.path / file_name), file_name)

    def mapping(self, file_name: str) -> Mapping[str, Any]:
        """The mapping in ``file_name``."""
        return as_mapping(self.yaml(file_name), file_name)

    def ssz(self, name: str) -> bytes:
        """The decompressed ``<name>.ssz_snappy``; ``name`` may come from the vector."""
        if not _NAME.fullmatch(name):
            raise CaseFailed(f"{name[:80]!a} is no file name")
        file_name = f"{name}.ssz_snappy"
        return uncompress(read_bounded(self.path / file_name), file_name)


def read_bounded(path: Path) -> bytes:
    """The whole of a regular file of at most ``MAX_FILE_BYTES``."""
    try:
        if not path.exists():
            raise CaseFailed(f"{path.name} is missing")
        if not path.is_file():
            raise CaseFailed(f"{path.name} is not a regular file")
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise CaseFailed(f"{path.name} cannot be read: {error.strerror or error}") from None
    if len(content) > MAX_FILE_BYTES:
        raise CaseFailed(f"{path.name} is larger than {MAX_FILE_BYTES} bytes")
    return content


def read_yaml(content: bytes, name: str) -> Any:
    """The YAML document: mappings, lists and text."""
    try:
        return parse_yaml(content, source=name)
    except ConfigError as error:
        raise CaseFailed(str(error)) from None


def uncompress(block: bytes, name: str) -> bytes:
    """A raw snappy block, whose declared length is looked at first."""
    import snappy

    declared = _declared_length(block)
    if declared is None or declared > MAX_OBJECT_BYTES:
        shown = "no length" if declared is None else f"{declared} bytes"
        raise CaseFailed(f"{name} is no snappy block: it declares {shown}")
    try:
        data: bytes = snappy.decompress(block)
    except snappy.UncompressError:
        raise CaseFailed(f"{name} is no snappy block") from None
    return data


def _declared_length(block: bytes) -> int | None:
    """The varint that opens a raw snappy block."""
    length = 0
    for index, byte in enumerate(block[:5]):
        length |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return length
    return None


# --- values of a vector ---------------------------------------------------------------------------


def as_mapping(value: Any, where: str) -> Mapping[str, Any]:
    """``value`` if it is a mapping."""
    if not isinstance(value, dict):
        raise CaseFailed(f"{where}: not a mapping")
    return value


def as_list(value: Any, where: str) -> Sequence[Any]:
    """``value`` if it is a list."""
    if not isinstance(value, list):
        raise CaseFailed(f"{where}: not a list")
    return value


def text(mapping: Mapping[str, Any], key: str) -> str:
    """The text under ``key``."""
    value = mapping.get(key)
    if not isinstance(value, str):
        raise CaseFailed(f"{key}: {'missing' if value is None else 'not text'}")
    return value


def number(mapping: Mapping[str, Any], key: str) -> int:
    """The whole number under ``key``, as YAML text or as a JSON number."""
    value = mapping.get(key)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64:
        return value
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return int(value)
    raise CaseFailed(f"{key}: {'missing' if value is None else 'not a whole number'}")


def octets(mapping: Mapping[str, Any], key: str, length: int | None = None) -> bytes:
    """The bytes under ``key``, 0x hex, of the given length if there is one."""
    return as_octets(text(mapping, key), key, length)


def as_octets(value: Any, where: str, length: int | None = None) -> bytes:
    """Bytes from 0x hex."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise CaseFailed(f"{where}: not 0x hex")
    data = bytes.fromhex(value[2:])
    if length is not None and len(data) != length:
        raise CaseFailed(f"{where}: {len(data)} bytes where {length} were expected")
    return data


def shown(value: bytes) -> str:
    """Bytes as 0x hex, for a reason."""
    return "0x" + value.hex()


def expect(name: str, ours: object, recorded: object) -> None:
    """Fail the case unless both are equal."""
    if ours != recorded:
        left = shown(ours) if isinstance(ours, bytes) else ours
        right = shown(recorded) if isinstance(recorded, bytes) else recorded
        raise CaseFailed(f"{name} is {left} where the vector has {right}"[:600])
