"""Custom networks: a directory with ``config.yaml`` and, where known, genesis and boot nodes.

Files come from repositories, devnet tools and users; each is bounded before it is read, and every
error names the file and the key. What ``config.yaml`` leaves out comes from its preset.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from lightclient.config.forks import FAR_FUTURE_EPOCH
from lightclient.config.mapping import (
    network_from_config_mapping,
    parse_genesis_time,
    parse_root,
)
from lightclient.config.network import Network
from lightclient.config.networks import (
    NETWORK_ALIASES,
    NETWORK_NAMES,
    network_by_name,
    unknown_network_message,
)
from lightclient.config.yaml_text import parse_yaml
from lightclient.errors import ConfigError

MAX_FILE_BYTES: Final = 1 << 20
GENESIS_PREFIX_BYTES: Final = 40
"""genesis_time (8, little endian) and genesis_validators_root (32) open every BeaconState."""

_BOOTSTRAP_NODE_FILES: Final = ("bootstrap_nodes.yaml", "boot_enr.yaml", "bootstrap_nodes.txt")
# EIP-778 bounds a record at 300 bytes: 400 characters of base64.
_ENR: Final = re.compile(r"enr:[A-Za-z0-9_-]{1,400}=*", re.ASCII)
_LFS_POINTER: Final = b"version https://git-lfs"

_BOTH_WAYS: Final = (
    "put the network's genesis.ssz there, or give both --genesis-time and "
    "--genesis-validators-root (genesis_time and genesis_validators_root in Python)"
)


def resolve_network(
    name_or_directory: str | os.PathLike[str],
    *,
    genesis_time: int | None = None,
    genesis_validators_root: bytes | str | None = None,
) -> Network:
    """A public network by name, or else a custom one from its directory.

    Args:
        name_or_directory: names win; write ``./mainnet`` for a directory of that name.
        genesis_time: Unix time in seconds; replaces that of a directory's ``genesis.ssz``. For a
            public network it may only repeat what is known.
        genesis_validators_root: 32 bytes or their hex, likewise.

    Raises:
        ConfigError: for an unknown name that is no directory either, a directory that cannot be
            used, or a genesis that contradicts a public network's.
    """
    name = os.fspath(name_or_directory)
    if name in NETWORK_NAMES or name in NETWORK_ALIASES:
        network = network_by_name(name)
        _check_public_genesis(network, genesis_time, genesis_validators_root)
        return network
    if name and _kind(Path(name)) == "directory":
        return load_network_directory(
            name, genesis_time=genesis_time, genesis_validators_root=genesis_validators_root
        )
    if Path(name).name == "config.yaml":
        raise ConfigError(f"{_shown_path(name)}: give the directory that holds config.yaml")
    raise ConfigError(f"{unknown_network_message(name)}; and there is no such directory")


def load_network_directory(
    path: str | os.PathLike[str],
    *,
    genesis_time: int | None = None,
    genesis_validators_root: bytes | str | None = None,
) -> Network:
    """The network that the directory ``path`` defines.

    It holds ``config.yaml``; ``genesis.ssz``, of which 40 bytes are read and which the two
    arguments replace; and optionally ENRs in ``bootstrap_nodes.yaml``, ``boot_enr.yaml`` or
    ``bootstrap_nodes.txt``. The network's name is CONFIG_NAME, else the directory's.

    Raises:
        ConfigError: naming the file and the key.
    """
    directory = Path(path)
    if _kind(directory) != "directory":
        raise ConfigError(f"{_shown_path(path)}: no such directory")
    file = directory / "config.yaml"
    source = _shown_path(file)
    content = _read_bounded(file)
    if content is None:
        nested = directory / "metadata"
        hint = f"; did you mean {_shown_path(nested)}?" if _kind(nested / "config.yaml") else ""
        raise ConfigError(f"{source}: no such file; a network directory must hold it{hint}")
    config = parse_yaml(content, source=source)
    if not isinstance(config, dict):
        raise ConfigError(f"{source}: not a list of KEY: value lines")
    time, root = _genesis(directory, genesis_time, genesis_validators_root)
    network = network_from_config_mapping(
        config,
        name=None if config.get("CONFIG_NAME") else _directory_name(directory),
        genesis_time=time,
        genesis_validators_root=root,
        bootstrap_nodes=_read_bootstrap_nodes(directory),
        source=source,
    )
    if network.fork_epoch("altair") == FAR_FUTURE_EPOCH:
        raise ConfigError(f"{source}: ALTAIR_FORK_EPOCH: missing; light clients begin with Altair")
    return network


def _directory_name(directory: Path) -> str:
    """The directory's own name, printable and short, for a network that does not tell its own."""
    return ascii(directory.absolute().name)[1:-1][:64] or "custom"


def _check_public_genesis(
    network: Network, genesis_time: int | None, genesis_validators_root: bytes | str | None
) -> None:
    """A public network's genesis is known: another one can only be a mistake."""
    if genesis_time is not None and genesis_time != network.genesis_time:
        raise ConfigError(
            f"genesis time {ascii(genesis_time)[:40]} contradicts {network.name}, whose genesis is "
            f"{network.genesis_time}; use a network directory for another chain"
        )
    if genesis_validators_root is not None:
        root = parse_root(genesis_validators_root, source="genesis validators root")
        if root != network.genesis_validators_root:
            raise ConfigError(
                f"genesis validators root 0x{root.hex()} contradicts {network.name}, whose root is "
                f"0x{network.genesis_validators_root.hex()}; use a network directory for another "
                "chain"
            )


def _genesis(
    directory: Path, genesis_time: int | None, genesis_validators_root: bytes | str | None
) -> tuple[int, bytes]:
    """Genesis time and validators root; the file is only looked at for what is not given."""
    if genesis_time is None or genesis_validators_root is None:
        file_time, file_root = _read_genesis(directory / "genesis.ssz")
    else:
        file_time, file_root = 0, b""
    return (
        file_time
        if genesis_time is None
        else parse_genesis_time(genesis_time, source="genesis time"),
        file_root
        if genesis_validators_root is None
        else parse_root(genesis_validators_root, source="genesis validators root"),
    )


def _read_genesis(file: Path) -> tuple[int, bytes]:
    """genesis_time and genesis_validators_root from the head of a serialised BeaconState."""
    source = _shown_path(file)
    head = _read_head(file, GENESIS_PREFIX_BYTES)
    if head is None:
        raise ConfigError(f"{source}: no such file; {_BOTH_WAYS}")
    if head.startswith(_LFS_POINTER):
        raise ConfigError(
            f"{source}: a Git LFS pointer, not the file itself; fetch it with `git lfs pull`, or "
            f"{_BOTH_WAYS}"
        )
    if len(head) < GENESIS_PREFIX_BYTES:
        raise ConfigError(
            f"{source}: {len(head)} bytes are not a BeaconState, which begins with "
            f"{GENESIS_PREFIX_BYTES} bytes of genesis_time and genesis_validators_root; "
            f"{_BOTH_WAYS}"
        )
    try:
        time = parse_genesis_time(
            int.from_bytes(head[:8], "little"), source=f"{source}: genesis_time"
        )
    except ConfigError as error:
        raise ConfigError(f"{error}; this is not a BeaconState in SSZ; {_BOTH_WAYS}") from None
    return time, head[8:]


def _read_bootstrap_nodes(directory: Path) -> tuple[str, ...]:
    """ENRs of every boot node file there is, in order, each once."""
    found: dict[str, None] = {}
    for name in _BOOTSTRAP_NODE_FILES:
        file = directory / name
        content = _read_bounded(file)
        if content is None:
            continue
        source = _shown_path(file)
        lines = _yaml_lines(content, source) if name.endswith(".yaml") else _text_lines(content)
        for number, line in lines:
            # Multiaddresses and enode URLs stand in such files too; they are not for this client.
            if not line.startswith("enr:"):
                continue
            if not _ENR.fullmatch(line):
                raise ConfigError(f"{source}: entry {number}: {line[:60]!a} is not an ENR")
            found[line] = None
    return tuple(found)


def _text_lines(content: bytes) -> Iterable[tuple[int, str]]:
    for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), start=1):
        yield number, line.split("#", 1)[0].strip().strip("\"',")


def _yaml_lines(content: bytes, source: str) -> Iterable[tuple[int, str]]:
    document = parse_yaml(content, source=source)
    if document is None or document == "":
        return
    if not isinstance(document, list):
        raise ConfigError(f"{source}: not a list of ENRs")
    for number, item in enumerate(document, start=1):
        if not isinstance(item, str):
            raise ConfigError(f"{source}: entry {number}: not an ENR")
        yield number, item.strip()


def _kind(path: Path) -> str:
    """``directory``, ``file`` or, for anything that cannot be read, the empty string."""
    try:
        if path.is_dir():
            return "directory"
        return "file" if path.is_file() else ""
    except (OSError, ValueError):
        return ""


def _read_bounded(file: Path) -> bytes | None:
    """The whole file, None if there is none; more than ``MAX_FILE_BYTES`` is an error."""
    content = _read_head(file, MAX_FILE_BYTES + 1)
    if content is not None and len(content) > MAX_FILE_BYTES:
        raise ConfigError(f"{_shown_path(file)}: larger than {MAX_FILE_BYTES} bytes")
    return content


def _read_head(file: Path, length: int) -> bytes | None:
    """Up to ``length`` bytes from the start of a regular file, None if there is none."""
    try:
        if not file.exists():
            return None
        if not file.is_file():
            # A pipe or device would block, or never end.
            raise ConfigError(f"{_shown_path(file)}: not a regular file")
        with file.open("rb") as stream:
            return stream.read(length)
    except (OSError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{_shown_path(file)}: cannot be read: {reason}") from None


def _shown_path(path: str | os.PathLike[str]) -> str:
    """A path for an error: printable and on one line."""
    return ascii(os.fspath(path))[1:-1][:300]
