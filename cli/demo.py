"""``nimbus-light-client demo``: the main job on this machine alone.

A simulated beacon chain serves light client data over real HTTP on loopback, with real signatures
and proofs, from Altair to Gloas in accelerated time. The client that verifies it is the real one;
nothing in it knows of the simulation.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import click

from lightclient.client import LightClient, SyncState
from lightclient.config import FORKS, Network
from lightclient.containers import LightClientObject, LightClientUpdate
from lightclient.errors import LightClientError
from lightclient.sync import Outcome, VerifiedHeader
from lightclient_cli.screen import status_display

if TYPE_CHECKING:
    from lightclient.simulator import SimulatedChain

_EXTRA = ("starlette", "hypercorn")
_SLOT_MS = 125
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

    def watch(self, client: LightClient) -> None:
        """Count verdicts and time the processor, from outside of it."""
        process = client.processor.process

        def timed(value: LightClientObject, now_ms: int) -> Outcome:
            start = time.perf_counter()
            outcome = process(value, now_ms)
            if isinstance(value, LightClientUpdate):
                self.update_seconds.append(time.perf_counter() - start)
            self.verdicts[outcome.verdict.kind.value] += 1
            return outcome

        client.processor.process = timed  # type: ignore[method-assign]  # the demo's stopwatch


def demo_forks() -> tuple[str, ...]:
    """The forks of the demo in order: those with light client data but the last, a preview."""
    return tuple(fork.name for fork in FORKS[1:-1])


def demo_chain(now: float) -> SimulatedChain:
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
        genesis_time=int(now - head_slot * _SLOT_MS / 1000),
        slot_duration_ms=_SLOT_MS,
        name="demo",
    )
    dense_from_slot = head_slot - 4 * shape.slots_per_epoch
    chain = SimulatedChain(network, dense_from_slot=dense_from_slot)
    chain.advance_to_time_ms(int(now * 1000))
    return chain


@click.command("demo")
def demo() -> int:
    """Follow a simulated chain through every fork, on this machine alone.

    Needs the extra: pip install "lightclient[demo]". Ends by itself within half a minute; exit code
    0 if every fork was crossed and nothing honest was refused.
    """
    missing = [name for name in _EXTRA if importlib.util.find_spec(name) is None]
    if missing:
        raise click.UsageError(
            f"the demo needs {' and '.join(missing)}, which come with an extra:"
            ' pip install "lightclient[demo]"'
        )
    logging.getLogger("lightclient").setLevel(logging.ERROR)
    started = time.perf_counter()
    return anyio.run(_demo, started)


async def _demo(started: float) -> int:
    from lightclient.simulator.server import serve

    chain = demo_chain(time.time())
    network = chain.network
    root = chain.trusted_block_root(network.preset.slots_per_epoch)
    click.echo(
        f"A simulated chain of {_HISTORY_PERIODS} sync committee periods and"
        f" {len(demo_forks())} forks, {_SLOT_MS} ms a slot ({network.preset.name} preset,"
        f" {network.preset.sync_committee_size} committee members)."
    )
    record = DemoRecord(network)
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(serve(chain, live=True))
        click.echo(f"It is served at {url}; the client trusts block 0x{root.hex()} only.\n")
        client = LightClient(
            network=network,
            trusted_block_root=root,
            transports=[url],
            on_finalized_header=lambda header: _show_finalized(record, header),
            on_optimistic_header=lambda header: _show_head(record, header),
        )
        record.watch(client)
        await stack.enter_async_context(client)
        stack.enter_context(status_display(client, enabled=True))
        try:
            with anyio.move_on_after(_DEADLINE_SECONDS - (time.perf_counter() - started)):
                await _until_done(client)
        except LightClientError as error:
            click.echo(f"The client gave up: {error}")
        state = client.status.state
    return _summary(record, state, chain.backend.name, time.perf_counter() - started)


async def _until_done(client: LightClient) -> None:
    await client.wait_until_synced()
    enough = time.perf_counter() + _LIVE_SECONDS
    async for header in client.finalized_headers():
        if header.fork == demo_forks()[-1] and time.perf_counter() >= enough:
            return


def _show_finalized(record: DemoRecord, header: VerifiedHeader) -> None:
    record.finalized.append(header)
    click.echo(_line("finalized", record.network, header))


def _show_head(record: DemoRecord, header: VerifiedHeader) -> None:
    record.heads += 1
    click.echo(_line("head", record.network, header))


def _line(what: str, network: Network, header: VerifiedHeader) -> str:
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


def _summary(record: DemoRecord, state: SyncState, backend: str, seconds: float) -> int:
    refused = sum(
        count for kind, count in record.verdicts.items() if kind not in {"accepted", "duplicate"}
    )
    missing = [name for name in demo_forks() if name not in record.forks]
    if not record.finalized:
        click.echo("\nNothing was verified.")
        return 1
    counts = ", ".join(f"{count} {kind}" for kind, count in sorted(record.verdicts.items()))
    updates = record.update_seconds
    each = 1000 * sum(updates) / len(updates) if updates else 0.0
    click.echo(
        f"\nPeriods verified: {record.periods}\n"
        f"Forks crossed: {', '.join(record.forks)}\n"
        f"Headers verified: {len(record.finalized)} finalized, {record.heads} of the head\n"
        f"Verdicts: {counts}\n"
        f"Full updates: {len(updates)}, {each:.2f} ms each ({backend})\n"
        f"State: {state.value}, after {seconds:.1f} seconds"
    )
    if missing:
        click.echo(f"Not reached: {', '.join(missing)}")
    return 1 if missing or refused or state is not SyncState.SYNCED else 0
