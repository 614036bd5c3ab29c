"""The loop stepped through by hand, while the chain and the clock move as a test says."""

from __future__ import annotations

from lightclient.client.following import Follower
from tests.client.world import World

SLOT_MS = 6_000


async def settle(world: World, follower: Follower, limit: int = 40) -> None:
    """Step until nothing is due any more; time stands still but for the shortest sleeps."""
    for _ in range(limit):
        await follower.step()
        delay_ms = follower.delay_ms()
        if delay_ms > 1:
            return
        world.now_ms += delay_ms
    raise AssertionError("the loop does not come to rest")


async def pass_slots(world: World, follower: Follower, slots: int) -> None:
    """Let time pass as the loop sleeps through it."""
    until_ms = world.now_ms + slots * SLOT_MS
    for _ in range(20 * slots):
        world.now_ms += follower.delay_ms()
        if world.now_ms > until_ms:
            return
        world.chain.advance_to(world.slot)
        await follower.step()
    raise AssertionError("the loop is busy")


def head(follower: Follower) -> int:
    header = follower._processor.optimistic_header
    assert header is not None
    return header.slot


def finalized(follower: Follower) -> int:
    header = follower._processor.finalized_header
    assert header is not None
    return header.slot


async def synced(world: World, *transports: object, slot: int = 0) -> Follower:
    follower = world.follower(*transports, slot=slot)  # type: ignore[arg-type]
    await settle(world, follower)
    return follower
