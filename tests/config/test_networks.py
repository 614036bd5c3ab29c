"""The public networks state the published facts; the table below is written from their sources."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lightclient.config import (
    FAR_FUTURE_EPOCH,
    FORKS,
    GNOSIS,
    MAINNET,
    MINIMAL,
    NETWORK_NAMES,
    PRESETS,
    BlobParameters,
    Network,
    Preset,
    compute_fork_data_root,
    network_by_name,
    network_from_config_mapping,
    preset_by_name,
)
from lightclient.errors import ConfigError

FACTS = """
| | mainnet | sepolia | holesky | hoodi | gnosis | chiado |
| preset | mainnet | mainnet | mainnet | mainnet | gnosis | gnosis |
| genesis time | 1606824023 | 1655733600 | 1695902400 | 1742213400 | 1638993340 | 1665396300 |
| seconds per slot | 12 | 12 | 12 | 12 | 5 | 5 |
| chain id | 1 | 11155111 | 17000 | 560048 | 100 | 10200 |
| phase0 | 00000000 @ 0 | 90000069 @ 0 | 01017000 @ 0 | 10000910 @ 0 | 00000064 @ 0 | 0000006f @ 0 |
| altair | 01000000 @ 74240 | 90000070 @ 50 | 02017000 @ 0 | 20000910 @ 0 | 01000064 @ 512 \
| 0100006f @ 90 |
| bellatrix | 02000000 @ 144896 | 90000071 @ 100 | 03017000 @ 0 | 30000910 @ 0 \
| 02000064 @ 385536 | 0200006f @ 180 |
| capella | 03000000 @ 194048 | 90000072 @ 56832 | 04017000 @ 256 | 40000910 @ 0 \
| 03000064 @ 648704 | 0300006f @ 244224 |
| deneb | 04000000 @ 269568 | 90000073 @ 132608 | 05017000 @ 29696 | 50000910 @ 0 \
| 04000064 @ 889856 | 0400006f @ 516608 |
| electra | 05000000 @ 364032 | 90000074 @ 222464 | 06017000 @ 115968 | 60000910 @ 2048 \
| 05000064 @ 1337856 | 0500006f @ 948224 |
| fulu | 06000000 @ 411392 | 90000075 @ 272640 | 07017000 @ 165120 | 70000910 @ 50688 \
| 06000064 @ 1714688 | 0600006f @ 1353216 |
| blobs | 412672: 15, 419072: 21 | 274176: 15, 275712: 21 | 166400: 15, 167936: 21 \
| 52480: 15, 54016: 21 | | |
| blobs electra | 9 | 9 | 9 | 9 | 2 | 2 |
| churn | 65536 | 65536 | 65536 | 65536 | 4096 | 4096 |
| block requests | 33024 | 33024 | 33024 | 33024 | 33024 | 33024 |
| boot nodes | 17 | 9 | 0 | 9 | 8 | 10 |
"""

GENESIS_VALIDATORS_ROOTS = {
    "mainnet": "4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95",
    "sepolia": "d8ea171f3c94aea21ebc42a1ed61052acf3f9209c00e4efbaaddac09ed9b8078",
    "holesky": "9143aa7c615a7f7115e2b6aac319c03529df8242ae705fba9df39b79c59fa8b1",
    "hoodi": "212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f",
    "gnosis": "f5dcb5564e829aab27264b9becd5dfaa017085611224cb3036f573368dbb9d47",
    "chiado": "9d642dac73058fbf39c0ae41ab1e34e4d889043cb199851ded7095bc99eb4c1e",
    "goerli": "043db0d9a83813551ee2f33450d23797757d430911a9320530ad8a0eabc43efb",
}

MAINNET_DIGESTS = [
    (0, "b5303f2a"),
    (74239, "b5303f2a"),
    (74240, "afcaaba0"),
    (144896, "4a26c58b"),
    (194048, "bba4da96"),
    (269568, "6a95a1a9"),
    (364032, "ad532ceb"),
    (411391, "ad532ceb"),
    (411392, "cc2c5cdb"),
    (412671, "cc2c5cdb"),
    (412672, "cb0d1acc"),
    (419071, "cb0d1acc"),
    (419072, "8c9f62fe"),
    (FAR_FUTURE_EPOCH - 1, "8c9f62fe"),
]


def _rows() -> dict[str, list[str]]:
    lines = FACTS.strip().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: row[1:] for row in cells}


ROWS = _rows()
COLUMNS = list(enumerate(ROWS[""]))
FORK_NAMES = ["phase0", "altair", "bellatrix", "capella", "deneb", "electra", "fulu"]


def _ids(column: tuple[int, str]) -> str:
    return column[1]


@pytest.fixture(params=COLUMNS, ids=_ids)
def column(request: pytest.FixtureRequest) -> tuple[int, Network]:
    index, name = request.param
    return index, network_by_name(name)


def test_genesis_preset_and_slot_duration_are_the_published_ones(
    column: tuple[int, Network],
) -> None:
    index, network = column
    assert network.preset is PRESETS[ROWS["preset"][index]]
    assert network.genesis_time == int(ROWS["genesis time"][index])
    assert network.slot_duration_ms == 1000 * int(ROWS["seconds per slot"][index])
    assert network.genesis_validators_root.hex() == GENESIS_VALIDATORS_ROOTS[network.name]
    assert network.deposit_chain_id == int(ROWS["chain id"][index])


@pytest.mark.parametrize("fork_name", FORK_NAMES)
def test_fork_versions_and_epochs_are_the_published_ones(
    column: tuple[int, Network], fork_name: str
) -> None:
    index, network = column
    version, _, epoch = ROWS[fork_name][index].partition(" @ ")
    scheduled = next(s for s in network.forks if s.fork.name == fork_name)
    assert (scheduled.version.hex(), scheduled.epoch) == (version, int(epoch))
    assert network.fork_epoch(fork_name) == int(epoch)


def test_serving_and_churn_constants_are_the_published_ones(column: tuple[int, Network]) -> None:
    index, network = column
    assert network.max_blobs_per_block_electra == int(ROWS["blobs electra"][index])
    assert network.churn_limit_quotient == int(ROWS["churn"][index])
    assert network.min_epochs_for_block_requests == int(ROWS["block requests"][index])


def test_blob_schedules_are_the_published_ones(column: tuple[int, Network]) -> None:
    index, network = column
    expected = re.findall(r"(\d+): (\d+)", ROWS["blobs"][index])
    assert network.blob_schedule == tuple(BlobParameters(int(e), int(n)) for e, n in expected)


def test_published_boot_nodes_come_with_the_network(column: tuple[int, Network]) -> None:
    index, network = column
    assert len(network.bootstrap_nodes) == int(ROWS["boot nodes"][index])
    assert all(re.fullmatch(r"enr:[\w-]+", node) for node in network.bootstrap_nodes)
    assert len(set(network.bootstrap_nodes)) == len(network.bootstrap_nodes)


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_every_network_holds_every_fork_once_in_order_with_a_version_of_its_own(name: str) -> None:
    network = network_by_name(name)
    assert [s.fork for s in network.forks] == list(FORKS)
    epochs = [s.epoch for s in network.forks]
    assert epochs == sorted(epochs)
    versions = [s.version for s in network.forks]
    assert len(set(versions)) == len(versions)
    assert {len(v) for v in versions} == {4}


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_gloas_and_heze_are_scheduled_nowhere_yet(name: str) -> None:
    network = network_by_name(name)
    assert network.fork_epoch("gloas") == FAR_FUTURE_EPOCH
    assert network.fork_epoch("heze") == FAR_FUTURE_EPOCH


def test_the_version_of_gloas_is_published_for_mainnet() -> None:
    gloas = next(s for s in network_by_name("mainnet").forks if s.fork.name == "gloas")
    assert gloas.version.hex() == "07000000"


def test_goerli_ends_with_deneb_and_says_that_it_is_retired() -> None:
    goerli = network_by_name("goerli")
    assert goerli.retired
    assert goerli.bootstrap_nodes == ()
    assert goerli.genesis_time == 1616508000
    assert goerli.genesis_validators_root.hex() == GENESIS_VALIDATORS_ROOTS["goerli"]
    assert [(s.version.hex(), s.epoch) for s in goerli.forks[:5]] == [
        ("00001020", 0),
        ("01001020", 36660),
        ("02001020", 112260),
        ("03001020", 162304),
        ("04001020", 231680),
    ]
    assert all(s.epoch == FAR_FUTURE_EPOCH for s in goerli.forks[5:])


def test_only_holesky_and_goerli_are_retired() -> None:
    assert {n for n in NETWORK_NAMES if network_by_name(n).retired} == {"holesky", "goerli"}


def test_gnosis_chain_is_another_name_for_gnosis() -> None:
    assert network_by_name("gnosis-chain") is network_by_name("gnosis")


@pytest.mark.parametrize(
    ("wrong", "suggestion"),
    [("mainet", "mainnet"), ("Sepolia", "sepolia"), ("gnosis_chain", "gnosis-chain")],
)
def test_a_misspelt_network_is_answered_with_the_nearest_name(wrong: str, suggestion: str) -> None:
    with pytest.raises(ConfigError, match=f"did you mean {suggestion}"):
        network_by_name(wrong)


def test_an_unknown_network_is_answered_with_every_known_name_and_a_bounded_echo() -> None:
    with pytest.raises(ConfigError) as caught:
        network_by_name("\x1b[2J" + "q" * 10_000)
    text = str(caught.value)
    assert all(name in text for name in NETWORK_NAMES)
    assert "goerli (retired)" in text
    assert "did you mean" not in text
    assert len(text) < 400
    assert text.isprintable()


# Fork digests ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("epoch", "digest"), MAINNET_DIGESTS)
def test_mainnet_fork_digests_are_the_published_ones(epoch: int, digest: str) -> None:
    assert network_by_name("mainnet").compute_fork_digest(epoch).hex() == digest


def test_before_fulu_the_digest_does_not_depend_on_the_blob_schedule() -> None:
    mainnet = network_by_name("mainnet")
    root = compute_fork_data_root(bytes.fromhex("05000000"), mainnet.genesis_validators_root)
    assert mainnet.compute_fork_digest(411391) == root[:4]
    assert mainnet.compute_fork_digest(364032) == mainnet.compute_fork_digest(411391)


def test_from_fulu_on_the_blob_parameters_are_mixed_in() -> None:
    mainnet = network_by_name("mainnet")
    root = compute_fork_data_root(bytes.fromhex("06000000"), mainnet.genesis_validators_root)
    assert root[:4].hex() == "82fae541"
    assert mainnet.compute_fork_digest(411392) != root[:4]


def test_before_the_first_blob_schedule_entry_electras_limit_holds() -> None:
    mainnet = network_by_name("mainnet")
    assert mainnet.get_blob_parameters(411392) == BlobParameters(364032, 9)
    assert mainnet.get_blob_parameters(412672) == BlobParameters(412672, 15)
    assert network_by_name("gnosis").get_blob_parameters(2**40) == BlobParameters(1337856, 2)


def test_every_digest_of_the_schedule_leads_to_its_fork() -> None:
    forks_by_digest = network_by_name("mainnet").forks_by_digest
    found = {digest.hex(): fork.name for digest, fork in forks_by_digest.items()}
    assert found == {
        "b5303f2a": "phase0",
        "afcaaba0": "altair",
        "4a26c58b": "bellatrix",
        "bba4da96": "capella",
        "6a95a1a9": "deneb",
        "ad532ceb": "electra",
        "cc2c5cdb": "fulu",
        "cb0d1acc": "fulu",
        "8c9f62fe": "fulu",
    }


def test_no_two_networks_share_a_fork_digest() -> None:
    digests = [d for name in NETWORK_NAMES for d in network_by_name(name).forks_by_digest]
    assert len(set(digests)) == len(digests)


def test_networks_with_several_forks_at_genesis_start_in_the_newest_of_them() -> None:
    assert network_by_name("holesky").fork_at_epoch(0).name == "bellatrix"
    hoodi = network_by_name("hoodi")
    assert hoodi.fork_at_epoch(0).name == "deneb"
    assert {fork.name for fork in hoodi.forks_by_digest.values()} == {"deneb", "electra", "fulu"}


def test_the_specifications_fork_digest_vectors_for_mainnet(spec_vectors: Path) -> None:
    vectors = json.loads((spec_vectors / "extra" / "compute_fork_digest.json").read_text())
    mainnet = network_by_name("mainnet")
    assert vectors["mainnet"]["cases"]
    for case in vectors["mainnet"]["cases"]:
        assert "0x" + mainnet.compute_fork_version(case["epoch"]).hex() == case["fork_version"]
        assert "0x" + mainnet.compute_fork_digest(case["epoch"]).hex() == case["fork_digest"], case


def test_the_specifications_fork_digest_vectors_for_blob_schedules(spec_vectors: Path) -> None:
    vectors = json.loads((spec_vectors / "extra" / "compute_fork_digest.json").read_text())
    config, cases = vectors["unit_test"]["config"], vectors["unit_test"]["cases"]
    assert cases
    for case in cases:
        network = network_from_config_mapping(
            config | {"FULU_FORK_VERSION": case["fork_version"]},
            preset=MAINNET,
            genesis_validators_root=case["genesis_validators_root"],
            check_order=False,
        )
        assert "0x" + network.compute_fork_version(case["epoch"]).hex() == case["fork_version"]
        assert "0x" + network.compute_fork_digest(case["epoch"]).hex() == case["fork_digest"], case


def test_the_boot_nodes_are_those_published(shared: Path) -> None:
    for file in sorted((shared / "reference" / "bootstrap-nodes").glob("*.txt")):
        assert network_by_name(file.stem).bootstrap_nodes == tuple(file.read_text().split())


# Presets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "name", "slots", "epochs", "size", "duration_ms", "update_timeout"),
    [
        (MAINNET, "mainnet", 32, 256, 512, 12000, 8192),
        (MINIMAL, "minimal", 8, 8, 32, 6000, 64),
        (GNOSIS, "gnosis", 16, 512, 512, 5000, 8192),
    ],
)
def test_presets_are_the_specifications(
    preset: Preset,
    name: str,
    slots: int,
    epochs: int,
    size: int,
    duration_ms: int,
    update_timeout: int,
) -> None:
    assert preset_by_name(name) is preset
    assert preset.slots_per_epoch == slots
    assert preset.epochs_per_sync_committee_period == epochs
    assert preset.sync_committee_size == size
    assert preset.min_sync_committee_participants == 1
    assert preset.slot_duration_ms == duration_ms
    assert preset.update_timeout == preset.slots_per_sync_committee_period == update_timeout


def test_an_unknown_preset_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="mainnet, minimal, gnosis"):
        preset_by_name("maximal")


@pytest.mark.parametrize(
    ("name", "epochs"), [("mainnet", 3532), ("sepolia", 3532), ("gnosis", 460)]
)
def test_the_weak_subjectivity_bound_follows_from_the_churn_limit(name: str, epochs: int) -> None:
    assert network_by_name(name).weak_subjectivity_epochs_upper_bound == epochs
