"""Merkleisation against remerkleable, and branches against trees built the slow way."""

from __future__ import annotations

from hashlib import sha256
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from remerkleable.basic import uint8, uint64, uint256
from remerkleable.bitfields import Bitvector as OracleBitvector
from remerkleable.byte_arrays import ByteList as OracleByteList
from remerkleable.byte_arrays import ByteVector as OracleByteVector
from remerkleable.complex import Container as OracleContainer
from remerkleable.complex import Vector as OracleVector

from lightclient.ssz import (
    ZERO_HASHES,
    ZERO_NODE,
    Bitvector,
    ByteList,
    Bytes,
    ByteVectors,
    Container,
    Nodes,
    SSZType,
    Uint,
    compute_merkle_root,
    floorlog2,
    get_subtree_index,
    is_valid_merkle_branch,
    is_valid_normalized_merkle_branch,
    merkleize,
    mix_in_length,
    normalize_merkle_branch,
)

nodes = st.binary(min_size=32, max_size=32)


def _same_root(kind: SSZType[Any], oracle: Any, data: bytes) -> None:
    view = oracle.decode_bytes(data)
    assert kind.hash_tree_root(kind.decode(data)) == bytes(view.hash_tree_root())


@given(st.data())
@pytest.mark.parametrize("size", [1, 4, 20, 31, 32, 33, 48, 64, 65, 96, 256])
def test_byte_vectors_have_the_oracle_s_root(size: int, data: st.DataObject) -> None:
    _same_root(
        Bytes(size), OracleByteVector[size], data.draw(st.binary(min_size=size, max_size=size))
    )


@pytest.mark.parametrize("limit", [1, 31, 32, 33, 64, 100])
def test_byte_lists_of_every_length_have_the_oracle_s_root(limit: int) -> None:
    for length in range(limit + 1):
        _same_root(ByteList(limit), OracleByteList[limit], bytes(range(1, length + 1)))


@pytest.mark.parametrize("length", [1, 8, 9, 32, 255, 256, 257, 512, 700, 768])
def test_bitvectors_have_the_oracle_s_root(length: int) -> None:
    for bits in (0, 1, 1 << (length - 1), (1 << length) - 1):
        data = bits.to_bytes((length + 7) // 8, "little")
        _same_root(Bitvector(length), OracleBitvector[length], data)


@pytest.mark.parametrize("size", [20, 32, 48, 64, 96])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 32, 63, 64, 65, 100, 128, 512])
def test_vectors_of_keys_have_the_oracle_s_root(length: int, size: int) -> None:
    data = (sha256(b"%d" % size).digest() * (length * size))[: length * size]
    _same_root(ByteVectors(length, size), OracleVector[OracleByteVector[size], length], data)
    if size == 32:
        _same_root(Nodes(length), OracleVector[OracleByteVector[32], length], data)


def _oracle_container(name: str, **fields: Any) -> Any:
    """A remerkleable container: it reads annotations as they are, so they must not be text."""
    return type(OracleContainer)(name, (OracleContainer,), {"__annotations__": fields})


OracleInner = _oracle_container("Inner", small=uint8, text=OracleByteList[33], number=uint64)
OracleOuter = _oracle_container(
    "Outer",
    inner=OracleInner,
    big=uint256,
    bits=OracleBitvector[12],
    twins=OracleVector[OracleByteVector[48], 3],
    key=OracleByteVector[48],
)


class Inner(NamedTuple):
    small: int
    text: bytes
    number: int


class Outer(NamedTuple):
    inner: Inner
    big: int
    bits: bytes
    twins: bytes
    key: bytes


INNER: Container[Any] = Container(
    Inner, {"small": Uint(8), "text": ByteList(33), "number": Uint(64)}
)
OUTER: Container[Any] = Container(
    Outer,
    {
        "inner": INNER,
        "big": Uint(256),
        "bits": Bitvector(12),
        "twins": ByteVectors(3, 48),
        "key": Bytes(48),
    },
)


@given(
    st.integers(0, 255),
    st.binary(max_size=33),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**256 - 1),
    st.integers(0, 4095),
    st.binary(min_size=144, max_size=144),
    st.binary(min_size=48, max_size=48),
)
def test_containers_have_the_oracle_s_bytes_and_root(
    small: int, text: bytes, number: int, big: int, bits: int, twins: bytes, key: bytes
) -> None:
    value = Outer(Inner(small, text, number), big, bits.to_bytes(2, "little"), twins, key)
    oracle = OracleOuter(
        inner=OracleInner(small=small, text=OracleByteList[33](text), number=number),
        big=big,
        bits=OracleBitvector[12]([bool(bits >> index & 1) for index in range(12)]),
        twins=[twins[:48], twins[48:96], twins[96:]],
        key=key,
    )
    data = OUTER.encode(value)
    assert data == oracle.encode_bytes()
    assert OUTER.decode(data) == value
    assert OUTER.hash_tree_root(value) == bytes(oracle.hash_tree_root())


def _slow_root(leaves: list[bytes], limit: int) -> bytes:
    width = 1
    while width < max(limit, 1):
        width *= 2
    layer = leaves + [ZERO_NODE] * (width - len(leaves))
    while len(layer) > 1:
        layer = [sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)]
    return layer[0]


@given(st.lists(st.integers(0, 255), max_size=150), st.integers(0, 150))
def test_merkleize_pads_with_zero_nodes_up_to_its_limit(numbers: list[int], room: int) -> None:
    leaves = [sha256(bytes([number])).digest() for number in numbers]
    assert merkleize(leaves) == _slow_root(leaves, len(leaves))
    limit = len(leaves) + room
    assert merkleize(leaves, limit) == _slow_root(leaves, limit)


@pytest.mark.parametrize("count", [1, 2, 5, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200])
def test_merkleize_is_right_on_both_sides_of_every_power_of_two(count: int) -> None:
    leaves = [sha256(bytes([number])).digest() for number in range(count)]
    for limit in {count, count + 1, 2 * count, 4 * count + 1}:
        assert merkleize(leaves, limit) == _slow_root(leaves, limit)


def test_merkleize_refuses_more_nodes_than_its_limit_and_reaches_list_limits() -> None:
    with pytest.raises(ValueError, match="limit of 1"):
        merkleize([ZERO_NODE] * 2, 1)
    assert merkleize([], 2**40) == ZERO_HASHES[40]
    one = merkleize([b"\1" * 32], 2**40)
    assert is_valid_merkle_branch(b"\1" * 32, ZERO_HASHES[:40], 40, 0, one)
    assert mix_in_length(one, 1) == sha256(one + (1).to_bytes(32, "little")).digest()


def test_generalized_index_arithmetic_is_the_specification_s() -> None:
    assert [floorlog2(value) for value in (1, 2, 3, 4, 105, 169, 735, 2946)] == [
        *(0, 1, 1, 2),
        *(6, 7, 9, 11),
    ]
    assert [get_subtree_index(value) for value in (1, 2, 3, 54, 55, 105)] == [0, 0, 1, 22, 23, 41]
    for value in (0, -1):
        with pytest.raises(ValueError, match="positive"):
            floorlog2(value)


@st.composite
def proofs(draw: st.DrawFn) -> tuple[bytes, list[bytes], int, bytes]:
    """(leaf, branch, generalized index, root) of a random tree, built whole."""
    depth = draw(st.integers(0, 6))
    seed = draw(st.binary(min_size=1, max_size=8))
    layer = [sha256(seed + bytes([index])).digest() for index in range(1 << depth)]
    position = draw(st.integers(0, (1 << depth) - 1))
    leaf, branch, index = layer[position], [], position
    while len(layer) > 1:
        branch.append(layer[index ^ 1])
        layer = [sha256(layer[i] + layer[i + 1]).digest() for i in range(0, len(layer), 2)]
        index //= 2
    return leaf, branch, (1 << depth) + position, layer[0]


@given(proofs(), st.data())
def test_a_branch_proves_its_leaf_and_nothing_next_to_it(
    proof: tuple[bytes, list[bytes], int, bytes], data: st.DataObject
) -> None:
    leaf, branch, gindex, root = proof
    depth, index = floorlog2(gindex), get_subtree_index(gindex)
    assert compute_merkle_root(leaf, branch, index) == root
    assert is_valid_merkle_branch(leaf, branch, depth, index, root)
    assert is_valid_normalized_merkle_branch(leaf, branch, gindex, root)

    def refused(leaf: bytes, branch: list[bytes], gindex: int, root: bytes) -> bool:
        plain = is_valid_merkle_branch(leaf, branch, depth, get_subtree_index(gindex), root)
        return not plain and not is_valid_normalized_merkle_branch(leaf, branch, gindex, root)

    bit = data.draw(st.integers(0, 255))
    assert refused(_flipped(leaf, bit), branch, gindex, root)
    assert refused(leaf, branch, gindex, _flipped(root, bit))
    if depth:
        level = data.draw(st.integers(0, depth - 1))
        changed = [_flipped(node, bit) if i == level else node for i, node in enumerate(branch)]
        assert refused(leaf, changed, gindex, root)
        assert refused(leaf, branch, gindex ^ (1 << level), root)
        assert refused(leaf, branch[:level] + branch[level + 1 :], gindex, root)
    assert refused(leaf, [*branch, data.draw(nodes.filter(any))], gindex, root)
    assert refused(leaf, [data.draw(nodes.filter(any)), *branch], gindex, root)


def _flipped(node: bytes, bit: int) -> bytes:
    changed = bytearray(node)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


@given(proofs(), st.integers(1, 5), st.data())
def test_a_normalized_branch_has_zero_nodes_in_front_and_only_there(
    proof: tuple[bytes, list[bytes], int, bytes], extra: int, data: st.DataObject
) -> None:
    leaf, branch, gindex, root = proof
    longer = [ZERO_NODE] * extra + branch
    assert is_valid_normalized_merkle_branch(leaf, longer, gindex, root)
    bit = data.draw(st.integers(0, 255))
    position = data.draw(st.integers(0, extra - 1))
    changed = [*longer]
    changed[position] = _flipped(ZERO_NODE, bit)
    assert not is_valid_normalized_merkle_branch(leaf, changed, gindex, root)
    if branch:
        behind = [*branch, *longer[:extra]]
        assert not is_valid_normalized_merkle_branch(leaf, behind, gindex, root)


@given(st.lists(nodes, max_size=8).map(tuple), st.integers(1, 1 << 8))
def test_normalizing_fills_up_to_the_depth_and_never_cuts(
    branch: tuple[bytes, ...], gindex: int
) -> None:
    normalized = normalize_merkle_branch(branch, gindex)
    assert len(normalized) == max(len(branch), floorlog2(gindex))
    assert normalized[len(normalized) - len(branch) :] == branch
    assert not any(map(any, normalized[: len(normalized) - len(branch)]))
    assert normalize_merkle_branch(normalized, gindex) == normalized


@given(proofs(), st.integers(1, 4))
def test_a_branch_too_short_for_its_index_proves_what_its_normalized_form_proves(
    proof: tuple[bytes, list[bytes], int, bytes], missing: int
) -> None:
    """As an object of an older format after the specification's upgrade."""
    leaf, branch, gindex, _ = proof
    deeper = gindex << missing | (1 << missing) - 1
    full = normalize_merkle_branch(branch, deeper)
    root = compute_merkle_root(leaf, full, get_subtree_index(deeper))
    assert is_valid_normalized_merkle_branch(leaf, branch, deeper, root)
    assert is_valid_merkle_branch(leaf, full, floorlog2(deeper), get_subtree_index(deeper), root)
    assert not is_valid_merkle_branch(
        leaf, branch, floorlog2(deeper), get_subtree_index(deeper), root
    )


def test_a_root_alone_is_its_own_proof_only_at_index_one() -> None:
    node = b"\1" * 32
    assert is_valid_normalized_merkle_branch(node, [], 1, node)
    assert is_valid_normalized_merkle_branch(node, [ZERO_NODE], 1, node)
    assert not is_valid_normalized_merkle_branch(node, [], 2, node)
    assert not is_valid_merkle_branch(node, [ZERO_NODE], 0, 0, node)
