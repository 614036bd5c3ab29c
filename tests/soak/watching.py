"""The invariants: what must hold at every moment, whatever happens to a client.

Violations are collected, not raised: a callback's exception would be the client's to handle.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import trio
import trio.lowlevel

from lightclient.client import LightClient, SyncState
from lightclient.containers import LightClientObject
from lightclient.sync import Outcome, Processor, VerifiedHeader
from lightclient.sync.processor import UpdatesWalk
from tests.soak.chain import FunctionalChain
from tests.soak.figures import STATES_LOST, Figures
from tests.soak.forging import Attacker


class Watch:
    """Looks at everything that one client judges and shows.

    Args:
        note: is told of everything, so that two runs can be compared.
        finalized_floor: a finalized slot below which it must never show one (a resumed client).
    """

    def __init__(
        self,
        chain: FunctionalChain,
        attacker: Attacker,
        figures: Figures,
        violations: list[str],
        note: Callable[[bytes], None],
        finalized_floor: int = -1,
    ) -> None:
        self._chain = chain
        self._attacker = attacker
        self._figures = figures
        self._violations = violations
        self._tell = note
        self._floor = finalized_floor
        self._finalized_slot = finalized_floor - 1
        self._optimistic_slot = -1
        self._checked: set[bytes] = set()
        self._judged = 0

    def violated(self, what: str) -> None:
        """Something that must not be, is."""
        self._violations.append(what)

    def _check_floor(self, slot: int) -> None:
        if slot < self._floor:
            self._figures.runs[STATES_LOST] += 1

    # What is shown -----------------------------------------------------------------------------

    def on_finalized(self, header: VerifiedHeader) -> None:
        """The callback."""
        self._figures.runs["finalized headers shown"] += 1
        self._check_floor(header.slot)
        if header.slot <= self._finalized_slot:
            self.violated(f"finalized slot {header.slot} told after {self._finalized_slot}")
        self._finalized_slot = header.slot
        self._check_header(header, may_be_treason=False)

    def on_optimistic(self, header: VerifiedHeader) -> None:
        """The callback."""
        self._figures.runs["optimistic headers shown"] += 1
        if header.slot <= self._optimistic_slot:
            self.violated(f"optimistic slot {header.slot} told after {self._optimistic_slot}")
        self._optimistic_slot = header.slot
        self._check_header(header, may_be_treason=True)

    def _check_header(self, header: VerifiedHeader, *, may_be_treason: bool) -> None:
        self._tell(header.root)
        if header.root in self._checked:
            return
        if may_be_treason and header.root in self._attacker.treason:
            self._figures.runs["headers shown that true members signed beside the chain"] += 1
            return
        chain = self._chain
        is_true = chain.is_block(header.slot, header.root) and (
            chain.header_of(chain.block(header.slot), header.header.data_format) == header.header
        )
        if not is_true:
            self.violated(f"a header was shown that is not of the true chain: {header!r}")
        if len(self._checked) > 256:
            self._checked.clear()
        self._checked.add(header.root)

    def check(self, client: LightClient) -> None:
        """What can be asked of a client at any time."""
        finalized, optimistic = client.finalized_header(), client.optimistic_header()
        if finalized is not None and optimistic is not None:
            self._check_header(finalized, may_be_treason=False)
            self._check_header(optimistic, may_be_treason=True)
            self._check_floor(finalized.slot)
            if finalized.slot < self._finalized_slot:
                self.violated(f"finalized slot {finalized.slot} after {self._finalized_slot}")
            if optimistic.slot < finalized.slot:
                self.violated(f"optimistic slot {optimistic.slot} before {finalized.slot}")
        status = client.status
        if not 0.0 <= status.progress <= 1.0:
            self.violated(f"progress {status.progress}")
        if status.state is SyncState.SYNCED and optimistic is not None:
            slots = client.age(optimistic) * 1000 / client.network.slot_duration_ms
            if slots > 2 * client.network.preset.slots_per_epoch + 1:
                self.violated(f"called synced with a head {slots:.1f} slots old")
        tasks = trio.lowlevel.current_statistics().tasks_living
        if tasks > 20 + 8 * len(client.providers):
            self.violated(f"{tasks} tasks are alive")

    # What is judged ----------------------------------------------------------------------------

    def attach(self, processor: Processor) -> None:
        """See every object that ``processor`` judges."""
        instance: Any = processor
        process, apply_updates = instance.process, instance.apply_updates

        def watched_process(value: LightClientObject, now_ms: int) -> Outcome:
            outcome: Outcome = process(value, now_ms)
            self._note([value], [outcome])
            return outcome

        def watched_apply(walk: UpdatesWalk, now_ms: int) -> list[Outcome]:
            before = self._judged
            outcomes: list[Outcome] = apply_updates(walk, now_ms)
            if self._judged == before:  # otherwise each was judged, and noted, by itself
                self._note(walk.updates, outcomes)
            return outcomes

        instance.process, instance.apply_updates = watched_process, watched_apply

    def _note(self, values: Sequence[LightClientObject], outcomes: Sequence[Outcome]) -> None:
        for value, outcome in zip(values, outcomes, strict=True):
            self._judged += 1
            verdict = outcome.verdict
            self._figures.verdicts[verdict.kind.value] += 1
            self._tell(f"{trio.current_time():.3f} {verdict.rule}".encode())
            label = self._attacker.label_of(value)
            if label is None:
                continue
            self._figures.forged[verdict.kind.value] += 1
            if verdict.rule is None:
                self.violated(f"a forged object was accepted: {label}")


_EXPECTED_ERRORS = {
    "Light client gives up",  # whether it should is looked at elsewhere
    "State cannot be saved: going on without, and trying again",
    "Conflicting headers",
    "Evidence cannot be written",
}


class ErrorLog(logging.Handler):
    """Keeps what the client logs as an error and should not: exceptions, above all."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() in _EXPECTED_ERRORS and record.exc_info is None:
            return
        text = record.getMessage()
        if record.exc_info is not None and record.exc_info[1] is not None:
            text = f"{text}: {record.exc_info[1]!r}"
        self.messages.append(text)
