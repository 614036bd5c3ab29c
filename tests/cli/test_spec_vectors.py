"""``spec-tests`` on the specification's own vectors: all hold, and none can be altered unseen."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import snappy
import yaml
from click.testing import Result

from tests.cli.conftest import Command

Spoil = Callable[[Path], object]


def _last_line(result: Result) -> str:
    return str(result.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_vector_passes_but_for_the_serving_side(command: Command, spec_vectors: Path) -> None:
    result = command("spec-tests", spec_vectors)
    assert result.exit_code == 0, result.output[-3000:]
    skips = [line for line in result.stdout.splitlines() if line.startswith("SKIPPED")]
    assert all("/data_collection/" in line and "serving side" in line for line in skips)
    assert _last_line(result).endswith(f" passed, 0 failed, {len(skips)} skipped")


def _copy(spec_vectors: Path, tmp_path: Path, pattern: str) -> Path:
    source = min(spec_vectors.glob(pattern))
    target = tmp_path / source.relative_to(spec_vectors)
    shutil.copytree(source, target)
    for path in (target, *target.iterdir()):
        path.chmod(0o755)
    return target


def _run(command: Command, tmp_path: Path) -> Result:
    return command("spec-tests", tmp_path)


def _edit(name: str, old: str, new: str) -> Spoil:
    def spoil(case: Path) -> None:
        text = (case / name).read_text()
        assert old in text
        (case / name).write_text(text.replace(old, new, 1))

    return spoil


def _flip(pattern: str, position: int) -> Spoil:
    def spoil(case: Path) -> None:
        path = min(case.glob(pattern))
        data = bytearray(snappy.decompress(path.read_bytes()))
        data[position] ^= 1
        path.write_bytes(snappy.compress(bytes(data)))

    return spoil


def _without(pattern: str) -> Spoil:
    return lambda case: min(case.glob(pattern)).unlink()


SYNC = "tests/minimal/deneb/light_client/sync/*/light_client_sync"
ALTAIR_SYNC = "tests/minimal/altair/light_client/sync/*/light_client_sync"
ALTAIR_COLLECTION = "tests/minimal/bellatrix/light_client/data_collection/*/light_client_*"
BOOTSTRAP_DIGEST = "        bootstrap:\n          fork_digest: '0x0cbc"
OTHER_DIGEST = BOOTSTRAP_DIGEST[:-4] + "ddcb"
COLLECTION = "tests/minimal/deneb/light_client/data_collection/*/light_client_data_collection"


@pytest.mark.parametrize(
    ("pattern", "spoil", "reason"),
    [
        (SYNC, _flip("bootstrap.ssz_snappy", 60), "bootstrap"),
        (SYNC, _flip("update_*.ssz_snappy", -50), "must be accepted, but is invalid"),
        (SYNC, _flip("update_*.ssz_snappy", 0), "undecodable"),
        (SYNC, _without("update_*.ssz_snappy"), "is missing"),
        (SYNC, _without("config.yaml"), "config.yaml is missing"),
        (SYNC, _without("meta.yaml"), "meta.yaml is missing"),
        (SYNC, _edit("steps.yaml", " slot: ", " slot: 1"), "_header.slot is"),
        (SYNC, _edit("steps.yaml", "beacon_root: '0x", "beacon_root: '0x00"), "33 bytes"),
        (SYNC, _edit("steps.yaml", "process_update:", "do_something:"), "unknown step"),
        (SYNC, _edit("steps.yaml", "update_0x", "../update_0x"), "no file name"),
        (SYNC, _edit("steps.yaml", "force_update:", "process_update:"), "update: missing"),
        (
            SYNC,
            _edit("meta.yaml", "store_fork_version: '0x04", "store_fork_version: '0x99"),
            "fork",
        ),
        (SYNC, _edit("meta.yaml", "bootstrap_fork_digest: '0x", "x: '0x"), "bootstrap_fork_digest"),
        (SYNC, _edit("meta.yaml", "trusted_block_root: '0x", "trusted_block_root: '0xab"), "bytes"),
        (
            SYNC,
            _edit("config.yaml", "PRESET_BASE: 'minimal'", "PRESET_BASE: 'none'"),
            "PRESET_BASE",
        ),
        (SYNC, _edit("config.yaml", "PRESET_BASE: 'minimal'", "PRESET_BASE: mainnet"), "undecod"),
        (COLLECTION, _flip("finality_update_3*", -50), "finalized header"),
        (COLLECTION, _flip("bootstrap_0_*", 50), "bootstrap"),
        (COLLECTION, _flip("update_3_*", 50), "update"),
        (COLLECTION, _without("optimistic_update_0*"), "is missing"),
        (COLLECTION, _without("initial_state*"), "is missing"),
        (COLLECTION, _edit("steps.yaml", BOOTSTRAP_DIGEST, BOOTSTRAP_DIGEST + "00"), "5 bytes"),
        (
            COLLECTION,
            _edit("steps.yaml", BOOTSTRAP_DIGEST, OTHER_DIGEST),
            "no fork",
        ),
        (ALTAIR_COLLECTION, _flip("optimistic_update_0*", -50), "the signature"),
        (ALTAIR_SYNC, _flip("update_*.ssz_snappy", -50), "bad_signature"),
    ],
)
def test_an_altered_case_fails(
    command: Command, spec_vectors: Path, tmp_path: Path, pattern: str, spoil: Spoil, reason: str
) -> None:
    case = _copy(spec_vectors, tmp_path, pattern)
    spoil(case)
    result = _run(command, tmp_path)
    assert result.exit_code == 1
    assert _last_line(result) == "0 passed, 1 failed, 0 skipped", result.output
    failure = next(line for line in result.stdout.splitlines() if line.startswith("FAILED"))
    assert reason in failure
    assert "stumbled" not in failure


def test_the_digest_of_older_releases_names_the_store_format_too(
    command: Command, spec_vectors: Path, tmp_path: Path
) -> None:
    case = _copy(spec_vectors, tmp_path, SYNC)
    meta = (case / "meta.yaml").read_text()
    digest = next(line for line in meta.splitlines() if line.startswith("bootstrap_fork_digest"))
    lines = [line for line in meta.splitlines() if not line.startswith("store_fork_version")]
    lines.append(digest.replace("bootstrap_fork_digest", "store_fork_digest"))
    (case / "meta.yaml").write_text("\n".join(lines))
    assert _last_line(_run(command, tmp_path)) == "1 passed, 0 failed, 0 skipped"


# --- refusals, in our own handler -----------------------------------------------------------------


@pytest.fixture
def refusals(spec_vectors: Path, tmp_path: Path) -> Path:
    """An official case as one of our own, which may hold refused objects."""
    case = _copy(spec_vectors, tmp_path, ALTAIR_SYNC)
    target = tmp_path / "tests/minimal/altair/light_client/sync_refusals/simulator/case"
    target.parent.mkdir(parents=True)
    case.rename(target)
    (target / "manifest.yaml").unlink()
    forged = min(target.glob("update_*.ssz_snappy"))
    data = bytearray(snappy.decompress(forged.read_bytes()))
    data[-50] ^= 1
    (target / "forged.ssz_snappy").write_bytes(snappy.compress(bytes(data)))
    (target / "junk.ssz_snappy").write_bytes(snappy.compress(b"junk"))
    return target


def _put_first(case: Path, *steps: dict[str, Any]) -> None:
    recorded = yaml.safe_load((case / "steps.yaml").read_text())
    (case / "steps.yaml").write_text(yaml.safe_dump([*steps, *recorded]))


def _digest(case: Path) -> str:
    return str(yaml.safe_load((case / "meta.yaml").read_text())["bootstrap_fork_digest"])


def _update_step(case: Path, name: str, verdict: str, rule: str | None) -> dict[str, Any]:
    content = {
        "update": name,
        "update_fork_digest": _digest(case),
        "current_slot": 400,
        "expected": {"verdict": verdict, "rule": rule},
    }
    return {"process_update": content}


def test_refusals_that_come_as_expected_pass(command: Command, refusals: Path) -> None:
    again = {
        "bootstrap": "bootstrap",
        "bootstrap_fork_digest": _digest(refusals),
        "expected": {"verdict": "duplicate", "rule": "bootstrap_exists"},
    }
    wrong_kind = _update_step(refusals, "forged", "invalid", "undecodable")
    wrong_kind["process_update"]["kind"] = "optimistic_update"
    _put_first(
        refusals,
        {"process_bootstrap": again},
        _update_step(refusals, "forged", "unviable_fork", "bad_signature"),
        _update_step(refusals, "junk", "invalid", "undecodable"),
        wrong_kind,
    )
    result = command("spec-tests", refusals)
    assert _last_line(result) == "1 passed, 0 failed, 0 skipped", result.output


def test_a_refused_bootstrap_leaves_no_store(command: Command, refusals: Path) -> None:
    meta = yaml.safe_load((refusals / "meta.yaml").read_text())
    meta["trusted_block_root"] = "0x" + "11" * 32
    meta["bootstrap_expected"] = {"verdict": "invalid", "rule": "bootstrap_root_mismatch"}
    (refusals / "meta.yaml").write_text(yaml.safe_dump(meta))
    (refusals / "steps.yaml").write_text("[]")
    _put_first(refusals, _update_step(refusals, "forged", "missing_parent", "no_bootstrap"))
    assert _last_line(command("spec-tests", refusals)) == "1 passed, 0 failed, 0 skipped"


@pytest.mark.parametrize(
    ("name", "verdict", "rule"),
    [
        ("forged", "accepted", None),
        ("forged", "invalid", "bad_signature"),
        ("forged", "unviable_fork", "no_such_rule"),
        ("junk", "invalid", "bad_signature"),
    ],
)
def test_another_refusal_than_expected_fails(
    command: Command, refusals: Path, name: str, verdict: str, rule: str | None
) -> None:
    _put_first(refusals, _update_step(refusals, name, verdict, rule))
    result = command("spec-tests", refusals)
    assert _last_line(result) == "0 passed, 1 failed, 0 skipped"
    assert f"step 0: the update must be {verdict}" in result.stdout


# --- differential ---------------------------------------------------------------------------------


def _differential(spec_vectors: Path, name: str) -> list[dict[str, Any]]:
    source = min(spec_vectors.glob(f"extra/differential/{name}.jsonl.gz"))
    with gzip.open(source, "rt") as stream:
        return [json.loads(line) for line in stream]


def _write(tmp_path: Path, lines: list[dict[str, Any]]) -> None:
    path = tmp_path / "differential" / "altair" / "walk.jsonl.gz"
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))


def _changed_store(line: dict[str, Any]) -> None:
    line["store"]["current_max_active_participants"] += 1


def _other_verdict(line: dict[str, Any]) -> None:
    line["expect"] = "rejected" if line["expect"] == "accepted" else "accepted"


def _flipped_ssz(line: dict[str, Any]) -> None:
    line["ssz"] = line["ssz"][:-130] + "f" + line["ssz"][-129:]


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_changed_store, "store's current_max_active_participants"),
        (_other_verdict, "must be"),
        (_flipped_ssz, "bad_signature"),
        (lambda line: line.update(fork="nofork"), "no such fork"),
        (lambda line: line.update(kind="bootstrap"), "kind"),
        (lambda line: line.update(current_slot=-1), "current_slot"),
        (lambda line: line.update(store=None), "store: not a mapping"),
        (lambda line: line.update(expect="perhaps"), "expect"),
    ],
)
def test_an_altered_differential_line_fails(
    command: Command,
    spec_vectors: Path,
    tmp_path: Path,
    spoil: Callable[[dict[str, Any]], object],
    reason: str,
) -> None:
    lines = _differential(spec_vectors, "altair/walk_*")
    accepted = next(
        line
        for before, line in pairwise(lines)
        if line["expect"] == "accepted" and "ssz" in line and line["store"] != before["store"]
    )
    spoil(accepted)
    _write(tmp_path, lines)
    result = _run(command, tmp_path)
    assert _last_line(result) == "0 passed, 1 failed, 0 skipped"
    assert reason in result.stdout
    assert "stumbled" not in result.stdout


def test_an_excused_difference_ends_the_file(
    command: Command, spec_vectors: Path, tmp_path: Path
) -> None:
    lines = _differential(spec_vectors, "altair/walk_*")
    index = next(
        index
        for index, line in enumerate(lines[1:], start=1)
        if line["expect"] == "accepted" and line["store"] != lines[index - 1]["store"]
        and "ssz" in line
    )  # fmt: skip
    _flipped_ssz(lines[index])
    lines[index]["context_mismatch"] = True
    _other_verdict(lines[-1])
    _write(tmp_path, lines)
    assert _last_line(_run(command, tmp_path)) == "1 passed, 0 failed, 0 skipped"
