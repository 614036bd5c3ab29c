"""Files of test vectors in the official layout, the same bytes on every machine.

The snappy blocks are written here and not by a library, whose next release might compress better.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lightclient.config import Network, config_mapping

_ZERO_RUN = re.compile(rb"\0{8,}")
_MAX_COPY = 64
_MAX_LITERAL = 1 << 16


def snappy_block(data: bytes) -> bytes:
    """``data`` as a raw snappy block in which only runs of zeros are compressed."""
    parts = [_varint(len(data))]
    position = 0
    for run in _ZERO_RUN.finditer(data):
        # The first zero of the run is literal, the others repeat it.
        parts += _literals(data[position : run.start() + 1])
        left = run.end() - run.start() - 1
        while left:
            length = min(left, _MAX_COPY)
            parts.append(bytes([(length - 1) << 2 | 2, 1, 0]))
            left -= length
        position = run.end()
    parts += _literals(data[position:])
    return b"".join(parts)


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _literals(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _MAX_LITERAL):
        part = data[start : start + _MAX_LITERAL]
        last = len(part) - 1
        if last < 60:
            yield bytes([last << 2])
        elif last < 256:
            yield bytes([60 << 2, last])
        else:
            yield bytes([61 << 2]) + last.to_bytes(2, "little")
        yield part


def hex_of(value: bytes) -> str:
    """0x hex."""
    return "0x" + value.hex()


class CaseFiles:
    """One case directory that is being written.

    Args:
        root: of all vectors; the case goes to ``tests/<preset>/<fork>/<runner>/...`` below it.
    """

    runner = "light_client"

    def __init__(self, root: Path, preset: str, fork: str, handler: str, name: str) -> None:
        self.handler, self.name = handler, name
        self.suite = "simulator"
        self._place = (preset, fork)
        self._root = root
        self._names: set[str] = set()

    def in_suite(self, suite: str) -> CaseFiles:
        """The same case in another suite."""
        self.suite = suite
        return self

    @property
    def path(self) -> Path:
        """The directory."""
        preset, fork = self._place
        place = self._root / "tests" / preset / fork / self.runner
        return place / self.handler / self.suite / self.name

    def write_yaml(self, name: str, document: Any) -> None:
        """``<name>.yaml``."""
        text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=110)
        self._write(f"{name}.yaml", text.encode())

    def write_ssz(self, name: str, data: bytes) -> None:
        """``<name>.ssz_snappy``; the same name again must mean the same bytes."""
        self._write(f"{name}.ssz_snappy", snappy_block(data))

    def write_config(self, network: Network) -> None:
        """``config.yaml``."""
        self.write_yaml("config", config_mapping(network))

    def _write(self, file_name: str, content: bytes) -> None:
        path = self.path / file_name
        if file_name in self._names:
            if path.read_bytes() != content:
                raise ValueError(f"two different files are to be {path}")
            return
        self._names.add(file_name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
