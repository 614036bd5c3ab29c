"""The main job: follow the chain, log each slot and each verified header, stop when asked.

Exit codes: 0 after Ctrl-C, SIGTERM, SIGHUP or a stop option; 1 for a failure that cannot heal or
when nobody reads the log any more; 2 for usage.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.abc
import click

from lightclient import __version__
from lightclient.client import Health, LightClient, SyncState, wall_clock_ms
from lightclient.client.watch import is_usable
from lightclient.config import Network, resolve_network
from lightclient.config.mapping import parse_root
from lightclient.errors import ConfigError, LightClientError
from lightclient.storage import StateDirectory
from lightclient.sync import VerifiedHeader
from lightclient.transports.rest import RestTransport
from lightclient_cli.logs import StdoutHandler, set_up_logging, wants_colors
from lightclient_cli.main import first_of
from lightclient_cli.options import misspelt_variables
from lightclient_cli.parameters import HOW_TO_TRUST
from lightclient_cli.screen import status_display

if TYPE_CHECKING:
    from lightclient.transports.pools import TransportPool

_logger = logging.getLogger("lightclient")

_WELL = frozenset((Health.STARTING, Health.SYNCED))
PATIENCE_SECONDS = 1.5
"""How long stopping may take; then the process ends anyhow."""


@dataclass(frozen=True, slots=True)
class StopAt:
    """Epochs at which to stop; None for never."""

    wall_epoch: int | None
    synced_epoch: int | None

    def reason(self, epoch: int, state: SyncState) -> str | None:
        """The option that asks to stop at wall ``epoch`` in ``state``, if one does."""
        if self.wall_epoch is not None and epoch >= self.wall_epoch:
            return "--debug-stop-at-epoch"
        if self.synced_epoch is not None and epoch >= self.synced_epoch:
            return "--stop-at-synced-epoch" if state is SyncState.SYNCED else None
        return None


_STOPPING: Final = (signal.SIGINT, signal.SIGTERM)


def _stopping() -> tuple[signal.Signals, ...]:
    """Signals that stop it; a closed terminal's too, unless nohup has it ignored."""
    hangup: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
    if hangup is None or signal.getsignal(hangup) is not signal.SIG_DFL:
        return _STOPPING
    return (*_STOPPING, hangup)


class LastResort:
    """Ends the process when stopping takes too long.

    The system's name resolution cannot be interrupted, and the event loop waits for its thread.
    """

    def __init__(self) -> None:
        self._timer: threading.Timer | None = None

    def start(self, exit_code: int) -> None:
        """From now on ``PATIENCE_SECONDS`` are left. Starting again changes nothing."""
        if self._timer is None:
            self._timer = threading.Timer(PATIENCE_SECONDS, os._exit, (exit_code,))
            self._timer.daemon = True
            self._timer.start()

    def cancel(self) -> None:
        """All is well."""
        if self._timer is not None:
            self._timer.cancel()


def run(options: dict[str, Any]) -> int:
    """Follow with the command line's options; returns the exit code."""
    data_dir = options["data_dir"]
    storage = None if data_dir is None else StateDirectory(data_dir, wall_clock_ms)
    client, transports = _client(options, storage)
    log_format = options["log_format"]
    output = set_up_logging(
        options["log_level"],
        log_format,
        options["log_file"],
        redact=_redaction(transports),
    )
    for variable, meant in misspelt_variables(os.environ, options):
        fields = {"variable": variable, "did_you_mean": meant}
        _logger.warning("This variable sets no option", extra={"lc": fields})
    follower = _Follower(
        client,
        StopAt(options["debug_stop_at_epoch"], options["stop_at_synced_epoch"]),
        output,
        with_display=log_format != "json",
        with_colors=wants_colors(log_format),
    )
    output.on_lost = follower.stop
    with ExitStack() as stack:
        if storage is not None:
            stack.enter_context(storage)
        if options["metrics"]:
            stack.enter_context(_metrics(client, options))
        stack.callback(follower.last_resort.cancel)
        # The network's peers are talked to on trio; who has none of them need not have trio.
        failure = anyio.run(follower.follow, backend="trio" if client.pools else "asyncio")
    if failure is not None:
        raise failure
    return 1 if output.is_lost else 0


def _client(
    options: dict[str, Any], storage: StateDirectory | None
) -> tuple[LightClient, list[RestTransport]]:
    if options["trusted_block_root"] is None:
        raise click.UsageError(f"missing --trusted-block-root: {HOW_TO_TRUST}")
    network = resolve_network(
        options["network"],
        genesis_time=options["genesis_time"],
        genesis_validators_root=options["genesis_validators_root"],
    )
    transports = [
        _transport(f"--rest-url number {number}", url, options)
        for number, url in enumerate(options["rest_url"], 1)
    ]
    pools = _pools(options, network)
    client = LightClient(
        network=network,
        trusted_block_root=parse_root(options["trusted_block_root"], source="--trusted-block-root"),
        transports=transports,
        pools=pools,
        bls_backend=options["bls_backend"],
        forced_update=options["forced_update"],
        audit_committees=options["audit_committees"],
        dump_dir=options["dump_dir"],
        data_dir=storage,
        weak_subjectivity_epochs=options["weak_subjectivity_epochs"],
        allow_stale_trusted_root=options["allow_stale_trusted_root"],
        second_process=options["second_process"],
        min_providers=options["min_providers"],
        conflict_policy=options["conflict_policy"],
        evidence_dir=_evidence_directory(options["data_dir"]),
    )
    return client, transports


def _pools(options: dict[str, Any], network: Network) -> Sequence[TransportPool]:
    """Peers of the network, unless all that was named is REST."""
    names_peers = ("direct_peer", "bootstrap_node", "bootstrap_file", "discv5")
    if options["rest_url"] and not any(options[name] for name in names_peers):
        return ()
    from lightclient_cli.peering import make_pool

    return (make_pool(options, network),)


def _evidence_directory(data_dir: str | None) -> Path | None:
    return None if data_dir is None else Path(data_dir) / "evidence"


def _metrics(client: LightClient, options: dict[str, Any]) -> AbstractContextManager[Any]:
    from lightclient_cli.metrics_server import MetricsServer

    return MetricsServer(client, options["metrics_address"], options["metrics_port"])


def _transport(where: str, url: str, options: dict[str, Any]) -> RestTransport:
    try:
        return RestTransport(url, headers=options["rest_header"], ca_file=options["rest_ca_file"])
    except ConfigError as error:
        # The URL may be a secret: its number has to do.
        raise click.UsageError(f"{where}: {error}") from None


def _redaction(transports: Sequence[RestTransport]) -> Callable[[str], str]:
    def redact(text: str) -> str:
        for transport in transports:
            text = transport.redactor.redact(text)
        return text

    return redact


class _Follower:
    """One run of the client with all that surrounds it."""

    def __init__(
        self,
        client: LightClient,
        stop_at: StopAt,
        output: StdoutHandler,
        *,
        with_display: bool,
        with_colors: bool,
    ) -> None:
        self.last_resort = LastResort()
        self._scope: anyio.CancelScope | None = None
        self._client = client
        self._network = client.network
        self._stop_at = stop_at
        self._output = output
        self._with_display = with_display
        self._with_colors = with_colors

    async def follow(self) -> Exception | None:
        """Until told to stop; gives what made it fail."""
        failure: Exception | None = None
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as self._scope:
                if sys.platform != "win32":  # there, Ctrl-C interrupts all of this
                    await tasks.start(self._stop_on_signal)
                try:
                    await self._run()
                except Exception as error:
                    failure = _reason(error)
                    if not isinstance(failure, LightClientError):
                        _logger.critical("Fault in the program", exc_info=failure)
            self.last_resort.start(exit_code=0 if failure is None else 1)
            tasks.cancel_scope.cancel()
        return failure

    def stop(self) -> None:
        """End :meth:`follow` wherever it is."""
        if self._scope is not None:
            self._scope.cancel()

    async def _stop_on_signal(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        has_stopped, stopping = False, _stopping()
        try:
            with anyio.open_signal_receiver(*stopping) as signals:
                task_status.started()
                async for number in signals:
                    _logger.info("Stopping", extra={"lc": {"signal": signal.Signals(number).name}})
                    has_stopped = True
                    self.last_resort.start(exit_code=0)
                    self.stop()
        finally:
            if has_stopped:
                # Told again, it could only stop less well: an event loop bears no interruption.
                for number in stopping:
                    signal.signal(number, signal.SIG_IGN)

    async def _run(self) -> None:
        _log_start(self._client)
        if self._network.retired:
            _logger.warning("This network no longer runs: nothing new will come")
        has_waited = await self._wait_for_genesis()
        # A slot that is under way has started already; genesis has not, if it was waited for.
        last = None if has_waited else _slot_now(self._network)
        async with self._client, anyio.create_task_group() as tasks:
            tasks.start_soon(self._watch_slots, last)
            with (
                status_display(
                    self._client, enabled=self._with_display, colors=self._with_colors
                ) as write,
                self._output.through(write),
            ):
                try:
                    await self._client.run()
                finally:
                    tasks.cancel_scope.cancel()

    async def _wait_for_genesis(self) -> bool:
        """Whether there was anything to wait for."""
        network = self._network
        if not network.is_before_genesis_ms(wall_clock_ms()):
            return False
        when = datetime.fromtimestamp(network.genesis_time, UTC).isoformat(sep=" ")
        _logger.info("Waiting for genesis", extra={"lc": {"genesis": when}})
        while network.is_before_genesis_ms(wall_clock_ms()):
            await _sleep_until(network.genesis_time_ms, network)
        return True

    async def _watch_slots(self, last: int | None) -> None:
        """Log each slot as it starts, but none that passed while the machine slept."""
        network = self._network
        while True:
            slot = _slot_now(network)
            if slot != last:
                last = slot
                _log_slot(self._client, slot)
            epoch = network.compute_epoch_at_slot(slot)
            reason = self._stop_at.reason(epoch, self._client.status.state)
            if reason is not None:
                _logger.info("Stopping", extra={"lc": {"epoch": epoch, "reason": reason}})
                self._client.stop()
                return
            await _sleep_until(network.slot_start_ms(slot + 1), network)


def _reason(error: Exception) -> Exception:
    """What a task group was ended by, out of its wrapping."""
    if not isinstance(error, ExceptionGroup):
        return error
    first = first_of(error)
    return first if isinstance(first, Exception) else error


def _slot_now(network: Network) -> int:
    return network.slot_at_time_ms(wall_clock_ms())


async def _sleep_until(moment_ms: int, network: Network) -> None:
    """Sleep until then, but a slot at most, so that a clock that was set is noticed."""
    wait_ms = moment_ms - wall_clock_ms()
    await anyio.sleep(min(max(wait_ms, 1), network.slot_duration_ms) / 1000)


def _log_start(client: LightClient) -> None:
    _logger.info(
        "Starting light client",
        extra={
            "lc": {
                "version": __version__,
                "network": client.network.name,
                "trusted_block_root": client.processor.trusted_block_root,
                "bls_backend": client.processor.signatures.backend.name,
                "providers": ",".join(
                    [provider.name for provider in client.providers]
                    + [pool.name for pool in client.pools]
                ),
            }
        },
    )


def _log_slot(client: LightClient, slot: int) -> None:
    network, status = client.network, client.status
    sync = status.state.value
    if status.state is SyncState.SYNCING:
        sync += f" ({status.progress:.2%})"
    head, finalized = client.optimistic_header(), client.finalized_header()
    delay_ms = wall_clock_ms() - network.slot_start_ms(slot)
    trouble = {} if status.health in _WELL else {"health": status.health.value}
    confirmed: dict[str, str] = {}
    if client.min_providers > 1:
        confirmed["confirmed"] = _shown(client.confirmed_optimistic_header())
        confirmed["confirmed_finalized"] = _shown(client.confirmed_finalized_header())
    _logger.info(
        "Slot start",
        extra={
            "lc": {
                "slot": slot,
                "epoch": network.compute_epoch_at_slot(slot),
                "sync": sync,
                "peers": _peer_count(client),
                "head": _shown(head),
                "finalized": _shown(finalized),
                **confirmed,
                "delay": f"{delay_ms}ms",
                **trouble,
            }
        },
    )


def _peer_count(client: LightClient) -> int:
    """Connected peers of the network, and REST providers that answered the last time."""
    pools = tuple(f"{pool.name}:" for pool in client.pools)
    named = [item for item in client.providers if not item.name.startswith(pools)]
    return sum(map(is_usable, named)) + sum(pool.figures().peers for pool in client.pools)


def _shown(header: VerifiedHeader | None) -> str:
    return "none" if header is None else f"{header.root.hex()[:8]}:{header.slot}"
