"""Files of refused objects: what is written is read again, and nothing else is believed."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightclient.bls import choose_backend
from lightclient.client.diagnosis import findings, judge_again
from lightclient.client.dumps import (
    MAX_DUMP_BYTES,
    MAX_UNDECODED_BYTES,
    RefusedObject,
    decode_dump,
    encode_dump,
)
from lightclient.config import NETWORK_NAMES, network_by_name
from lightclient.containers import (
    ObjectKind,
    Undecoded,
    to_json,
)
from lightclient.errors import DecodeError
from lightclient.protocol import Rule
from lightclient.protocol.excerpts import create_light_client_optimistic_update
from tests.client import refused
from tests.sync import chains

every_refusal = pytest.mark.parametrize("rule", refused.EVERY, ids=str)


def _document(dump: RefusedObject) -> dict[str, Any]:
    return json.loads(zlib.decompress(encode_dump(dump), wbits=31))


def _packed(document: object) -> bytes:
    return json.dumps(document).encode()


@every_refusal
def test_what_was_written_is_read_again(rule: Rule) -> None:
    dump = refused.EVERY[rule]()
    assert dump.verdict.rule is rule
    again = decode_dump(encode_dump(dump))
    assert (again.store, again.refused, again.network) == (dump.store, dump.refused, dump.network)
    assert (again.time_ms, again.provider) == (dump.time_ms, dump.provider)
    assert again.trusted_block_root == dump.trusted_block_root
    assert again.verdict.detail == dump.verdict.detail
    assert encode_dump(again) == encode_dump(dump)


@every_refusal
def test_a_file_is_judged_as_it_was(rule: Rule) -> None:
    again = decode_dump(encode_dump(refused.EVERY[rule]()))
    assert judge_again(again, choose_backend()).rule is rule


def test_the_store_s_best_update_and_both_committees_are_kept() -> None:
    processor = chains.processor()
    processor.process(chains.update(0), chains.NOW)
    assert processor.store is not None
    processor.store.best_valid_update = chains.finality_update().as_update(32)
    dump = refused.refused(chains.update(3), store_of=processor)
    again = decode_dump(encode_dump(dump))
    assert again.store is not None
    assert again.store.next_sync_committee is not None
    assert again.store == dump.store


@pytest.mark.parametrize("name", NETWORK_NAMES)
def test_every_network_s_whole_configuration_is_in_the_file(name: str) -> None:
    network = network_by_name(name)
    dump = replace(refused.undecodable(), network=network, store=None)
    read = decode_dump(encode_dump(dump)).network
    unwritten: dict[str, Any] = {
        "bootstrap_nodes": network.bootstrap_nodes,
        "retired": network.retired,
    }
    assert replace(read, **unwritten) == network


def test_a_file_is_plain_json_and_may_be_unpacked() -> None:
    dump = refused.bad_signature()
    unpacked = zlib.decompress(encode_dump(dump), wbits=31)
    assert decode_dump(unpacked) == decode_dump(encode_dump(dump))
    document = json.loads(unpacked)
    assert document["verdict"]["rule"] == "bad_signature"
    assert document["store"]["finalized_header"]["slot"] == 0


def test_bytes_that_are_no_object_are_cut_at_their_bound() -> None:
    dump = refused.undecodable(b"\xff" * (MAX_UNDECODED_BYTES + 5))
    again = decode_dump(encode_dump(dump))
    assert len(again.content) == MAX_UNDECODED_BYTES
    assert judge_again(again, choose_backend()).rule is Rule.UNDECODABLE


# Files that nobody wrote --------------------------------------------------------------------------


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        del document[path[-1]]

    return change


def _with(value: object, *path: str) -> Callable[[dict[str, Any]], None]:
    def change(document: dict[str, Any]) -> None:
        for name in path[:-1]:
            document = document[name]
        document[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_without("format"), "format"),
        (_with("something else", "format"), "format"),
        (_with(2, "format_version"), "newer version"),
        (_with(True, "format_version"), "format_version"),
        (_with(-1, "time_ms"), "time_ms"),
        (_with(10**18, "time_ms"), "time_ms"),
        (_with("x" * 5000, "provider"), "provider"),
        (_with([], "verdict"), "verdict"),
        (_with("no_such_rule", "verdict", "rule"), "rule"),
        (_with(None, "verdict", "rule"), "rule"),
        (_with({}, "verdict", "values"), "values"),
        (_with({"participants": [1]}, "verdict", "values"), "values"),
        (_with({str(n): n for n in range(99)}, "verdict", "values"), "values"),
        (_with("", "network", "name"), "name"),
        (_with("a\nb", "network", "name"), "name"),
        (_with(None, "network", "config"), "network"),
        (_with(0, "network", "config", "SLOTS_PER_EPOCH"), "SLOTS_PER_EPOCH"),
        (_with("2026", "network", "genesis_time"), "genesis_time"),
        (_with("0x12", "network", "genesis_validators_root"), "genesis_validators_root"),
        (_with("zz", "trusted_block_root"), "trusted_block_root"),
        (_with("blob", "object", "kind"), "kind"),
        (_with([], "object", "kind"), "kind"),
        (_with("phase0", "object", "format"), "format"),
        (_with("0x" + "00" * 200_000, "object", "ssz"), "ssz"),
        (_with("0x0", "object", "ssz"), "ssz"),
        (_with("0x00", "store", "current_sync_committee"), "SyncCommittee"),
        (_with("0x00", "store", "finalized_header", "ssz"), "Header"),
        (_without("store", "optimistic_header"), "optimistic_header"),
        (_with(1.5, "store", "previous_max_active_participants"), "participants"),
    ],
)
def test_a_file_with_a_wrong_value_is_refused_by_its_name(
    change: Callable[[dict[str, Any]], None], named: str
) -> None:
    document = _document(refused.bad_signature())
    change(document)
    with pytest.raises(DecodeError, match=named):
        decode_dump(_packed(document))


def test_a_best_update_of_another_kind_is_refused() -> None:
    document = _document(refused.bad_signature())
    optimistic = _document(refused.refused(chains.optimistic_update(), store_of=None))
    document["store"]["best_valid_update"] = optimistic["object"]
    with pytest.raises(DecodeError, match="not an update"):
        decode_dump(_packed(document))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"\x1f\x8b",
        b"\x1f\x8b" + bytes(50),
        b"[" * 100_000,
        b'{"format": 1' + b"0" * 9000 + b"}",
        bytes(MAX_DUMP_BYTES + 1),
    ],
    ids=range(10),
)
def test_junk_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError):
        decode_dump(data)


def test_a_compression_bomb_is_refused_within_its_bound() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = packer.compress(b" " * (64 << 20)) + packer.flush()
    with pytest.raises(DecodeError, match="unpacks to more than"):
        decode_dump(bomb)


def test_a_cut_file_and_one_with_a_tail_are_refused() -> None:
    data = encode_dump(refused.bad_signature())
    for damaged in (data[:-9], data + b"x", data + data):
        with pytest.raises(DecodeError, match="cut short"):
            decode_dump(damaged)


@settings(max_examples=60)
@given(data=st.data())
def test_a_damaged_file_is_refused_or_leads_to_a_verdict(data: st.DataObject) -> None:
    text = bytearray(zlib.decompress(encode_dump(refused.in_future()), wbits=31))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place] = data.draw(st.sampled_from(b'0123456789af"{}[],:nx \\\xff'))
    try:
        dump = decode_dump(bytes(text))
    except DecodeError:
        return
    backend = choose_backend()
    judge_again(dump, backend)
    assert all(isinstance(sentence, str) for sentence in findings(dump, backend))


# Findings -----------------------------------------------------------------------------------------


def _found(dump: RefusedObject) -> str:
    return "; ".join(findings(decode_dump(encode_dump(dump)), choose_backend()))


def test_a_signature_is_tried_under_the_versions_of_other_forks() -> None:
    network = chains.chain().network
    wrong = replace(
        network,
        forks=tuple(
            replace(item, version=b"\x99\0\0\0") if item.fork.name == "altair" else item
            for item in network.forks
        ),
    )
    dump = refused.bad_signature()
    update = chains.update(0)
    dump = replace(dump, refused=update, network=wrong)
    assert judge_again(dump, choose_backend()).rule is Rule.BAD_SIGNATURE
    assert "holds under" not in _found(dump)
    # As if the fork in force were another one than the provider has.
    versions = {item.fork.name: item.version for item in network.forks}
    swapped = replace(
        network,
        forks=tuple(
            replace(item, version=versions["bellatrix"])
            if item.fork.name == "altair"
            else replace(item, version=versions["altair"])
            if item.fork.name == "bellatrix"
            else item
            for item in network.forks
        ),
    )
    assert "the signature holds under the version of fork bellatrix" in _found(
        replace(dump, network=swapped)
    )


def test_a_signature_by_the_committee_of_the_other_period_is_recognised() -> None:
    dump = refused.bad_signature()
    assert dump.store is not None
    other = chains.bootstrap(64).current_sync_committee
    store = replace(
        dump.store,
        current_sync_committee=other,
        next_sync_committee=dump.store.current_sync_committee,
    )
    update = chains.update(0)
    optimistic = create_light_client_optimistic_update(update)
    dump = replace(dump, refused=optimistic, store=store)
    assert judge_again(dump, choose_backend()).rule is Rule.BAD_SIGNATURE
    assert "by the committee of the other period" in _found(dump)


def test_a_trusted_root_that_is_a_state_s_is_recognised() -> None:
    state_root = chains.bootstrap().header.beacon.state_root
    assert "is not a block's root but the state root" in _found(refused.wrong_root(state_root))


def test_bytes_of_another_kind_or_preset_are_recognised() -> None:
    assert "they are a whole optimistic_update" in _found(refused.mistaken_kind())
    mainnet = replace(refused.mistaken_kind(), network=network_by_name("mainnet"), store=None)
    content = mainnet.content
    dump = replace(mainnet, refused=Undecoded(ObjectKind.OPTIMISTIC_UPDATE, content))
    assert "with the minimal preset" in _found(dump)


def test_the_clock_s_lag_is_told() -> None:
    assert "begins 6.0 seconds after" in _found(refused.in_future())
    assert "clock that is slow" in _found(refused.in_future())
    assert "clock that is slow" not in _found(refused.in_future(slots=10))
    before = replace(refused.in_future(), time_ms=1000)
    assert "before the network's genesis" in _found(before)


def test_how_far_behind_the_store_was_is_told() -> None:
    assert "3 periods behind" in _found(refused.not_covered())


def test_a_network_that_only_calls_itself_mainnet_is_recognised() -> None:
    dump = refused.bad_signature()
    renamed = replace(dump, network=replace(dump.network, name="mainnet"))
    assert "its genesis is not that of mainnet" in _found(renamed)


def test_other_fork_schedules_than_this_program_s_are_named() -> None:
    mainnet = network_by_name("mainnet")
    older = replace(
        mainnet,
        forks=tuple(
            replace(item, epoch=2**64 - 1) if item.fork.name in ("fulu", "gloas") else item
            for item in mainnet.forks
        ),
    )
    dump = replace(refused.undecodable(), network=older, store=None)
    assert "FULU_FORK_EPOCH" in _found(dump)


def test_a_second_committee_of_one_period_is_told_from_a_forged_one() -> None:
    processor = chains.processor()
    assert processor.process(chains.update(0), chains.NOW).progress
    assert processor.store is not None
    known = processor.store
    processor.store = replace(known, next_sync_committee=known.current_sync_committee)
    dump = refused.refused(chains.update(0), store_of=processor)
    assert dump.verdict.rule is Rule.CONFLICTING_NEXT_COMMITTEE
    assert "two committees of one period" in _found(dump)
    forged = replace(
        chains.update(0).sync_aggregate,
        sync_committee_signature=chains.update(1).sync_aggregate.sync_committee_signature,
    )
    dump = replace(dump, refused=replace(chains.update(0), sync_aggregate=forged))
    assert "its signature does not hold either" in _found(dump)


@pytest.mark.parametrize(
    ("labels", "content"),
    [
        ({"content_type": "application/json"}, b'{"data": {}}'),
        ({"content_type": "text/event-stream"}, b'{"data": {}}'),
        ({"content_type": "application/octet-stream", "version": "deneb"}, b"\0" * 99),
        ({"digest": b"\1\2\3\4"}, b"\0" * 99),
        ({"content_type": "text/html"}, b"<html>no</html>"),
    ],
)
def test_bytes_are_decoded_as_whoever_fetched_them_would(
    labels: dict[str, Any], content: bytes
) -> None:
    kind = ObjectKind.FINALITY_UPDATE
    dump = refused.refused(Undecoded(kind, content, **labels))
    assert decode_dump(encode_dump(dump)).refused == Undecoded(kind, content, **labels)
    assert dump.verdict.rule is Rule.UNDECODABLE


def test_bytes_that_can_be_decoded_after_all_are_judged() -> None:
    content = json.dumps({"data": to_json(chains.update(0))}).encode()
    dump = refused.refused(
        Undecoded(ObjectKind.UPDATE, content, "application/json"), store_of=chains.processor()
    )
    assert dump.verdict.rule is None
