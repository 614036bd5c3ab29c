"""Which network a provider says it is on, and which schedule of forks: how that differs from ours.

Pure functions of what was announced. Nothing here is trusted, or even believed: see
``schedule_watch`` for what follows from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lightclient.config import Network
from lightclient.config.forks import FAR_FUTURE_EPOCH, FORKS_BY_NAME
from lightclient.config.networks import NETWORK_NAMES, network_by_name
from lightclient.ssz import Json
from lightclient.transports.base import Genesis, Spec

_FORK_EPOCH: Final = re.compile(r"([A-Z][A-Z0-9_]{0,39})_FORK_EPOCH", re.ASCII)
_DECIMAL: Final = re.compile(r"[0-9]{1,20}", re.ASCII)
_VERSION: Final = re.compile(r"0x[0-9a-f]{8}", re.ASCII)
_NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,40}", re.ASCII)
_MAX_CHANGES: Final = 16
"""A configuration that differs in more is no sign of an upgrade."""


@dataclass(frozen=True, slots=True)
class ScheduleChange:
    """One thing that a provider announces otherwise than the client knows it.

    Attributes:
        key: the configuration's key.
        fork: the fork's name in lower case; empty where it is not about a fork.
        ours, theirs: in words; ``ours`` is "unknown" for a fork that the client never heard of.
        epoch: from which on signatures cannot be verified if the provider is right; None if that
            makes no difference to what is verified.
    """

    key: str
    fork: str
    ours: str
    theirs: str
    epoch: int | None

    @property
    def is_unknown_fork(self) -> bool:
        """Whether the client never heard of the fork."""
        return self.ours == "unknown"


def other_network(network: Network, genesis: Genesis | None, spec: Spec | None) -> str | None:
    """What a provider says it serves in place of ``network``; None if it may be the same.

    The validators' root decides where it is told; only otherwise the configuration does.
    """
    if genesis is not None:
        ours = (network.genesis_time, network.genesis_validators_root)
        if (genesis.genesis_time, genesis.genesis_validators_root) != ours:
            return _other_genesis(network, genesis, spec)
    if spec is None:
        return None
    preset = _other_preset(network, spec)
    if preset is not None:
        return preset
    if genesis is not None:
        return None
    version = _text(spec, "GENESIS_FORK_VERSION")
    ours_version = network.forks[0].version
    if _VERSION.fullmatch(version) and bytes.fromhex(version[2:]) != ours_version:
        difference = f"its genesis fork version is {version}, not 0x{ours_version.hex()}"
        return _name_of(b"", spec, difference)
    name = _text(spec, "CONFIG_NAME")
    if name in NETWORK_NAMES and network.name in NETWORK_NAMES and name != network.name:
        return name
    return None


def _other_genesis(network: Network, genesis: Genesis, spec: Spec | None) -> str:
    """Its name with what of its genesis differs: a devnet that was begun anew keeps its name."""
    theirs, ours = genesis.genesis_validators_root, network.genesis_validators_root
    if theirs != ours:
        difference = f"its genesis validators root is {_short(theirs)}, not {_short(ours)}"
        return _name_of(theirs, spec, difference)
    difference = f"its genesis time is {genesis.genesis_time}, not {network.genesis_time}"
    return _name_of(b"", spec, difference)


def _short(root: bytes) -> str:
    return f"0x{root[:4].hex()}..."


def _name_of(genesis_validators_root: bytes, spec: Spec | None, difference: str) -> str:
    for name in NETWORK_NAMES:
        if network_by_name(name).genesis_validators_root == genesis_validators_root:
            return name
    announced = _text(spec, "CONFIG_NAME") if spec is not None else ""
    if _NAME.fullmatch(announced):
        difference = f"it calls it {announced}; {difference}"
    return f"another network ({difference})"


def _other_preset(network: Network, spec: Spec) -> str | None:
    preset = network.preset
    ours = {
        "SLOTS_PER_EPOCH": preset.slots_per_epoch,
        "EPOCHS_PER_SYNC_COMMITTEE_PERIOD": preset.epochs_per_sync_committee_period,
        "SYNC_COMMITTEE_SIZE": preset.sync_committee_size,
    }
    for key, value in ours.items():
        theirs = _uint(spec.get(key))
        if theirs is not None and theirs != value:
            base = _text(spec, "PRESET_BASE").lower()
            name = base if _NAME.fullmatch(base) and base != preset.name else "another"
            return f"a network of {name} preset ({key} is {theirs}, not {value})"
    return None


def schedule_changes(network: Network, spec: Spec) -> tuple[ScheduleChange, ...]:
    """What ``spec`` announces otherwise than ``network`` has it, unknown forks first."""
    found = [*_unknown_forks(spec), *_known_forks(network, spec)]
    found += [*_slot_durations(network, spec), *_blob_schedules(network, spec)]
    return tuple(found[:_MAX_CHANGES])


def _unknown_forks(spec: Spec) -> Iterator[ScheduleChange]:
    for key in sorted(spec):
        match = _FORK_EPOCH.fullmatch(key)
        name = match[1].lower() if match else ""
        epoch = _uint(spec[key])
        if name and name not in FORKS_BY_NAME and epoch is not None and epoch < FAR_FUTURE_EPOCH:
            yield ScheduleChange(key, name, "unknown", f"epoch {epoch}", epoch)


def _known_forks(network: Network, spec: Spec) -> Iterator[ScheduleChange]:
    for scheduled in network.forks:
        name = scheduled.fork.name
        theirs = 0 if scheduled.fork.index == 0 else _uint(spec.get(f"{name.upper()}_FORK_EPOCH"))
        if theirs is None:
            continue  # a node too old to know the fork tells nothing of it
        first = min(theirs, scheduled.epoch)
        if theirs != scheduled.epoch:
            key = f"{name.upper()}_FORK_EPOCH"
            yield ScheduleChange(key, name, _at(scheduled.epoch), _at(theirs), first)
        elif first < FAR_FUTURE_EPOCH and scheduled.fork.index > 0:
            yield from _versions(name, scheduled.version, spec, first)


def _versions(name: str, ours: bytes, spec: Spec, epoch: int) -> Iterator[ScheduleChange]:
    key = f"{name.upper()}_FORK_VERSION"
    theirs = _text(spec, key).lower()
    if _VERSION.fullmatch(theirs) and theirs != f"0x{ours.hex()}":
        yield ScheduleChange(key, name, f"version 0x{ours.hex()}", f"version {theirs}", epoch)


def _slot_durations(network: Network, spec: Spec) -> Iterator[ScheduleChange]:
    key, unit = "SLOT_DURATION_MS", 1
    if _uint(spec.get(key)) is None:
        key, unit = "SECONDS_PER_SLOT", 1000
    theirs = _uint(spec.get(key))
    if theirs is not None and theirs * unit != network.slot_duration_ms:
        ours = f"{network.slot_duration_ms} ms"
        yield ScheduleChange(key, "", ours, f"{theirs * unit} ms", None)


def _blob_schedules(network: Network, spec: Spec) -> Iterator[ScheduleChange]:
    key = "BLOB_SCHEDULE"
    entries = spec.get(key)
    if not isinstance(entries, list):
        return
    theirs: list[tuple[int, int]] = []
    for entry in entries[:4096]:
        if not isinstance(entry, Mapping):
            return
        epoch, blobs = _uint(entry.get("EPOCH")), _uint(entry.get("MAX_BLOBS_PER_BLOCK"))
        if epoch is None or blobs is None:
            return
        if epoch < FAR_FUTURE_EPOCH:
            theirs.append((epoch, blobs))
    ours = [(entry.epoch, entry.max_blobs_per_block) for entry in network.blob_schedule]
    if sorted(theirs) != ours:
        # Blob parameters enter the digests of the network, not what the committee signs.
        yield ScheduleChange(key, "", _listed(ours), _listed(sorted(theirs)), None)


def _listed(entries: list[tuple[int, int]]) -> str:
    shown = ", ".join(f"{blobs} from epoch {epoch}" for epoch, blobs in entries[-3:])
    return ("..., " if len(entries) > 3 else "") + shown if shown else "none"


def _at(epoch: int) -> str:
    return "not scheduled" if epoch == FAR_FUTURE_EPOCH else f"epoch {epoch}"


def _text(spec: Spec, key: str) -> str:
    value = spec.get(key)
    return value if isinstance(value, str) else ""


def _uint(value: Json | None) -> int | None:
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return min(int(value), FAR_FUTURE_EPOCH)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return min(value, FAR_FUTURE_EPOCH)
    return None


def date_of_epoch(network: Network, epoch: int) -> str:
    """When ``epoch`` begins, for people."""
    seconds = network.slot_start_ms(network.compute_start_slot_at_epoch(epoch)) // 1000
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
    except (ValueError, OverflowError, OSError):
        return "in some thousands of years"
