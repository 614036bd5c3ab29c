"""Custom network directories: real files as they are found, and every way they can be wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lightclient.config import (
    FAR_FUTURE_EPOCH,
    BlobParameters,
    load_network_directory,
)
from lightclient.errors import ConfigError
from tests.config.devnet import CONFIG, GENESIS, ROOT, write_config


def test_a_directory_with_the_habits_of_real_files_is_read(directory: Path) -> None:
    network = load_network_directory(directory)
    assert network.name == "devnet"
    assert network.preset.name == "minimal"
    assert network.genesis_time == 1_700_000_000
    assert network.genesis_validators_root == ROOT
    assert network.slot_duration_ms == 2000
    assert [s.version.hex() for s in network.forks[:5]] == [
        "10000038",
        "20000038",
        "30000038",
        "40000038",
        "50000038",
    ]
    assert [s.epoch for s in network.forks[:4]] == [0, 0, 2, FAR_FUTURE_EPOCH]
    assert network.blob_schedule == ()
    assert network.bootstrap_nodes == ()


def test_values_given_in_both_notations_are_the_same(directory: Path) -> None:
    quoted = load_network_directory(directory)
    write_config(directory, CONFIG.replace("'", "").replace('"', ""))
    assert load_network_directory(directory) == quoted


def test_a_newer_configuration_with_a_blob_schedule_is_read(directory: Path) -> None:
    write_config(
        directory,
        CONFIG
        + "SLOT_DURATION_MS: 1500\nBLOB_SCHEDULE:\n"
        + "  - EPOCH: 5\n    MAX_BLOBS_PER_BLOCK: 12\n"
        + "  - {EPOCH: '9', MAX_BLOBS_PER_BLOCK: '15'}\n",
    )
    network = load_network_directory(directory)
    assert network.blob_schedule == (BlobParameters(5, 12), BlobParameters(9, 15))
    assert network.slot_duration_ms == 1500


def test_a_network_without_a_name_of_its_own_bears_the_directorys(directory: Path) -> None:
    write_config(directory, CONFIG.replace("CONFIG_NAME", "OTHER_NAME"))
    assert load_network_directory(directory).name == "mynet"


def test_only_the_first_forty_bytes_of_the_genesis_state_matter(directory: Path) -> None:
    before = load_network_directory(directory)
    (directory / "genesis.ssz").write_bytes(GENESIS)
    assert load_network_directory(directory) == before


def test_a_huge_genesis_state_is_not_read_whole(directory: Path) -> None:
    with (directory / "genesis.ssz").open("r+b") as stream:
        stream.truncate(64 << 20)
    tracemalloc.start()
    try:
        assert load_network_directory(directory).genesis_time == 1_700_000_000
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_both_arguments_take_the_place_of_the_genesis_state(directory: Path) -> None:
    (directory / "genesis.ssz").unlink()
    network = load_network_directory(
        directory, genesis_time=5, genesis_validators_root="0x" + "cd" * 32
    )
    assert (network.genesis_time, network.genesis_validators_root) == (5, b"\xcd" * 32)


def test_an_argument_replaces_what_the_genesis_state_says(directory: Path) -> None:
    network = load_network_directory(directory, genesis_time=5)
    assert (network.genesis_time, network.genesis_validators_root) == (5, ROOT)
    network = load_network_directory(directory, genesis_validators_root=b"\xcd" * 32)
    assert network.genesis_time == 1_700_000_000
    assert network.genesis_validators_root == b"\xcd" * 32


# Genesis refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given_arguments", [{}, {"genesis_time": 5}, {"genesis_validators_root": ROOT}]
)
def test_without_a_genesis_both_ways_to_give_one_are_told(
    directory: Path, given_arguments: dict[str, Any]
) -> None:
    (directory / "genesis.ssz").unlink()
    with pytest.raises(ConfigError) as caught:
        load_network_directory(directory, **given_arguments)
    for word in ("genesis.ssz", "--genesis-time", "--genesis-validators-root"):
        assert word in str(caught.value)


def test_a_git_lfs_pointer_in_place_of_the_genesis_state_is_named(directory: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 15543246\n"
    (directory / "genesis.ssz").write_text(pointer)
    with pytest.raises(ConfigError, match=r"genesis\.ssz: a Git LFS pointer.*--genesis-time"):
        load_network_directory(directory)
    assert (
        load_network_directory(directory, genesis_time=5, genesis_validators_root=ROOT).genesis_time
        == 5
    )


@pytest.mark.parametrize("content", [b"", b"\0" * 39, b"{}"])
def test_a_genesis_state_that_is_too_short_is_refused(directory: Path, content: bytes) -> None:
    (directory / "genesis.ssz").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"genesis\.ssz: {len(content)} bytes"):
        load_network_directory(directory)


def test_a_web_page_in_place_of_the_genesis_state_is_refused(directory: Path) -> None:
    (directory / "genesis.ssz").write_text("<!DOCTYPE html><html><head><title>404</title></head>")
    with pytest.raises(ConfigError, match=r"genesis\.ssz: genesis_time: .* not a BeaconState"):
        load_network_directory(directory)


@pytest.mark.parametrize("root", ["0x12", "zz" * 32, b"short"])
def test_a_malformed_root_argument_is_refused(directory: Path, root: Any) -> None:
    with pytest.raises(ConfigError, match="genesis validators root"):
        load_network_directory(directory, genesis_time=5, genesis_validators_root=root)


@pytest.mark.parametrize("time", [-1, 10**18])
def test_a_genesis_time_out_of_range_is_refused(directory: Path, time: int) -> None:
    with pytest.raises(ConfigError, match="genesis time"):
        load_network_directory(directory, genesis_time=time, genesis_validators_root=ROOT)


# Configuration refusals -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replaced", "by", "key"),
    [
        ("PRESET_BASE: 'minimal'", "", "PRESET_BASE"),
        ("PRESET_BASE: 'minimal'", "PRESET_BASE: huge", "PRESET_BASE"),
        ("0x30000038", "0x300038", "BELLATRIX_FORK_VERSION"),
        ("'0x20000038'", "[1, 2]", "ALTAIR_FORK_VERSION"),
        ("BELLATRIX_FORK_EPOCH: '2'", "BELLATRIX_FORK_EPOCH: soon", "BELLATRIX_FORK_EPOCH"),
        ("BELLATRIX_FORK_EPOCH: '2'", "BELLATRIX_FORK_EPOCH:", "BELLATRIX_FORK_EPOCH"),
        ("ALTAIR_FORK_EPOCH: 0", "ALTAIR_FORK_EPOCH: 3", "BELLATRIX_FORK_EPOCH.*ALTAIR"),
        ("ALTAIR_FORK_EPOCH: 0\n", "", "ALTAIR_FORK_EPOCH"),
        ("SECONDS_PER_SLOT: 2", "SECONDS_PER_SLOT: 0", "SECONDS_PER_SLOT"),
        ("SECONDS_PER_SLOT: 2", "SLOT_DURATION_MS: NaN", "SLOT_DURATION_MS"),
        ("EMPTY_KEY:", "BLOB_SCHEDULE: 5", "BLOB_SCHEDULE"),
        ("EMPTY_KEY:", "BLOB_SCHEDULE: [{EPOCH: 1}]", r"BLOB_SCHEDULE\[0\]"),
        ('CONFIG_NAME: "devnet"', 'CONFIG_NAME: "\\e[2J"', "CONFIG_NAME"),
        ("EMPTY_KEY:", "ALTAIR_FORK_EPOCH: 1", "line 16: 'ALTAIR_FORK_EPOCH' is given twice"),
    ],
)
def test_every_error_in_a_configuration_names_the_file_and_the_key(
    directory: Path, replaced: str, by: str, key: str
) -> None:
    assert replaced in CONFIG
    write_config(directory, CONFIG.replace(replaced, by))
    with pytest.raises(ConfigError, match=rf"config\.yaml: .*{key}"):
        load_network_directory(directory)


def test_a_configuration_that_never_reaches_altair_is_refused(directory: Path) -> None:
    write_config(directory, "PRESET_BASE: mainnet\n")
    with pytest.raises(ConfigError, match=r"ALTAIR_FORK_EPOCH: .*Altair"):
        load_network_directory(directory)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# nothing\n",
        b"just text",
        b"- a\n- b\n",
        b"{",
        b"a: b: c",
        b"\xff\xfe\xff",
        b"\x00",
        b"a: \x1b[0m",
        b'a: "\\UFFFFFFFF"',
        b"%YAML 1." + b"9" * 5000 + b"\n---\na: b",
        b"[" * 100_000,
        b"a: " * 1000,
        b"? [a]\n: b\n",
        b"a: 1\n---\nb: 2\n",
        b"a: &x 1\nb: *x\n",
        b"a: &x [x, x]\nb: &y [*x, *x]\nc: [*y, *y]\n",
        b"<<: *nothing\n",
        b"".join(b"k%d: v\n" % i for i in range(60_000)),
        b"# " + b"x" * (1 << 20),
    ],
    ids=lambda content: repr(content[:12]),
)
def test_a_file_that_is_no_configuration_is_refused_by_name(
    directory: Path, content: bytes
) -> None:
    write_config(directory, content)
    with pytest.raises(ConfigError, match=r"config\.yaml: ") as caught:
        load_network_directory(directory)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 800


def test_tags_have_no_meaning(directory: Path) -> None:
    write_config(directory, CONFIG + "EVIL: !!python/object/apply:os.abort []\n")
    assert load_network_directory(directory).name == "devnet"


def test_a_missing_configuration_is_named(directory: Path) -> None:
    (directory / "config.yaml").unlink()
    with pytest.raises(ConfigError, match=r"config\.yaml: no such file"):
        load_network_directory(directory)


def test_the_directory_one_level_too_high_is_answered_with_the_right_one(directory: Path) -> None:
    nested = directory / "metadata"
    nested.mkdir()
    (directory / "config.yaml").rename(nested / "config.yaml")
    with pytest.raises(ConfigError, match=r"did you mean .*metadata"):
        load_network_directory(directory)


@pytest.mark.parametrize("name", ["config.yaml", "genesis.ssz", "bootstrap_nodes.txt"])
def test_a_directory_in_a_files_place_is_refused_by_name(directory: Path, name: str) -> None:
    (directory / name).unlink(missing_ok=True)
    (directory / name).mkdir()
    with pytest.raises(ConfigError, match=rf"{name}: not a regular file"):
        load_network_directory(directory)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_in_a_files_place_does_not_block(directory: Path) -> None:
    (directory / "config.yaml").unlink()
    os.mkfifo(directory / "config.yaml")
    with pytest.raises(ConfigError, match="not a regular file"):
        load_network_directory(directory)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user who can be refused"
)
def test_a_file_that_may_not_be_read_is_named(directory: Path) -> None:
    (directory / "config.yaml").chmod(0)
    with pytest.raises(ConfigError, match=r"config\.yaml: cannot be read"):
        load_network_directory(directory)


# Boot nodes -----------------------------------------------------------------------------------


def test_boot_nodes_are_read_from_every_file_each_once(directory: Path) -> None:
    (directory / "bootstrap_nodes.yaml").write_text("# nodes\n- enr:-aa_B\n- 'enr:-bb' # two\n")
    (directory / "boot_enr.yaml").write_text("- enr:-aa_B\n- enr:-cc\n")
    (directory / "bootstrap_nodes.txt").write_text(
        "# nodes\n\nenr:-dd # four\n  enr:-bb\nenode://abc@1.2.3.4:30303\n/ip4/1.2.3.4/tcp/9000\n"
    )
    nodes = load_network_directory(directory).bootstrap_nodes
    assert nodes == ("enr:-aa_B", "enr:-bb", "enr:-cc", "enr:-dd")


@pytest.mark.parametrize("content", ["", "# none yet\n", "[]\n"])
def test_a_boot_node_list_may_be_empty(directory: Path, content: str) -> None:
    (directory / "bootstrap_nodes.yaml").write_text(content)
    assert load_network_directory(directory).bootstrap_nodes == ()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bootstrap_nodes.yaml", b"a: b\n"),
        ("bootstrap_nodes.yaml", b"- {a: b}\n"),
        ("bootstrap_nodes.yaml", b"- enr:-a b\n"),
        ("boot_enr.yaml", b"["),
        ("boot_enr.yaml", b"just text"),
        ("bootstrap_nodes.txt", b"enr:\n"),
        ("bootstrap_nodes.txt", b"enr:-\xff\xfe\n"),
        ("bootstrap_nodes.txt", b"enr:" + b"a" * 401),
        ("bootstrap_nodes.txt", b"\n" * (1 << 20) + b"x"),
    ],
)
def test_a_malformed_boot_node_list_is_refused_by_file(
    directory: Path, name: str, content: bytes
) -> None:
    (directory / name).write_bytes(content)
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")) as caught:
        load_network_directory(directory)
    assert len(str(caught.value)) < 800


# Junk -----------------------------------------------------------------------------------------

LINES = st.lists(
    st.sampled_from(CONFIG.splitlines())
    | st.builds(
        "{}: {}".format,
        st.sampled_from(["ALTAIR_FORK_EPOCH", "BLOB_SCHEDULE", "SLOT_DURATION_MS", "PRESET_BASE"]),
        st.text(max_size=20),
    )
    | st.text(alphabet="{}[],:&*!|>%@#?-'\" \t\nab0x", max_size=30),
    max_size=25,
).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | LINES, st.binary(max_size=60), st.binary(max_size=60))
@example(CONFIG.encode(), GENESIS, b"- enr:-aa")
def test_junk_in_any_file_gives_a_network_or_a_config_error_and_nothing_else(
    directory: Path, config: bytes, genesis: bytes, nodes: bytes
) -> None:
    write_config(directory, config)
    (directory / "genesis.ssz").write_bytes(genesis)
    (directory / "bootstrap_nodes.yaml").write_bytes(nodes)
    refusal = ""
    try:
        assert load_network_directory(directory).forks_by_digest
    except ConfigError as error:
        refusal = str(error)
    assert refusal == "" or refusal.isprintable()


def test_importing_the_room_loads_neither_yaml_nor_the_boot_nodes() -> None:
    code = "import sys, lightclient.config; sys.exit('yaml' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
