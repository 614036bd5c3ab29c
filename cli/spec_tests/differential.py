"""Differential vectors: hostile sequences with the specification's verdict and store at each step.

Their README tells the format and how far a sound client may differ. A file is one case; it fails at
the first line whose verdict or store is not the recorded one.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lightclient.bls import Backend
from lightclient.config import FAR_FUTURE_EPOCH, FORKS_BY_NAME, Fork, Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientHeader,
    ObjectKind,
    parse_json,
)
from lightclient.errors import DecodeError
from lightclient.protocol import (
    LightClientStore,
    Rule,
    SignatureVerifier,
    Verdict,
    VerdictKind,
    get_lc_execution_root,
    initialize_light_client_store,
    process_light_client_store_force_update,
    process_light_client_update,
    undecodable,
)
from lightclient_cli.spec_tests.case import (
    Case,
    CaseFailed,
    as_mapping,
    number,
    octets,
    text,
)
from lightclient_cli.spec_tests.chain import decode_object, network_of

SUFFIX = ".jsonl.gz"
HANDLER = "differential"
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_FILE_BYTES = 256 * 1024 * 1024
"""Unpacked; the largest known file has a hundredth of it."""

# Lines where either verdict is right.
_EXCUSING_FLAGS = ("context_mismatch", "store_format_dependent", "bls_backend_dependent")


class _FileEndsHere(Exception):
    """An excused difference: what the file records from here on is another store's story."""


def differential_case(path: Path) -> Case:
    """The case that a file is; its preset stands in its first line."""
    fork = path.parent.name
    return Case(path, "", fork, "extra", HANDLER, "", path.name.removesuffix(SUFFIX))


def preset_of(case: Case) -> str:
    """The preset named in the file's first line; empty if that cannot be read."""
    try:
        return text(next(_lines(case.path)), "preset")
    except (CaseFailed, StopIteration):
        return ""


def run_differential(case: Case, backend: Backend) -> None:
    """Replay the file; CaseFailed at the first difference."""
    lines = _lines(case.path)
    first = next(lines, None)
    if first is None:
        raise CaseFailed("the file is empty")
    replay = _Replay(case, first, SignatureVerifier(backend))
    try:
        replay.begin(first)
        for line_number, line in enumerate(lines, start=2):
            try:
                replay.step(line)
            except CaseFailed as error:
                where = f"line {line_number} ({line.get('mutation')})"
                raise CaseFailed(f"{where}: {error}") from None
    except _FileEndsHere:
        return


def _lines(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        with gzip.open(path, "rb") as stream:
            left = MAX_FILE_BYTES
            while line := stream.readline(MAX_LINE_BYTES + 1):
                left -= len(line)
                if len(line) > MAX_LINE_BYTES or left < 0:
                    raise CaseFailed(f"{path.name} is too large, or a line of it")
                yield as_mapping(parse_json(line), "a line")
    except (OSError, EOFError, zlib.error) as error:
        raise CaseFailed(f"{path.name} cannot be read: {error}") from None
    except DecodeError as error:
        raise CaseFailed(f"{path.name}: {error}") from None


class _Replay:
    """Our store beside the recorded one."""

    def __init__(self, case: Case, first: Mapping[str, Any], signatures: SignatureVerifier) -> None:
        config = {"PRESET_BASE": text(first, "preset")}
        config.update(as_mapping(first.get("config"), "config"))
        root = octets(first, "genesis_validators_root", 32)
        self.network: Network = network_of(case, root, config)
        self.signatures = signatures
        self.store: LightClientStore | None = None
        self.recorded: Any = None

    def begin(self, first: Mapping[str, Any]) -> None:
        """The bootstrap; a rejected one must leave no store."""
        entry = as_mapping(first.get("bootstrap"), "bootstrap")
        trusted_block_root = octets(first, "trusted_block_root", 32)
        try:
            data = octets(entry, "ssz")
            bootstrap = decode_object(ObjectKind.BOOTSTRAP, data, _fork(entry), self.network)
        except DecodeError as error:
            verdict = undecodable(str(error))
        else:
            assert isinstance(bootstrap, LightClientBootstrap)
            self.store, verdict = initialize_light_client_store(
                trusted_block_root, bootstrap, self.network
            )
        expected = _expectation(first)
        if (self.store is not None) != (expected == "accepted"):
            if _is_excused(first):
                raise _FileEndsHere
            raise CaseFailed(f"the bootstrap must be {expected}, but is {verdict}")
        if self.store is None:
            raise _FileEndsHere
        # From the start the recorded store has the newest format that is scheduled.
        scheduled = [fork for fork in self.network.forks if fork.epoch != FAR_FUTURE_EPOCH]
        self.store.upgrade(scheduled[-1].fork.data_format)
        self.recorded = first.get("store")
        self._compare_store()

    def step(self, line: Mapping[str, Any]) -> None:
        """One object or forced update; verdict and store must be the recorded ones."""
        before, self.recorded = self.recorded, line.get("store")
        changed = self.recorded != before
        verdict = self._judge(line)
        expected = _expectation(line)
        if verdict is not None and not _agrees(verdict, expected, changed=changed):
            if not _is_excused(line):
                raise CaseFailed(f"must be {expected}, but is {verdict}")
            if changed or self._differing_part() is not None:
                raise _FileEndsHere
            return
        self._compare_store()

    def _judge(self, line: Mapping[str, Any]) -> Verdict | None:
        """Our verdict; None for a forced update, which has none."""
        assert self.store is not None
        current_slot = number(line, "current_slot")
        kind = text(line, "kind")
        if kind == "force_update":
            process_light_client_store_force_update(self.store, current_slot, self.network)
            return None
        if kind not in set(ObjectKind) - {ObjectKind.BOOTSTRAP}:
            raise CaseFailed(f"kind: {kind[:60]!a} is none")
        data = octets(line, "ssz")
        try:
            update = decode_object(ObjectKind(kind), data, _fork(line), self.network)
        except DecodeError as error:
            return undecodable(str(error))
        assert not isinstance(update, LightClientBootstrap)
        return process_light_client_update(
            self.store, update, current_slot, self.network, self.signatures
        )

    def _compare_store(self) -> None:
        difference = self._differing_part()
        if difference is not None:
            raise CaseFailed(difference)

    def _differing_part(self) -> str | None:
        assert self.store is not None
        recorded = as_mapping(self.recorded, "store")
        for name, ours in _store_as_recorded(self.store, self.network).items():
            if ours != recorded.get(name):
                return f"the store's {name} is {ours} where {recorded.get(name)} is recorded"[:600]
        return None


def _fork(entry: Mapping[str, Any]) -> Fork:
    name = text(entry, "fork")
    fork = FORKS_BY_NAME.get(name)
    if fork is None:
        raise CaseFailed(f"no such fork: {name[:60]!a}")
    return fork


def _expectation(line: Mapping[str, Any]) -> str:
    expected = text(line, "expect")
    if expected not in ("accepted", "rejected"):
        raise CaseFailed(f"expect: {expected[:60]!a}")
    # Bytes that do not re-encode to themselves: a strict decoder must reject them.
    return "rejected" if line.get("decode_lenient") else expected


def _is_excused(line: Mapping[str, Any]) -> bool:
    return not line.get("decode_lenient") and any(line.get(flag) for flag in _EXCUSING_FLAGS)


def _agrees(verdict: Verdict, expected: str, *, changed: bool) -> bool:
    if verdict.kind is VerdictKind.ACCEPTED:
        return expected == "accepted"
    if verdict.rule is Rule.NOT_RELEVANT or verdict.is_refusal:
        return expected == "rejected"
    return expected == "accepted" and not changed


def _store_as_recorded(store: LightClientStore, network: Network) -> dict[str, Any]:
    best = store.best_valid_update
    known = store.next_sync_committee
    return {
        "finalized": _header_as_recorded(store.finalized_header, network),
        "optimistic": _header_as_recorded(store.optimistic_header, network),
        "current_sync_committee_root": _hex(store.current_sync_committee.hash_tree_root()),
        "next_sync_committee_root": None if known is None else _hex(known.hash_tree_root()),
        "best_valid_update": None
        if best is None
        else {
            "attested_slot": best.attested_header.beacon.slot,
            "signature_slot": best.signature_slot,
        },
        "previous_max_active_participants": store.previous_max_active_participants,
        "current_max_active_participants": store.current_max_active_participants,
    }


def _header_as_recorded(header: LightClientHeader, network: Network) -> dict[str, Any]:
    return {
        "slot": header.beacon.slot,
        "root": _hex(header.beacon.hash_tree_root()),
        "execution_root": _hex(get_lc_execution_root(header, network)),
    }


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
