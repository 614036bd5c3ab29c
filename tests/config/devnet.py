"""The files of a devnet, as they are found beside real networks."""

from __future__ import annotations

from pathlib import Path

ROOT = bytes(range(32))
GENESIS = (1_700_000_000).to_bytes(8, "little") + ROOT
CONFIG = """\
# A devnet, with the habits of real files.
PRESET_BASE: 'minimal'
CONFIG_NAME: "devnet"       # quoted
GENESIS_FORK_VERSION: 0x10000038
ALTAIR_FORK_VERSION: '0x20000038'
ALTAIR_FORK_EPOCH: 0
BELLATRIX_FORK_VERSION: "0x30000038"
BELLATRIX_FORK_EPOCH: '2'
CAPELLA_FORK_VERSION: 0x40000038
CAPELLA_FORK_EPOCH: 18446744073709551615
DENEB_FORK_VERSION: 0x50000038
DENEB_FORK_EPOCH: "18446744073709551615"
SECONDS_PER_SLOT: 2
TERMINAL_TOTAL_DIFFICULTY: 115792089237316195423570985008687907853269984665640564039457584007913
UNKNOWN_KEY: {a: [1, 2]}
EMPTY_KEY:
"""


def write_config(directory: Path, text: str | bytes) -> None:
    (directory / "config.yaml").write_bytes(text.encode() if isinstance(text, str) else text)
