"""What can be done to a finished object: to its fields, and to its bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any

from lightclient.bls.encoding import CURVE_ORDER, G2_INFINITY
from lightclient.containers import (
    LightClientBootstrap,
    LightClientHeader,
    LightClientUpdate,
    SyncAggregate,
    SyncCommittee,
    light_client_header_type,
    zero_branch,
)
from lightclient.ssz import ZERO_NODE
from tests.oracle.committees import Committees, off_subgroup_signature
from tests.oracle.forging import Forge
from tests.oracle.slots import UINT64_MAX

Branch = tuple[bytes, ...]
_OFF_SUBGROUP_SIGNATURE = off_subgroup_signature()


def odd_number(draw: Random, number: int) -> int:
    """A uint64 near a number, or at an end of the range."""
    drawn = draw.choice([number - 1, number + 1, number ^ (1 << draw.randrange(64)), 0, UINT64_MAX])
    return min(max(drawn, 0), UINT64_MAX)


def flipped(draw: Random, value: bytes) -> bytes:
    """The value with one bit flipped."""
    bit = draw.randrange(8 * len(value))
    octets = bytearray(value)
    octets[bit // 8] ^= 1 << bit % 8
    return bytes(octets)


def odd_branch(draw: Random, branch: Branch) -> Branch:
    """The branch damaged in one of several ways; its length stays."""
    if not branch:
        return branch
    index = draw.randrange(len(branch))
    nodes = list(branch)
    match draw.randrange(7):
        case 0:
            return zero_branch(len(branch))
        case 1:
            nodes[index] = ZERO_NODE
        case 2:
            nodes.reverse()
        case 3:
            nodes = [*nodes[1:], nodes[0]]
        case 4:
            nodes[0] = draw.randbytes(32)
        case 5 if len(branch) > 1:
            nodes = [nodes[0], *nodes[:-1]]
        case _:
            nodes[index] = flipped(draw, nodes[index])
    return tuple(nodes)


def odd_header(draw: Random, header: LightClientHeader, forge: Forge) -> LightClientHeader:
    """The header with one part changed."""
    default = light_client_header_type(header.data_format).default()
    beacon, execution = header.beacon, header.execution
    choice = draw.randrange(9)
    if choice == 0:
        return default
    if choice == 1:
        return replace(default, beacon=beacon)
    if choice == 2:
        return replace(header, beacon=default.beacon)
    if choice == 3:
        return replace(header, beacon=replace(beacon, slot=odd_number(draw, beacon.slot)))
    if choice == 4:
        return replace(header, beacon=replace(beacon, proposer_index=beacon.proposer_index ^ 1))
    if choice == 5 and header.execution_branch:
        branch = odd_branch(draw, header.execution_branch)
        return replace(header, execution_branch=branch)
    if choice == 6:
        block = forge.block(beacon.slot)
        return forge.header(block, header.data_format)
    if execution is not None:
        field = draw.choice(["block_number", "gas_used", "blob_gas_used", "excess_blob_gas"])
        if "blob" in field and not header.data_format.blob_gas:
            field = "timestamp"
        changes: dict[str, Any] = {field: odd_number(draw, getattr(execution, field))}
        changed = draw.choice(
            [
                replace(execution, **changes),
                replace(execution, block_hash=flipped(draw, execution.block_hash)),
                replace(execution, extra_data=draw.randbytes(draw.randrange(33))),
            ]
        )
        return replace(header, execution=changed)
    if header.execution_block_hash is not None:
        other = draw.choice([ZERO_NODE, flipped(draw, header.execution_block_hash)])
        return replace(header, execution_block_hash=other)
    return replace(header, beacon=replace(beacon, body_root=flipped(draw, beacon.body_root)))


def odd_committee(draw: Random, committee: SyncCommittee, made: Committees) -> SyncCommittee:
    """Another committee, or the same with a bit flipped."""
    match draw.randrange(5):
        case 0:
            return made.default.public
        case 1:
            return made.honest(draw.randrange(2000)).public
        case 2:
            return made.hostile(draw).public
        case 3:
            return SyncCommittee(flipped(draw, committee.pubkeys), committee.aggregate_pubkey)
        case _:
            return SyncCommittee(committee.pubkeys, flipped(draw, committee.aggregate_pubkey))


def odd_signature(draw: Random, signature: bytes, made: Committees) -> bytes:
    """Another signature, well-formed or not."""
    return draw.choice(
        [
            bytes(96),
            b"\xff" * 96,
            G2_INFINITY,
            bytes([0xE0]) + bytes(95),
            bytes([0xC0]) + bytes(94) + b"\x01",
            bytes([signature[0] & 0x7F]) + signature[1:],
            bytes([signature[0] ^ 0x20]) + signature[1:],
            _OFF_SUBGROUP_SIGNATURE,
            _with_cofactor_point(signature),
            flipped(draw, signature),
            draw.randbytes(96),
            made.backend.sign(draw.randrange(1, CURVE_ORDER), draw.randbytes(32)),
        ]
    )


def _with_cofactor_point(signature: bytes) -> bytes:
    """A signature plus a point outside the subgroup: equal to it for who checks no subgroup."""
    from py_arkworks_bls12381 import G2Point, Scalar

    try:
        point = G2Point.from_compressed_bytes_unchecked(signature)
    except ValueError:  # it was none to begin with
        return signature
    stray = G2Point.from_compressed_bytes_unchecked(_OFF_SUBGROUP_SIGNATURE)
    # Curve order times a point leaves only what lies outside the subgroup.
    outside = stray * Scalar(CURVE_ORDER - 1) + stray
    return bytes((point + outside).to_compressed_bytes())


def odd_bits(draw: Random, bits: bytes) -> bytes:
    """Other participants than signed."""
    match draw.randrange(4):
        case 0:
            return bytes(len(bits))
        case 1:
            return b"\xff" * len(bits)
        case 2:
            return draw.randbytes(len(bits))
        case _:
            return flipped(draw, bits)


Mutation = Callable[[Random, LightClientUpdate, Forge, Committees], LightClientUpdate]


def _aggregate(update: LightClientUpdate, bits: bytes, signature: bytes) -> LightClientUpdate:
    return replace(update, sync_aggregate=SyncAggregate(bits, signature))


UPDATE_MUTATIONS: dict[str, Mutation] = {
    "attested_header": lambda draw, update, forge, _made: replace(
        update, attested_header=odd_header(draw, update.attested_header, forge)
    ),
    "finalized_header": lambda draw, update, forge, _made: replace(
        update, finalized_header=odd_header(draw, update.finalized_header, forge)
    ),
    "finalized_is_attested": lambda _draw, update, _forge, _made: replace(
        update, finalized_header=update.attested_header
    ),
    "finality_branch": lambda draw, update, _forge, _made: replace(
        update, finality_branch=odd_branch(draw, update.finality_branch)
    ),
    "committee_branch": lambda draw, update, _forge, _made: replace(
        update, next_sync_committee_branch=odd_branch(draw, update.next_sync_committee_branch)
    ),
    "next_sync_committee": lambda draw, update, _forge, made: replace(
        update, next_sync_committee=odd_committee(draw, update.next_sync_committee, made)
    ),
    "signature": lambda draw, update, _forge, made: _aggregate(
        update,
        update.sync_aggregate.sync_committee_bits,
        odd_signature(draw, update.sync_aggregate.sync_committee_signature, made),
    ),
    "participants": lambda draw, update, _forge, _made: _aggregate(
        update,
        odd_bits(draw, update.sync_aggregate.sync_committee_bits),
        update.sync_aggregate.sync_committee_signature,
    ),
    "signature_slot": lambda draw, update, _forge, _made: replace(
        update, signature_slot=odd_number(draw, update.signature_slot)
    ),
}


def mutated_bootstrap(
    draw: Random, bootstrap: LightClientBootstrap, forge: Forge, made: Committees
) -> tuple[str, LightClientBootstrap]:
    """A bootstrap with one part changed."""
    match draw.randrange(3):
        case 0:
            return "header", replace(bootstrap, header=odd_header(draw, bootstrap.header, forge))
        case 1:
            other = odd_committee(draw, bootstrap.current_sync_committee, made)
            return "committee", replace(bootstrap, current_sync_committee=other)
        case _:
            branch = odd_branch(draw, bootstrap.current_sync_committee_branch)
            return "branch", replace(bootstrap, current_sync_committee_branch=branch)


def mutated_bytes(draw: Random, data: bytes) -> tuple[str, bytes]:
    """The encoding damaged: bits, length, or what may be an offset."""
    place = draw.randrange(len(data))
    match draw.randrange(9):
        case 0:
            return "truncated", data[: -draw.choice([1, 2, 4, 32, min(len(data), 100)])]
        case 1:
            return "trailing", data + bytes(draw.choice([1, 2, 4, 32]))
        case 2:
            return "inserted", data[:place] + draw.randbytes(draw.choice([1, 4])) + data[place:]
        case 3:
            return "cut_out", data[:place] + data[place + draw.choice([1, 4]) :]
        case 4:
            return "byte", data[:place] + draw.randbytes(1) + data[place + 1 :]
        case 5 | 6:
            return "offset", shifted_offset(draw, data)
        case _:
            return "bit", flipped(draw, data)


def shifted_offset(draw: Random, data: bytes) -> bytes:
    """Four bytes that look like an offset moved a little, with or without bytes to make up."""
    places = [
        place
        for place in range(len(data) - 4)
        if 4 <= int.from_bytes(data[place : place + 4], "little") <= len(data)
        and data[place + 2 : place + 4] == bytes(2)
    ]
    if not places:
        return flipped(draw, data)
    place = draw.choice(places[:4] + places[-2:])
    by = draw.choice([1, 1, 2, 4, 32, -1, -4])
    offset = int.from_bytes(data[place : place + 4], "little") + by
    moved = data[:place] + (offset & 0xFFFFFFFF).to_bytes(4, "little") + data[place + 4 :]
    if by > 0 and draw.random() < 0.6:
        at = draw.choice([offset - by, len(moved)])
        moved = moved[:at] + bytes(by) + moved[at:]
    return moved
