"""Light client objects of every kind, format and preset, made at random by an independent oracle.

The oracle is ``lightclient.beacon``: remerkleable types of the same containers.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from remerkleable.basic import uint
from remerkleable.bitfields import Bitvector as OracleBitvector
from remerkleable.byte_arrays import ByteList as OracleByteList
from remerkleable.byte_arrays import ByteVector as OracleByteVector
from remerkleable.complex import Container as OracleContainer
from remerkleable.complex import Vector as OracleVector

from lightclient.beacon import containers_for
from lightclient.config.forks import DATA_FORMATS, FAR_FUTURE_EPOCH, FORKS, DataFormat
from lightclient.config.network import Network, Preset, ScheduledFork
from lightclient.config.presets import PRESETS
from lightclient.containers import LightClientObject, ObjectKind, object_type
from lightclient.ssz import Container
from tests.measuring import unmeasured

ORACLE_NAMES = {
    ObjectKind.BOOTSTRAP: "LightClientBootstrap",
    ObjectKind.UPDATE: "LightClientUpdate",
    ObjectKind.FINALITY_UPDATE: "LightClientFinalityUpdate",
    ObjectKind.OPTIMISTIC_UPDATE: "LightClientOptimisticUpdate",
}


@dataclass(frozen=True)
class Shape:
    """A kind of object in one format of one preset."""

    kind: ObjectKind
    data_format: DataFormat
    preset: Preset

    @property
    def layout(self) -> Container[LightClientObject]:
        return object_type(self.kind, self.data_format, self.preset.sync_committee_size)

    @property
    def oracle(self) -> Any:
        return getattr(containers_for(self.data_format.name, self.preset), ORACLE_NAMES[self.kind])

    def __str__(self) -> str:
        return f"{self.preset.name}-{self.data_format.name}-{self.kind}"


SHAPES = [
    Shape(kind, data_format, preset)
    for preset in PRESETS.values()
    for data_format in DATA_FORMATS
    for kind in ObjectKind
]
MINIMAL_SHAPES = [shape for shape in SHAPES if shape.preset.name == "minimal"]


def random_view(view_type: Any, draw: random.Random, slot: int | None = None) -> Any:
    """A random instance; every ``slot`` in it is the one given, if one is."""
    if issubclass(view_type, OracleContainer):
        values = {}
        for name, kind in view_type.fields().items():
            given = slot is not None and name == "slot"
            values[name] = kind(slot) if given else random_view(kind, draw, slot)
        return view_type(**values)
    if issubclass(view_type, OracleBitvector):
        return view_type([draw.random() < 0.5 for _ in range(view_type.vector_length())])
    if issubclass(view_type, OracleByteList):
        return view_type(draw.randbytes(draw.randrange(view_type.limit() + 1)))
    if issubclass(view_type, OracleByteVector):
        return view_type(draw.randbytes(view_type.vector_length()))
    if issubclass(view_type, OracleVector):
        element = view_type.element_cls()
        return view_type([random_view(element, draw) for _ in range(view_type.vector_length())])
    assert issubclass(view_type, uint), view_type
    return view_type(draw.getrandbits(8 * view_type.type_byte_length()))


@lru_cache(256)
def random_ssz(shape: Shape, seed: int | str, slot: int | None = None) -> bytes:
    """SSZ of a random object, from the oracle alone."""
    draw = random.Random(f"{shape}-{seed}")
    with unmeasured():
        encoded: bytes = random_view(shape.oracle, draw, slot).encode_bytes()
    return encoded


@cache
def network_with_all_forks(preset: Preset) -> Network:
    """Every fork four epochs after the one before it; phase0 and altair from genesis on."""
    return Network(
        name="forks",
        preset=preset,
        genesis_time=0,
        genesis_validators_root=b"\x47" * 32,
        slot_duration_ms=preset.slot_duration_ms,
        forks=tuple(
            ScheduledFork(fork, bytes([fork.index, 1, 2, 3]), 4 * max(fork.index - 1, 0))
            for fork in FORKS
        ),
    )


def slot_of(data_format: DataFormat, network: Network) -> int:
    """The first slot of the last fork that uses the format."""
    epoch = max(s.epoch for s in network.forks if s.fork.data_format is data_format)
    assert epoch != FAR_FUTURE_EPOCH
    return network.compute_start_slot_at_epoch(epoch)


def digest_of(data_format: DataFormat, network: Network) -> bytes:
    epoch = network.compute_epoch_at_slot(slot_of(data_format, network))
    return network.compute_fork_digest(epoch)


def stream_of(*chunks: tuple[bytes, bytes]) -> bytes:
    """The Beacon API's update stream of (fork digest, SSZ) pairs."""
    return b"".join(
        (len(ssz) + len(digest)).to_bytes(8, "little") + digest + ssz for digest, ssz in chunks
    )
