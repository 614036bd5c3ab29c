"""The boundary to remerkleable: makes its types from names, lengths and fields.

remerkleable has no type annotations that a checker could rely on, so its views and types are
``Any`` from here on, under the names ``View`` and ``ViewType``. Equal definitions give the same
type, in every fork and preset: a Checkpoint is one class.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias

from remerkleable.basic import boolean, byte, uint8, uint64, uint256
from remerkleable.bitfields import Bitlist, Bitvector
from remerkleable.byte_arrays import ByteList, ByteVector
from remerkleable.complex import Container, List, Vector
from remerkleable.progressive import ProgressiveBitlist, ProgressiveContainer, ProgressiveList

from lightclient.beacon.flat_sequences import add_flat_coding

View: TypeAlias = Any
"""An instance of a remerkleable type: ``hash_tree_root()``, ``encode_bytes()``, its fields."""

ViewType: TypeAlias = Any
"""A remerkleable type: call it with fields as keywords, ``decode_bytes(data)``, ``fields()``."""

BASIC_TYPES: Final[dict[str, ViewType]] = {
    "boolean": boolean,
    "byte": byte,
    "uint8": uint8,
    "uint64": uint64,
    "uint256": uint256,
    "Slot": uint64,
    "Epoch": uint64,
    "Gwei": uint64,
    "ValidatorIndex": uint64,
    "BuilderIndex": uint64,
    "Version": ByteVector[4],
    "ExecutionAddress": ByteVector[20],
    "Bytes32": ByteVector[32],
    "Root": ByteVector[32],
    "Hash32": ByteVector[32],
    "Domain": ByteVector[32],
    "BLSPubkey": ByteVector[48],
    "KZGCommitment": ByteVector[48],
    "BLSSignature": ByteVector[96],
    "ProgressiveBitlist": ProgressiveBitlist,
}

_PARAMETRISED: Final[dict[str, Any]] = {
    "Bitlist": Bitlist,
    "Bitvector": Bitvector,
    "ByteList": ByteList,
    "ByteVector": ByteVector,
    "List": List,
    "Vector": Vector,
    "ProgressiveList": ProgressiveList,
}


@cache
def parametrised_type(name: str, *parameters: ViewType | int) -> ViewType:
    """``name[parameters]``, for example ``Vector[Root, 64]``; ``KeyError`` for an unknown name."""
    made: ViewType = _PARAMETRISED[name][parameters if len(parameters) > 1 else parameters[0]]
    if name in ("List", "Vector", "ProgressiveList"):
        add_flat_coding(made)
    return made


@cache
def container_type(
    name: str, fields: tuple[tuple[str, ViewType], ...], progressive: bool
) -> ViewType:
    """A container with these fields in order; every field of a progressive one is active."""
    base: Any = ProgressiveContainer([1] * len(fields)) if progressive else Container
    namespace = {"__annotations__": dict(fields), "__module__": __name__, "__qualname__": name}
    made: ViewType = type(base)(name, (base,), namespace)
    return _with_sizes_remembered(made)


def _with_sizes_remembered(container: ViewType) -> ViewType:
    """The container with answers in place of what remerkleable computes anew on every call."""
    answers = {
        "fields": dict(container.fields()),
        "min_byte_length": container.min_byte_length(),
        "max_byte_length": container.max_byte_length(),
        "is_fixed_byte_length": container.is_fixed_byte_length(),
    }
    if answers["is_fixed_byte_length"]:
        answers["type_byte_length"] = answers["min_byte_length"]
    for method_name, answer in answers.items():
        setattr(container, method_name, staticmethod(_constantly(answer)))
    return container


def _constantly(answer: object) -> Callable[[], object]:
    return lambda: answer
