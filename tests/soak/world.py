"""One seed's world: chain, providers, clock and client, played from the first phase to the last.

The client is the real one in every part; what is simulated is what surrounds it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from hashlib import sha256

import anyio
import trio

from lightclient.bls import Backend, choose_backend
from lightclient.client import Health, LightClient, SyncState
from lightclient.errors import (
    ConflictingHeaders,
    DataDirError,
    ProviderRefused,
    StaleTrustedRoot,
)
from lightclient.simulator.keys import ValidatorKeys
from lightclient.storage import StoredState
from lightclient.transports.base import Transport
from tests.soak.chain import Course, FunctionalChain
from tests.soak.disk import Disk, watch_saves
from tests.soak.figures import KILLS, KILLS_IN_SAVES, Result
from tests.soak.forging import Attacker
from tests.soak.liveness import Reach
from tests.soak.over_http import over_http
from tests.soak.providers import SimulatedProvider
from tests.soak.scenario import Kind, Phase, Restart, Scenario
from tests.soak.session import Session
from tests.soak.toy_bls import ToyBackend
from tests.soak.virtual_time import VirtualTime, draws_for, run_virtually
from tests.soak.watching import ErrorLog, Watch
from tests.soak.weighing import reachable_bytes

_TOY = ToyBackend()
_LEAST_CALM_SLOTS = 40


def play(scenario: Scenario, after_phase: Callable[[World], None] | None = None) -> Result:
    """Play a scenario from its first phase to its last."""
    result = Result(scenario.seed)
    world: World | None = None
    errors, logger = ErrorLog(), logging.getLogger("lightclient")
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(errors)
    try:
        world = World(scenario, result, errors, after_phase)
        with world.disk.mounted() if world.disk is not None else nullcontext():
            run_virtually(scenario.seed, world.run)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding about this seed
        result.violations.append(f"an exception escaped: {error!r}")
    finally:
        if world is not None and world.disk is not None:
            world.disk.remove()
        logger.removeHandler(errors)
        logger.propagate = propagate
    return result


class World:
    """See the module."""

    def __init__(
        self,
        scenario: Scenario,
        result: Result,
        errors: ErrorLog,
        after_phase: Callable[[World], None] | None = None,
    ) -> None:
        self.scenario = scenario
        self._after_phase = after_phase
        self._digest = sha256()
        self.result = result
        self.network = scenario.network
        self.figures = result.figures
        self._errors = errors
        self._backend = _backend(scenario.backend)
        size = self.network.preset.sync_committee_size
        true_keys, false_keys = (
            ValidatorKeys(self._backend, 2 * scenario.seed + which, size) for which in (0, 1)
        )
        first = scenario.first_slot
        self.chain = FunctionalChain(self.network, scenario.seed, true_keys, first, scenario.course)
        false = FunctionalChain(self.network, -1 - scenario.seed, false_keys, first, Course())
        self.attacker = Attacker(self.chain, false)
        self.time = VirtualTime(self.network.slot_start_ms(scenario.start_slot))
        self.providers = [
            SimulatedProvider(
                f"provider-{index}",
                self.attacker,
                self.time,
                draws_for("provider", scenario.seed, index),
                self.figures.faults,
            )
            for index in range(scenario.providers)
        ]
        self.disk = Disk(draws_for("disk", scenario.seed)) if scenario.has_disk else None
        self._insists = False
        self._saved_slot = -1
        self._finalized_lately: deque[int] = deque(maxlen=4)
        self._reach = Reach(self.chain, self._backend, self.time)
        self._trusted_root = b""
        self._session: Session | None = None
        self._trust(self.chain.trusted_slot(scenario.trusted_slot, scenario.start_slot))

    @property
    def slot(self) -> int:
        """The true slot."""
        return self.network.slot_at_time_ms(self.time.true_ms())

    def client_bytes(self) -> int:
        """What the client that runs holds in memory, without what is simulated around it."""
        if self._session is None:
            return 0
        outside = (self, self.chain, self.attacker, self.time, self._session.watch, self._errors)
        return reachable_bytes(self._session.client, (*outside, self.disk, *self.providers))

    def _trust(self, slot: int) -> None:
        self._trusted_root = self.chain.root_at(slot)
        self.chain.slots_by_root[self._trusted_root] = slot

    # Playing -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Play all phases."""
        started_ms = self.time.true_ms()
        async with trio.open_nursery() as nursery:
            session: Session | None = None
            for number, phase in enumerate(self.scenario.phases):
                session = await self._begin(nursery, session, phase)
                session = await self._live_through(nursery, session, phase)
                self._finish(session, phase, number)
                if self._after_phase is not None:
                    self._after_phase(self)
            assert session is not None
            session.client.stop()
            with trio.move_on_after(600) as patience:
                await session.ended.wait()
            if patience.cancelled_caught:
                session.watch.violated("a stopped client did not end within ten minutes")
                nursery.cancel_scope.cancel()
        self._count(started_ms)

    def _count(self, started_ms: int) -> None:
        figures = self.figures
        self.result.digest = self._digest.hexdigest()
        figures.runs["seeds"] += 1
        figures.runs["seeds over HTTP"] += self.scenario.over_http
        figures.runs["seeds with real signatures"] += self.scenario.backend != "toy"
        figures.virtual_seconds = (self.time.true_ms() - started_ms) / 1000
        figures.awake_seconds = trio.current_time()
        figures.runs["requests"] += sum(provider.requests for provider in self.providers)
        figures.offered.update(self.attacker.offered)
        self.result.violations += [f"logged as an error: {m}" for m in self._errors.messages]
        if self.disk is not None:
            figures.faults["disk failure"] += self.disk.failures

    async def _begin(self, nursery: trio.Nursery, session: Session | None, phase: Phase) -> Session:
        if session is not None and phase.restart is not Restart.NONE:
            is_kill = phase.restart is Restart.KILL
            self.figures.runs[KILLS if is_kill else "restarts"] += 1
            await self._end(session, phase)
        if phase.suspend_ms:
            self.figures.runs["suspends"] += 1
            self.time.suspend(phase.suspend_ms)
        if phase.skew_ms != self.time.skew_ms:
            self.figures.runs["clock steps"] += 1
            self.time.skew_ms = phase.skew_ms
        self._disturb(phase)
        for provider, behaviour in zip(self.providers, phase.behaviours, strict=True):
            provider.behaviour = behaviour
        if session is None or session.ended.is_set():
            session = self._start(nursery)
        if self.disk is not None:
            self.disk.failure = phase.disk_failure
        return session

    async def _end(self, session: Session, phase: Phase) -> None:
        is_kill = phase.restart is Restart.KILL
        if self.disk is not None:
            self.disk.failure = None
            if is_kill and not session.ended.is_set():
                await self._kill_in_a_write(session, self.disk)
        if is_kill:
            session.scope.cancel()
        else:
            session.client.stop()
        await session.ended.wait()
        if self.disk is not None:
            if self.disk.is_killed:
                self.disk.revive()
            what = self.disk.damage() if phase.damage else None
            if what is not None:
                self.figures.faults[f"stored file {what}"] += 1
                self._saved_slot = -1

    async def _kill_in_a_write(self, session: Session, disk: Disk) -> None:
        disk.arm()
        for _ in range(3 * self.network.preset.slots_per_epoch):
            if disk.is_killed or session.ended.is_set():
                break
            await anyio.sleep(self.network.slot_duration_ms / 1000)
        if disk.is_killed:
            self.figures.runs[KILLS_IN_SAVES] += 1
        disk.kill_now()

    def _disturb(self, phase: Phase) -> None:
        """Have the chain itself in trouble, from the next slot on."""
        course, start = self.scenario.course, self.slot + 1
        if phase.stall_epochs:
            epoch = self.network.compute_epoch_at_slot(start) + 1
            course.stalls.append(range(epoch, epoch + phase.stall_epochs))
        if phase.drought_slots:
            course.droughts.append(range(start, start + phase.drought_slots))
        if phase.weak_slots:
            course.weak.append((range(start, start + phase.weak_slots), phase.weak_share))

    def _start(self, nursery: trio.Nursery) -> Session:
        self.figures.runs["clients started"] += 1
        watch = Watch(
            self.chain,
            self.attacker,
            self.figures,
            self.result.violations,
            self._digest.update,
            self._saved_slot,
        )
        scenario = self.scenario
        client = LightClient(
            network=self.network,
            trusted_block_root=self._trusted_root,
            transports=self._transports(),
            on_finalized_header=watch.on_finalized,
            on_optimistic_header=watch.on_optimistic,
            bls_backend=self._backend,
            forced_update=scenario.forced_update,
            clock=self.time.clock_ms,
            rng=draws_for("client", scenario.seed, self.figures.runs["clients started"]),
            data_dir=None if self.disk is None else self.disk.path,
            allow_stale_trusted_root=self._insists,
            min_providers=scenario.min_providers,
            conflict_policy=scenario.conflict_policy,
        )
        watch.attach(client.processor)
        if client.persistence is not None:
            watch_saves(client.persistence._storage, self._note_saved)
        session = self._session = Session(client, watch)
        nursery.start_soon(session.live)
        return session

    def _transports(self) -> Sequence[Transport]:
        if not self.scenario.over_http:
            return self.providers
        draw = draws_for("http", self.scenario.seed, self.figures.runs["clients started"])
        return over_http(self.providers, self.network, self.time, draw)

    def _note_saved(self, state: StoredState) -> None:
        assert self.disk is not None
        if not self.disk.is_killed:  # otherwise this is what a dead process does
            self._saved_slot = state.store.finalized_header.beacon.slot
            self.figures.runs["states saved"] += 1

    async def _live_through(self, nursery: trio.Nursery, session: Session, phase: Phase) -> Session:
        slots = 0
        self._finalized_lately.clear()
        while slots < phase.slots:
            await anyio.sleep(self.network.slot_duration_ms / 1000)
            slots += 1
            if not session.ended.is_set():
                session.watch.check(session.client)
                header = session.client.finalized_header()
                self._finalized_lately.append(-1 if header is None else header.slot)
                if self._is_calm_enough(session, phase, slots):
                    break
            elif isinstance(session.failure, StaleTrustedRoot):
                self._accept_refusal(session)
                session, slots = self._start(nursery), 0
            else:
                self._check_end(session, phase)
                break
        return session

    def _accept_refusal(self, session: Session) -> None:
        """What was to be started from is too old: that must be so, and the user does something."""
        self.figures.runs["old starts refused"] += 1
        slot = self.chain.slots_by_root[self._trusted_root]
        now_slot = self.network.slot_at_time_ms(self.time.clock_ms())
        epochs = (now_slot - slot) / self.network.preset.slots_per_epoch
        if self._insists or epochs <= self.network.weak_subjectivity_epochs_upper_bound:
            session.watch.violated(f"refused for its age: {session.failure}")
        if self.scenario.insists:
            self._insists = True
        else:
            newest = self.chain.finalized_slot(self.chain.block_slot(self.slot))
            assert newest is not None
            self._trust(self.chain.trusted_slot(newest, self.slot))
            # The clock may be wrong: then no root is new enough for it.
            self._insists = self.time.skew_ms > 0
            if newest < self._saved_slot:
                self._saved_slot = -1

    def _check_end(self, session: Session, phase: Phase) -> None:
        """A client that gave up: few things are a reason."""
        failure = session.failure
        is_excused = (
            (isinstance(failure, ProviderRefused) and phase.kind is not Kind.CALM)
            or (isinstance(failure, ConflictingHeaders) and self.scenario.may_conflict)
            or (isinstance(failure, DataDirError) and phase.disk_failure is not None)
        )
        if not is_excused:
            session.watch.violated(f"the client ended in a {phase.kind} phase: {failure!r}")
        self.figures.runs[f"gave up with {type(failure).__name__}"] += 1

    def _is_calm_enough(self, session: Session, phase: Phase, slots: int) -> bool:
        """Whether a calm phase may end before its time: all there is to reach is reached."""
        if phase.kind is not Kind.CALM or slots < _LEAST_CALM_SLOTS or slots % 10:
            return False
        return slots < phase.slots and not self._reach.missing(session.client, self.slot)

    def _check_liveness(self, session: Session) -> None:
        """An honest provider was there all the time: what it has must have been taken in."""
        self.figures.runs["liveness checks"] += 1
        for missing in self._reach.missing(session.client, self.slot):
            session.watch.violated(missing)
        if not self._reach.is_at_head(session.client, self.slot):
            self.figures.runs["liveness checks beyond what finality allows"] += 1
            course = self.scenario.course
            is_weak = course.weak or course.droughts
            if not (is_weak or self._reach.is_cut_off(session.client, self.slot)):
                session.watch.violated("an honest provider cannot bring this store to the head")

    def _check_saved(self, session: Session) -> None:
        """On a disk that works, a finalized header is saved when it comes."""
        finalized = self._finalized_lately[0]
        if self.disk is not None and self._saved_slot < finalized:
            session.watch.violated(f"slot {self._saved_slot} is saved, not {finalized}")

    def _finish(self, session: Session, phase: Phase, number: int) -> None:
        client = session.client
        status = client.status
        finalized, optimistic = client.finalized_header(), client.optimistic_header()
        self.result.trace.append(
            f"{number} {phase.kind}: slot {self.slot}, {status.state}, {status.health},"
            f" finalized {finalized and finalized.slot}, head {optimistic and optimistic.slot},"
            f" {sum(self.figures.verdicts.values())} judged"
        )
        if session.ended.is_set():
            return
        if client.conflicts and not self.scenario.may_conflict:
            session.watch.violated(f"a conflict without one: {client.conflicts[0]}")
        if phase.kind is Kind.CALM:
            self._check_liveness(session)
            self._check_saved(session)
        elif phase.kind is Kind.HOPELESS:
            self._check_honesty(session)

    def _check_honesty(self, session: Session) -> None:
        """Nobody served the present: the client must not claim to have it, and say why."""
        self.figures.runs["honesty checks"] += 1
        status, head = session.client.status, session.client.optimistic_header()
        recent = 2 * self.network.preset.slots_per_epoch
        now_slot = self.network.slot_at_time_ms(self.time.clock_ms())
        if head is not None and now_slot - head.slot <= recent:
            return
        if status.state is SyncState.SYNCED or status.health is Health.SYNCED:
            session.watch.violated(f"claims to be synced: {status}")
        if not status.reasons:
            session.watch.violated(f"does not say what is wrong: {status}")


def _backend(name: str) -> Backend:
    if name == "toy":
        return _TOY
    choose: Callable[[str], Backend] = choose_backend
    return choose(name)
