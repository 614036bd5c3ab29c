"""What all peers together may ask: the many within their quotas do not take what the few need."""

from __future__ import annotations

from contextlib import suppress

import pytest

pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")

import trio

from lightclient.transports.libp2p import connections
from lightclient.transports.libp2p.limits import (
    MAX_DEBTORS,
    MOST_WHEN_SHORT,
    QUOTAS_OF_ALL,
    Quota,
    RateLimiter,
    Ration,
)
from lightclient.transports.libp2p.requests import ask
from lightclient.transports.libp2p.serving import MAX_IN_VAIN, RATE_LIMITED
from lightclient.transports.libp2p.streams import StreamBroken
from lightclient.wire.messages import UpdatesByRange
from lightclient.wire.protocols import (
    LIGHT_CLIENT_BOOTSTRAP_1,
    LIGHT_CLIENT_FINALITY_UPDATE_1,
    LIGHT_CLIENT_UPDATES_BY_RANGE_1,
    PING_1,
)
from tests.client.world import World
from tests.transports.libp2p.hosts import Host, ask_echo, echo
from tests.transports.libp2p.strangers import Stranger
from tests.transports.libp2p.world import make_node, running

pytestmark = pytest.mark.anyio

NAMES = tuple(QUOTAS_OF_ALL)
UPDATES = LIGHT_CLIENT_UPDATES_BY_RANGE_1.name


def had_by_a_crowd(name: str, seconds: int, tokens: int) -> tuple[int, list[bool]]:
    """What a hundred get who ask for all that each may, and what one gets who asks each minute."""
    ration, total, seldom = Ration(), 0, []
    limiters = [RateLimiter() for _ in range(100)]
    for second in range(seconds):
        for number, limiter in enumerate(limiters):
            while limiter.take(name, float(second), tokens):
                total += ration.take(name, f"of the crowd {number}", second, tokens)
        if second and second % 60 == 0:
            # After the crowd, which leaves what it cannot have.
            seldom.append(ration.take(name, "seldom", second) == 1)
    return total, seldom


@pytest.mark.parametrize(
    ("name", "tokens"),
    [*((name, 1) for name in NAMES), (LIGHT_CLIENT_UPDATES_BY_RANGE_1.name, 128)],
)
def test_a_crowd_within_its_quotas_is_held_to_one_for_all(name: str, tokens: int) -> None:
    seconds, of_all = 900, QUOTAS_OF_ALL[name]
    total, seldom = had_by_a_crowd(name, seconds, tokens)
    assert total <= of_all.tokens * (1 + seconds / of_all.seconds)
    assert all(seldom), "who asks seldom has to find something left"


@pytest.mark.parametrize("name", NAMES)
def test_a_dozen_honest_peers_never_notice(name: str) -> None:
    """Each asks for a bootstrap and a history, and for the newest updates twice a slot."""
    ration = Ration()
    tokens = 128 if name == UPDATES else 1
    for slot in range(100):
        for peer in range(12):
            if tokens == 1 or (slot == 10 * peer and tokens > 1):
                assert ration.take(name, str(peer), 12.0 * slot + peer / 12, tokens)


def test_a_history_is_given_in_part_where_many_ask_for_theirs() -> None:
    ration = Ration()
    given = [ration.take(UPDATES, f"peer {number}", 1.0, 128) for number in range(40)]
    assert given == [128] * 2 + [MOST_WHEN_SHORT] * 38
    assert ration.take(UPDATES, "peer 5", 2.0, 128) == 0
    assert ration.take(UPDATES, "peer 40", 2.0, 128) == MOST_WHEN_SHORT


def test_identities_that_cost_nothing_do_not_grow_what_is_remembered() -> None:
    ration = Ration({"any": Quota(10**6, 10**6)})
    for number in range(3 * MAX_DEBTORS):
        assert ration.take("any", str(number), 0.5)
    assert len(ration._shares["any"]._debts) == MAX_DEBTORS
    assert ration.take("of no quota", "a", 0.0, 10**9)


async def test_a_peer_is_told_that_others_ask_too_much_and_nothing_is_held_against_it(
    world: World,
) -> None:
    node = make_node(world)
    low = Ration({LIGHT_CLIENT_BOOTSTRAP_1.name: Quota(1, 3600)})
    object.__setattr__(node._responder, "ration", low)
    first, second = Stranger(world), Stranger(world)
    async with running(node), first.meeting(node) as one, second.meeting(node) as other:
        request = (LIGHT_CLIENT_BOOTSTRAP_1, world.root())
        assert (await ask(one, *request, world.network)).chunks
        client = node.peers[second.board.peer_id].client
        for _ in range(MAX_IN_VAIN + 4):
            client.limiter = RateLimiter()  # it keeps to its own quota
            refusal = (await ask(other, *request, world.network)).refusal
            assert refusal is not None
            assert refusal.code == RATE_LIMITED
            assert "by all" in refusal.text
        # What has a quota of its own, and what has none, are answered as before.
        assert (await ask(other, LIGHT_CLIENT_FINALITY_UPDATE_1, None, world.network)).chunks
        updates = LIGHT_CLIENT_UPDATES_BY_RANGE_1
        assert (await ask(other, updates, UpdatesByRange(0, 4), world.network)).chunks
        assert (await ask(other, PING_1, 1, world.network)).chunks
        assert node.company.figures.offences == 0


async def test_streams_of_many_wait_their_turn_and_a_single_one_hardly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crowd that opens streams, each at the pace that one may have, is served as one peer is."""
    monkeypatch.setattr(connections, "STREAMS_PER_SECOND_OF_ALL", 20)
    monkeypatch.setattr(connections, "STREAM_BURST_OF_ALL", 1)
    served = 0

    async def count(stream: object) -> None:
        nonlocal served
        served += 1
        await echo(stream)  # type: ignore[arg-type]

    server = Host({"/count/1": count}, max_inbound=8)
    crowd, honest = [Host() for _ in range(5)], Host()
    async with server.running(), honest.running(), trio.open_nursery() as nursery:
        kept = await honest.dial(server)

        async def hammer(host: Host) -> None:
            async with host.running():
                connection = await host.dial(server)
                while True:
                    # Those beyond what one connection may have are reset.
                    with suppress(StreamBroken):
                        stream = await connection.open_stream()
                        await stream.write(b"\x13/multistream/1.0.0\n\x09/count/1\n")
                        await stream.write_last(b"x")
                    await trio.sleep(0.005)

        for host in crowd:
            nursery.start_soon(hammer, host)
        await trio.sleep(0.5)
        before, begun = served, trio.current_time()
        with trio.fail_after(30):
            for _ in range(5):
                assert await ask_echo(kept) == b"echo:hello"
        # However slow this machine: no more are served than time has let pass.
        assert served - before <= 20 * (trio.current_time() - begun) + 8
        nursery.cancel_scope.cancel()
