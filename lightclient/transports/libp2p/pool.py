"""The consensus network as a pool of providers, for clients on trio and on asyncio alike.

The node runs on trio. Under trio it runs in the client's own event loop; under asyncio in a thread
with a loop of its own, and every call crosses by a portal, both ways. Cancelling crosses too.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import sniffio

from lightclient.config import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
)
from lightclient.errors import ConfigError, ListenError, NotServed, ProviderUnavailable
from lightclient.sync import Outcome
from lightclient.transports.base import Transport, UpdateRange
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.pools import Heads, PoolMember
from lightclient.transports.scores import ProviderScore

if TYPE_CHECKING:
    from lightclient.transports.libp2p.discovery import DiscoveryService
    from lightclient.transports.libp2p.node import Node
    from lightclient.transports.push import PushedUpdate

T = TypeVar("T")


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Libp2pPool:
    """Peers of the consensus network.

    Args:
        clock: Unix milliseconds. rng: source of jitter and of choices.

    Attributes:
        node: the node while it runs, for whoever looks at it from its own event loop.
        discovery: how peers are looked for, likewise; None also if they are not.

    Raises:
        ConfigError: the extra is not installed.
    """

    name = "libp2p"

    def __init__(
        self,
        options: Libp2pOptions,
        *,
        clock: Callable[[], int] = _wall_clock_ms,
        rng: random.Random | None = None,
    ) -> None:
        if find_spec("libp2p") is None or find_spec("trio") is None:
            raise ConfigError(
                "the consensus network needs py-libp2p: install the extra lightclient[libp2p],"
                " or use a beacon node's REST API (--rest-url)"
            )
        self._options = options
        self._clock = clock
        self._rng = rng or random.Random()
        self.node: Node | None = None
        self.discovery: DiscoveryService | None = None

    async def run(self, network: Network, member: PoolMember) -> None:
        """Be on the network until cancelled. Raises ListenError."""
        if sniffio.current_async_library() == "trio":
            await self._run_node(network, member)
        else:
            await self._run_in_thread(network, member)

    async def _run_node(self, network: Network, member: PoolMember) -> None:
        # A second of imports: only now, and only for those who use it.
        from lightclient.transports.libp2p.node import Node

        _silence_libraries()
        self.node = node = Node(
            self._options,
            network,
            member,
            clock=self._clock,
            uniform=self._rng.uniform,
            sample=self._rng.sample,
        )
        self.discovery = discovery = self._discovery(network, node)
        try:
            if discovery is None:
                await node.run()
            else:
                await _run_both(node.run, discovery.run)
        finally:
            self.node = self.discovery = None

    def _discovery(self, network: Network, node: Node) -> DiscoveryService | None:
        options = self._options
        if options.discovery is None:
            return None
        from lightclient.transports.libp2p.discovery import DiscoveryService
        from lightclient.wire.identity import IdentityKey

        return DiscoveryService(
            options.discovery,
            IdentityKey(options.secret),
            network,
            wanted=lambda: node.wanted_candidates,
            on_found=node.book.add_candidate,
            tcp_port=lambda: node.port,
            clock=self._clock,
            listen_address=options.listen_address,
            external_address=options.external_address,
        )

    async def _run_in_thread(self, network: Network, member: PoolMember) -> None:
        with _out_of_its_group():
            async with anyio.from_thread.BlockingPortal() as home:
                starting = anyio.from_thread.start_blocking_portal(backend="trio")
                away = await anyio.to_thread.run_sync(starting.__enter__)
                try:
                    guest = _Guest(member, home, away)
                    await _await(away.start_task_soon(self._run_node, network, guest))
                finally:
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(starting.__exit__, None, None, None)


async def _run_both(*runs: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run all until cancelled. Raises ListenError as one of them does."""
    with _out_of_its_group():
        async with anyio.create_task_group() as tasks:
            for run in runs:
                tasks.start_soon(run)


@contextmanager
def _out_of_its_group() -> Iterator[None]:
    """Let a ListenError through as itself, out of the group of the tasks that it ended."""
    failure: BaseException | None = None
    try:
        yield
    except* ListenError as group:
        failure = group
        while isinstance(failure, BaseExceptionGroup):
            failure = failure.exceptions[0]
    if failure is not None:
        raise failure


def _silence_libraries() -> None:
    """What peers do is no error of ours; py-libp2p would log it as one, line by line."""
    logger = logging.getLogger("libp2p")
    # It sets itself to WARNING when it is imported, unless LIBP2P_DEBUG asks for something.
    if logger.level in (logging.NOTSET, logging.WARNING):
        logger.setLevel(logging.CRITICAL)


# Between two event loops -------------------------------------------------------------------------


async def _await(future: Future[T]) -> T:
    """Await what happens in another thread; to be cancelled cancels it there."""
    done = anyio.Event()
    notify: Callable[[Callable[[], object]], object]
    if sniffio.current_async_library() == "trio":
        import trio

        notify = trio.lowlevel.current_trio_token().run_sync_soon
    else:
        import asyncio

        notify = asyncio.get_running_loop().call_soon_threadsafe
    future.add_done_callback(lambda _: notify(done.set))
    try:
        await done.wait()
    except anyio.get_cancelled_exc_class():
        future.cancel()
        with anyio.CancelScope(shield=True):
            await done.wait()
        raise
    return future.result()


class _Guest:
    """A client in another event loop, as the node sees it."""

    def __init__(
        self,
        member: PoolMember,
        home: anyio.from_thread.BlockingPortal,
        away: anyio.from_thread.BlockingPortal,
    ) -> None:
        self._member = member
        self._home = home
        self._away = away
        self._transports: dict[Transport, _RemoteTransport] = {}

    def join(self, transport: Transport, score: ProviderScore, *, serves: bool) -> None:
        remote = self._transports[transport] = _RemoteTransport(transport, self._away)
        self._home.start_task_soon(partial(self._member.join, remote, score, serves=serves))

    def leave(self, transport: Transport) -> None:
        remote = self._transports.pop(transport, None)
        if remote is not None:
            with suppress(RuntimeError):  # the client's loop is closing: nobody is left to tell
                self._home.start_task_soon(self._member.leave, remote)

    async def judge(
        self,
        transport: Transport,
        update: LightClientFinalityUpdate | LightClientOptimisticUpdate,
    ) -> Outcome | None:
        remote = self._transports.get(transport)
        if remote is None:
            return None
        return await _await(self._home.start_task_soon(self._member.judge, remote, update))

    def can_judge_pushes(self) -> bool:
        return self._member.can_judge_pushes()

    def heads(self) -> Heads:
        return self._member.heads()


class _RemoteTransport:
    """A peer's transport, whose event loop is the node's, to be used from the client's."""

    def __init__(self, transport: Transport, away: anyio.from_thread.BlockingPortal) -> None:
        self._transport = transport
        self._away = away

    @property
    def name(self) -> str:
        return self._transport.name

    async def open(self, network: Network) -> None:
        """Nothing to do: the pool connects."""

    async def aclose(self) -> None:
        """Nothing to do: the pool disconnects."""

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        return await self._call(self._transport.get_light_client_bootstrap, block_root)

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        ask = self._transport.get_light_client_updates_by_range
        return await self._call(ask, start_period, count)

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        return await self._call(self._transport.get_light_client_finality_update)

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        return await self._call(self._transport.get_light_client_optimistic_update)

    async def stream_updates(self) -> AsyncGenerator[PushedUpdate, None]:
        for _ in ():
            yield _
        raise NotServed(f"{self.name}: pushes come by gossip", provider=self.name)

    async def _call(self, method: Callable[..., Awaitable[T]], *args: Any) -> T:
        try:
            return await _await(self._away.start_task_soon(method, *args))
        except (CancelledError, RuntimeError):  # the node's loop ended meanwhile
            gone = f"{self.name}: is gone"
        raise ProviderUnavailable(gone, provider=self.name)
