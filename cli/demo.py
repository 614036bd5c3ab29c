"""``nimbus-light-client demo``: the main job on this machine alone.

A simulated beacon chain serves light client data over real HTTP on loopback (or over libp2p, see
``peer_demo``), with real signatures and proofs, from Altair to Gloas in accelerated time. The
client that verifies it is the real one; nothing in it knows of the simulation.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import click

from lightclient.client import LightClient, SyncState
from lightclient.config import FORKS, Network
from lightclient.containers import LightClientObject, LightClientUpdate
from lightclient.errors import LightClientError
from lightclient.sync import Outcome, VerifiedHeader
from lightclient.sync.processor import UpdatesWalk
from lightclient.transports.rest import RestTransport
from lightclient_cli.screen import status_display

if TYPE_CHECKING:
    from lightclient.simulator import SimulatedChain

SLOT_MS = 125
_HISTORY_PERIODS = 24
_PERIODS_A_FORK = 4
_EPOCHS_TO_LAST_FORK = 2
_LIVE_SECONDS = 10
_DEADLINE_SECONDS = 24


@dataclass(slots=True)
class DemoRecord:
    """What was seen, for the summary."""

    network: Network
    verdicts: Counter[str] = field(default_factory=Counter)
    update_seconds: list[float] = field(default_factory=list)
    finalized: list[VerifiedHeader] = field(default_factory=list)
    heads: int = 0

    @property
    def forks(self) -> list[str]:
        """Names of the forks whose headers were finalized, in order."""
        return list(dict.fromkeys(header.fork for header in self.finalized))

    @property
    def periods(self) -> int:
        """How many sync committee periods lie between the first and last finalized header."""
        period = self.network.compute_sync_committee_period_at_slot
        first, last = self.finalized[0], self.finalized[-1]
        return period(last.slot) - period(first.slot)

    @property
    def missing_forks(self) -> list[str]:
        """Forks of the demo that were not reached."""
        return [name for name in demo_forks() if name not in self.forks]

    def is_complete(self, state: SyncState) -> bool:
        """Whether every fork was crossed, the head reached and nothing refused."""
        refused = set(self.verdicts) - {"accepted", "duplicate"}
        return not self.missing_forks and not refused and state is SyncState.SYNCED

    def watch(self, client: LightClient) -> None:
        """Count verdicts and time the processor, from outside of it."""
        processor = client.processor
        judge, walk_updates, apply_updates = (
            processor.process,
            processor.walk_updates,
            processor.apply_updates,
        )
        walk_seconds = 0.0

        def timed(value: LightClientObject, now_ms: int) -> Outcome:
            start = time.perf_counter()
            outcome = judge(value, now_ms)
            if isinstance(value, LightClientUpdate):
                self.update_seconds.append(time.perf_counter() - start)
            self.verdicts[outcome.verdict.kind.value] += 1
            return outcome

        def timed_walk(updates: Sequence[LightClientUpdate], now_ms: int) -> UpdatesWalk:
            nonlocal walk_seconds
            start = time.perf_counter()
            walk = walk_updates(updates, now_ms)
            walk_seconds = time.perf_counter() - start
            return walk

        def timed_apply(walk: UpdatesWalk, now_ms: int) -> list[Outcome]:
            judged_before = len(self.update_seconds)
            start = time.perf_counter()
            outcomes = apply_updates(walk, now_ms)
            if len(self.update_seconds) == judged_before:  # not one by one after all
                together = walk_seconds + time.perf_counter() - start
                self.update_seconds += [together / len(outcomes)] * len(outcomes)
                self.verdicts.update(outcome.verdict.kind.value for outcome in outcomes)
            return outcomes

        # The demo's stopwatch.
        processor.process = timed  # type: ignore[method-assign]
        processor.walk_updates = timed_walk  # type: ignore[method-assign]
        processor.apply_updates = timed_apply  # type: ignore[method-assign]


def demo_forks() -> tuple[str, ...]:
    """The forks of the demo in order: those with light client data but the last, a preview."""
    return tuple(fork.name for fork in FORKS[1:-1])


def demo_chain(now: float, slot_ms: int = SLOT_MS) -> SimulatedChain:
    """A chain with a long past at Unix time ``now``, which soon reaches its last fork."""
    from lightclient.simulator import SimulatedChain, simulated_network

    shape = simulated_network("minimal").preset
    period_epochs = shape.epochs_per_sync_committee_period
    head_slot = _HISTORY_PERIODS * shape.slots_per_sync_committee_period
    head_epoch = head_slot // shape.slots_per_epoch
    *past, last = demo_forks()
    epochs = {name: index * _PERIODS_A_FORK * period_epochs for index, name in enumerate(past)}
    epochs[last] = head_epoch + _EPOCHS_TO_LAST_FORK
    network = simulated_network(
        "minimal",
        epochs,
        # Genesis is a whole second, so the clock may stand some slots beyond head_slot.
        genesis_time=int(now - head_slot * slot_ms / 1000),
        slot_duration_ms=slot_ms,
        name="demo",
    )
    dense_from_slot = head_slot - 4 * shape.slots_per_epoch
    chain = SimulatedChain(network, dense_from_slot=dense_from_slot)
    chain.advance_to_time_ms(int(now * 1000))
    return chain


@click.command("demo")
@click.option(
    "--transport",
    type=click.Choice(["rest", "libp2p"]),
    default="rest",
    show_default=True,
    help="Over HTTP from one provider, or from peers of which most are hostile.",
)
@click.option("--live-seconds", type=click.FloatRange(0, 10), default=10.0, hidden=True)
@click.option(
    "--chaos",
    "seed",
    type=click.IntRange(min=0),
    metavar="SEED",
    help="Five providers instead of one, of which up to four misbehave in ways that SEED decides;"
    " over libp2p the hostile peers are always there, and SEED decides what they do.",
)
def demo(transport: str, live_seconds: float, seed: int | None) -> int:
    """Follow a simulated chain through every fork, on this machine alone.

    Ends by itself within half a minute; exit code 0 if every fork was crossed and nothing honest
    was refused. With --chaos it ends within a minute; exit code 0 if the client reached the true
    head and never showed a header that is not of the chain. Over libp2p it ends within half a
    minute in any case; exit code 0 if all of that is so and hostile peers were parted from.
    """
    with_peers = transport == "libp2p"
    if with_peers:
        from lightclient_cli.peer_demo import require_extra

        require_extra()
    logging.getLogger("lightclient").setLevel(logging.CRITICAL)
    # Certificates of the surroundings, perhaps missing, are not for loopback.
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        os.environ.pop(name, None)
    started = time.perf_counter()
    show = _Demo(started, live_seconds, seed, with_peers=with_peers)
    # Peers are talked to on trio; who has none of them need not have trio.
    anyio.run(show.run, backend="trio" if with_peers else "asyncio")
    if show.output_error is not None:
        raise show.output_error
    if show.is_interrupted:
        raise KeyboardInterrupt
    return show.exit_code


class _Demo:
    """One run: the chain, its server, the client, and what it prints.

    Attributes:
        output_error: why nothing more could be printed.
    """

    def __init__(
        self,
        started: float,
        live_seconds: float,
        seed: int | None = None,
        *,
        with_peers: bool = False,
    ) -> None:
        self.exit_code = 1
        self.is_interrupted = False
        self.output_error: OSError | None = None
        self._started = started
        self._live_seconds = live_seconds
        self._seed = seed
        self._with_peers = with_peers
        self._scope: anyio.CancelScope | None = None
        self._write: Callable[[str], None] = click.echo

    async def run(self) -> None:
        """Until it ends by itself, is interrupted, or nobody reads it any more."""
        async with anyio.create_task_group() as tasks:
            # A scope inside of the server's, which is to end in good order.
            self._scope = anyio.CancelScope()
            if sys.platform != "win32":
                await tasks.start(self._stop_on_signal)
            if self._with_peers:
                await self._show_peers(self._seed or 0)
            else:
                await (self._show() if self._seed is None else self._show_chaos(self._seed))
            tasks.cancel_scope.cancel()

    async def _stop_on_signal(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                self.is_interrupted = True
                self._stop()

    def _stop(self) -> None:
        if self._scope is not None:
            self._scope.cancel()

    def say(self, line: str) -> None:
        """Print a line; without readers the demo ends."""
        if self.output_error is not None:
            return
        try:
            self._write(line)
        except OSError as error:
            self.output_error = error
            self._stop()

    async def _show(self) -> None:
        from lightclient.simulator.server import serve

        chain = demo_chain(time.time())
        network = chain.network
        root = chain.trusted_block_root(network.preset.slots_per_epoch)
        self._introduce(network)
        record = DemoRecord(network)
        assert self._scope is not None
        async with serve(chain, live=True) as url:
            with self._scope:
                self.say(f"It is served at {url}; the client trusts only block 0x{root.hex()}.\n")
                client = self._client(record, root, url)
                record.watch(client)
                state = await self._watch(client)
                self.say(summary_of(record, state, chain.backend.name, self._seconds))
                self.exit_code = 0 if record.is_complete(state) else 1

    def _introduce(self, network: Network) -> None:
        self.say(
            f"A simulated chain of {_HISTORY_PERIODS} sync committee periods and"
            f" {len(demo_forks())} forks, {network.slot_duration_ms} ms a slot"
            f" ({network.preset.name} preset, {network.preset.sync_committee_size} committee"
            " members)."
        )

    def _client(self, record: DemoRecord, root: bytes, url: str) -> LightClient:
        from httpx import AsyncHTTPTransport

        def show_finalized(header: VerifiedHeader) -> None:
            record.finalized.append(header)
            self.say(describe_header("finalized", record.network, header))

        def show_head(header: VerifiedHeader) -> None:
            record.heads += 1
            self.say(describe_header("head", record.network, header))

        # Past any proxy: the way leads nowhere but to this machine.
        direct = AsyncHTTPTransport(trust_env=False)
        return LightClient(
            network=record.network,
            trusted_block_root=root,
            transports=[RestTransport(url, http_transport=direct)],
            allow_stale_trusted_root=True,
            on_finalized_header=show_finalized,
            on_optimistic_header=show_head,
        )

    async def _watch(self, client: LightClient) -> SyncState:
        async with client:
            with self._display(client):
                try:
                    with anyio.move_on_after(_DEADLINE_SECONDS - self._seconds):
                        await self._until_done(client)
                except LightClientError as error:
                    self.say(f"The client gave up: {error}")
            failed = [p.last_error for p in client.providers if p.last_error is not None]
            state = client.status.state
            if failed and state is not SyncState.SYNCED:
                self.say(f"The last request failed: {failed[0]}")
            return state

    @contextmanager
    def _display(self, client: LightClient) -> Iterator[None]:
        """Print above the client's status while it is shown."""
        with status_display(client) as write:
            self._write = write or click.echo
            try:
                yield
            finally:
                self._write = click.echo

    async def _show_chaos(self, seed: int) -> None:
        from lightclient_cli.chaos import SLOT_MS, Chaos

        chain = demo_chain(time.time(), SLOT_MS)
        root = chain.trusted_block_root(chain.network.preset.slots_per_epoch)
        assert self._scope is not None
        with self._scope:
            chaos = Chaos(seed, chain, self.say, self._display, 2 * self._live_seconds)
            self.exit_code = 0 if await chaos.run(root) else 1

    async def _show_peers(self, seed: int) -> None:
        from lightclient_cli.peer_demo import SLOT_MS as PEERS_SLOT_MS
        from lightclient_cli.peer_demo import PeerDemo

        chain = demo_chain(time.time(), PEERS_SLOT_MS)
        network = chain.network
        root = chain.trusted_block_root(network.preset.slots_per_epoch)
        self._introduce(network)
        self.say(f"The client trusts only block 0x{root.hex()}.")
        assert self._scope is not None
        demo = PeerDemo(chain, seed, self.say, self._display, self._live_seconds, self._started)
        self.exit_code = 0 if await demo.run(root, self._scope) else 1

    async def _until_done(self, client: LightClient) -> None:
        await client.wait_until_synced()
        enough = time.perf_counter() + self._live_seconds
        async for header in client.finalized_headers():
            if header.fork == demo_forks()[-1] and time.perf_counter() >= enough:
                return

    @property
    def _seconds(self) -> float:
        """Since the demo began."""
        return time.perf_counter() - self._started


def describe_header(what: str, network: Network, header: VerifiedHeader) -> str:
    """A verified header as a line; ``what`` it is to the client stands first."""
    period = network.compute_sync_committee_period_at_slot(header.slot)
    signed = "trusted"
    if header.participants is not None:
        signed = f"signed {header.participants}/{header.sync_committee_size}"
    execution = ""
    if header.execution_block_hash is not None:
        whose = "parent block" if header.is_parent_execution_block else "block"
        execution = f"  execution {whose} 0x{header.execution_block_hash.hex()[:8]}"
    return (
        f"{what:<10} period {period:>3}  slot {header.slot:>5}  {header.fork:<10}"
        f" 0x{header.root.hex()[:8]}  {signed}{execution}"
    )


def summary_of(record: DemoRecord, state: SyncState, backend: str, seconds: float) -> str:
    """What was seen in a run of so many seconds, in a few lines."""
    if not record.finalized:
        return "\nNothing was verified."
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(record.verdicts.items()))
    updates = record.update_seconds
    each = 1000 * sum(updates) / len(updates) if updates else 0.0
    lines = [
        f"\nPeriods verified: {record.periods}",
        f"Forks crossed: {', '.join(record.forks)}",
        f"Headers verified: {len(record.finalized)} finalized, {record.heads} of the head",
        f"Verdicts: {counts}",
        f"Full updates: {len(updates)}, {each:.2f} ms each ({backend})",
        f"State: {state.value}, after {seconds:.1f} seconds",
    ]
    if record.missing_forks:
        lines.append(f"Not reached: {', '.join(record.missing_forks)}")
    return "\n".join(lines)
