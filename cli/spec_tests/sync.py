"""``light_client/sync`` and our own ``sync_refusals``: a store is led through objects step by step.

The official cases hold valid objects only, so every step must be accepted. In ``sync_refusals``
(vectors/README.md) each step names the verdict and the rule that it must lead to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightclient.bls import Backend
from lightclient.config import DataFormat, Network
from lightclient.containers import LightClientHeader, ObjectKind
from lightclient.errors import DecodeError
from lightclient.protocol import (
    Rule,
    Verdict,
    get_lc_execution_root,
    process_light_client_store_force_update,
    undecodable,
)
from lightclient.sync import Processor
from lightclient_cli.spec_tests.case import (
    Case,
    CaseFailed,
    as_list,
    as_mapping,
    expect,
    number,
    octets,
    text,
)
from lightclient_cli.spec_tests.chain import decode_object, fork_of_digest, network_of


def run_sync(case: Case, backend: Backend) -> None:
    """An official case, or one of ours with refusals."""
    Walk(case, backend).run()


class Walk:
    """A store on its way through the steps of one case."""

    def __init__(self, case: Case, backend: Backend) -> None:
        self.case = case
        self.meta = case.mapping("meta.yaml")
        self.network = network_of(case, octets(self.meta, "genesis_validators_root", 32))
        self.processor = Processor(
            self.network, octets(self.meta, "trusted_block_root", 32), backend=backend
        )

    def run(self) -> None:
        """Bootstrap, then every step; CaseFailed at the first that differs."""
        self._bootstrap(self.meta, "bootstrap", self.meta.get("bootstrap_expected"))
        store = self.processor.store
        if store is not None:
            store.upgrade(_store_format(self.meta, self.network))
        for index, step in enumerate(as_list(self.case.yaml("steps.yaml"), "steps.yaml")):
            try:
                self._step(as_mapping(step, "a step"))
            except CaseFailed as error:
                raise CaseFailed(f"step {index}: {error}") from None

    def _step(self, step: Mapping[str, Any]) -> None:
        if len(step) != 1:
            raise CaseFailed("a step must have exactly one key")
        [(name, content)] = step.items()
        content = as_mapping(content, name)
        match name:
            case "process_update":
                self._update(content)
            case "process_bootstrap":
                self._bootstrap(content, text(content, "bootstrap"), content.get("expected"))
            case "force_update":
                self._force_update(content)
            case "upgrade_store":
                if self.processor.store is not None:
                    self.processor.store.upgrade(_store_format(content, self.network))
            case _:
                raise CaseFailed(f"unknown step {name[:60]!a}")
        if "checks" in content:
            self._check(as_mapping(content["checks"], "checks"))

    def _bootstrap(self, values: Mapping[str, Any], name: str, expected: Any) -> None:
        self._judge(
            ObjectKind.BOOTSTRAP, name, octets(values, "bootstrap_fork_digest", 4), None, expected
        )

    def _update(self, values: Mapping[str, Any]) -> None:
        kind = values.get("kind", "update")
        if kind not in set(ObjectKind) - {ObjectKind.BOOTSTRAP}:
            raise CaseFailed(f"kind: {str(kind)[:60]!a} is none")
        self._judge(
            ObjectKind(kind),
            text(values, "update"),
            octets(values, "update_fork_digest", 4),
            number(values, "current_slot"),
            values.get("expected"),
        )

    def _judge(
        self, kind: ObjectKind, name: str, digest: bytes, current_slot: int | None, expected: Any
    ) -> None:
        data = self.case.ssz(name)
        fork = fork_of_digest(digest, self.network)
        store = self.processor.store
        before = store.copy() if store is not None else None
        try:
            value = decode_object(kind, data, fork, self.network)
        except DecodeError as error:
            verdict = undecodable(str(error))
        else:
            slot = value.main_header.beacon.slot if current_slot is None else current_slot
            verdict = self.processor.process(value, self.network.slot_start_ms(slot)).verdict
        _compare_verdict(kind, verdict, expected)
        if verdict.rule is not None and self.processor.store != before:
            raise CaseFailed(f"{verdict.rule} changed the store")

    def _force_update(self, values: Mapping[str, Any]) -> None:
        if self.processor.store is None:
            raise CaseFailed("a forced update without a store")
        process_light_client_store_force_update(
            self.processor.store, number(values, "current_slot"), self.network
        )

    def _check(self, checks: Mapping[str, Any]) -> None:
        store = self.processor.store
        if store is None:
            raise CaseFailed("checks, but no store")
        for name in ("finalized_header", "optimistic_header"):
            if name in checks:
                header = getattr(store, name)
                self._check_header(name, header, as_mapping(checks[name], name))

    def _check_header(
        self, name: str, header: LightClientHeader, recorded: Mapping[str, Any]
    ) -> None:
        expect(f"{name}.slot", header.beacon.slot, number(recorded, "slot"))
        root = header.beacon.hash_tree_root()
        expect(f"{name}.beacon_root", root, octets(recorded, "beacon_root", 32))
        # Only a store of a format with execution data has this.
        if "execution_root" in recorded:
            execution_root = get_lc_execution_root(header, self.network)
            recorded_root = octets(recorded, "execution_root", 32)
            expect(f"{name}.execution_root", execution_root, recorded_root)


def _store_format(values: Mapping[str, Any], network: Network) -> DataFormat:
    """The format named by version, or in older releases by digest."""
    if "store_fork_version" not in values:
        return fork_of_digest(octets(values, "store_fork_digest", 4), network).data_format
    version = octets(values, "store_fork_version", 4)
    for scheduled in network.forks:
        if scheduled.version == version:
            return scheduled.fork.data_format
    raise CaseFailed(f"0x{version.hex()} is the version of no fork in config.yaml")


def _compare_verdict(kind: ObjectKind, verdict: Verdict, expected: Any) -> None:
    if expected is None:
        # The specification's functions return without complaint: accepted, or nothing new.
        if verdict.is_refusal or verdict.rule is Rule.NOT_RELEVANT:
            raise CaseFailed(f"the {kind} must be accepted, but is {verdict}")
        return
    recorded = as_mapping(expected, "expected")
    rule = recorded.get("rule")
    wanted = (text(recorded, "verdict"), None if rule in (None, "", "null", "~") else rule)
    ours = (str(verdict.kind), None if verdict.rule is None else str(verdict.rule))
    if ours != wanted:
        raise CaseFailed(f"the {kind} must be {wanted[0]} ({wanted[1]}), but is {verdict}")
