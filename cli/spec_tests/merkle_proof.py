"""``light_client/single_merkle_proof``: a leaf of a state or a body with its branch."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from lightclient.beacon import build_proof, containers_for, decode_view, node_root
from lightclient.errors import DecodeError, DeriveError
from lightclient.ssz import floorlog2, get_subtree_index, is_valid_merkle_branch
from lightclient_cli.spec_tests.case import (
    Case,
    CaseFailed,
    as_list,
    as_octets,
    expect,
    number,
    octets,
    shown,
)
from lightclient_cli.spec_tests.chain import known_fork, known_preset


def run_single_merkle_proof(case: Case) -> None:
    """Merkleise the whole object; leaf and branch must be its own, and prove each other."""
    proof = case.mapping("proof.yaml")
    gindex = number(proof, "leaf_index")
    leaf = octets(proof, "leaf", 32)
    nodes = as_list(proof.get("branch"), "branch")
    branch = [as_octets(node, f"branch[{index}]", 32) for index, node in enumerate(nodes)]
    if gindex < 1:
        raise CaseFailed("leaf_index: 0 is no generalized index")
    view = _decode(known_fork(case).name, known_preset(case), case.suite, case.ssz("object"))
    try:
        expect("the leaf", node_root(view, gindex), leaf)
        expect("the branch", [*map(shown, build_proof(view, gindex))], [*map(shown, branch)])
    except DeriveError as error:
        raise CaseFailed(str(error)) from None
    root = bytes(view.hash_tree_root())
    if not is_valid_merkle_branch(leaf, branch, floorlog2(gindex), get_subtree_index(gindex), root):
        raise CaseFailed(f"the branch does not lead to the object's root {shown(root)}")


@lru_cache(maxsize=4)
def _decode(fork_name: str, preset: str, type_name: str, data: bytes) -> Any:
    """The object; several proofs in a row are of the same one."""
    containers = containers_for(fork_name, preset)
    if type_name not in containers:
        raise CaseFailed(f"{fork_name} has no container {type_name[:60]!a}")
    try:
        return decode_view(containers.type_named(type_name), data)
    except DecodeError as error:
        raise CaseFailed(str(error)) from None
