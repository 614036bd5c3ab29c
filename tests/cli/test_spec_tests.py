"""``spec-tests`` on vectors made here: what holds passes, what was tampered with fails, by name."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import snappy
import yaml
from click.testing import Result

from lightclient.beacon import build_proof, containers_for, node_root
from lightclient.bls import choose_backend
from lightclient.config import FORKS, network_by_name
from lightclient.containers import ObjectKind, object_type
from lightclient.ssz import Json
from tests.cli.conftest import Command

MESSAGE = b"\x07" * 32
Spoil = Callable[[Path], object]


def _last_line(result: Result) -> str:
    return str(result.stdout.splitlines()[-1])


def _case(root: Path, *names: str) -> Path:
    case = root.joinpath("tests", *names)
    case.mkdir(parents=True)
    return case


def _write_yaml(path: Path, value: object) -> None:
    path.write_text(yaml.safe_dump(value), encoding="utf-8")


def _write_ssz(path: Path, data: bytes) -> None:
    path.write_bytes(snappy.compress(data))


def make_bls(root: Path) -> Path:
    backend = choose_backend()
    case = _case(root, "general", "phase0", "bls", "verify", "bls", "verify_valid")
    given = {
        "pubkey": "0x" + backend.sk_to_pk(5).hex(),
        "message": "0x" + MESSAGE.hex(),
        "signature": "0x" + backend.sign(5, MESSAGE).hex(),
    }
    _write_yaml(case / "data.yaml", {"input": given, "output": True})
    return case


def make_static(root: Path, fork: str = "deneb", handler: str = "LightClientUpdate") -> Path:
    case = _case(root, "minimal", fork, "ssz_static", handler, "ssz_zero", "case_0")
    value: Json
    if handler.startswith("LightClient"):
        data_format = next(row.data_format for row in FORKS if row.name == fork)
        layout = object_type(ObjectKind.UPDATE, data_format, 32)
        default = layout.default()
        data, value = layout.encode(default), layout.to_json(default)
        tree_root = layout.hash_tree_root(default)
    else:
        view = containers_for(fork, "minimal").type_named(handler)()
        data, value = view.encode_bytes(), view.to_obj()
        tree_root = bytes(view.hash_tree_root())
    _write_ssz(case / "serialized.ssz_snappy", data)
    _write_yaml(case / "roots.yaml", {"root": "0x" + tree_root.hex()})
    _write_yaml(case / "value.yaml", value)
    return case


def make_proof(root: Path) -> Path:
    names = ("minimal", "capella", "light_client", "single_merkle_proof", "BeaconBlockBody")
    case = _case(root, *names, "execution_merkle_proof")
    body = containers_for("capella", "minimal").BeaconBlockBody()
    _write_ssz(case / "object.ssz_snappy", body.encode_bytes())
    proof = {
        "leaf": "0x" + node_root(body, 25).hex(),
        "leaf_index": 25,
        "branch": ["0x" + node.hex() for node in build_proof(body, 25)],
    }
    _write_yaml(case / "proof.yaml", proof)
    return case


def make_ranking(root: Path) -> Path:
    names = ("minimal", "altair", "light_client", "update_ranking", "pyspec_tests")
    case = _case(root, *names, "update_ranking")
    layout = object_type(ObjectKind.UPDATE, FORKS[1].data_format, 32)
    default = layout.encode(layout.default())
    for index, participation in enumerate((b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4))):
        # Bits, signature and signature slot end the object.
        data = default[:-108] + participation + default[-104:]
        _write_ssz(case / f"updates_{index}.ssz_snappy", data)
    _write_yaml(case / "meta.yaml", {"updates_count": 3})
    return case


def make_digests(root: Path) -> Path:
    network = network_by_name("mainnet")
    cases = [
        {"epoch": epoch, "fork_digest": "0x" + network.compute_fork_digest(epoch).hex()}
        for epoch in (0, 74240, 412672)
    ]
    path = root / "extra" / "compute_fork_digest.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"spec": "ours", "mainnet": {"cases": cases}}), encoding="utf-8")
    return path


MAKERS = (make_bls, make_static, make_proof, make_ranking, make_digests)


# --- what holds -----------------------------------------------------------------------------------


def test_good_vectors_pass(command: Command, tmp_path: Path) -> None:
    for make in MAKERS:
        make(tmp_path)
    result = command("spec-tests", tmp_path)
    assert result.exit_code == 0, result.output
    assert _last_line(result) == "7 passed, 0 failed, 0 skipped"
    assert "light_client/update_ranking" in result.stdout


@pytest.mark.parametrize("part", [".", "tests", "tests/minimal", "tests/minimal/deneb/ssz_static"])
def test_any_part_of_the_layout_will_do(command: Command, tmp_path: Path, part: str) -> None:
    make_static(tmp_path)
    assert _last_line(command("spec-tests", tmp_path / part)) == "1 passed, 0 failed, 0 skipped"


def test_a_case_that_was_moved_is_known_by_its_manifest(command: Command, tmp_path: Path) -> None:
    case = make_static(tmp_path)
    manifest = {
        "preset": "minimal", "fork": "deneb", "runner": "ssz_static",
        "handler": "LightClientUpdate", "suite": "ssz_zero", "case": "case_0",
    }  # fmt: skip
    _write_yaml(case / "manifest.yaml", manifest)
    moved = tmp_path / "moved"
    case.rename(moved)
    assert _last_line(command("spec-tests", moved)) == "1 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize(
    ("options", "passed"),
    [
        (("--preset", "minimal"), 3),
        (("--preset", "mainnet"), 3),
        (("--preset", "general"), 1),
        (("--fork", "capella"), 1),
        (("--fork", "altair", "--preset", "minimal"), 1),
        (("--handler", "LightClientUpdate"), 1),
        (("--handler", "light_client"), 2),
        (("--handler", "ssz_static/LightClientUpdate"), 1),
        (("--handler", "light_client/LightClientUpdate"), 0),
        (("--handler", "verify", "--handler", "compute_fork_digest"), 4),
    ],
)
def test_filters_choose(
    command: Command, tmp_path: Path, options: tuple[str, ...], passed: int
) -> None:
    for make in MAKERS:
        make(tmp_path)
    result = command("spec-tests", tmp_path, *options)
    assert _last_line(result) == f"{passed} passed, 0 failed, 0 skipped"


def test_a_case_counts_once_however_it_is_reached(command: Command, tmp_path: Path) -> None:
    make_static(tmp_path)
    (tmp_path / "tests" / "again").symlink_to(tmp_path / "tests" / "minimal")
    (tmp_path / "tests" / "minimal" / "loop").symlink_to(tmp_path)
    assert _last_line(command("spec-tests", tmp_path)) == "1 passed, 0 failed, 0 skipped"


def test_all_backends_run(command: Command, tmp_path: Path) -> None:
    make_bls(tmp_path)
    result = command("spec-tests", tmp_path, "--bls-backend", "all")
    assert _last_line(result) == "1 passed, 0 failed, 0 skipped"


# --- what does not --------------------------------------------------------------------------------


def _replace(name: str, old: str, new: str) -> Spoil:
    def spoil(case: Path) -> None:
        path = case / name if case.is_dir() else case
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return spoil


def _overwrite(name: str, content: bytes) -> Spoil:
    return lambda case: (case / name if case.is_dir() else case).write_bytes(content)


def _flip_byte(name: str, position: int) -> Spoil:
    def spoil(case: Path) -> None:
        data = bytearray(snappy.decompress((case / name).read_bytes()))
        data[position] ^= 1
        _write_ssz(case / name, bytes(data))

    return spoil


def _remove(name: str) -> Spoil:
    return lambda case: (case / name).unlink()


def _swap_updates(case: Path) -> None:
    first, second = case / "updates_0.ssz_snappy", case / "updates_1.ssz_snappy"
    third = first.rename(case / "third")
    second.rename(first)
    third.rename(second)


GIANT = b"\xff\xff\xff\xff\x0f" + bytes(20)
BOMB = b"\xfe\xff\xff\x7f" + b"\xfe\x01\x00" * 100

SPOILS: list[tuple[Callable[[Path], Path], Spoil, str]] = [
    (make_bls, _replace("data.yaml", "output: true", "output: false"), "the output is true"),
    (make_bls, _replace("data.yaml", "message: '0x07", "message: '0x08"), "the output is false"),
    (make_bls, _replace("data.yaml", "message: '0x07", "message: '0xzz"), "not 0x hex"),
    (make_bls, _replace("data.yaml", "input:", "outside:"), "not a mapping"),
    (make_bls, _remove("data.yaml"), "missing"),
    (make_bls, _overwrite("data.yaml", b"{input: [}"), "YAML"),
    (make_bls, _overwrite("data.yaml", b"[" * 200_000), "nested too deeply"),
    (make_bls, _overwrite("data.yaml", b"a: &a [*a]"), "alias"),
    (make_bls, _overwrite("data.yaml", b"\xff\xfe\xfd"), "YAML"),
    (make_bls, _overwrite("data.yaml", b""), "not a mapping"),
    (make_static, _flip_byte("serialized.ssz_snappy", -1), "the root is"),
    (make_static, _flip_byte("serialized.ssz_snappy", 0), "offset"),
    (make_static, _replace("roots.yaml", "0x", "0xab"), "33 bytes"),
    (make_static, _remove("roots.yaml"), "roots.yaml is missing"),
    (make_static, _remove("serialized.ssz_snappy"), "serialized.ssz_snappy is missing"),
    (make_static, _remove("value.yaml"), "value.yaml is missing"),
    (make_static, _replace("value.yaml", "signature_slot: '0'", "signature_slot: '1'"), "value is"),
    (make_static, _overwrite("serialized.ssz_snappy", GIANT), "declares"),
    (make_static, _overwrite("serialized.ssz_snappy", BOMB), "declares"),
    (make_static, _overwrite("serialized.ssz_snappy", b"\x10junk"), "no snappy block"),
    (make_static, _overwrite("serialized.ssz_snappy", b""), "declares no length"),
    (make_proof, _replace("proof.yaml", "leaf_index: 25", "leaf_index: 24"), "the leaf is"),
    (make_proof, _replace("proof.yaml", "leaf_index: 25", "leaf_index: 0"), "leaf_index"),
    (make_proof, _replace("proof.yaml", "leaf_index: 25", "leaf_index: -1"), "leaf_index"),
    (make_proof, _replace("proof.yaml", "leaf_index: 25", f"leaf_index: {2**63}"), "no node"),
    (make_proof, _replace("proof.yaml", "leaf: '0x", "leaf: '0xff"), "leaf"),
    (make_proof, _flip_byte("object.ssz_snappy", 100), "the branch is"),
    (make_proof, _overwrite("object.ssz_snappy", snappy.compress(b"short")), "not SSZ"),
    (make_ranking, _swap_updates, "update 0 is not better than update 1"),
    (make_ranking, _replace("meta.yaml", "3", "4"), "updates_3.ssz_snappy is missing"),
    (make_ranking, _replace("meta.yaml", "3", "99999999999"), "updates_count"),
    (make_digests, _replace("", "0xb5303f2a", "0xb5303f2b"), "the fork digest is"),
    (make_digests, _overwrite("", b'{"mainnet": {"cases": [NaN]}}'), "NaN"),
    (make_digests, _overwrite("", b'{"nowhere": {"cases": [{"epoch": 1}]}}'), "nowhere"),
    (make_digests, _overwrite("", b'{"mainnet": {"cases": [{"epoch": -1}]}}'), "epoch"),
    (make_digests, _overwrite("", b'{"mainnet": {"cases": [7]}}'), "not a mapping"),
]


@pytest.mark.parametrize(
    ("make", "spoil", "reason"), SPOILS, ids=[f"{m.__name__}-{r}" for m, _, r in SPOILS]
)
def test_a_spoilt_vector_fails_with_its_reason(
    command: Command, tmp_path: Path, make: Callable[[Path], Path], spoil: Spoil, reason: str
) -> None:
    spoil(make(tmp_path / "spoilt"))
    make_static(tmp_path / "good", handler="Checkpoint")
    result = command("spec-tests", tmp_path)
    assert result.exit_code == 1
    failures = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failures) == 1, result.output
    assert reason in failures[0]
    assert "stumbled" not in failures[0]
    assert ", 1 failed, 0 skipped" in _last_line(result)


def test_an_empty_case_directory_fails(command: Command, tmp_path: Path) -> None:
    case = make_static(tmp_path)
    for path in case.iterdir():
        path.unlink()
    assert _last_line(command("spec-tests", tmp_path)) == "0 passed, 1 failed, 0 skipped"


def test_unknown_handlers_are_skipped_by_name(command: Command, tmp_path: Path) -> None:
    make_static(tmp_path)
    for index in range(2):
        case = _case(tmp_path, "minimal", "deneb", "operations", "deposit", "suite", f"{index}")
        (case / "meta.yaml").write_text("{}")
    make_static(tmp_path, handler="Validator")
    result = command("spec-tests", tmp_path)
    assert result.exit_code == 0
    assert "SKIPPED 2 cases: there is no runner for operations/deposit" in result.stdout
    assert "ssz_static/Validator/ssz_zero/case_0: not a light client container" in result.stdout
    assert _last_line(result) == "1 passed, 0 failed, 3 skipped"


def test_skips_alone_are_no_success(command: Command, tmp_path: Path) -> None:
    make_static(tmp_path, handler="Validator")
    result = command("spec-tests", tmp_path)
    assert result.exit_code == 1
    assert _last_line(result) == "0 passed, 0 failed, 1 skipped"


def test_a_directory_without_vectors_is_no_success(command: Command, tmp_path: Path) -> None:
    result = command("spec-tests", tmp_path)
    assert result.exit_code == 1
    assert "no vectors" in result.stderr
    assert _last_line(result) == "0 passed, 0 failed, 0 skipped"


def test_a_filter_that_leaves_nothing_is_no_success(command: Command, tmp_path: Path) -> None:
    make_static(tmp_path)
    result = command("spec-tests", tmp_path, "--fork", "nofork")
    assert result.exit_code == 1
    assert "none of the 1 vectors" in result.stderr


@pytest.mark.parametrize("arguments", [["missing"], ["a\0b"], [__file__], [".", "--bls-backend=x"]])
def test_a_directory_or_backend_that_cannot_be_used(command: Command, arguments: list[str]) -> None:
    result = command("spec-tests", *arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (gzip.compress(b"", mtime=0), "the file is empty"),
        (b"not gzip", "cannot be read"),
        (gzip.compress(b'{"preset": "minimal"}\n' * 3, mtime=0)[:-12], "config"),
        (gzip.compress(b'{"preset": "minimal"', mtime=0), "not JSON"),
        (gzip.compress(b"[" * 100_000, mtime=0), "nested"),
        (gzip.compress(b"7\n", mtime=0), "not a mapping"),
        (gzip.compress(b" " * (5 << 20), mtime=0), "too large"),
    ],
)
def test_a_differential_file_that_cannot_be_read_fails(
    command: Command, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "extra" / "differential" / "altair" / "walk.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    result = command("spec-tests", tmp_path)
    assert result.exit_code == 1
    assert reason in result.stdout
    assert _last_line(result) == "0 passed, 1 failed, 0 skipped"
