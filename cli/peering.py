"""From the options about peers to a pool of them.

REST providers are the default where one is named; without one, peers of the network are. Both are
used as one if peers are named besides.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import click

from lightclient import __version__
from lightclient.config import Network
from lightclient.errors import ConfigError, DecodeError
from lightclient.transports.libp2p.addresses import parse_peer_address
from lightclient.transports.libp2p.identity import load_identity, new_identity
from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
from lightclient.transports.libp2p.pool import Libp2pPool
from lightclient.wire.enr import NodeRecord, parse_record

_MAX_FILE: Final = 2**20
_EXTERNAL: Final = "extip:"


def make_pool(options: dict[str, Any], network: Network) -> Libp2pPool:
    """The pool that the command line asks for.

    Raises:
        click.UsageError, ConfigError, DataDirError: for options that cannot be used.
    """
    direct = tuple(parse_peer_address(text) for text in options["direct_peer"])
    discovery = _discovery(options) if _looks_for_peers(options) else None
    has_memory = options["data_dir"] is not None
    known = discovery is not None and (discovery.bootstrap_nodes or network.bootstrap_nodes)
    if not direct and (discovery is None or not (known or has_memory)):
        raise click.UsageError(
            "nobody to ask: name a beacon node's REST API (--rest-url=http://127.0.0.1:5052), a"
            " peer (--direct-peer), or a node to look for peers from (--bootstrap-node)"
        )
    return Libp2pPool(
        Libp2pOptions(
            secret=_secret(options),
            listen_address=options["listen_address"],
            tcp_port=options["tcp_port"],
            external_address=_external_address(options["nat"]),
            direct_peers=direct,
            discovery=discovery,
            max_peers=options["max_peers"],
            hard_max_peers=options["hard_max_peers"],
            directory=_directory(options),
            agent=options["agent_string"] or f"lightclient/{__version__}",
        )
    )


def _looks_for_peers(options: dict[str, Any]) -> bool:
    """Unless that is said: where there is no REST provider, or a node to look from is named."""
    is_asked_for: bool | None = options["discv5"]
    if is_asked_for is not None:
        return is_asked_for
    is_named = options["bootstrap_node"] or options["bootstrap_file"]
    return bool(is_named or not options["rest_url"])


def _secret(options: dict[str, Any]) -> bytes:
    if options["data_dir"] is None or options["ephemeral_identity"]:
        return new_identity().secret
    return load_identity(Path(options["data_dir"])).secret


def _directory(options: dict[str, Any]) -> Path | None:
    return None if options["data_dir"] is None else Path(options["data_dir"])


def _external_address(nat: str | None) -> str | None:
    if nat in (None, "any", "none"):
        return None
    if not nat.startswith(_EXTERNAL):
        raise click.UsageError(f"--nat is {nat[:40]!r}: it is extip:IP, any or none")
    try:
        address = ip_address(nat.removeprefix(_EXTERNAL))
    except ValueError:
        raise click.UsageError(f"--nat is {nat[:40]!r}: that is no IP address") from None
    if address.is_unspecified or address.is_multicast:
        raise click.UsageError(f"--nat is {nat[:40]!r}: nobody can be reached at that address")
    return str(address)


def _discovery(options: dict[str, Any]) -> DiscoveryOptions:
    named = [("--bootstrap-node", text) for text in options["bootstrap_node"]]
    named += [("--bootstrap-file", text) for text in _lines(options["bootstrap_file"])]
    records = [_record(where, text) for where, text in named]
    return DiscoveryOptions(
        udp_port=options["udp_port"],
        bootstrap_nodes=records,
        directory=_directory(options),
        learns_address=options["nat"] != "none",
    )


def _record(where: str, text: str) -> NodeRecord:
    try:
        return parse_record(text)
    except DecodeError as error:
        raise ConfigError(f"{where}: {text[:40]}...: {error}") from None


def _lines(path: str | None) -> list[str]:
    """The records of a file, in plain lines or as a list of YAML or JSON; after # is comment.

    Multiaddresses and enode URLs stand in such files, too; they are not for discovery.
    """
    if path is None:
        return []
    try:
        with Path(path).open(encoding="utf-8-sig", errors="replace") as file:
            text = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise click.UsageError(f"--bootstrap-file {path}: {error.strerror or error}") from None
    if len(text) > _MAX_FILE:
        raise click.UsageError(f"--bootstrap-file {path}: larger than {_MAX_FILE} characters")
    lines = [
        line.partition("#")[0].strip().lstrip("-[ ").strip("\"',] ") for line in text.splitlines()
    ]
    records = [line for line in lines if line.startswith("enr:")]
    if not records:
        raise click.UsageError(f"--bootstrap-file {path}: holds no node record (enr:...)")
    return records
