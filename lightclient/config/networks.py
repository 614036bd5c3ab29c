"""The public networks, by name: genesis, fork schedule, blob schedule and boot nodes.

Facts only, from the networks' own configuration repositories. The boot nodes lie beside this module
as text and are read when a network is asked for, so importing the library stays cheap.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from lightclient.config.forks import FAR_FUTURE_EPOCH, FORKS
from lightclient.config.network import BlobParameters, Network, Preset, ScheduledFork
from lightclient.config.presets import GNOSIS, MAINNET, placeholder_fork_version
from lightclient.errors import ConfigError


@dataclass(frozen=True, slots=True)
class _NetworkFacts:
    """One network as its configuration states it.

    Attributes:
        schedule: (fork version as hex, activation epoch) in fork order from phase0; forks that are
            missing at the end are not scheduled.
        blobs: BLOB_SCHEDULE as (epoch, max blobs per block).
    """

    preset: Preset
    genesis_time: int
    genesis_validators_root: str
    schedule: tuple[tuple[str, int], ...]
    deposit_chain_id: int
    blobs: tuple[tuple[int, int], ...] = ()
    max_blobs_per_block_electra: int = 9
    churn_limit_quotient: int = 65536
    min_epochs_for_block_requests: int = 33024
    retired: bool = False


_FACTS: Final[Mapping[str, _NetworkFacts]] = MappingProxyType(
    {
        "mainnet": _NetworkFacts(
            preset=MAINNET,
            genesis_time=1606824023,
            genesis_validators_root=(
                "4b363db94e286120d76eb905340fdd4e54bfe9f06bf33ff6cf5ad27f511bfe95"
            ),
            schedule=(
                ("00000000", 0),
                ("01000000", 74240),
                ("02000000", 144896),
                ("03000000", 194048),
                ("04000000", 269568),
                ("05000000", 364032),
                ("06000000", 411392),
                ("07000000", FAR_FUTURE_EPOCH),
            ),
            deposit_chain_id=1,
            blobs=((412672, 15), (419072, 21)),
        ),
        "sepolia": _NetworkFacts(
            preset=MAINNET,
            genesis_time=1655733600,
            genesis_validators_root=(
                "d8ea171f3c94aea21ebc42a1ed61052acf3f9209c00e4efbaaddac09ed9b8078"
            ),
            schedule=(
                ("90000069", 0),
                ("90000070", 50),
                ("90000071", 100),
                ("90000072", 56832),
                ("90000073", 132608),
                ("90000074", 222464),
                ("90000075", 272640),
            ),
            deposit_chain_id=11155111,
            blobs=((274176, 15), (275712, 21)),
        ),
        "holesky": _NetworkFacts(
            preset=MAINNET,
            genesis_time=1695902400,
            genesis_validators_root=(
                "9143aa7c615a7f7115e2b6aac319c03529df8242ae705fba9df39b79c59fa8b1"
            ),
            schedule=(
                ("01017000", 0),
                ("02017000", 0),
                ("03017000", 0),
                ("04017000", 256),
                ("05017000", 29696),
                ("06017000", 115968),
                ("07017000", 165120),
            ),
            deposit_chain_id=17000,
            blobs=((166400, 15), (167936, 21)),
            retired=True,
        ),
        "hoodi": _NetworkFacts(
            preset=MAINNET,
            genesis_time=1742213400,
            genesis_validators_root=(
                "212f13fc4df078b6cb7db228f1c8307566dcecf900867401a92023d7ba99cb5f"
            ),
            schedule=(
                ("10000910", 0),
                ("20000910", 0),
                ("30000910", 0),
                ("40000910", 0),
                ("50000910", 0),
                ("60000910", 2048),
                ("70000910", 50688),
            ),
            deposit_chain_id=560048,
            blobs=((52480, 15), (54016, 21)),
        ),
        "gnosis": _NetworkFacts(
            preset=GNOSIS,
            genesis_time=1638993340,
            genesis_validators_root=(
                "f5dcb5564e829aab27264b9becd5dfaa017085611224cb3036f573368dbb9d47"
            ),
            schedule=(
                ("00000064", 0),
                ("01000064", 512),
                ("02000064", 385536),
                ("03000064", 648704),
                ("04000064", 889856),
                ("05000064", 1337856),
                ("06000064", 1714688),
            ),
            deposit_chain_id=100,
            max_blobs_per_block_electra=2,
            churn_limit_quotient=4096,
        ),
        "chiado": _NetworkFacts(
            preset=GNOSIS,
            genesis_time=1665396300,
            genesis_validators_root=(
                "9d642dac73058fbf39c0ae41ab1e34e4d889043cb199851ded7095bc99eb4c1e"
            ),
            schedule=(
                ("0000006f", 0),
                ("0100006f", 90),
                ("0200006f", 180),
                ("0300006f", 244224),
                ("0400006f", 516608),
                ("0500006f", 948224),
                ("0600006f", 1353216),
            ),
            deposit_chain_id=10200,
            max_blobs_per_block_electra=2,
            churn_limit_quotient=4096,
        ),
        # Retired before Electra: known by name for the sake of objects recorded while it lived.
        "goerli": _NetworkFacts(
            preset=MAINNET,
            genesis_time=1616508000,
            genesis_validators_root=(
                "043db0d9a83813551ee2f33450d23797757d430911a9320530ad8a0eabc43efb"
            ),
            schedule=(
                ("00001020", 0),
                ("01001020", 36660),
                ("02001020", 112260),
                ("03001020", 162304),
                ("04001020", 231680),
            ),
            deposit_chain_id=5,
            retired=True,
        ),
    }
)

NETWORK_NAMES: Final = tuple(_FACTS)
"""Networks that :func:`network_by_name` knows, retired ones included, without aliases."""

NETWORK_ALIASES: Final[Mapping[str, str]] = MappingProxyType({"gnosis-chain": "gnosis"})


def network_by_name(name: str) -> Network:
    """The public network called ``name``.

    Raises:
        ConfigError: for any other name; it lists the known ones and the nearest.
    """
    canonical = NETWORK_ALIASES.get(name, name)
    if canonical not in _FACTS:
        raise ConfigError(unknown_network_message(name))
    return _build(canonical)


def unknown_network_message(name: str) -> str:
    """What to tell who asked for a network ``name`` that is not known."""
    from difflib import get_close_matches

    known = [*NETWORK_NAMES, *NETWORK_ALIASES]
    near = get_close_matches(name[:60].strip().lower().replace("_", "-"), known, n=2, cutoff=0.6)
    suggestion = f"; did you mean {' or '.join(near)}?" if near else "."
    listed = ", ".join(f"{n} (retired)" if n in _FACTS and _FACTS[n].retired else n for n in known)
    return f"unknown network {name[:60]!r}{suggestion} Known networks: {listed}"


@cache
def _build(name: str) -> Network:
    facts = _FACTS[name]
    forks = []
    for fork in FORKS:
        if fork.index < len(facts.schedule):
            version, epoch = facts.schedule[fork.index]
            forks.append(ScheduledFork(fork, bytes.fromhex(version), epoch))
        else:
            version_unknown = placeholder_fork_version(fork.index)
            forks.append(ScheduledFork(fork, version_unknown, FAR_FUTURE_EPOCH))
    return Network(
        name=name,
        preset=facts.preset,
        genesis_time=facts.genesis_time,
        genesis_validators_root=bytes.fromhex(facts.genesis_validators_root),
        slot_duration_ms=facts.preset.slot_duration_ms,
        forks=tuple(forks),
        blob_schedule=tuple(BlobParameters(epoch, blobs) for epoch, blobs in facts.blobs),
        max_blobs_per_block_electra=facts.max_blobs_per_block_electra,
        churn_limit_quotient=facts.churn_limit_quotient,
        min_epochs_for_block_requests=facts.min_epochs_for_block_requests,
        deposit_chain_id=facts.deposit_chain_id,
        bootstrap_nodes=_published_bootstrap_nodes(name),
        retired=facts.retired,
    )


def _published_bootstrap_nodes(name: str) -> tuple[str, ...]:
    if _FACTS[name].retired:
        return ()
    # Not importlib.resources, whose import alone costs a third of the library's import budget.
    text = Path(__file__).with_name("bootstrap_nodes").joinpath(f"{name}.txt").read_text("ascii")
    return tuple(text.split())
