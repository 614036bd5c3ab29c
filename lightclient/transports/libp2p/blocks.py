"""Blocks from peers, for a block stream: asked for by root or by range, or heard by gossip.

What can be checked without the blocks' types is checked here; their roots by a function that is
given. Whoever answers with something else than it was asked for loses its score for it. Blocks are
large: few are asked for at once, and what is heard is bounded by slot.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import anyio.to_thread

from lightclient.config import Network
from lightclient.errors import DecodeError, MalformedAnswer, ProviderUnavailable, TransportError
from lightclient.transports.libp2p.acquaintance import Peer
from lightclient.transports.libp2p.company import log
from lightclient.transports.libp2p.judgement import MAXIMUM_GOSSIP_CLOCK_DISPARITY_MS
from lightclient.transports.scores import Uniform
from lightclient.wire.blocks import SignedBlock, read_signed_block
from lightclient.wire.protocols import (
    BEACON_BLOCKS_BY_RANGE_2,
    BEACON_BLOCKS_BY_ROOT_2,
    Protocol,
)

MAX_BLOCKS_AT_ONCE: Final = 32
PEERS_ASKED: Final = 3
MAX_BLOCKS_A_SLOT: Final = 4
"""That are handed on: one is usual, and two show that a proposer cheats."""

Blocks: TypeAlias = tuple[SignedBlock, ...]
BlockRoot = Callable[[SignedBlock], bytes]
"""``hash_tree_root`` of the block's message, 32 bytes; raises DecodeError. Called in a thread."""
BlockListener = Callable[[SignedBlock], None]


class BlockFeed:
    """Blocks that are heard by gossip, for whoever listens; none is verified.

    Args:
        clock: Unix milliseconds.

    Attributes:
        listeners: called with each block; must be quick and not raise. Peers are only listened to
            for blocks while there is a listener.
    """

    def __init__(
        self, network: Network, clock: Callable[[], int], listeners: list[BlockListener]
    ) -> None:
        self._network = network
        self._clock = clock
        self._told: dict[int, int] = {}
        self.listeners = listeners

    def take(self, fork_digest: bytes, content: bytes) -> None:
        """A block was heard for the first time; it is handed on if its slot is now.

        Raises:
            DecodeError: it is none, or of another fork.
        """
        block = read_signed_block(fork_digest, content, self._network)
        now_ms = self._clock()
        latest = self._network.slot_at_time_ms(now_ms + MAXIMUM_GOSSIP_CLOCK_DISPARITY_MS)
        earliest = latest - self._network.preset.slots_per_epoch
        if not earliest <= block.slot <= latest:
            return
        self._told = {slot: count for slot, count in self._told.items() if slot >= earliest}
        if self._told.get(block.slot, 0) >= MAX_BLOCKS_A_SLOT:
            return
        self._told[block.slot] = self._told.get(block.slot, 0) + 1
        for listener in tuple(self.listeners):
            listener(block)


class BlockRequests:
    """Asks connected peers for blocks, one after the other until one answers as it should.

    Args:
        peers: those connected, by id. clock: Unix milliseconds.
    """

    def __init__(
        self,
        network: Network,
        peers: Mapping[str, Peer],
        clock: Callable[[], int],
        uniform: Uniform,
    ) -> None:
        self._network = network
        self._peers = peers
        self._clock = clock
        self._uniform = uniform

    async def by_root(self, roots: Sequence[bytes], root_of: BlockRoot) -> dict[bytes, SignedBlock]:
        """The blocks of at most 32 ``roots``, by root; those that nobody asked has are missing.

        Raises:
            ProviderUnavailable: nobody answered.
            ValueError: too many roots.
        """
        _check_count(len(roots))
        found: dict[bytes, SignedBlock] = {}
        was_answered = False
        for peer in self._to_ask(BEACON_BLOCKS_BY_ROOT_2):
            missing = tuple(root for root in roots if root not in found)
            if not missing:
                break
            blocks = await self._answer(peer, peer.transport.get_blocks_by_root, missing)
            if blocks is None:
                continue
            try:
                found |= await anyio.to_thread.run_sync(_by_root, blocks, missing, root_of)
                was_answered = True
                peer.known.score.note_answer()
            except DecodeError as error:
                self._blame(peer, error)
        if not was_answered:
            raise _nobody()
        return found

    async def by_range(self, start_slot: int, count: int, root_of: BlockRoot) -> Blocks:
        """The blocks of at most 32 slots from ``start_slot``, each the next one's parent.

        Perhaps only the first of them: a peer may have no more.

        Raises:
            ProviderUnavailable: nobody answered.
            ValueError: too many slots.
        """
        _check_count(count)
        for peer in self._to_ask(BEACON_BLOCKS_BY_RANGE_2):
            if peer.status is not None and peer.status.earliest_available_slot > start_slot:
                continue
            blocks = await self._answer(peer, peer.transport.get_blocks_by_range, start_slot, count)
            if blocks is None:
                continue
            try:
                await anyio.to_thread.run_sync(_check_chain, blocks, root_of)
            except DecodeError as error:
                self._blame(peer, error)
                continue
            peer.known.score.note_answer()
            return blocks
        raise _nobody()

    def _to_ask(self, protocol: Protocol) -> list[Peer]:
        able = [
            peer
            for peer in self._peers.values()
            if peer.has_joined
            and not peer.leaving.is_set()
            and protocol.protocol_id in (peer.identity.protocols or {protocol.protocol_id})
        ]
        able.sort(key=lambda peer: (-peer.known.score.value, self._uniform(0, 1)))
        return able[:PEERS_ASKED]

    async def _answer(
        self, peer: Peer, ask: Callable[..., Awaitable[Blocks]], *arguments: object
    ) -> Blocks | None:
        """What a peer answers; None if that is nothing, for which its score falls."""
        try:
            return await ask(*arguments)
        except MalformedAnswer as error:
            self._blame(peer, error)
        except TransportError:
            slot_ms = self._network.slot_duration_ms
            peer.known.score.note_failure(self._clock(), slot_ms, self._uniform)
        return None

    def _blame(self, peer: Peer, error: Exception) -> None:
        log(peer, "Peer answers with other blocks than asked for", reason=str(error))
        slot_ms = self._network.slot_duration_ms
        peer.known.score.note_malformed(self._clock(), slot_ms, self._uniform)


def _check_count(count: int) -> None:
    if not 1 <= count <= MAX_BLOCKS_AT_ONCE:
        raise ValueError(f"{count} blocks, where 1 to {MAX_BLOCKS_AT_ONCE} may be asked for")


def _nobody() -> ProviderUnavailable:
    return ProviderUnavailable("no peer answers with blocks", provider="libp2p")


def _by_root(
    blocks: Sequence[SignedBlock], wanted: Sequence[bytes], root_of: BlockRoot
) -> dict[bytes, SignedBlock]:
    found = {root_of(block): block for block in blocks}
    if found.keys() - set(wanted) or len(found) < len(blocks):
        raise DecodeError("a block of another root than asked for, or one of them twice")
    return found


def _check_chain(blocks: Sequence[SignedBlock], root_of: BlockRoot) -> None:
    for parent, child in pairwise(blocks):
        if child.parent_root != root_of(parent):
            raise DecodeError(f"the block of slot {child.slot} has another parent than the last")
    if blocks:
        root_of(blocks[-1])  # raises if it is no block
