"""Two discovery nodes and what comes between them: handshakes, losses, restarts, time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.wire.discv5.engine import Datagram
from lightclient.wire.discv5.events import Answered, Asked, RequestFailed, SessionOpened
from lightclient.wire.discv5.messages import Pong
from lightclient.wire.discv5.packets import HandshakePacket, decode_packet
from lightclient.wire.discv5.requests import MAX_PENDING, MAX_PENDING_PER_PEER
from lightclient.wire.discv5.sessions import SESSION_LIFETIME_MS
from lightclient.wire.enr import sign_record
from tests.wire.discv5_peers import Peer, challenge_for
from tests.wire.keys import key_of
from tests.wire.udp import NOW, address_of, engine_of, pair, record_of


def test_a_ping_is_answered_with_a_handshake_in_between() -> None:
    wire, first, second = pair()
    request_id = first.ping(record_of(2), NOW)
    assert wire.deliver() == 4  # random, challenge, handshake with the ping, pong
    [opened, answered] = first.events()
    assert opened == SessionOpened(record_of(2), address_of(2), initiated=True)
    assert isinstance(answered, Answered)
    assert answered.request_id == request_id
    assert answered.answer == Pong(answered.request_id, 1, *address_of(1))
    assert second.events() == [
        SessionOpened(record_of(1), address_of(1), initiated=False),
        Asked(record_of(1), address_of(1)),
    ]
    first.ping(record_of(2), NOW)
    assert wire.deliver() == 2
    second.ping(record_of(1), NOW)
    assert wire.deliver() == 2


def test_requests_made_at_once_share_one_handshake() -> None:
    wire, first, _ = pair()
    for _ in range(5):
        first.ping(record_of(2), NOW)
    assert wire.deliver() == 3 + 4 + 5
    assert sum(isinstance(event, Answered) for event in first.events()) == 5
    assert first.pending_count == 0


def test_both_may_open_at_once() -> None:
    wire, first, second = pair()
    first.ping(record_of(2), NOW)
    second.ping(record_of(1), NOW)
    wire.deliver()
    for engine in (first, second):
        assert any(isinstance(event, Answered) for event in engine.events())
    for engine, other in ((first, 2), (second, 1)):
        for _ in range(3):
            engine.ping(record_of(other), NOW)
            assert wire.deliver() == 2


def test_any_loss_is_got_over_by_asking_again() -> None:
    for dropped in range(6):
        wire, first, _ = pair()
        seen = 0

        def lost(_datagram: Datagram, dropped: int = dropped) -> bool:
            nonlocal seen
            seen += 1
            return seen == dropped + 1

        wire.lost = lost
        for _ in range(3):
            first.ping(record_of(2), wire.now_ms)
            wire.deliver()
            wire.pass_time(3000)
        events = first.events()
        answered = sum(isinstance(event, Answered) for event in events)
        failed = sum(isinstance(event, RequestFailed) for event in events)
        assert answered >= 2, dropped
        assert answered + failed == 3
        assert first.pending_count == 0


def test_a_restarted_peer_is_recognised_by_its_challenge() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    wire.deliver()
    first.events()
    wire.parties[address_of(2)] = engine_of(2)
    first.ping(record_of(2), NOW)
    assert wire.deliver() == 4
    assert any(isinstance(event, Answered) for event in first.events())


def test_requests_under_keys_that_the_peer_lost_are_all_sent_again() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    wire.deliver()
    first.events()
    wire.parties[address_of(2)] = engine_of(2)
    for _ in range(3):
        first.ping(record_of(2), NOW)
    wire.deliver()
    assert sum(isinstance(event, Answered) for event in first.events()) == 3


def test_what_waited_for_a_handshake_that_never_came_tries_one_of_its_own() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    assert len(first.datagrams()) == 1  # and it is lost
    second_id = first.ping(record_of(2), NOW + 1000)
    assert first.datagrams() == []
    wire.now_ms = NOW + 2000
    first.tick(wire.now_ms)
    wire.deliver()
    failed, _, answered = first.events()
    assert isinstance(failed, RequestFailed)
    assert isinstance(answered, Answered)
    assert answered.request_id == second_id


def test_our_record_is_sent_to_those_who_have_none_or_an_older_one() -> None:
    for known, sent in ((0, record_of(1).raw), (1, b""), (2, b"")):
        engine = engine_of(1)
        engine.ping(record_of(2), NOW)
        [request] = engine.datagrams()
        engine.receive(challenge_for(request, bytes(16), known), address_of(2), NOW)
        handshake = decode_packet(engine.datagrams()[0].data, key_of(2).node_id)
        assert isinstance(handshake, HandshakePacket)
        assert handshake.record == sent


def test_no_nonce_is_used_twice_even_with_bad_randomness() -> None:
    peer = Peer()
    assert peer.session is not None
    nonces = {peer.session.next_nonce(bytes(8)) for _ in range(1000)}
    assert len(nonces) == 1000
    assert {len(nonce) for nonce in nonces} == {12}


def test_keys_are_not_used_for_ever() -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    wire.deliver()
    wire.now_ms += SESSION_LIFETIME_MS + 1
    first.ping(record_of(2), wire.now_ms)
    assert wire.deliver() == 4


def test_a_silent_node_costs_its_time_and_no_more() -> None:
    wire, first, _ = pair()
    del wire.parties[address_of(2)]
    waiting = [first.ping(record_of(2), NOW) for _ in range(3)]
    wire.deliver()
    assert first.next_deadline_ms == NOW + 2000
    wire.pass_time(2000)
    failed = [event.request_id for event in first.events() if isinstance(event, RequestFailed)]
    assert failed == waiting
    assert first.pending_count == 0
    assert not first.next_deadline_ms


def test_requests_are_bounded() -> None:
    engine = engine_of(1)
    for _ in range(MAX_PENDING_PER_PEER + 3):
        engine.ping(record_of(2), NOW)
    assert engine.pending_count == MAX_PENDING_PER_PEER
    for number in range(3, MAX_PENDING + 20):
        engine.ping(record_of(number), NOW)
    assert engine.pending_count == MAX_PENDING
    assert engine.ping(record_of(2), NOW) is None


def test_nodes_without_an_address_and_ourselves_are_not_asked() -> None:
    engine = engine_of(1)
    assert engine.ping(sign_record(key_of(2), 1, {}), NOW) is None
    assert engine.ping(record_of(1), NOW) is None
    assert engine.datagrams() == []


def test_sessions_are_bounded_and_the_oldest_makes_room() -> None:
    from lightclient.wire.discv5.sessions import RecentlyUsed

    kept: RecentlyUsed[int] = RecentlyUsed(3)
    for number in range(5):
        kept.put((bytes([number]), address_of(number)), number)
        assert kept.get((bytes([0]), address_of(0))) == (0 if number < 5 else None)
    assert len(kept) == 3
    assert kept.get((bytes([1]), address_of(1))) is None
    assert kept.get((bytes([4]), address_of(4))) == 4


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4), st.integers(0, 5))
def test_damaged_datagrams_in_an_exchange_do_no_harm(
    damage: list[tuple[int, int]], which: int
) -> None:
    wire, first, _ = pair()
    first.ping(record_of(2), NOW)
    count = 0
    for _ in range(20):
        for source, party in list(wire.parties.items()):
            for datagram in party.datagrams():
                data = bytearray(datagram.data)
                if count == which:
                    for at, change in damage:
                        data[at % len(data)] ^= change
                count += 1
                wire.parties[datagram.address].receive(bytes(data), source, NOW)
    wire.pass_time(3000)
    first.ping(record_of(2), wire.now_ms)
    wire.deliver()
    assert any(isinstance(event, Answered) for event in first.events())


def test_only_who_was_asked_is_expected_and_only_until_the_answer_or_its_time() -> None:
    wire, first, second = pair()
    there = address_of(2)
    assert not first.expects(there)
    first.ping(second.record, wire.now_ms)
    first.ping(second.record, wire.now_ms)
    assert first.expects(there)
    assert not first.expects((there[0], there[1] + 1))
    wire.deliver()
    assert first.session_count == 1
    assert not first.expects(there)
    assert not second.expects(address_of(1)), "it answered and challenged, but asked nothing"
    wire.lost = lambda _: True
    first.ping(second.record, wire.now_ms)
    wire.pass_time(10_000)
    assert not first.expects(there)
    assert not first._pending._by_address
