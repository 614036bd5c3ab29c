"""Chains to fuzz against: the vectors' networks, with every genuine object that stands in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from lightclient.config import Network
from lightclient.containers import LightClientBootstrap, LightClientObject, ObjectKind
from lightclient_cli.spec_tests.case import Case, octets
from lightclient_cli.spec_tests.chain import decode_object, fork_of_digest, network_of

CHECKOUT = Path(__file__).resolve().parents[2]
VECTORS = CHECKOUT / "vectors"
SPEC_VECTORS = CHECKOUT.parent / "shared" / "spec-vectors"


@dataclass(frozen=True)
class RawObject:
    """An object of a vector, before it is decoded."""

    kind: ObjectKind
    format_name: str
    ssz: bytes


@dataclass
class History:
    """One chain.

    Attributes:
        objects: everything in it, all accepted in this order; the bootstrap first.
        last_slot: the newest slot at which anything is judged.
    """

    name: str
    network: Network
    trusted_block_root: bytes
    objects: list[LightClientObject] = field(default_factory=list)
    last_slot: int = 0

    @property
    def bootstrap(self) -> LightClientBootstrap:
        first = self.objects[0]
        assert isinstance(first, LightClientBootstrap)
        return first


def _cases(root: Path, handlers: tuple[str, ...]) -> Iterator[Case]:
    for handler in handlers:
        for path in sorted(root.glob(f"tests/*/*/light_client/{handler}/*/*")):
            preset, fork, runner, _, suite, name = path.parts[-6:]
            yield Case(path, preset, fork, runner, handler, suite, name)


def _steps(case: Case) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Objects of a case: the values that name it, and those that say how it is judged."""
    meta = case.mapping("meta.yaml")
    first = {"name": "bootstrap", "kind": "bootstrap", "digest": meta["bootstrap_fork_digest"]}
    yield first, {"expected": meta.get("bootstrap_expected")}
    for step in case.yaml("steps.yaml"):
        [(what, values)] = step.items()
        if what == "process_update":
            kind, digest = values.get("kind", "update"), values["update_fork_digest"]
            yield {"name": values["update"], "kind": kind, "digest": digest}, values
        elif what == "process_bootstrap":
            digest = values["bootstrap_fork_digest"]
            yield {"name": values["bootstrap"], "kind": "bootstrap", "digest": digest}, values


def _history(case: Case) -> History:
    meta = case.mapping("meta.yaml")
    network = network_of(case, octets(meta, "genesis_validators_root", 32))
    root = octets(meta, "trusted_block_root", 32)
    history = History(f"{case.preset}/{case.fork}/{case.handler}/{case.name}", network, root)
    for named, judged in _steps(case):
        fork = fork_of_digest(octets(named, "digest", 4), network)
        value = decode_object(ObjectKind(named["kind"]), case.ssz(named["name"]), fork, network)
        history.objects.append(value)
        history.last_slot = max(history.last_slot, int(judged.get("current_slot", 0)))
    return history


@cache
def histories() -> tuple[History, ...]:
    """Chains of the small preset, every fork among them.

    Not those of ``sync_refusals``: there the committees have signed things that are not true.
    """
    cases = _cases(VECTORS, ("sync",))
    return tuple(_history(case) for case in cases if case.preset == "minimal")


@cache
def raw_objects(root: Path) -> tuple[RawObject, ...]:
    """Every object in the vectors below ``root``; none if there are no vectors."""
    found: dict[RawObject, None] = {}
    for case in _cases(root, ("sync", "sync_refusals")):
        network = network_of(case, octets(case.mapping("meta.yaml"), "genesis_validators_root", 32))
        for named, _ in _steps(case):
            fork = fork_of_digest(octets(named, "digest", 4), network)
            kind = ObjectKind(named["kind"])
            found[RawObject(kind, fork.data_format.name, case.ssz(named["name"]))] = None
    return tuple(found)
