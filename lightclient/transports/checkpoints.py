"""Asks services for their finalized checkpoint: checkpointz instances and beacon nodes alike.

What they say is taken as said, bounded and read leniently (numbers for strings, missing or odd
entries among good ones); ``sync.checkpoint_quorum`` decides what follows. Nothing here is trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Sequence
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Final

import anyio

from lightclient.config.network import Network
from lightclient.errors import ConfigError, DecodeError, MalformedAnswer, TransportError
from lightclient.sync.checkpoint_quorum import (
    Checkpoint,
    Decision,
    Standing,
    Statement,
    decide,
    epochs_to_compare,
)
from lightclient.transports.address import origin_of, parse_address
from lightclient.transports.answers import JSON_TYPE
from lightclient.transports.checkpoint_answers import (
    FINALITY_SOURCES,
    HISTORY_PATH,
    check_plausible,
    parsed,
    read_block_root,
    read_final_slot,
    read_genesis,
    read_history,
)
from lightclient.transports.fetching import Answer, Fetcher, Timeouts
from lightclient.transports.http_client import make_client
from lightclient.transports.refusals import refusal

if TYPE_CHECKING:
    import httpx

MAX_SERVICES: Final = 32
MAX_ANSWER_BYTES: Final = 1 << 20
"""A checkpointz history of some hundred epochs takes a tenth of this."""
_GENESIS: Final = "/eth/v1/beacon/genesis"


class CheckpointService:
    """One service over HTTP.

    Args:
        url: where its API is, as for :class:`RestTransport`; keys in it are never shown.
        timeout: seconds that it has for each round of questions.
        ca_file: PEM file with the certificate authorities to accept, in place of the usual ones.
        http_transport: an ``httpx`` transport in place of the network, for tests.

    Raises:
        ConfigError: a URL that cannot be used; ``open`` raises it for ``ca_file``.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 20.0,
        ca_file: str | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if timeout <= 0:
            raise ConfigError("a timeout must be more than 0 seconds")
        self._address = parse_address(url)
        self._timeout = timeout
        timeouts = Timeouts(min(10.0, timeout), timeout, timeout)
        self._fetcher = Fetcher(self._address, timeouts, make_client(ca_file, http_transport))
        self._history: dict[int, bytes] | None = None

    @property
    def name(self) -> str:
        """The service, safe to show."""
        return self._address.name

    @property
    def host(self) -> tuple[str, int]:
        """Host and port: two services that share them are one."""
        origin = origin_of(self._address.base_url)
        assert origin is not None
        return origin[1:]

    def open(self) -> None:
        """Make ready; connects to nothing. Raises ConfigError."""
        self._fetcher.open()

    async def aclose(self) -> None:
        """Give up all connections."""
        await self._fetcher.aclose()

    # What it says -------------------------------------------------------------------------------

    async def tell(self, network: Network, current_epoch: int) -> Statement:
        """Its network and its newest finalized checkpoint. Whatever goes wrong is in the answer."""
        statement = Statement(self.name)
        with anyio.move_on_after(self._timeout) as scope:
            try:
                await self._tell(statement, network, current_epoch)
            except MalformedAnswer as error:
                statement.failure = Standing.UNUSABLE
                statement.reason = self._shortened(error)
            except TransportError as error:
                statement.failure = Standing.UNREACHABLE
                statement.reason = self._shortened(error)
        if scope.cancelled_caught:
            statement.failure = Standing.UNREACHABLE
            statement.reason = f"no complete answer within {self._timeout:g} s"
        return statement

    async def _tell(self, statement: Statement, network: Network, current_epoch: int) -> None:
        genesis_root = read_genesis(await self._get(_GENESIS))
        if genesis_root is None:
            statement.reason = "does not tell its network"
        elif genesis_root != network.genesis_validators_root:
            statement.failure = Standing.WRONG_NETWORK
            statement.reason = (
                f"its genesis validators root is 0x{genesis_root.hex()}, that of {network.name}"
                f" 0x{network.genesis_validators_root.hex()}"
            )
            return
        try:
            found = await self._newest_finalized(network)
            check_plausible(found, current_epoch)
        except DecodeError as error:
            statement.failure = Standing.UNUSABLE
            statement.reason = self._address.redactor.quote(str(error))
            return
        statement.finalized = found
        statement.roots[found.epoch] = found.root

    async def _newest_finalized(self, network: Network) -> Checkpoint:
        first_fault = ""
        for path, what, read in FINALITY_SOURCES:
            answer = await self._get(path)
            if answer.status >= 300:
                refused = refusal(answer, what, self.name, self._address.redactor)
                first_fault = first_fault or self._shortened(refused)
                continue
            try:
                return read(parsed(answer), network)
            except DecodeError as error:
                first_fault = first_fault or f"for {what}: {error}"
        raise DecodeError(first_fault)

    async def root_at(
        self, epoch: int, claimed: Collection[bytes], network: Network
    ) -> bytes | None:
        """What it says the checkpoint's root of ``epoch`` is; None if it does not tell.

        Args:
            claimed: what others say; asked about one by one where the epoch's first slot is empty.
        """
        found: bytes | None = None
        with anyio.move_on_after(self._timeout):
            try:
                found = await self._root_at(epoch, claimed, network)
            except TransportError:
                return None
        return found

    async def _root_at(
        self, epoch: int, claimed: Collection[bytes], network: Network
    ) -> bytes | None:
        slot = network.compute_start_slot_at_epoch(epoch)
        root = await self._root_of_slot(slot)
        if root is not None:
            return root
        if self._history is None:
            self._history = read_history(await self._get(HISTORY_PATH), network)
        if epoch in self._history:
            return self._history[epoch]
        for root in claimed:
            header = await self._get(f"/eth/v1/beacon/headers/0x{root.hex()}")
            block_slot = read_final_slot(header)
            if block_slot is None or not slot - network.preset.slots_per_epoch < block_slot < slot:
                continue
            between = range(block_slot + 1, slot)
            if not any([await self._root_of_slot(empty) for empty in between]):
                return root
        return None

    async def _root_of_slot(self, slot: int) -> bytes | None:
        return read_block_root(await self._get(f"/eth/v1/beacon/blocks/{slot}/root"))

    async def _get(self, path: str) -> Answer:
        answer = await self._fetcher.get(path, accept=JSON_TYPE, max_bytes=MAX_ANSWER_BYTES)
        if answer.incomplete is not None:
            raise answer.incomplete
        return answer

    def _shortened(self, error: TransportError) -> str:
        """A sentence about this service without its name, which stands beside it."""
        return str(error).removeprefix(f"{self.name}: ")


# All services ----------------------------------------------------------------------------------


async def ask_for_checkpoint(
    services: Sequence[CheckpointService], network: Network, quorum: int, current_epoch: int
) -> tuple[list[Statement], Decision]:
    """Ask all at once, then about the epochs that they have in common, newest first.

    Args:
        quorum: how many must name the same root.
        current_epoch: by this machine's clock; nothing later can be final.

    Returns:
        What each said, in the order of ``services``, and what follows from it.

    Raises:
        ConfigError: a CA file or a proxy variable that cannot be used.
    """
    async with AsyncExitStack() as stack:
        for service in services:
            service.open()
            stack.push_async_callback(service.aclose)
        statements = [Statement(service.name) for service in services]

        async def hear(index: int) -> None:
            statements[index] = await services[index].tell(network, current_epoch)

        await _all_at_once(hear, range(len(services)))
        inquiry = _Inquiry(services, statements, network)
        decision = decide(statements, quorum)
        for epoch in epochs_to_compare(statements, quorum):
            await inquiry.ask_about(epoch)
            decision = decide(statements, quorum)
            if decision.checkpoint is not None:
                # Those that are behind may be behind on another chain.
                for older in inquiry.epochs_before(decision.checkpoint.epoch):
                    await inquiry.ask_about(older)
                decision = decide(statements, quorum)
            if decision.checkpoint is not None:
                break
        return statements, decision


class _Inquiry:
    """Asks the services for each other's epochs."""

    def __init__(
        self,
        services: Sequence[CheckpointService],
        statements: Sequence[Statement],
        network: Network,
    ) -> None:
        self._services = services
        self._statements = statements
        self._network = network

    def epochs_before(self, epoch: int) -> list[int]:
        """The epochs that services which are behind ``epoch`` finalized last."""
        finalized = {t.finalized.epoch for t in self._statements if t.finalized is not None}
        return sorted(older for older in finalized if older < epoch)

    async def ask_about(self, epoch: int) -> None:
        """Note what each service says of ``epoch`` that has finalized it and has not told yet."""
        claimed = {t.roots[epoch] for t in self._statements if epoch in t.roots}

        async def ask(index: int) -> None:
            root = await self._services[index].root_at(epoch, sorted(claimed), self._network)
            if root is not None:
                self._statements[index].roots[epoch] = root

        await _all_at_once(
            ask,
            [
                index
                for index, statement in enumerate(self._statements)
                if statement.has_finalized(epoch) and epoch not in statement.roots
            ],
        )


async def _all_at_once(
    work: Callable[[int], Coroutine[Any, Any, None]], indices: Collection[int]
) -> None:
    async with anyio.create_task_group() as tasks:
        for index in indices:
            tasks.start_soon(work, index)
