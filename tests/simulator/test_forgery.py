"""Every forged object gets exactly the rule that it breaks, in every fork."""

from __future__ import annotations

from functools import cache

import pytest

from lightclient.config import FORKS
from lightclient.containers import ObjectKind, decode_ssz, encode_ssz, object_type
from lightclient.errors import DecodeError
from lightclient.protocol import Rule, VerdictKind
from lightclient.simulator.forgery import FORGERS, Forgery, Scene, Stage, all_forgeries
from lightclient.sync import Processor

LIGHT_CLIENT_FORKS = [fork.name for fork in FORKS[1:]]
BARE_FORKS = [fork.name for fork in FORKS[1:] if fork.data_format.header == "bare"]


@cache
def scene_of(fork: str) -> Scene:
    return Scene(fork)


@cache
def forgeries_of(fork: str) -> tuple[Forgery, ...]:
    return tuple(all_forgeries(scene_of(fork)))


def prepared(scene: Scene, stage: Stage, trusted_block_root: bytes) -> Processor:
    processor = Processor(scene.network, trusted_block_root, backend=scene.chain.backend)
    for value, current_slot in scene.before(stage):
        outcome = processor.process(value, scene.network.slot_start_ms(current_slot))
        assert outcome.verdict.kind is VerdictKind.ACCEPTED
    return processor


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS)
def test_every_forgery_is_refused_by_its_rule_and_changes_nothing(fork: str) -> None:
    scene = scene_of(fork)
    processors: dict[tuple[Stage, bytes], Processor] = {}
    wrong = []
    for forgery in forgeries_of(fork):
        if forgery.value is None:
            continue
        key = (forgery.stage, forgery.trusted_block_root)
        processor = processors.setdefault(key, prepared(scene, *key))
        before = processor.store.copy() if processor.store else None
        outcome = processor.process(
            forgery.value, scene.network.slot_start_ms(forgery.current_slot)
        )
        if outcome.verdict.rule is not forgery.rule:
            wrong.append((forgery.name, forgery.stage, str(outcome.verdict)))
        assert outcome.verdict.kind is forgery.verdict or wrong
        assert processor.store == before
        assert outcome.events == ()
    assert wrong == []


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS)
def test_undecodable_bytes_are_no_object_in_any_format(fork: str) -> None:
    scene = scene_of(fork)
    undecodable = [forgery for forgery in forgeries_of(fork) if forgery.value is None]
    assert {forgery.kind for forgery in undecodable} == set(ObjectKind)
    size = scene.network.preset.sync_committee_size
    for forgery in undecodable:
        assert forgery.rule is Rule.UNDECODABLE
        with pytest.raises(DecodeError):
            decode_ssz(forgery.kind, forgery.encoded, scene.network)
        with pytest.raises(DecodeError):
            object_type(forgery.kind, forgery.data_format, size).decode(forgery.encoded)


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS)
def test_every_rule_is_broken_in_every_fork(fork: str) -> None:
    broken = {forgery.rule for forgery in forgeries_of(fork)}
    impossible = {Rule.INVALID_FINALIZED_HEADER} if fork in BARE_FORKS else set()
    assert broken == set(Rule) - impossible
    assert set(FORGERS) == set(Rule)


@pytest.mark.parametrize("fork", LIGHT_CLIENT_FORKS)
def test_names_are_unique_and_encodings_are_of_the_format_named(fork: str) -> None:
    forgeries = forgeries_of(fork)
    assert len({forgery.name for forgery in forgeries}) == len(forgeries)
    for forgery in forgeries:
        assert forgery.data_format is scene_of(fork).fork.data_format
        if forgery.value is not None:
            assert encode_ssz(forgery.value) == forgery.encoded


@pytest.mark.parametrize("fork", ["altair", "gloas"])
@pytest.mark.parametrize("stage", [Stage.NEXT_UNKNOWN, Stage.NEXT_KNOWN])
def test_the_object_that_forgeries_begin_as_is_accepted(fork: str, stage: Stage) -> None:
    scene = scene_of(fork)
    processor = prepared(scene, stage, scene.trusted.root)
    now_ms = scene.network.slot_start_ms(scene.signature_slot)
    assert processor.process(scene.honest, now_ms).verdict.kind is VerdictKind.ACCEPTED
