"""The gossip router, without I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lightclient.transports.libp2p.gossip_rpc import (
    GossipMessage,
    GossipRPC,
    decode_rpc,
)
from lightclient.transports.libp2p.gossipsub import (
    MAX_ASKED_FOR,
    MAX_BACK_OFFS,
    MAX_CACHED_BYTES,
    MAX_SEEN,
    MAX_SENT_AGAIN,
    MAX_TOPICS_OF_PEER,
    MAX_UNSETTLED,
    MAX_UNSETTLED_OF_PEER,
    MESH,
    MESH_HIGH,
    Router,
)
from lightclient.transports.libp2p.protobuf import encode_fields
from lightclient.wire.gossip import encode_payload, read_message

TOPIC = "/eth2/01020304/light_client_optimistic_update/ssz_snappy"
OTHER = "/eth2/01020304/light_client_finality_update/ssz_snappy"


def first(names: Sequence[str], count: int) -> list[str]:
    return list(names)[:count]


def make_router(*peers: str, listening: bool = True) -> Router:
    """A router on TOPIC, with peers that listen to it, and nothing left to send."""
    router = Router(600.0, first)
    router.subscribe(TOPIC, 0.0)
    for peer in peers:
        router.add_peer(peer)
        if listening:
            router.receive(peer, GossipRPC(subscriptions=[(TOPIC, True)]), 0.0)
    router.take_outgoing()
    return router


def message(content: bytes = b"content", topic: str = TOPIC) -> GossipMessage:
    return GossipMessage(topic, encode_payload(content))


def id_of(item: GossipMessage) -> bytes:
    return read_message(item.topic, item.data).message_id


def heartbeat(router: Router, now: float) -> dict[str, GossipRPC]:
    router.heartbeat(now)
    return router.take_outgoing()


def test_topics_that_are_no_text_and_unknown_fields_do_no_harm() -> None:
    odd = encode_fields([(2, b"data"), (4, b"\xff\xfe"), (99, b"?"), (98, 7)])
    rpc = decode_rpc(encode_fields([(2, odd), (77, b"?")]))
    assert len(rpc.messages) == 1
    router = make_router("a")
    assert router.receive("a", rpc, 1.0) == []


# The mesh ---------------------------------------------------------------------------------------


def test_a_new_peer_is_told_what_we_listen_to() -> None:
    router = Router(600.0, first)
    router.subscribe(TOPIC, 0.0)
    router.add_peer("a")
    assert router.take_outgoing()["a"].subscriptions == [(TOPIC, True)]


def test_the_mesh_is_filled_and_cut_to_its_size() -> None:
    names = [f"p{number:02}" for number in range(20)]
    router = make_router(*names)
    sent = heartbeat(router, 1.0)
    assert len(router.mesh_of(TOPIC)) == MESH
    assert {name for name, rpc in sent.items() if rpc.graft == [TOPIC]} == router.mesh_of(TOPIC)
    for name in names:
        router.receive(name, GossipRPC(graft=[TOPIC]), 2.0)
    assert len(router.mesh_of(TOPIC)) == MESH_HIGH, "who comes too late is sent away"
    for name in names[MESH:MESH_HIGH]:
        assert name in router.mesh_of(TOPIC)


def test_who_was_pruned_is_not_asked_in_before_its_time_and_may_not_ask() -> None:
    router = make_router("a")
    heartbeat(router, 1.0)
    router.receive("a", GossipRPC(prune=[(TOPIC, 60)]), 2.0)
    assert not router.mesh_of(TOPIC)
    assert "a" not in heartbeat(router, 3.0)
    router.receive("a", GossipRPC(graft=[TOPIC]), 4.0)
    assert not router.mesh_of(TOPIC)
    assert router.offences
    heartbeat(router, 200.0)
    assert router.mesh_of(TOPIC) == {"a"}


def test_who_stopped_listening_for_a_while_may_ask_in_when_it_said() -> None:
    # A beacon node that lost its sync: it leaves, says ten seconds, and comes back after them.
    router = make_router("a")
    router.subscribe(TOPIC, 1.0)
    router.receive("a", GossipRPC(subscriptions=[(TOPIC, False)], prune=[(TOPIC, 10)]), 2.0)
    router.take_outgoing()
    router.receive("a", GossipRPC(subscriptions=[(TOPIC, True)], graft=[TOPIC]), 11.9)
    assert router.mesh_of(TOPIC) == {"a"}
    assert not router.offences
    assert not router.take_outgoing()


def test_a_prune_without_a_time_counts_as_a_minute() -> None:
    router = make_router("a")
    router.subscribe(TOPIC, 1.0)
    router.receive("a", GossipRPC(prune=[(TOPIC, 0)]), 2.0)
    router.heartbeat(61.0)
    assert not router.mesh_of(TOPIC)
    router.heartbeat(62.5)
    assert router.mesh_of(TOPIC) == {"a"}


def test_a_back_off_of_centuries_counts_as_an_hour() -> None:
    router = make_router("a")
    router.receive("a", GossipRPC(prune=[(TOPIC, 2**64 - 1)]), 0.0)
    heartbeat(router, 3700.0)
    assert router.mesh_of(TOPIC) == {"a"}


def test_graft_for_a_topic_that_is_not_ours_is_not_answered() -> None:
    router = make_router("a")
    router.receive("a", GossipRPC(graft=["x", OTHER]), 1.0)
    assert router.take_outgoing() == {}


def test_to_listen_no_longer_is_told() -> None:
    router = make_router("a")
    heartbeat(router, 1.0)
    router.unsubscribe(TOPIC, 2.0)
    rpc = router.take_outgoing()["a"]
    assert rpc.subscriptions == [(TOPIC, False)]
    assert [topic for topic, _ in rpc.prune] == [TOPIC]
    assert router.receive("a", GossipRPC(messages=[message()]), 3.0) == []


# Messages on their way --------------------------------------------------------------------------


def test_an_accepted_message_goes_to_the_mesh_but_not_back() -> None:
    router = make_router("a", "b", "c")
    heartbeat(router, 1.0)
    (arrival,) = router.receive("a", GossipRPC(messages=[message()]), 2.0)
    assert arrival.content == b"content"
    assert router.take_outgoing() == {}, "not before it is judged"
    assert router.settle(arrival.message_id, accept=True) == 2
    sent = router.take_outgoing()
    assert set(sent) == {"b", "c"}
    assert sent["b"].messages == [message()]


def test_a_message_that_is_not_accepted_goes_nowhere_and_is_not_told_of() -> None:
    router = make_router("a", "b")
    heartbeat(router, 1.0)
    (arrival,) = router.receive("a", GossipRPC(messages=[message()]), 2.0)
    assert router.settle(arrival.message_id, accept=False) == 0
    assert heartbeat(router, 3.0) == {}
    assert router.receive("b", GossipRPC(messages=[message()]), 4.0) == [], "judged already"
    router.receive("b", GossipRPC(want=[arrival.message_id]), 4.0)
    assert router.take_outgoing() == {}


def test_a_copy_is_not_judged_again_until_it_is_forgotten() -> None:
    router = make_router("a", "b")
    assert len(router.receive("a", GossipRPC(messages=[message(), message()]), 1.0)) == 1
    assert router.receive("b", GossipRPC(messages=[message()]), 2.0) == []
    router.settle(id_of(message()), accept=True)
    assert router.receive("b", GossipRPC(messages=[message()]), 3.0) == []
    heartbeat(router, 700.0)
    assert len(router.receive("b", GossipRPC(messages=[message()]), 701.0)) == 1


def test_a_message_that_was_not_judged_is_as_if_it_had_been_lost() -> None:
    # Else who may tell nothing more has a message unheard by being the first to tell it.
    router = make_router("a", "b")
    router.receive("a", GossipRPC(messages=[message()]), 1.0)
    router.settle(id_of(message()), accept=False, forget=True)
    assert len(router.receive("b", GossipRPC(messages=[message()]), 2.0)) == 1
    router.settle(id_of(message()), accept=False)
    assert router.receive("a", GossipRPC(messages=[message()]), 3.0) == []


def test_what_is_not_snappy_is_told_to_the_judge() -> None:
    router = make_router("a")
    bad = GossipMessage(TOPIC, b"\xff\xff\xff\xff\xff")
    (arrival,) = router.receive("a", GossipRPC(messages=[bad]), 1.0)
    assert arrival.content is None


def test_a_message_of_our_own_goes_to_all_who_listen_and_comes_back_to_nobody() -> None:
    names = [f"p{number:02}" for number in range(20)]
    router = make_router(*names)
    assert router.publish(TOPIC, message().data, 1.0) == 20
    assert router.publish(TOPIC, message().data, 1.0) == 0
    assert router.receive("p00", GossipRPC(messages=[message()]), 2.0) == []


def test_to_reach_nobody_is_no_error() -> None:
    assert make_router().publish(TOPIC, message().data, 1.0) == 0


def test_who_has_a_message_already_is_not_sent_it() -> None:
    router = make_router("a", "b", "c")
    heartbeat(router, 1.0)
    router.receive("b", GossipRPC(do_not_want=[id_of(message())]), 1.0)
    (arrival,) = router.receive("a", GossipRPC(messages=[message()]), 2.0)
    assert router.settle(arrival.message_id, accept=True) == 1


def test_who_told_a_message_while_it_was_judged_is_not_sent_it() -> None:
    router = make_router("a", "b", "c")
    heartbeat(router, 1.0)
    (arrival,) = router.receive("a", GossipRPC(messages=[message()]), 2.0)
    assert router.receive("b", GossipRPC(messages=[message()]), 2.1) == []
    assert router.settle(arrival.message_id, accept=True) == 1
    assert set(router.take_outgoing()) == {"c"}


def test_recent_ids_are_told_outside_the_mesh_and_sent_on_demand_a_few_times() -> None:
    router = make_router("a")
    heartbeat(router, 1.0)
    router.add_peer("late")
    router.receive("late", GossipRPC(subscriptions=[(TOPIC, True)], prune=[(TOPIC, 60)]), 2.0)
    router.publish(TOPIC, message().data, 2.0)
    router.take_outgoing()
    assert heartbeat(router, 3.0)["late"].have == [(TOPIC, [id_of(message())])]
    for count in range(5):
        router.receive("late", GossipRPC(want=[id_of(message())] * 3), 3.0)
        sent = router.take_outgoing()
        assert ("late" in sent) == (count < MAX_SENT_AGAIN)
    for beat in range(10):
        heartbeat(router, 4.0 + beat)
    router.receive("late", GossipRPC(want=[id_of(message())]), 20.0)
    assert router.take_outgoing() == {}, "forgotten by now"


def test_ids_that_are_new_are_asked_for_within_bounds() -> None:
    router = make_router("a")
    told = [bytes([number % 256, number // 256]) for number in range(3000)]
    router.receive("a", GossipRPC(have=[(TOPIC, told), (TOPIC, told), ("x", told)]), 1.0)
    assert len(router.take_outgoing()["a"].want) == MAX_ASKED_FOR
    router.receive("a", GossipRPC(have=[(TOPIC, told[100:])]), 1.0)
    assert router.take_outgoing() == {}, "enough for this heartbeat"


# Bounds -----------------------------------------------------------------------------------------


def test_one_peer_has_a_few_messages_judged_at_a_time_and_all_together_not_many() -> None:
    names = [f"p{number:02}" for number in range(20)]
    router = make_router(*names)
    many = [message(bytes([number])) for number in range(100)]
    assert len(router.receive("p00", GossipRPC(messages=many), 1.0)) == MAX_UNSETTLED_OF_PEER
    total = MAX_UNSETTLED_OF_PEER
    for number, name in enumerate(names[1:]):
        items = [message(bytes([number, item])) for item in range(20)]
        total += len(router.receive(name, GossipRPC(messages=items), 1.0))
    assert total == MAX_UNSETTLED


def test_what_is_remembered_of_peers_that_say_anything_is_bounded() -> None:
    rng = random.Random(3)
    router = make_router("a", "b")
    for step in range(3000):
        rpc = GossipRPC(
            subscriptions=[(rng.randbytes(8).hex(), True) for _ in range(5)],
            messages=[message(rng.randbytes(2000)) for _ in range(4)],
            do_not_want=[rng.randbytes(20) for _ in range(5)],
            graft=[rng.randbytes(4).hex()],
            prune=[(rng.randbytes(4).hex(), 5)],
        )
        for arrival in router.receive("a", rpc, step * 0.1):
            router.settle(arrival.message_id, accept=True)
        router.take_outgoing()
        if step % 100 == 0:
            router.heartbeat(step * 0.1)
    assert len(router._seen) <= MAX_SEEN
    assert router._cached_bytes <= MAX_CACHED_BYTES
    assert len(router._peers["a"].topics) <= MAX_TOPICS_OF_PEER + 2
    assert len(router._peers["a"].do_not_want) <= 512
    assert len(router._back_off) <= 4


def test_identities_that_come_and_go_leave_little_behind() -> None:
    router = make_router()
    for number in range(MAX_BACK_OFFS + 100):
        router.add_peer(f"p{number}")
        router.receive(f"p{number}", GossipRPC(prune=[(TOPIC, 10**9)]), 1.0)
        router.remove_peer(f"p{number}")
    heartbeat(router, 2.0)
    assert len(router._back_off) == MAX_BACK_OFFS


def test_a_peer_that_is_gone_leaves_nothing() -> None:
    router = make_router("a", "b")
    heartbeat(router, 1.0)
    (arrival,) = router.receive("a", GossipRPC(messages=[message()]), 2.0)
    router.remove_peer("a")
    assert router.mesh_of(TOPIC) == {"b"}
    assert router.settle(arrival.message_id, accept=True) == 1
    assert set(router.take_outgoing()) == {"b"}
    assert router.receive("a", GossipRPC(messages=[message(b"x")]), 3.0) == []


def test_a_peer_on_a_new_stream_is_greeted_again_and_what_it_told_stands() -> None:
    router = make_router("a")
    heartbeat(router, 1.0)
    many = [message(bytes([number])) for number in range(MAX_UNSETTLED_OF_PEER)]
    router.receive("a", GossipRPC(messages=many), 2.0)
    router.publish(OTHER, encode_payload(b"lost with the stream"), 2.0)
    router.greet_again("a")
    sent = heartbeat(router, 3.0)["a"]
    assert sent.subscriptions == [(TOPIC, True)]
    assert sent.graft == [TOPIC], "for the peer the mesh may have ended with the stream"
    assert router.receive("a", GossipRPC(messages=[message(b"more")]), 4.0) == []
    router.greet_again("nobody")
    assert not router.take_outgoing()
