"""A network from an already parsed configuration: ints and strings under the specification's keys.

The same reading serves a ``config.yaml`` (where every value is text), the Beacon API's
``/eth/v1/config/spec`` and the JSON of test vectors. Keys that the light client does not need are
ignored; a key that it needs and cannot read is a :class:`ConfigError` that names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final

from lightclient.config.forks import FAR_FUTURE_EPOCH, FORKS
from lightclient.config.network import (
    BASIS_POINTS,
    BlobParameters,
    Network,
    Preset,
    ScheduledFork,
)
from lightclient.config.presets import (
    CONFIG_DEFAULTS,
    ConfigDefaults,
    placeholder_fork_version,
    preset_by_name,
)
from lightclient.errors import ConfigError

UINT64_MAX: Final = 2**64 - 1
MAX_GENESIS_TIME: Final = 253_402_300_799
"""The last second of the year 9999: beyond it a number is not a genesis time."""
MAX_SLOT_DURATION_MS: Final = 86_400_000
MAX_BLOB_SCHEDULE_ENTRIES: Final = 4096

_DECIMAL: Final = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)
_VERSION: Final = re.compile(r"0x[0-9a-fA-F]{8}", re.ASCII)
_ROOT: Final = re.compile(r"(?:0x)?([0-9a-fA-F]{64})", re.ASCII)
_NAME: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,62}[\x21-\x7e])?", re.ASCII)


def network_from_config_mapping(
    config: Mapping[str, object],
    *,
    name: str | None = None,
    genesis_time: int = 0,
    genesis_validators_root: bytes | str = bytes(32),
    preset: str | Preset | None = None,
    check_order: bool = True,
    bootstrap_nodes: Sequence[str] = (),
    source: str = "configuration",
) -> Network:
    """The network that ``config`` describes.

    A fork without an epoch is not scheduled. Everything else that ``config`` leaves out comes from
    its preset: fork versions too.

    Args:
        config: specification keys to ints, decimal or hex strings; BLOB_SCHEDULE is a sequence of
            mappings. Keys that are not known are ignored.
        name: defaults to CONFIG_NAME, then to ``custom``.
        genesis_time: Unix time in seconds.
        genesis_validators_root: 32 bytes, or their hex with or without ``0x``.
        preset: used where ``config`` has no PRESET_BASE; a contradiction is an error.
        check_order: refuse fork epochs that do not ascend in fork order.
        bootstrap_nodes: ENRs, as text.
        source: where ``config`` comes from, for errors.

    Raises:
        ConfigError: naming ``source`` and the key.
    """
    if not isinstance(config, Mapping):
        raise ConfigError(f"{source}: {_shown(config)} is not a mapping of keys to values")
    reader = _Reader(config, source)
    base = _read_preset_base(reader, preset)
    defaults = CONFIG_DEFAULTS.get(base.name, CONFIG_DEFAULTS["mainnet"])
    forks = _read_forks(reader, defaults)
    if check_order:
        _check_fork_order(forks, source)
    churn_limit_quotient = reader.uint("CHURN_LIMIT_QUOTIENT", defaults.churn_limit_quotient)
    min_validator_withdrawability_delay = reader.uint(
        "MIN_VALIDATOR_WITHDRAWABILITY_DELAY", defaults.min_validator_withdrawability_delay
    )
    return Network(
        name=name if name is not None else reader.name(),
        preset=_apply_preset_overrides(reader, base),
        genesis_time=parse_genesis_time(genesis_time, source=f"{source}: genesis_time"),
        genesis_validators_root=parse_root(
            genesis_validators_root, source=f"{source}: genesis_validators_root"
        ),
        slot_duration_ms=_read_slot_duration_ms(reader, base),
        forks=forks,
        blob_schedule=_read_blob_schedule(reader),
        max_blobs_per_block_electra=reader.uint(
            "MAX_BLOBS_PER_BLOCK_ELECTRA", defaults.max_blobs_per_block_electra
        ),
        churn_limit_quotient=churn_limit_quotient,
        min_validator_withdrawability_delay=min_validator_withdrawability_delay,
        min_epochs_for_block_requests=_read_min_epochs(
            reader,
            defaults,
            computed=min_validator_withdrawability_delay + churn_limit_quotient // 2,
        ),
        deposit_chain_id=reader.uint("DEPOSIT_CHAIN_ID", defaults.deposit_chain_id),
        sync_message_due_bps=reader.uint("SYNC_MESSAGE_DUE_BPS", 3333, high=BASIS_POINTS),
        sync_message_due_bps_gloas=reader.uint(
            "SYNC_MESSAGE_DUE_BPS_GLOAS", 2500, high=BASIS_POINTS
        ),
        custody_requirement=reader.uint("CUSTODY_REQUIREMENT", 4),
        bootstrap_nodes=tuple(bootstrap_nodes),
    )


def parse_genesis_time(value: object, *, source: str) -> int:
    """A genesis time in Unix seconds; :class:`ConfigError` beyond the year 9999."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigError(f"{source}: {_shown(value)} is not a number of seconds")
    if not 0 <= value <= MAX_GENESIS_TIME:
        raise ConfigError(f"{source}: {_shown(value)} is not a Unix time in seconds")
    return value


def parse_root(value: object, *, source: str) -> bytes:
    """32 bytes from bytes or from hex with or without ``0x``; :class:`ConfigError` otherwise."""
    if isinstance(value, (bytes, bytearray)) and len(value) == 32:
        return bytes(value)
    if isinstance(value, str) and (match := _ROOT.fullmatch(value)):
        return bytes.fromhex(match[1])
    raise ConfigError(f"{source}: {_shown(value)} is not 32 bytes in hex")


def _shown(value: object) -> str:
    """``value`` for an error: short, printable, whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (str, bytes, bytearray)):
        return ascii(value[:60]) + (f"... ({len(value)} long)" if len(value) > 60 else "")
    if isinstance(value, (int, float)) or value is None:
        return repr(value)
    return f"a {type(value).__name__}"


class _Reader:
    """Typed access to a configuration; every error names the source and the key."""

    def __init__(self, config: Mapping[str, object], source: str) -> None:
        self._config = config
        self.source = source

    def get(self, key: str) -> object:
        return self._config.get(key)

    def has(self, key: str) -> bool:
        return self._config.get(key) is not None

    def fault(self, key: str, problem: str) -> ConfigError:
        return ConfigError(f"{self.source}: {key}: {problem}")

    def uint(self, key: str, default: int, *, low: int = 0, high: int = UINT64_MAX) -> int:
        value = self._config.get(key)
        return default if value is None else self.as_uint(key, value, low=low, high=high)

    def as_uint(self, key: str, value: object, *, low: int = 0, high: int = UINT64_MAX) -> int:
        if isinstance(value, str) and _DECIMAL.fullmatch(value):
            number = int(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            number = value
        else:
            raise self.fault(key, f"{_shown(value)} is not a whole decimal number")
        if not low <= number <= high:
            raise self.fault(key, f"{_shown(number)} is not between {low} and {high}")
        return number

    def version(self, key: str) -> bytes | None:
        value = self._config.get(key)
        if value is None:
            return None
        if isinstance(value, str) and _VERSION.fullmatch(value):
            return bytes.fromhex(value[2:])
        # YAML's own reading of an unquoted 0x01000000.
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 32:
            return value.to_bytes(4, "big")
        raise self.fault(key, f"{_shown(value)} is not 0x and 8 hex digits")

    def name(self) -> str:
        value = self._config.get("CONFIG_NAME")
        if value is None or value == "":
            return "custom"
        if isinstance(value, str) and _NAME.fullmatch(value):
            return value
        raise self.fault("CONFIG_NAME", f"{_shown(value)} is not 1 to 64 printable characters")


def _read_preset_base(reader: _Reader, given: str | Preset | None) -> Preset:
    argument = preset_by_name(given) if isinstance(given, str) else given
    value = reader.get("PRESET_BASE")
    if value is None:
        if argument is None:
            raise reader.fault("PRESET_BASE", "missing; it must be mainnet, minimal or gnosis")
        return argument
    if not isinstance(value, str):
        raise reader.fault("PRESET_BASE", f"{_shown(value)} is not a preset's name")
    try:
        base = preset_by_name(value)
    except ConfigError as error:
        raise reader.fault("PRESET_BASE", str(error)) from None
    if argument is not None and argument.name != base.name:
        raise reader.fault("PRESET_BASE", f"{base.name} contradicts the preset {argument.name}")
    return argument or base


def _apply_preset_overrides(reader: _Reader, base: Preset) -> Preset:
    preset = Preset(
        name=base.name,
        slots_per_epoch=reader.uint("SLOTS_PER_EPOCH", base.slots_per_epoch, low=1, high=1 << 16),
        epochs_per_sync_committee_period=reader.uint(
            "EPOCHS_PER_SYNC_COMMITTEE_PERIOD",
            base.epochs_per_sync_committee_period,
            low=1,
            high=1 << 32,
        ),
        sync_committee_size=reader.uint(
            "SYNC_COMMITTEE_SIZE", base.sync_committee_size, low=1, high=1 << 16
        ),
        min_sync_committee_participants=reader.uint(
            "MIN_SYNC_COMMITTEE_PARTICIPANTS", base.min_sync_committee_participants, low=1
        ),
        slot_duration_ms=base.slot_duration_ms,
    )
    if preset.min_sync_committee_participants > preset.sync_committee_size:
        raise reader.fault("MIN_SYNC_COMMITTEE_PARTICIPANTS", "more than SYNC_COMMITTEE_SIZE")
    update_timeout = reader.uint("UPDATE_TIMEOUT", preset.update_timeout)
    if update_timeout != preset.update_timeout:
        raise reader.fault(
            "UPDATE_TIMEOUT",
            f"{update_timeout} is not SLOTS_PER_EPOCH x EPOCHS_PER_SYNC_COMMITTEE_PERIOD, "
            f"here {preset.update_timeout}",
        )
    return preset


def _read_slot_duration_ms(reader: _Reader, base: Preset) -> int:
    if reader.has("SLOT_DURATION_MS"):
        return reader.uint("SLOT_DURATION_MS", 0, low=1, high=MAX_SLOT_DURATION_MS)
    if reader.has("SECONDS_PER_SLOT"):
        return 1000 * reader.uint("SECONDS_PER_SLOT", 0, low=1, high=MAX_SLOT_DURATION_MS // 1000)
    return base.slot_duration_ms


def _read_min_epochs(reader: _Reader, defaults: ConfigDefaults, *, computed: int) -> int:
    """MIN_EPOCHS_FOR_BLOCK_REQUESTS, which newer configurations leave to be computed."""
    key = "MIN_EPOCHS_FOR_BLOCK_REQUESTS"
    parts = ("CHURN_LIMIT_QUOTIENT", "MIN_VALIDATOR_WITHDRAWABILITY_DELAY")
    if not reader.has(key) and any(map(reader.has, parts)):
        return computed
    return reader.uint(key, defaults.min_epochs_for_block_requests)


def _read_forks(reader: _Reader, defaults: ConfigDefaults) -> tuple[ScheduledFork, ...]:
    forks: list[ScheduledFork] = []
    taken: set[bytes] = set()
    for fork in FORKS:
        if fork.index == 0:
            version, epoch = reader.version("GENESIS_FORK_VERSION"), 0
        else:
            version = reader.version(f"{fork.name.upper()}_FORK_VERSION")
            epoch = reader.uint(f"{fork.name.upper()}_FORK_EPOCH", FAR_FUTURE_EPOCH)
        if version is None:
            version = defaults.fork_version(fork.index)
            if epoch == FAR_FUTURE_EPOCH and version in taken:
                version = placeholder_fork_version(fork.index)
        taken.add(version)
        forks.append(ScheduledFork(fork, version, epoch))
    return tuple(forks)


def _check_fork_order(forks: Sequence[ScheduledFork], source: str) -> None:
    for earlier, later in pairwise(forks):
        if earlier.epoch > later.epoch:
            key = f"{later.fork.name.upper()}_FORK_EPOCH"
            other = f"{earlier.fork.name.upper()}_FORK_EPOCH"
            when = "not scheduled" if earlier.epoch == FAR_FUTURE_EPOCH else str(earlier.epoch)
            raise ConfigError(
                f"{source}: {key}: {later.epoch} lies before {other}, which is {when}; "
                f"forks activate in the order {earlier.fork.name}, {later.fork.name}"
            )


def _read_blob_schedule(reader: _Reader) -> tuple[BlobParameters, ...]:
    key = "BLOB_SCHEDULE"
    value = reader.get(key)
    if value is None or value in ("", "~", "null"):  # YAML's ways to say nothing, as text
        return ()
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise reader.fault(key, f"{_shown(value)} is not a list of entries")
    if len(value) > MAX_BLOB_SCHEDULE_ENTRIES:
        raise reader.fault(key, f"{len(value)} entries are too many")
    entries: list[BlobParameters] = []
    for index, item in enumerate(value):
        place = f"{key}[{index}]"
        if not isinstance(item, Mapping):
            raise reader.fault(place, f"{_shown(item)} has no EPOCH and MAX_BLOBS_PER_BLOCK")
        epoch = reader.as_uint(f"{place}.EPOCH", item.get("EPOCH"))
        blobs = reader.as_uint(f"{place}.MAX_BLOBS_PER_BLOCK", item.get("MAX_BLOBS_PER_BLOCK"))
        if epoch == FAR_FUTURE_EPOCH:
            continue
        if entries and epoch <= entries[-1].epoch:
            raise reader.fault(place, f"EPOCH {epoch} does not come after {entries[-1].epoch}")
        entries.append(BlobParameters(epoch, blobs))
    return tuple(entries)
