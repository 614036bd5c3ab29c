"""The network that a vector's ``config.yaml`` describes, and objects by their fork digest."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from lightclient.config import FORKS_BY_NAME, Fork, Network, network_from_config_mapping
from lightclient.config.presets import PRESETS
from lightclient.containers import LightClientObject, ObjectKind, object_type
from lightclient.errors import ConfigError
from lightclient_cli.spec_tests.case import Case, CaseFailed

if TYPE_CHECKING:
    from collections.abc import Mapping


def network_of(
    case: Case, genesis_validators_root: bytes, config: Mapping[str, Any] | None = None
) -> Network:
    """The network of ``config``, by default of the case's ``config.yaml``."""
    if config is None:
        config = case.mapping("config.yaml")
    try:
        # Vectors start chains in any fork; some leave the epochs of earlier forks where they were.
        return network_from_config_mapping(
            config,
            name="vector",
            genesis_validators_root=genesis_validators_root,
            check_order=False,
            source="config",
        )
    except ConfigError as error:
        raise CaseFailed(str(error)) from None


@cache
def preset_network(preset: str) -> Network:
    """A network without any fork, for vectors that need the preset only."""
    return network_from_config_mapping({}, preset=preset)


def known_preset(case: Case) -> str:
    """The case's preset, if there is one of that name."""
    if case.preset not in PRESETS:
        raise CaseFailed(f"no such preset: {case.preset[:60]!a}")
    return case.preset


def known_fork(case: Case) -> Fork:
    """The case's fork, if there is one of that name."""
    fork = FORKS_BY_NAME.get(case.fork)
    if fork is None:
        raise CaseFailed(f"no such fork: {case.fork[:60]!a}")
    return fork


def fork_of_digest(digest: bytes, network: Network) -> Fork:
    """The fork whose digest this is under the case's config."""
    fork = network.forks_by_digest.get(digest)
    if fork is None:
        raise CaseFailed(f"0x{digest.hex()} is the digest of no fork in config.yaml")
    return fork


def decode_object(kind: ObjectKind, data: bytes, fork: Fork, network: Network) -> LightClientObject:
    """``data`` in the format of ``fork``; raises DecodeError."""
    return object_type(kind, fork.data_format, network.preset.sync_committee_size).decode(data)
