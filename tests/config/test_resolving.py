"""A network by name or by directory: which of the two is meant, and what may be said besides."""

from __future__ import annotations

from pathlib import Path

import pytest

from lightclient.config import load_network_directory, network_by_name, resolve_network
from lightclient.errors import ConfigError


def test_a_name_resolves_to_the_public_network_even_beside_a_directory_of_that_name(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.rename(directory.with_name("mainnet"))
    monkeypatch.chdir(directory.parent)
    assert resolve_network("mainnet") is network_by_name("mainnet")
    assert resolve_network("./mainnet").name == "devnet"
    assert resolve_network("gnosis-chain").name == "gnosis"


@pytest.mark.parametrize("as_text", [True, False])
def test_a_path_resolves_to_its_directory(directory: Path, as_text: bool) -> None:
    network = resolve_network(str(directory) if as_text else directory, genesis_time=6)
    assert (network.name, network.genesis_time) == ("devnet", 6)
    assert resolve_network(f"{directory}/").genesis_time == 1_700_000_000


@pytest.mark.parametrize("wrong", ["mainet", "", ".../none", "a\0b", "x" * 100_000, "~", "\udcff"])
def test_neither_a_name_nor_a_directory_is_refused_with_the_known_names(wrong: str) -> None:
    expected = r"Known networks: mainnet, .*no such directory"
    with pytest.raises(ConfigError, match=expected) as caught:
        resolve_network(wrong)
    assert str(caught.value).isprintable()


def test_the_configuration_file_itself_is_answered_with_its_directory(directory: Path) -> None:
    with pytest.raises(ConfigError, match="give the directory"):
        resolve_network(directory / "config.yaml")


def test_a_directory_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        load_network_directory("no/such/place")


def test_a_public_networks_genesis_may_be_repeated_but_not_changed() -> None:
    mainnet = network_by_name("mainnet")
    root = mainnet.genesis_validators_root
    repeated = resolve_network(
        "mainnet", genesis_time=1606824023, genesis_validators_root="0x" + root.hex()
    )
    assert repeated is mainnet
    with pytest.raises(ConfigError, match="contradicts mainnet"):
        resolve_network("mainnet", genesis_time=1606824024)
    with pytest.raises(ConfigError, match="contradicts mainnet"):
        resolve_network("mainnet", genesis_validators_root=bytes(32))
    with pytest.raises(ConfigError, match="not 32 bytes"):
        resolve_network("mainnet", genesis_validators_root="0x12")
