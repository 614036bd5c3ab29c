"""Runs vectors one by one: the table of what is run by what, and what became of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from lightclient.bls import Backend
from lightclient_cli.spec_tests import (
    bls,
    data_collection,
    differential,
    fork_digests,
    merkle_proof,
    ssz_static,
    sync,
    update_ranking,
)
from lightclient_cli.spec_tests.case import Case, CaseFailed, CaseSkipped

Run: TypeAlias = Callable[[Case], None]
RunSigned: TypeAlias = Callable[[Case, Backend], None]

# (runner, handler): what runs its cases. Those that check signatures run on every chosen backend.
PLAIN: dict[tuple[str, str], Run] = {
    ("light_client", "single_merkle_proof"): merkle_proof.run_single_merkle_proof,
    ("light_client", "update_ranking"): update_ranking.run_update_ranking,
    ("extra", fork_digests.HANDLER): fork_digests.run_fork_digest,
}
SIGNED: dict[tuple[str, str], RunSigned] = {
    ("light_client", "data_collection"): data_collection.run_data_collection,
    ("light_client", "sync"): sync.run_sync,
    ("light_client", "sync_refusals"): sync.run_sync,
    ("extra", differential.HANDLER): differential.run_differential,
    **{("bls", handler): bls.run_bls for handler in bls.FUNCTIONS},
}


class Outcome(StrEnum):
    """What became of a case."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class CaseResult:
    """A case with its outcome; ``reason`` is empty if it passed."""

    case: Case
    outcome: Outcome
    reason: str = ""
    unknown_handler: bool = False


def run_cases(cases: Iterable[Case], backends: Sequence[Backend]) -> Iterator[CaseResult]:
    """Run each case once, on all backends if it checks signatures."""
    for case in cases:
        yield _run(case, backends)


def _run(case: Case, backends: Sequence[Backend]) -> CaseResult:
    key = (case.runner, case.handler)
    plain = ssz_static.run_ssz_static if case.runner == "ssz_static" else PLAIN.get(key)
    if plain is not None:
        return _result(case, plain)
    signed = SIGNED.get(key)
    if signed is None:
        reason = f"there is no runner for {case.runner}/{case.handler}"
        return CaseResult(case, Outcome.SKIPPED, reason, unknown_handler=True)
    result = CaseResult(case, Outcome.PASSED)
    for backend in backends:
        result = _result(case, _on(signed, backend), backend.name if len(backends) > 1 else "")
        if result.outcome is Outcome.FAILED:
            break
    return result


def _on(run: RunSigned, backend: Backend) -> Run:
    return lambda case: run(case, backend)


def _result(case: Case, run: Run, backend_name: str = "") -> CaseResult:
    prefix = f"{backend_name}: " if backend_name else ""
    try:
        run(case)
    except CaseSkipped as error:
        return CaseResult(case, Outcome.SKIPPED, str(error))
    except CaseFailed as error:
        return CaseResult(case, Outcome.FAILED, prefix + str(error))
    except Exception as error:  # noqa: BLE001  # one broken vector must not end the run
        reason = f"{prefix}stumbled over it: {type(error).__name__}: {error}"
        return CaseResult(case, Outcome.FAILED, reason[:600])
    return CaseResult(case, Outcome.PASSED)
