"""``compute_fork_digest.json``: fork digests with the blob schedule mixed in, one case an entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightclient.config import Network, network_by_name
from lightclient.containers import parse_json
from lightclient.errors import ConfigError, DecodeError
from lightclient_cli.spec_tests.case import (
    Case,
    CaseFailed,
    as_list,
    as_mapping,
    expect,
    number,
    octets,
    read_bounded,
)
from lightclient_cli.spec_tests.chain import network_of

FILE_NAME = "compute_fork_digest.json"
HANDLER = "compute_fork_digest"


def find_fork_digests(path: Path) -> Iterator[Case]:
    """The cases of one file; a file that cannot be read is a case that fails."""
    broken = Case(path, "", "", "extra", HANDLER, "", path.name)
    try:
        groups = _read(path)
        for group_name, group in groups.items():
            if not isinstance(group, dict) or "cases" not in group:
                continue
            for index, _ in enumerate(as_list(group["cases"], "cases")):
                entry = f"{group_name}[{index}]"
                yield _identified(replace(broken, entry=entry))
    except CaseFailed:
        yield broken


def _identified(case: Case) -> Case:
    """The case with the preset and the fork of its entry, where they can be told."""
    try:
        network, entry = _network_and_entry(case)
        fork = network.fork_at_epoch(number(entry, "epoch"))
    except CaseFailed:
        return case
    return replace(case, preset=network.preset.name, fork=fork.name)


def run_fork_digest(case: Case) -> None:
    """The digest at the entry's epoch, and the fork version there."""
    network, entry = _network_and_entry(case)
    epoch = number(entry, "epoch")
    if "fork_version" in entry:
        version = octets(entry, "fork_version", 4)
        expect("the fork version", network.compute_fork_version(epoch), version)
    digest = octets(entry, "fork_digest", 4)
    expect("the fork digest", network.compute_fork_digest(epoch), digest)


def _network_and_entry(case: Case) -> tuple[Network, Mapping[str, Any]]:
    groups = _read(case.path)
    group_name, _, index = case.entry.partition("[")
    group = as_mapping(groups.get(group_name), group_name or "the file")
    cases = as_list(group.get("cases"), "cases")
    entry = as_mapping(cases[int(index[:-1])], case.entry)
    if "config" not in group:
        return _public_network(group_name, group), entry
    root = octets(entry, "genesis_validators_root", 32)
    config = {"PRESET_BASE": "mainnet", **as_mapping(group["config"], "config")}
    network = network_of(case, root, config)
    # The entry brings the version of whatever fork is in force.
    version = octets(entry, "fork_version", 4)
    in_force = network.scheduled_fork_at_epoch(number(entry, "epoch"))
    forks = tuple(
        replace(scheduled, version=version) if scheduled is in_force else scheduled
        for scheduled in network.forks
    )
    return replace(network, forks=forks), entry


def _public_network(name: str, group: Mapping[str, Any]) -> Network:
    try:
        network = network_by_name(name)
    except ConfigError as error:
        raise CaseFailed(str(error)) from None
    if "genesis_validators_root" in group:
        root = octets(group, "genesis_validators_root", 32)
        expect("the genesis validators root", network.genesis_validators_root, root)
    return network


def _read(path: Path) -> Mapping[str, Any]:
    try:
        return as_mapping(parse_json(read_bounded(path)), path.name)
    except DecodeError as error:
        raise CaseFailed(f"{path.name}: {error}") from None
