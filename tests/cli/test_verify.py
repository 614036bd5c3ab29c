"""``verify``: real objects are accepted, everything else is refused in its own line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from tests.cli.conftest import Command

CAPELLA_ROOT = "0x15cf56ebf887ede9cf3fc10a26ec83828628932c100e42c98c84f83da710c863"
DENEB_ROOT = "0xefb4338d596b9d335b2da176dc85ee97469fc80c7e2d35b9b9c1558b4602077a"
OBJECT_KEYS = [
    "object", "source", "fork", "attested_slot", "signature_slot", "participants", "verdict",
    "rule", "detail", "finalized_slot", "optimistic_slot",
]  # fmt: skip
SUMMARY_KEYS = ["summary", "objects", "accepted", "duplicates", "refused", "ms_per_update"]


@pytest.fixture
def capella(real_data: Path) -> Path:
    return real_data / "mainnet-capella"


@pytest.fixture
def deneb(real_data: Path) -> Path:
    return real_data / "mainnet-deneb"


def _lines(result: Result) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    *objects, summary = [json.loads(line) for line in result.stdout.splitlines()]
    for line in objects:
        assert list(line) == OBJECT_KEYS
    assert list(summary) == SUMMARY_KEYS
    assert summary["summary"] is True
    assert summary["objects"] == len(objects)
    return objects, summary


def _is_usage_error(result: Result) -> bool:
    return (
        result.exit_code == 2
        and result.stdout == ""
        and result.stderr.startswith("Error: ")
        and result.stderr.count("\n") == 1
    )


# --- real objects ---------------------------------------------------------------------------------


def test_the_capella_set_is_accepted(command: Command, capella: Path) -> None:
    result = command(
        "verify", "--network", "mainnet", "--json",
        "--trusted-block-root", CAPELLA_ROOT,
        "--optimistic-update", capella / "optUpdate.ssz",
        "--finality-update", capella / "finUpdate.ssz",
        "--updates", capella / "updates.ssz",
        "--optimistic-update", capella / "optimistic_update.ssz",
        "--finality-update", capella / "finUpdate.json",
        "--optimistic-update", capella / "optUpdate.json",
        "--bootstrap", capella / "bootstrap.ssz",
    )  # fmt: skip
    assert result.exit_code == 0
    objects, summary = _lines(result)
    assert [line["object"] for line in objects] == [
        "bootstrap", *["update"] * 21, *["finality_update"] * 2, *["optimistic_update"] * 3
    ]  # fmt: skip
    assert objects[0]["participants"] is None
    assert objects[0]["signature_slot"] is None
    assert {line["fork"] for line in objects} == {"capella"}
    assert objects[21]["source"] == f"{capella / 'updates.ssz'}#20"
    assert objects[-1]["finalized_slot"] == 6730848
    assert objects[-1]["optimistic_slot"] == 6730936
    assert (summary["accepted"], summary["duplicates"], summary["refused"]) == (26, 1, 0)
    assert summary["ms_per_update"] > 0


@pytest.mark.parametrize("suffix", ["json", "ssz"])
def test_the_deneb_set_is_accepted(command: Command, deneb: Path, suffix: str) -> None:
    names = {
        "json": ("BootstrapDeneb.json", "UpdateDeneb.json", "UpdateNewPeriodDeneb.json"),
        "ssz": (
            "LightClientBootstrapDeneb.ssz",
            "LightClientUpdateDeneb.ssz",
            "LightClientUpdateNewPeriodDeneb.ssz",
        ),
    }[suffix]
    bootstrap, first, second = (deneb / name for name in names)
    result = command(
        "verify", "--json", "--trusted-block-root", DENEB_ROOT.removeprefix("0x"),
        "--bootstrap", bootstrap, "--updates", first, "--updates", second,
    )  # fmt: skip
    assert result.exit_code == 0
    objects, _ = _lines(result)
    assert [(line["verdict"], line["rule"], line["detail"]) for line in objects] == [
        ("accepted", None, None)
    ] * 3


def test_every_backend_gives_the_same_lines(command: Command, capella: Path) -> None:
    from lightclient.bls import available_backends

    outputs = set()
    for backend in available_backends():
        result = command(
            "verify", "--trusted-block-root", CAPELLA_ROOT, "--json",
            "--bootstrap", capella / "bootstrap.ssz", "--updates", capella / "updates.ssz",
            "--bls-backend", backend.name,
        )  # fmt: skip
        outputs.add("\n".join(result.stdout.splitlines()[:-1]))
    assert len(outputs) == 1


def test_a_recorded_electra_node_is_verified_at_a_slot(
    command: Command, real_data: Path, tmp_path: Path
) -> None:
    lodestar = real_data / "lodestar-minimal-electra"
    spec = json.loads((lodestar / "spec.json").read_text())["data"]
    genesis = json.loads((lodestar / "genesis.json").read_text())["data"]
    wanted = ("PRESET_BASE", "SECONDS_PER_SLOT", "_FORK_EPOCH", "_FORK_VERSION")
    config = [f"{key}: {value}" for key, value in spec.items() if key.endswith(wanted)]
    (tmp_path / "config.yaml").write_text("\n".join(config))
    root = json.loads((lodestar / "bootstrap.json").read_text())["data"]["header"]["beacon"]
    from lightclient.containers import BEACON_BLOCK_HEADER

    block_root = "0x" + BEACON_BLOCK_HEADER.from_json(root).hash_tree_root().hex()
    result = command(
        "verify", "--network", tmp_path, "--genesis-time", genesis["genesis_time"],
        "--genesis-validators-root", genesis["genesis_validators_root"],
        "--trusted-block-root", block_root, "--at-slot", 100_000, "--json",
        "--bootstrap", lodestar / "bootstrap.json", "--updates", lodestar / "updates.json",
        "--updates", lodestar / "updates_ssz.ssz",
        "--finality-update", lodestar / "finality_update.json",
        "--finality-update", lodestar / "finality_update_ssz.ssz",
        "--optimistic-update", lodestar / "optimistic_update_ssz.ssz",
    )  # fmt: skip
    objects, summary = _lines(result)
    # The node also served the updates of two periods before its bootstrap's.
    assert result.exit_code == 1
    early = [line for line in objects if line["rule"] == "period_not_covered"]
    assert {(line["fork"], line["verdict"]) for line in early} == {("deneb", "missing_parent")}
    assert summary["refused"] == len(early) == 4
    assert {line["fork"] for line in objects if line not in early} == {"electra"}
    assert objects[-1]["optimistic_slot"] == 199


# --- refusals -------------------------------------------------------------------------------------


def test_a_refused_object_changes_nothing_and_the_rest_is_judged(
    command: Command, deneb: Path, tmp_path: Path
) -> None:
    update = json.loads((deneb / "UpdateDeneb.json").read_text())
    forged = json.loads((deneb / "UpdateDeneb.json").read_text())
    forged["data"]["attested_header"]["beacon"]["proposer_index"] = "7"
    several = tmp_path / "several.json"
    several.write_text(json.dumps([{"version": "deneb"}, forged, update, update, 5]))
    result = command(
        "verify", "--trusted-block-root", DENEB_ROOT, "--json",
        "--bootstrap", deneb / "BootstrapDeneb.json", "--updates", several,
    )  # fmt: skip
    assert result.exit_code == 1
    objects, summary = _lines(result)
    assert [(line["verdict"], line["rule"]) for line in objects] == [
        ("accepted", None),
        ("invalid", "undecodable"),
        ("unviable_fork", "bad_signature"),
        ("accepted", None),
        ("duplicate", "not_relevant"),
        ("invalid", "undecodable"),
    ]
    assert objects[1]["fork"] is None
    assert objects[1]["attested_slot"] is None
    assert objects[1]["detail"]
    assert len({line["finalized_slot"] for line in objects}) == 1
    assert (summary["accepted"], summary["duplicates"], summary["refused"]) == (2, 1, 3)


def test_without_an_accepted_bootstrap_the_store_has_no_slots(
    command: Command, deneb: Path
) -> None:
    result = command(
        "verify", "--trusted-block-root", "0x" + "11" * 32, "--json",
        "--bootstrap", deneb / "BootstrapDeneb.json", "--updates", deneb / "UpdateDeneb.json",
    )  # fmt: skip
    assert result.exit_code == 1
    objects, _ = _lines(result)
    assert [line["rule"] for line in objects] == ["bootstrap_root_mismatch", "no_bootstrap"]
    assert {line["finalized_slot"] for line in objects} == {None}
    assert {line["optimistic_slot"] for line in objects} == {None}


@pytest.mark.parametrize("when", [("--at-slot", "9420873"), ("--at-time", "1719873000")])
def test_an_update_of_the_future_is_refused(
    command: Command, deneb: Path, when: tuple[str, str]
) -> None:
    result = command(
        "verify", "--trusted-block-root", DENEB_ROOT, "--json", *when,
        "--bootstrap", deneb / "BootstrapDeneb.json", "--updates", deneb / "UpdateDeneb.json",
    )  # fmt: skip
    assert result.exit_code == 1
    objects, _ = _lines(result)
    assert objects[1]["rule"] == "signature_slot_in_future"


def test_junk_is_undecodable_and_not_an_error(command: Command, tmp_path: Path) -> None:
    for index, junk in enumerate([b"\0" * 30, b"{", b"[1, NaN]"[:2], b"\xff" * 5000, b'"text"']):
        path = tmp_path / f"junk{index}"
        path.write_bytes(junk)
        result = command("verify", "--trusted-block-root", DENEB_ROOT, "--bootstrap", path)
        assert result.exit_code == 1
        assert "undecodable" in result.stdout
        assert result.stdout.count("\n") == 2


def test_people_get_a_line_an_object_with_a_hint(command: Command, deneb: Path) -> None:
    result = command(
        "verify", "--trusted-block-root", DENEB_ROOT, "--at-slot", 9425184,
        "--bootstrap", deneb / "BootstrapDeneb.json",
        "--updates", deneb / "UpdateNewPeriodDeneb.json",
    )  # fmt: skip
    first, second, summary = result.stdout.splitlines()
    assert first.startswith("accepted ")
    assert "signature_slot_in_future" in second
    assert "check this machine's clock" in second
    assert summary.startswith("2 objects: 1 accepted, 0 duplicates, 1 refused")


def test_standard_input_is_a_file_called_dash(command: Command, deneb: Path) -> None:
    result = command(
        "verify", "--trusted-block-root", DENEB_ROOT, "--bootstrap", "-", "--json",
        input=(deneb / "LightClientBootstrapDeneb.ssz").read_bytes(),
    )  # fmt: skip
    assert result.exit_code == 0
    assert json.loads(result.stdout.splitlines()[0])["source"] == "-#0"


# --- arguments and files that cannot be used ------------------------------------------------------


def test_without_a_trusted_block_root_it_says_where_to_get_one(
    command: Command, tmp_path: Path
) -> None:
    result = command("verify", "--bootstrap", tmp_path / "bootstrap.ssz")
    assert _is_usage_error(result)
    assert "/eth/v1/beacon/headers/finalized" in result.stderr


@pytest.mark.parametrize("root", ["0x12", "zz" * 32, "0x" + "0" * 63, "0x" + "0" * 65, "é" * 64])
def test_a_root_that_is_none_is_refused(command: Command, tmp_path: Path, root: str) -> None:
    assert _is_usage_error(command("verify", "--trusted-block-root", root, "--bootstrap", "x"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("--at-slot", "1", "--at-time", "1"),
        ("--at-slot", "-1"),
        ("--at-slot", "1e3"),
        ("--at-slot", str(2**64)),
        ("--at-slot", "9" * 5000),
        ("--at-time", "-1"),
        ("--at-time", "99999999999999"),
        ("--at-time", "1.5"),
        ("--bls-backend", "none"),
        ("--network", "no-such-network"),
        ("--network", "/nonexistent/directory"),
        ("--genesis-time", "x"),
        ("--genesis-validators-root", "0x00"),
        ("--bootstrap", "another"),
    ],
)
def test_arguments_that_cannot_be_used(
    command: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    bootstrap = tmp_path / "bootstrap.ssz"
    bootstrap.write_bytes(b"\1")
    result = command(
        "verify", "--trusted-block-root", DENEB_ROOT, "--bootstrap", bootstrap, *arguments
    )
    assert _is_usage_error(result), result.output


def test_a_broken_network_directory_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("PRESET_BASE: [")
    result = command(
        "verify", "--network", tmp_path, "--trusted-block-root", DENEB_ROOT, "--bootstrap", "x"
    )
    assert _is_usage_error(result)


@pytest.mark.parametrize("content", [b"", b" \n", b"[]", b'{"data": []}'])
def test_a_file_without_objects_is_named(command: Command, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "nothing\nhere"
    path.write_bytes(content)
    result = command("verify", "--trusted-block-root", DENEB_ROOT, "--bootstrap", path)
    assert _is_usage_error(result)
    assert "nothing here" in result.stderr


def test_files_that_cannot_be_read_are_named(command: Command, tmp_path: Path) -> None:
    for path in (tmp_path / "missing.ssz", tmp_path, "nul\0byte"):
        result = command("verify", "--trusted-block-root", DENEB_ROOT, "--bootstrap", path)
        assert _is_usage_error(result)
        assert "cannot be read" in result.stderr


def test_more_than_one_bootstrap_in_a_file_is_refused(
    command: Command, deneb: Path, tmp_path: Path
) -> None:
    bootstrap = json.loads((deneb / "BootstrapDeneb.json").read_text())
    path = tmp_path / "two.json"
    path.write_text(json.dumps([bootstrap, bootstrap]))
    result = command("verify", "--trusted-block-root", DENEB_ROOT, "--bootstrap", path)
    assert _is_usage_error(result)
    assert "2 bootstraps" in result.stderr
