"""Single objects and values: encodings, roots, headers, ranks, fork versions and digests.

Each function draws one case and raises Mismatch where we and the specification differ.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from itertools import product
from random import Random
from typing import Any

from lightclient.config import FORKS, GENESIS_SLOT, Network, network_from_config_mapping
from lightclient.config.forks import DATA_FORMATS, FORKS_BY_NAME
from lightclient.containers import (
    BEACON_BLOCK_HEADER,
    LightClientHeader,
    LightClientUpdate,
    ObjectKind,
    SyncAggregate,
    default_sync_committee,
    encode_ssz,
    execution_payload_header_type,
    light_client_header_type,
    object_type,
    sync_aggregate_type,
    sync_committee_type,
    zero_branch,
)
from lightclient.errors import ConfigError, DecodeError
from lightclient.protocol import (
    get_lc_execution_root,
    is_better_update,
    is_finality_update,
    is_sync_committee_update,
    is_valid_light_client_header,
)
from lightclient.ssz import ZERO_NODE, Container
from lightclient.sync import VerifiedHeader
from tests.oracle.comparing import Mismatch
from tests.oracle.forging import Forge
from tests.oracle.mutations import mutated_bytes, odd_header
from tests.oracle.specification import PACKAGE, Specification, decoded, is_canonical
from tests.oracle.worlds import FORK_NAMES, drawn_world, formats_for

PRESETS = ("minimal", "mainnet")


@cache
def plain_specification(preset: str) -> Specification:
    """The specification with its own configuration: for types, which do not depend on it."""
    return Specification(network_from_config_mapping({"ALTAIR_FORK_EPOCH": 0}, preset=preset))


# Encodings ----------------------------------------------------------------------------------------


@cache
def _layouts(preset: str, fork: str) -> dict[str, Container[Any]]:
    size = 32 if preset == "minimal" else 512
    data_format = FORKS_BY_NAME[fork].data_format
    layouts: dict[str, Container[Any]] = {
        "LightClientBootstrap": object_type(ObjectKind.BOOTSTRAP, data_format, size),
        "LightClientUpdate": object_type(ObjectKind.UPDATE, data_format, size),
        "LightClientFinalityUpdate": object_type(ObjectKind.FINALITY_UPDATE, data_format, size),
        "LightClientOptimisticUpdate": object_type(ObjectKind.OPTIMISTIC_UPDATE, data_format, size),
        "LightClientHeader": light_client_header_type(data_format),
        "SyncCommittee": sync_committee_type(size),
        "SyncAggregate": sync_aggregate_type(size),
        "BeaconBlockHeader": BEACON_BLOCK_HEADER,
    }
    if data_format.header == "payload":
        layouts["ExecutionPayloadHeader"] = execution_payload_header_type(data_format.blob_gas)
    return layouts


def compare_encoding(draw: Random) -> str:
    """Random and damaged bytes of every container of every fork."""
    preset = draw.choice(["minimal", "minimal", "minimal", "mainnet"])
    fork = draw.choice(FORK_NAMES)
    layouts = _layouts(preset, fork)
    name = draw.choice([*layouts, *list(layouts)[:5]])
    layout = layouts[name]
    view_type = getattr(plain_specification(preset).modules[fork], name)
    data = _drawn_bytes(draw, _samples(preset, fork, name))
    view = decoded(view_type, data)
    expected = view is not None and is_canonical(view, data)
    try:
        value = layout.decode(data)
    except DecodeError as error:
        if expected:
            raise Mismatch(f"{preset} {fork} {name} refused: {error}: {data.hex()}") from None
        return f"{fork} undecodable"
    if not expected:
        raise Mismatch(f"{preset} {fork} {name} decoded, though not its one encoding: {data.hex()}")
    where = f"{preset} {fork} {name}"
    if layout.encode(value) != data:
        raise Mismatch(f"{where} encodes to other bytes: {data.hex()}")
    if layout.hash_tree_root(value) != bytes(view.hash_tree_root()):
        raise Mismatch(f"{where} has another root: {data.hex()}")
    as_json = layout.to_json(value)
    if layout.encode(layout.from_json(as_json)) != data:
        raise Mismatch(f"{where} does not survive JSON: {data.hex()}")
    encode = import_module(f"{PACKAGE}.debug.encode").encode
    # A committee of 512 in JSON takes the specification longer than all the rest.
    if (preset == "minimal" or draw.random() < 0.1) and as_json != _quoted(encode(view)):
        raise Mismatch(f"{where} has other JSON: {data.hex()}")
    return f"{fork} encoding"


@cache
def _samples(preset: str, fork: str, name: str) -> tuple[bytes, ...]:
    """Encodings of an empty object and of some with all sorts of values."""
    random_value = import_module(f"{PACKAGE}.debug.random_value")
    view_type = getattr(plain_specification(preset).modules[fork], name)
    draw = Random(f"{preset} {fork} {name}")
    views = [
        random_value.get_random_ssz_object(draw, view_type, 64, 64, mode, chaos=False)
        for mode in random_value.RandomizationMode
    ]
    return tuple(bytes(view.encode_bytes()) for view in (view_type(), *views))


def _drawn_bytes(draw: Random, samples: tuple[bytes, ...]) -> bytes:
    data = draw.choice(samples)
    if draw.random() < 0.1:
        return draw.randbytes(len(data) + draw.choice([0, 0, 0, 0, 1, 20, -1]))
    while draw.random() < 0.6:
        start = draw.randrange(len(data))
        end = min(len(data), start + draw.choice([1, 8, 32, 100, 10_000]))
        data = data[:start] + draw.randbytes(end - start) + data[end:]
    while draw.random() < 0.35 and len(data) > 8:
        _name, data = mutated_bytes(draw, data)
    return data


def _quoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _quoted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return str(value) if isinstance(value, int) else value


# Headers ------------------------------------------------------------------------------------------


def compare_header(draw: Random) -> str:
    """``is_valid_light_client_header``, ``get_lc_execution_root``, and both after each upgrade."""
    world = drawn_world(draw, "minimal")
    network = world.network
    specification = Specification(network, world.store_fork)
    forge = Forge(network, specification, draw)
    slot = max(draw.choice([0, *world.boundaries]) + draw.randrange(-2, 12), 0)
    block = forge.block(slot, rows=forge.rows_at(slot, confusion=0.15))
    own = DATA_FORMATS.index(network.fork_at_slot(slot).data_format)
    known = [FORKS_BY_NAME[name].data_format for name in formats_for(world)]
    header = forge.header(block, draw.choice(known[own:]))
    while draw.random() < 0.4:
        header = odd_header(draw, header, forge)
    fork = network.fork_at_slot(header.beacon.slot)
    if header.data_format not in known[DATA_FORMATS.index(fork.data_format) :]:
        return f"{fork.name} header of an older format"
    _compare_header_in_all_formats(header, network, specification.modules)
    return f"{fork.name} header"


def _compare_header_in_all_formats(
    header: LightClientHeader, network: Network, modules: dict[str, Any]
) -> None:
    ours = is_valid_light_client_header(header, network)
    root = get_lc_execution_root(header, network)
    layout = light_client_header_type(header.data_format)
    data = layout.encode(header)
    view = modules[header.data_format.name].LightClientHeader.decode_bytes(data)
    for data_format in DATA_FORMATS[DATA_FORMATS.index(header.data_format) :]:
        module = modules[data_format.name]
        if data_format is not header.data_format:
            view = getattr(module, f"upgrade_lc_header_to_{data_format.name}")(view)
        valid = bool(module.is_valid_light_client_header(view))
        if data_format.header == "block_hash" and header.data_format.header == "payload":
            # The upgrade may drop what makes the header invalid, but never makes it invalid.
            if ours and not valid:
                raise Mismatch(f"invalid as {data_format.name}, but we take it: {data.hex()}")
        elif ours is not valid:
            raise Mismatch(f"valid as {data_format.name}: {valid}, not {ours}: {data.hex()}")
        # A newer module forgets what an older format proves of a genesis block's execution.
        forgotten = header.beacon.slot == GENESIS_SLOT and header.execution is not None
        comparable = data_format is header.data_format or not forgotten
        if ours and data_format.header == "block_hash":
            block_hash = VerifiedHeader(header, network).execution_block_hash or ZERO_NODE
            if block_hash != bytes(view.execution_block_hash):
                raise Mismatch(f"execution_block_hash: {block_hash.hex()} of {data.hex()}")
        if ours and comparable and hasattr(module, "get_lc_execution_root"):
            theirs = bytes(module.get_lc_execution_root(view))
            if theirs != root:
                raise Mismatch(
                    f"get_lc_execution_root as {data_format.name}: {theirs.hex()}, not"
                    f" {root.hex()}: {data.hex()}"
                )


# Ranks --------------------------------------------------------------------------------------------


def _drawn_update(draw: Random, network: Network) -> LightClientUpdate:
    data_format = draw.choice(DATA_FORMATS)
    size = network.preset.sync_committee_size
    period = network.preset.slots_per_sync_committee_period
    layout = light_client_header_type(data_format)

    def header() -> LightClientHeader:
        slot = max(draw.choice([1, 2]) * period + draw.choice([-2, -1, 0, 0, 1, 5]), 0)
        beacon = BEACON_BLOCK_HEADER.default()
        beacon = type(beacon)(slot, 0, beacon.parent_root, beacon.state_root, beacon.body_root)
        empty = layout.default()
        return LightClientHeader(
            data_format,
            beacon,
            empty.execution,
            empty.execution_branch,
            empty.execution_block_hash,
        )

    def branch(depth: int) -> tuple[bytes, ...]:
        nodes = list(zero_branch(depth))
        if draw.random() < 0.6:
            nodes[draw.randrange(depth)] = draw.choice([b"\x01" * 32, bytes(31) + b"\x01"])
        return tuple(nodes)

    two_thirds = -(-2 * size // 3)
    counts = [0, 1, two_thirds - 1, two_thirds, two_thirds + 1, size, draw.randrange(size + 1)]
    seats = draw.sample(range(size), draw.choice(counts))
    bits = sum(1 << seat for seat in seats).to_bytes(size // 8, "little")
    attested = header()
    return LightClientUpdate(
        data_format,
        attested,
        default_sync_committee(size),
        branch(data_format.next_sync_committee_branch_depth),
        header(),
        branch(data_format.finality_branch_depth),
        SyncAggregate(bits, bytes(96)),
        attested.beacon.slot + draw.choice([1, 1, 2, period]),
    )


@cache
def _gloas_specification() -> Specification:
    network = network_from_config_mapping({"ALTAIR_FORK_EPOCH": 0}, preset="minimal")
    return Specification(network, "gloas")


def compare_ranks(draw: Random) -> str:
    """``is_better_update`` both ways, in the newest format, and what it looks at."""
    specification = _gloas_specification()
    network, newest = specification.network, specification.module
    ours = [_drawn_update(draw, network) for _ in range(4)]
    theirs = []
    for update in ours:
        view = specification.decode(ObjectKind.UPDATE, update.data_format, encode_ssz(update))
        theirs.append(specification.upgraded(ObjectKind.UPDATE, view, update.data_format))
    for one, other in product(range(4), range(4)):
        expected = bool(newest.is_better_update(theirs[one], theirs[other]))
        if is_better_update(ours[one], ours[other], network) is not expected:
            raise Mismatch(f"is_better_update must be {expected}: {ours[one]} {ours[other]}")
    for update, view in zip(ours, theirs, strict=True):
        if is_finality_update(update) is not bool(newest.is_finality_update(view)):
            raise Mismatch(f"is_finality_update: {update}")
        if is_sync_committee_update(update) is not bool(newest.is_sync_committee_update(view)):
            raise Mismatch(f"is_sync_committee_update: {update}")
    return "sixteen pairs ranked"


# Fork versions and digests ------------------------------------------------------------------------


def compare_digests(draw: Random) -> str:
    """``compute_fork_version`` and ``compute_fork_digest`` of a random configuration."""
    config: dict[str, object] = {"GENESIS_FORK_VERSION": "0x" + draw.randbytes(4).hex()}
    epoch = 0
    last = draw.randrange(1, len(FORK_NAMES) + 1)
    for name in FORK_NAMES[:last]:
        epoch += draw.choice([0, 0, 1, 2, 50, 2**40])
        config[f"{name.upper()}_FORK_EPOCH"] = epoch
        config[f"{name.upper()}_FORK_VERSION"] = "0x" + draw.randbytes(4).hex()
    config["MAX_BLOBS_PER_BLOCK_ELECTRA"] = draw.randrange(1, 2**32)
    entries = [
        {
            "EPOCH": max(0, epoch + draw.randrange(-8, 30)),
            "MAX_BLOBS_PER_BLOCK": draw.randrange(2**20),
        }
        for _ in range(draw.randrange(5))
    ]
    if draw.random() < 0.8:
        entries = sorted(
            {entry["EPOCH"]: entry for entry in entries}.values(), key=lambda e: e["EPOCH"]
        )
    config["BLOB_SCHEDULE"] = entries
    try:
        network = network_from_config_mapping(
            config,
            preset=draw.choice(PRESETS),
            genesis_validators_root=draw.randbytes(32),
        )
    except ConfigError:
        return "configurations refused"
    specification = Specification(network, FORKS[-1].name)
    epochs = {scheduled.epoch for scheduled in network.forks[: last + 1]}
    epochs |= {entry["EPOCH"] for entry in entries} | {0, draw.randrange(100)}
    for near in {number + by for number in epochs for by in (-1, 0, 1)}:
        if near >= 0:
            _compare_epoch(near, network, specification)
    return "configurations"


def _compare_epoch(epoch: int, network: Network, specification: Specification) -> None:
    module = specification.module
    theirs = bytes(module.compute_fork_version(module.Epoch(epoch)))
    if network.compute_fork_version(epoch) != theirs:
        raise Mismatch(f"compute_fork_version({epoch}) of {network}")
    root = module.Root(network.genesis_validators_root)
    digest = bytes(module.compute_fork_digest(root, module.Epoch(epoch)))
    if network.compute_fork_digest(epoch) != digest:
        raise Mismatch(f"compute_fork_digest({epoch}): {digest.hex()} of {network}")
    # Two forks may activate together, and forks without blob parameters in either order.
    if (
        digest in network.forks_by_digest
        and network.forks_by_digest[digest].data_format
        is not network.fork_at_epoch(epoch).data_format
    ):
        raise Mismatch(f"forks_by_digest[{digest.hex()}] is not the fork at {epoch} of {network}")


COMPARISONS: tuple[tuple[float, Callable[[Random], str]], ...] = (
    (10, compare_encoding),
    (4, compare_header),
    (3, compare_ranks),
    (1, compare_digests),
)
"""What to compare, and how often."""


def compare_any(draw: Random) -> str:
    """One comparison of any sort; says what it was."""
    weights = [weight for weight, _function in COMPARISONS]
    return draw.choices([function for _weight, function in COMPARISONS], weights)[0](draw)
