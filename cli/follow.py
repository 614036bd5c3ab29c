"""The main job: follow the chain, log each slot and each verified header, stop when asked.

Exit codes: 0 after Ctrl-C, SIGTERM or a stop option; 1 for a failure that cannot heal; 2 for usage.
"""

from __future__ import annotations

import contextlib
import logging
import signal
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import anyio
import click

from lightclient import __version__
from lightclient.client import LightClient, SyncState, wall_clock_ms
from lightclient.config import resolve_network
from lightclient.errors import LightClientError
from lightclient.storage import DataDirectory
from lightclient.transports.rest import RestTransport
from lightclient_cli.logs import set_up_logging, wants_colors
from lightclient_cli.parameters import HOW_TO_TRUST
from lightclient_cli.screen import status_display

_logger = logging.getLogger("lightclient")


@dataclass(frozen=True, slots=True)
class StopAt:
    """Epochs at which to stop; None for never."""

    wall_epoch: int | None
    synced_epoch: int | None

    def is_reached(self, epoch: int, state: SyncState) -> bool:
        """Whether to stop at wall ``epoch`` in ``state``."""
        if self.wall_epoch is not None and epoch >= self.wall_epoch:
            return True
        return (
            self.synced_epoch is not None
            and epoch >= self.synced_epoch
            and state is SyncState.SYNCED
        )


def run(options: dict[str, Any]) -> int:
    """Follow with the command line's options; returns the exit code."""
    client = _client(options)
    set_up_logging(options["log_level"], options["log_format"], options["log_file"])
    stop_at = StopAt(options["debug_stop_at_epoch"], options["stop_at_synced_epoch"])
    with ExitStack() as stack:
        if options["data_dir"] is not None:
            stack.enter_context(DataDirectory(options["data_dir"]))
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        anyio.run(_follow, client, stop_at, wants_colors(options["log_format"]))
    return 0


def _client(options: dict[str, Any]) -> LightClient:
    if options["trusted_block_root"] is None:
        raise click.UsageError(f"missing --trusted-block-root: {HOW_TO_TRUST}")
    if not options["rest_url"]:
        raise click.UsageError(
            "missing --rest-url: give the URL of a beacon node that serves light client data,"
            " such as --rest-url=http://127.0.0.1:5052; repeat it for more than one"
        )
    network = resolve_network(
        options["network"],
        genesis_time=options["genesis_time"],
        genesis_validators_root=options["genesis_validators_root"],
    )
    headers = [_header(text) for text in options["rest_header"]]
    return LightClient(
        network=network,
        trusted_block_root=options["trusted_block_root"],
        transports=[
            RestTransport(url, headers=headers, ca_file=options["rest_ca_file"])
            for url in options["rest_url"]
        ],
        bls_backend=options["bls_backend"],
        forced_update=options["forced_update"],
        audit_committees=options["audit_committees"],
    )


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        # The value may be a secret: it is not repeated here.
        raise click.UsageError("--rest-header must be NAME:VALUE")
    return name.strip(), value.strip()


async def _follow(client: LightClient, stop_at: StopAt, with_display: bool) -> None:
    _log_start(client)
    async with client, anyio.create_task_group() as tasks:
        tasks.start_soon(_stop_on_signal, client)
        tasks.start_soon(_log_slots, client, stop_at)
        with status_display(client, enabled=with_display):
            try:
                await client.run()
            except LightClientError as error:
                failure: LightClientError | None = error
            else:
                failure = None
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _log_start(client: LightClient) -> None:
    _logger.info(
        "Starting light client",
        extra={
            "lc": {
                "version": __version__,
                "network": client.network.name,
                "trusted_block_root": client.processor.trusted_block_root,
                "bls_backend": client.processor.signatures.backend.name,
                "providers": ",".join(provider.name for provider in client.providers),
            }
        },
    )


async def _stop_on_signal(client: LightClient) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for number in signals:
            _logger.info("Stopping", extra={"lc": {"signal": signal.Signals(number).name}})
            client.stop()


async def _log_slots(client: LightClient, stop_at: StopAt) -> None:
    network = client.network
    while True:
        now_ms = wall_clock_ms()
        slot = network.slot_at_time_ms(now_ms)
        # Before genesis this waits for genesis; a slot at most, so that a stepped clock is noticed.
        wait_ms = network.slot_start_ms(slot + 1) - now_ms
        await anyio.sleep(min(wait_ms, network.slot_duration_ms) / 1000)
        now_ms = wall_clock_ms()
        reached = network.slot_at_time_ms(now_ms)
        if reached == slot and not network.is_before_genesis_ms(now_ms):
            continue
        _log_slot(client, reached, now_ms)
        if stop_at.is_reached(network.compute_epoch_at_slot(reached), client.status.state):
            client.stop()


def _log_slot(client: LightClient, slot: int, now_ms: int) -> None:
    status = client.status
    sync = status.state.value
    if status.state is SyncState.SYNCING:
        sync += f" ({status.progress:.2%})"
    head, finalized = client.optimistic_header, client.finalized_header
    _logger.info(
        "Slot start",
        extra={
            "lc": {
                "slot": slot,
                "epoch": client.network.compute_epoch_at_slot(slot),
                "sync": sync,
                "peers": status.usable_providers,
                "head": f"{head.root.hex()[:8]}:{head.slot}" if head else "none",
                "finalized": f"{finalized.root.hex()[:8]}:{finalized.slot}"
                if finalized
                else "none",
                "delay": f"{now_ms - client.network.slot_start_ms(slot)}ms",
            }
        },
    )
