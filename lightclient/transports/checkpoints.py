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
from lightclient.containers import parse_json
from lightclient.errors import ConfigError, DecodeError, MalformedAnswer, TransportError
from lightclient.ssz import Json
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
from lightclient.transports.fetching import Answer, Fetcher, Timeouts
from lightclient.transports.http_client import make_client
from lightclient.transports.refusals import refusal

if TYPE_CHECKING:
    import httpx

MAX_SERVICES: Final = 32
MAX_ANSWER_BYTES: Final = 1 << 20
"""A checkpointz history of some hundred epochs takes a tenth of this."""
MAX_HISTORY_ENTRIES: Final = 4096
_GENESIS: Final = "/eth/v1/beacon/genesis"
_HISTORY: Final = "/checkpointz/v1/beacon/slots"


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
        genesis_root = _read_genesis(await self._get(_GENESIS))
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
            _check_plausible(found, current_epoch)
        except DecodeError as error:
            statement.failure = Standing.UNUSABLE
            statement.reason = self._address.redactor.quote(str(error))
            return
        statement.finalized = found
        statement.roots[found.epoch] = found.root

    async def _newest_finalized(self, network: Network) -> Checkpoint:
        first_fault = ""
        for path, what, read in _FINALITY:
            answer = await self._get(path)
            if answer.status >= 300:
                refused = refusal(answer, what, self.name, self._address.redactor)
                first_fault = first_fault or self._shortened(refused)
                continue
            try:
                return read(_parsed(answer), network)
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
            self._history = _read_history(await self._get(_HISTORY), network)
        if epoch in self._history:
            return self._history[epoch]
        for root in claimed:
            header = await self._get(f"/eth/v1/beacon/headers/0x{root.hex()}")
            block_slot = _read_final_slot(header)
            if block_slot is None or not slot - network.preset.slots_per_epoch < block_slot < slot:
                continue
            between = range(block_slot + 1, slot)
            if not any([await self._root_of_slot(empty) for empty in between]):
                return root
        return None

    async def _root_of_slot(self, slot: int) -> bytes | None:
        return _read_block_root(await self._get(f"/eth/v1/beacon/blocks/{slot}/root"))

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


# Reading ---------------------------------------------------------------------------------------


def _check_plausible(found: Checkpoint, current_epoch: int) -> None:
    if not any(found.root):
        raise DecodeError("its chain has not finalized anything yet")
    if found.epoch > current_epoch:
        raise DecodeError(
            f"it calls epoch {found.epoch} final, which by this machine's clock is yet to come"
            f" (now is epoch {current_epoch}); check the clock"
        )


def _parsed(answer: Answer) -> Json:
    """The answer's value, out of its envelope."""
    value = parse_json(answer.body)
    if isinstance(value, dict) and value.get("execution_optimistic") is True:
        raise DecodeError("it has not verified its chain itself yet (execution_optimistic)")
    return value["data"] if isinstance(value, dict) and "data" in value else value


def _read_genesis(answer: Answer) -> bytes | None:
    """The genesis validators root; None if it is not told."""
    if answer.status >= 300:
        return None
    try:
        return _root(_field(_parsed(answer), "genesis_validators_root"))
    except DecodeError:
        return None


def _read_block_root(answer: Answer) -> bytes | None:
    """The answer of ``/eth/v1/beacon/blocks/{slot}/root``; None if it names no final block."""
    if answer.status >= 300:
        return None
    try:
        value = parse_json(answer.body)
        if isinstance(value, dict) and value.get("finalized") is False:
            return None
        return _root(_field(_parsed(answer), "root"))
    except DecodeError:
        return None


def _read_final_slot(answer: Answer) -> int | None:
    """The slot of a block header; None unless it is said to be final and canonical."""
    if answer.status >= 300:
        return None
    try:
        value = parse_json(answer.body)
        block = _parsed(answer)
        slot = _number(_field(_field(_field(block, "header"), "message"), "slot"))
    except DecodeError:
        return None
    is_final = isinstance(value, dict) and value.get("finalized") is not False
    is_canonical = isinstance(block, dict) and block.get("canonical") is not False
    return slot if is_final and is_canonical else None


def _read_history(answer: Answer, network: Network) -> dict[int, bytes]:
    """Roots by epoch from checkpointz' list of slots; empty if there is none."""
    if answer.status >= 300:
        return {}
    try:
        return _roots_by_epoch(_parsed(answer), network)
    except DecodeError:
        return {}


def _roots_by_epoch(value: Json, network: Network) -> dict[int, bytes]:
    """The list of slots without its odd entries, and without those that contradict each other."""
    slots = _field(value, "slots")
    found: dict[int, bytes] = {}
    contradicted: set[int] = set()
    for entry in slots[:MAX_HISTORY_ENTRIES] if isinstance(slots, list) else ():
        try:
            slot, root = _number(_field(entry, "slot")), _root(_field(entry, "block_root"))
        except DecodeError:
            continue
        epoch = network.compute_epoch_at_slot(slot)
        # Of a block within an epoch, its slot alone does not tell which checkpoint it is, if any.
        if slot != network.compute_start_slot_at_epoch(epoch):
            continue
        if found.setdefault(epoch, root) != root:
            contradicted.add(epoch)
    return {epoch: root for epoch, root in found.items() if epoch not in contradicted}


def _from_finality(value: Json, _network: Network) -> Checkpoint:
    """``finality_checkpoints`` of the Beacon API."""
    finalized = _field(value, "finalized")
    return Checkpoint(_number(_field(finalized, "epoch")), _root(_field(finalized, "root")))


def _from_status(value: Json, network: Network) -> Checkpoint:
    """Status of checkpointz."""
    return _from_finality(_field(value, "finality"), network)


def _from_header(value: Json, network: Network) -> Checkpoint:
    """``headers/finalized``: a block is the checkpoint of the first epoch that starts after it."""
    slot = _number(_field(_field(_field(value, "header"), "message"), "slot"))
    epoch = -(-slot // network.preset.slots_per_epoch)
    return Checkpoint(epoch, _root(_field(value, "root")))


def _from_history(value: Json, network: Network) -> Checkpoint:
    """The newest usable entry of checkpointz' list of slots."""
    roots = _roots_by_epoch(value, network)
    if not roots:
        raise DecodeError("its list of slots holds no usable checkpoint")
    epoch = max(roots)
    return Checkpoint(epoch, roots[epoch])


_FINALITY: Final[tuple[tuple[str, str, Callable[[Json, Network], Checkpoint]], ...]] = (
    ("/eth/v1/beacon/states/head/finality_checkpoints", "its finality", _from_finality),
    ("/eth/v1/beacon/states/finalized/finality_checkpoints", "its finality", _from_finality),
    ("/checkpointz/v1/status", "its status", _from_status),
    ("/eth/v1/beacon/headers/finalized", "its finalized header", _from_header),
    (_HISTORY, "its list of slots", _from_history),
)


def _field(value: Json, name: str) -> Json:
    found = value.get(name) if isinstance(value, dict) else None
    if found is None:
        raise DecodeError(f"no {name} in the answer")
    return found


def _number(value: Json) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return value
    raise DecodeError("a slot or epoch that is no number")


def _root(value: Json) -> bytes:
    text = value.removeprefix("0x") if isinstance(value, str) else ""
    try:
        root = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        root = b""
    if len(root) != 32:
        raise DecodeError("a root that is not 32 bytes of hex")
    return root
