"""The consensus network as a pool of providers, for clients on trio and on asyncio alike.

The node runs on trio. Under trio it runs in the client's own event loop; under asyncio in a thread
with a loop of its own (``crossing``).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import anyio.from_thread
import anyio.to_thread
import sniffio

from lightclient.config import Network
from lightclient.errors import ConfigError, ListenError, ProviderUnavailable
from lightclient.transports.libp2p.crossing import Guest
from lightclient.transports.libp2p.event_loops import (
    EventLoop,
    LoopGone,
    await_future,
    this_event_loop,
)
from lightclient.transports.libp2p.options import DiscoveryOptions, Libp2pOptions
from lightclient.transports.pools import PoolFigures, PoolMember
from lightclient.wire.blocks import SignedBlock

if TYPE_CHECKING:
    from lightclient.transports.libp2p.blocks import BlockListener, BlockRequests, BlockRoot
    from lightclient.transports.libp2p.discovery import DiscoveryService
    from lightclient.transports.libp2p.node import Node
    from lightclient.transports.libp2p.peers import PeerBook

T = TypeVar("T")
SAVE_SECONDS: Final = 600.0
_NODE: Final = "lightclient.transports.libp2p.node"
_PARTING_SECONDS: Final = 1.0


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


class Libp2pPool:
    """Peers of the consensus network.

    Without options it looks for peers from the network's boot nodes, at any UDP port, and lets
    nobody connect: what an application wants that is not to be a server.

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
        options: Libp2pOptions | None = None,
        *,
        clock: Callable[[], int] = _wall_clock_ms,
        rng: random.Random | None = None,
    ) -> None:
        if find_spec("libp2p") is None or find_spec("trio") is None:
            raise ConfigError(
                "the consensus network needs py-libp2p: install the extra lightclient[libp2p],"
                " or use a beacon node's REST API (--rest-url)"
            )
        self._options = options or Libp2pOptions(
            listen_address=None, tcp_port=0, discovery=DiscoveryOptions(udp_port=0)
        )
        self._clock = clock
        self._rng = rng or random.Random()
        self._home: EventLoop | None = None
        self._away: EventLoop | None = None
        self._block_listeners: list[BlockListener] = []
        self.node: Node | None = None
        self.discovery: DiscoveryService | None = None

    async def run(self, network: Network, member: PoolMember) -> None:
        """Be on the network until cancelled. Raises ListenError."""
        if sniffio.current_async_library() == "trio":
            await self._run_node(network, member)
        else:
            await self._run_in_thread(network, member)

    async def _run_node(self, network: Network, member: PoolMember) -> None:
        # A second of imports, only for those who use it, in a thread: other providers go on.
        await anyio.to_thread.run_sync(import_module, _NODE)
        from lightclient.transports.libp2p.node import Node
        from lightclient.transports.libp2p.peers import PeerBook

        _silence_libraries()
        options = await anyio.to_thread.run_sync(_identified, self._options)
        book = PeerBook(options.direct_addresses, self._clock, self._rng.uniform)
        self.node = node = Node(
            options,
            network,
            member,
            clock=self._clock,
            uniform=self._rng.uniform,
            sample=self._rng.sample,
            block_listeners=self._block_listeners,
            book=book,
        )
        self.discovery = discovery = self._discovery(options, network, node)
        runs: list[Callable[[], Coroutine[Any, Any, None]]] = [node.run]
        if discovery is not None:
            runs.append(discovery.run)
        if self._options.directory is not None:
            runs.append(await self._memory(book))
        try:
            await _run_all(*runs)
        finally:
            self.node = self.discovery = None

    async def _memory(self, book: PeerBook) -> Callable[[], Coroutine[Any, Any, None]]:
        """Recall peers of earlier runs; what keeps them for later ones."""
        from lightclient.transports.libp2p.peer_memory import PeerMemory, entries_of

        assert self._options.directory is not None
        memory = PeerMemory(self._options.directory)
        await anyio.to_thread.run_sync(memory.load, book)

        async def save() -> None:
            entries = entries_of(book, self._clock())
            await anyio.to_thread.run_sync(memory.save, entries, abandon_on_cancel=True)

        async def keep() -> None:
            try:
                while True:
                    await anyio.sleep(SAVE_SECONDS)
                    await save()
            finally:
                with anyio.move_on_after(_PARTING_SECONDS, shield=True):
                    await save()

        return keep

    def _discovery(
        self, options: Libp2pOptions, network: Network, node: Node
    ) -> DiscoveryService | None:
        if options.discovery is None:
            return None
        from lightclient.transports.libp2p.discovery import DiscoveryService
        from lightclient.transports.libp2p.known_nodes import bootstrap_records
        from lightclient.wire.identity import IdentityKey

        assert options.secret is not None
        named = options.discovery.records
        nodes = (*named, *bootstrap_records(network.bootstrap_nodes))
        return DiscoveryService(
            replace(options.discovery, bootstrap_nodes=nodes),
            IdentityKey(options.secret),
            network,
            wanted=lambda: node.wanted_candidates,
            on_found=node.add_candidate,
            tcp_port=lambda: node.port,
            clock=self._clock,
            listen_address=options.listen_address,
            external_address=options.external_address,
            uniform=self._rng.uniform,
        )

    async def _run_in_thread(self, network: Network, member: PoolMember) -> None:
        with _out_of_its_group():
            async with this_event_loop() as home:
                self._home = home
                starting = anyio.from_thread.start_blocking_portal(backend="trio")
                portal = await anyio.to_thread.run_sync(starting.__enter__)
                try:
                    run = partial(self._run_as_guest, network, member, home)
                    await await_future(portal.start_task_soon(run))
                finally:
                    self._home = None
                    with anyio.CancelScope(shield=True):
                        await anyio.to_thread.run_sync(starting.__exit__, None, None, None)

    async def _run_as_guest(self, network: Network, member: PoolMember, home: EventLoop) -> None:
        try:
            async with this_event_loop() as self._away:
                await self._run_node(network, Guest(member, home, self._away))
        finally:
            self._away = None

    # Figures ------------------------------------------------------------------------------------

    def figures(self) -> PoolFigures:
        """What it looks like now, in plain numbers. May be called from any thread."""
        node, discovery = self.node, self.discovery
        if node is None:
            return PoolFigures()
        from lightclient.transports.libp2p.figures import figures_of

        return figures_of(node, discovery)

    # Blocks -------------------------------------------------------------------------------------

    async def get_blocks_by_root(
        self, roots: Sequence[bytes], root_of: BlockRoot
    ) -> dict[bytes, SignedBlock]:
        """The blocks of at most 32 ``roots``, by root; those that nobody asked has are missing.

        Args:
            root_of: gives a block's ``hash_tree_root``; called in a thread, may raise DecodeError.

        Raises:
            ProviderUnavailable: nobody answered.
            ValueError: too many roots.
        """
        return await self._on_node(self._blocks.by_root, tuple(roots), root_of)

    async def get_blocks_by_range(
        self, start_slot: int, count: int, root_of: BlockRoot
    ) -> tuple[SignedBlock, ...]:
        """The blocks of at most 32 slots from ``start_slot``, each the next one's parent.

        Perhaps only the first of them. Arguments and errors as :meth:`get_blocks_by_root`.
        """
        return await self._on_node(self._blocks.by_range, start_slot, count, root_of)

    @property
    def _blocks(self) -> BlockRequests:
        if self.node is None:
            raise ProviderUnavailable("libp2p: not on the network now", provider=self.name)
        return self.node.blocks

    async def _on_node(self, method: Callable[..., Awaitable[T]], *arguments: object) -> T:
        away = self._away
        if away is None:
            return await method(*arguments)
        try:
            return await away.call(method, *arguments)
        except LoopGone:
            pass
        raise ProviderUnavailable("libp2p: not on the network any more", provider=self.name)

    @contextmanager
    def listening_to_blocks(self, listener: BlockListener) -> Iterator[None]:
        """Hear of blocks by gossip, as long as anybody does in such a context.

        Args:
            listener: called with blocks of the last epoch, unverified, each once, a few a slot; in
                the client's event loop. Must be quick and not raise.
        """

        def tell(block: SignedBlock) -> None:
            home = self._home
            if home is None:
                listener(block)
                return
            with suppress(LoopGone):
                home.call_soon(listener, block)

        self._block_listeners.append(tell)
        try:
            yield
        finally:
            self._block_listeners.remove(tell)


async def _run_all(*runs: Callable[[], Coroutine[Any, Any, None]]) -> None:
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


def _identified(options: Libp2pOptions) -> Libp2pOptions:
    """The options with an identity. Raises DataDirError."""
    from lightclient.transports.libp2p.identity import load_identity, new_identity

    if options.secret is not None:
        return options
    directory = options.directory
    key = new_identity() if directory is None else load_identity(directory)
    return replace(options, secret=key.secret)
