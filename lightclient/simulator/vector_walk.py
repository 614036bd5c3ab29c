"""Records a store's way through objects as a ``sync`` or ``sync_refusals`` case.

Every step is judged by the real processor while it is recorded; a verdict other than the one meant
is an error of the generator, never a vector.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightclient.config import FORKS_BY_NAME, DataFormat, Network
from lightclient.containers import (
    LightClientHeader,
    LightClientObject,
    LightClientUpdate,
    encode_ssz,
)
from lightclient.protocol import (
    Rule,
    VerdictKind,
    get_lc_execution_root,
    process_light_client_store_force_update,
)
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.forgery import Forgery
from lightclient.simulator.vector_files import CaseFiles, hex_of
from lightclient.sync import Processor


def digest_of_format(data_format: DataFormat, slot: int, network: Network) -> bytes:
    """The fork digest that names ``data_format``, at ``slot`` if that is its format."""
    epoch = network.compute_epoch_at_slot(slot)
    if network.fork_at_epoch(epoch).data_format is data_format:
        return network.compute_fork_digest(epoch)
    return network.compute_fork_digest(network.fork_epoch(data_format.name))


class Walk:
    """A case that is being walked and written.

    Args:
        chain: where its network comes from.
        store_format: the format that the checks are recorded in (``store_fork_version``).
    """

    def __init__(
        self,
        root: Path,
        chain: SimulatedChain,
        fork: str,
        handler: str,
        name: str,
        trusted_block_root: bytes,
        store_format: DataFormat,
    ) -> None:
        self.network = chain.network
        self.files = CaseFiles(root, chain.network.preset.name, fork, handler, name)
        self.store_format = store_format
        self.processor = Processor(
            chain.network, trusted_block_root, backend=chain.backend, audit_committees=True
        )
        self._steps: list[dict[str, Any]] = []
        self._with_rules = handler != "sync"
        version = chain.network.forks[FORKS_BY_NAME[store_format.name].index].version
        self._meta: dict[str, Any] = {
            "genesis_validators_root": hex_of(chain.network.genesis_validators_root),
            "trusted_block_root": hex_of(trusted_block_root),
            "bootstrap_fork_digest": "",
            "store_fork_version": hex_of(version),
        }

    def bootstrap(self, value: LightClientObject) -> None:
        """The case's bootstrap, accepted."""
        self._judge(value, value.main_header.beacon.slot, None)
        self._set_bootstrap(value.data_format, value.main_header.beacon.slot, encode_ssz(value))

    def refused_bootstrap(self, forgery: Forgery, slot: int) -> None:
        """The case's bootstrap, refused."""
        if forgery.value is not None:
            self._judge(forgery.value, slot, forgery)
        self._meta["bootstrap_expected"] = _expected(forgery)
        self._set_bootstrap(forgery.data_format, slot, forgery.encoded)

    def _set_bootstrap(self, data_format: DataFormat, slot: int, encoded: bytes) -> None:
        digest = digest_of_format(data_format, slot, self.network)
        self._meta["bootstrap_fork_digest"] = hex_of(digest)
        self.files.write_ssz("bootstrap", encoded)

    def accepted(self, value: LightClientObject, current_slot: int) -> None:
        """An object that changes the store."""
        self._judge(value, current_slot, None)
        slot = value.main_header.beacon.slot
        name = f"{value.kind}_{slot}_{_signature_slot(value)}_{_contents(value)}"
        digest = digest_of_format(value.data_format, slot, self.network)
        self._step("update", name, digest, value.kind.value, current_slot, None)
        self.files.write_ssz(name, encode_ssz(value))

    def refused(self, forgery: Forgery, slot: int) -> None:
        """An object that is refused, or changes nothing."""
        if forgery.value is not None:
            self._judge(forgery.value, forgery.current_slot, forgery)
        digest = digest_of_format(forgery.data_format, slot, self.network)
        what = "bootstrap" if forgery.kind.value == "bootstrap" else "update"
        self._step(what, forgery.name, digest, forgery.kind.value, forgery.current_slot, forgery)
        self.files.write_ssz(forgery.name, forgery.encoded)

    def force_update(self, current_slot: int) -> None:
        """A forced update that applies something."""
        store = self.processor.store
        if store is None or not process_light_client_store_force_update(
            store, current_slot, self.network
        ):
            raise AssertionError("a forced update without effect")
        self._steps.append(
            {"force_update": {"current_slot": current_slot, "checks": self._checks()}}
        )

    def write(self) -> None:
        """Everything but the objects, which are written already."""
        self.files.write_config(self.network)
        self.files.write_yaml("meta", self._meta)
        self.files.write_yaml("steps", self._steps)

    def _judge(self, value: LightClientObject, current_slot: int, forgery: Forgery | None) -> None:
        now_ms = self.network.slot_start_ms(current_slot)
        verdict = self.processor.process(value, now_ms).verdict
        wanted: tuple[VerdictKind, Rule | None] = (VerdictKind.ACCEPTED, None)
        if forgery is not None:
            wanted = (forgery.verdict, forgery.rule)
        if (verdict.kind, verdict.rule) != wanted:
            raise AssertionError(f"{self.files.path}: {wanted} was meant, but it is {verdict}")

    def _step(
        self,
        what: str,
        name: str,
        digest: bytes,
        kind: str,
        current_slot: int,
        forgery: Forgery | None,
    ) -> None:
        step: dict[str, Any] = {f"{what}_fork_digest": hex_of(digest), what: name}
        if what == "update":
            if kind != "update":
                step["kind"] = kind
            step["current_slot"] = current_slot
        if self._with_rules:
            step["expected"] = _expected(forgery)
        if self.processor.store is not None:
            step["checks"] = self._checks()
        self._steps.append({f"process_{what}": step})

    def _checks(self) -> dict[str, Any]:
        store = self.processor.store
        assert store is not None
        return {
            "finalized_header": self._header(store.finalized_header),
            "optimistic_header": self._header(store.optimistic_header),
        }

    def _header(self, header: LightClientHeader) -> dict[str, Any]:
        fields: dict[str, Any] = {
            "slot": header.beacon.slot,
            "beacon_root": hex_of(header.beacon.hash_tree_root()),
        }
        if self.store_format.header != "bare":
            fields["execution_root"] = hex_of(get_lc_execution_root(header, self.network))
        return fields


def _expected(forgery: Forgery | None) -> dict[str, Any]:
    if forgery is None:
        return {"verdict": VerdictKind.ACCEPTED.value, "rule": None}
    return {"verdict": forgery.verdict.value, "rule": forgery.rule.value}


def _signature_slot(value: LightClientObject) -> int:
    return getattr(value, "signature_slot", value.main_header.beacon.slot)


def _contents(value: LightClientObject) -> str:
    """As official names end: s with a next committee, f with finality, x without."""
    if not isinstance(value, LightClientUpdate):
        return "xx"
    committee = any(map(any, value.next_sync_committee_branch))
    return ("s" if committee else "x") + ("f" if any(map(any, value.finality_branch)) else "x")
