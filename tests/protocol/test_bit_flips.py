"""One flipped bit, anywhere in an object's SSZ, framing, envelope or JSON text.

In the SSZ it is never accepted, except in ``signature_slot``, which nothing signs: there the
verdict is the specification's on the changed object. Elsewhere it gives the same object, or a
refusal. Bits are drawn with a fixed seed, some of each part, and all where slots lie.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from lightclient.bls import choose_backend
from lightclient.config import network_by_name
from lightclient.config.forks import DATA_FORMATS
from lightclient.config.network import Network
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    encode_ssz,
    read_document,
    to_json,
    type_of,
)
from lightclient.errors import DecodeError
from lightclient.protocol import (
    LightClientStore,
    Rule,
    SignatureVerifier,
    Verdict,
    VerdictKind,
    compute_signature_fork_version,
    initialize_light_client_store,
    process_light_client_update,
)
from tests.protocol.forge import Forge, in_every_kind, network_of
from tests.protocol.judging import NOW, START

UINT64_BYTES = 8


@dataclass(frozen=True)
class Scene:
    """A store and an update that it accepts."""

    network: Network
    signatures: SignatureVerifier
    store: LightClientStore
    update: AnyUpdate
    now: int

    def judge(self, changed: AnyUpdate) -> Verdict:
        """The verdict; whatever is not accepted must leave the store as it was."""
        store = self.store.copy()
        verdict = process_light_client_update(
            store, changed, self.now, self.network, self.signatures
        )
        assert (verdict.kind is VerdictKind.ACCEPTED) == (store != self.store)
        return verdict

    def expected_rule(self, signature_slot: int) -> Rule | None:
        """What the specification says of the update with another signature slot."""
        period = self.network.compute_sync_committee_period_at_slot
        store_period = period(self.store.finalized_header.beacon.slot)
        covered = [store_period]
        if self.store.next_sync_committee is not None:
            covered.append(store_period + 1)
        if signature_slot <= self.update.attested_header.beacon.slot:
            return Rule.SIGNATURE_NOT_AFTER_ATTESTED
        if signature_slot > self.now:
            return Rule.SIGNATURE_SLOT_IN_FUTURE
        if period(signature_slot) not in covered:
            return Rule.PERIOD_NOT_COVERED
        true_slot = self.update.signature_slot
        same_version = compute_signature_fork_version(
            signature_slot, self.network
        ) == compute_signature_fork_version(true_slot, self.network)
        same_committee = period(signature_slot) == period(true_slot)
        return None if same_version and same_committee else Rule.BAD_SIGNATURE

    def check(self, changed: LightClientObject) -> None:
        """The verdict on a changed object must be right."""
        assert not isinstance(changed, LightClientBootstrap)
        verdict = self.judge(changed)
        if replace(changed, signature_slot=self.update.signature_slot) == self.update:
            assert verdict.rule is self.expected_rule(changed.signature_slot)
        else:
            assert verdict.kind is not VerdictKind.ACCEPTED
            assert verdict.rule is not Rule.NO_PROGRESS, "a changed object passed for valid"


def forged_scenes() -> Iterator[tuple[str, Scene]]:
    """Every kind of update in every format; the store's period crosses all forks after capella."""
    epochs = {"phase0": 0, "altair": 0, "bellatrix": 0, "capella": 10, "deneb": 11}
    epochs |= {"electra": 12, "fulu": 13, "gloas": 14, "heze": 15}
    network = network_of(epochs)
    start = 9 * network.preset.slots_per_epoch
    assert start == START
    for data_format in DATA_FORMATS:
        forge = Forge(network, data_format)
        # The last slot at which the format is at home.
        attested_slot = start + 4
        while forge.format_at(attested_slot + 8) is data_format and attested_slot < start + 52:
            attested_slot += 8
        update = forge.update(attested_slot, finalized_slot=start + 2, committee=True)
        for kind in in_every_kind(update):
            scene = Scene(network, forge.signatures, forge.store(start), kind, NOW)
            yield f"{data_format.name}-{kind.kind}", scene


def drawn_bits(seed: str, data: bytes, whole: range) -> Iterator[int]:
    """A bit of each 8 bytes (64 of a large object), and every bit of the bytes in ``whole``."""
    draw, step = random.Random(seed), 8 if len(data) < 8192 else 64
    for start in range(0, len(data), step):
        yield 8 * start + draw.randrange(8 * min(step, len(data) - start))
    yield from range(8 * whole.start, 8 * whole.stop)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def check_ssz_flips(name: str, scene: Scene) -> int:
    """Flip bits of a scene's update; returns how many of the changed objects decoded."""
    update = scene.update
    assert scene.judge(update).kind is VerdictKind.ACCEPTED
    layout, data = type_of(update), encode_ssz(update)
    slot_at = data.index(update.signature_slot.to_bytes(UINT64_BYTES, "little"))
    fixed_size = layout._fixed.size
    signature_slot = range(fixed_size - UINT64_BYTES, fixed_size)
    assert slot_at <= signature_slot.start
    decoded = 0
    for bit in drawn_bits(name, data, signature_slot):
        try:
            changed = layout.decode(flipped(data, bit))
        except DecodeError:
            continue
        decoded += 1
        assert changed != update, f"bit {bit} says nothing"
        scene.check(changed)
    return decoded


def test_a_flipped_bit_of_a_forged_update_is_never_accepted() -> None:
    decoded = sum(check_ssz_flips(name, scene) for name, scene in forged_scenes())
    assert decoded > 4000


def test_every_other_signature_slot_is_judged_as_the_specification_does() -> None:
    for name, scene in forged_scenes():
        accepted = []
        for slot in [*range(START - 2, NOW + 3), 2**63, 2**64 - 1]:
            changed = replace(scene.update, signature_slot=slot)
            rule = scene.judge(changed).rule
            assert rule is scene.expected_rule(slot), (name, slot)
            accepted += [slot] if rule is None else []
        # A contiguous range: until the next fork, or the end of the period.
        assert all(after == before + 1 for before, after in pairwise(accepted))
        assert scene.update.signature_slot in accepted


def check_bootstrap_flips(
    name: str, network: Network, bootstrap: LightClientBootstrap, root: bytes
) -> int:
    layout, data = type_of(bootstrap), encode_ssz(bootstrap)
    assert initialize_light_client_store(root, bootstrap, network)[0] is not None
    decoded = 0
    for bit in drawn_bits(name, data, range(UINT64_BYTES)):
        try:
            changed = layout.decode(flipped(data, bit))
        except DecodeError:
            continue
        decoded += 1
        assert isinstance(changed, LightClientBootstrap)
        store, verdict = initialize_light_client_store(root, changed, network)
        assert store is None
        assert verdict.kind is VerdictKind.INVALID
    return decoded


def test_a_flipped_bit_of_a_forged_bootstrap_is_never_accepted() -> None:
    for _, scene in forged_scenes():
        forge = Forge(scene.network, scene.update.data_format)
        bootstrap = forge.bootstrap(START)
        root = bootstrap.header.beacon.hash_tree_root()
        assert check_bootstrap_flips("bootstrap", scene.network, bootstrap, root) > 50


# Text and framing -----------------------------------------------------------------------------


def objects_in(kind: ObjectKind, data: bytes, network: Network) -> list[LightClientObject | None]:
    """The objects of a document; None for each that is refused."""

    def decoded(decode: Callable[[], LightClientObject]) -> LightClientObject | None:
        try:
            return decode()
        except DecodeError:
            return None

    return [decoded(entry.decode) for entry in read_document(kind, data, network)]


def test_a_flipped_bit_of_json_text_gives_the_same_object_or_is_never_accepted() -> None:
    same = judged = 0
    for name, scene in forged_scenes():
        update = scene.update
        fork = scene.network.fork_at_slot(update.attested_header.beacon.slot)
        body = {"version": fork.name, "data": to_json(update)}
        data = json.dumps(body, indent=1).encode()
        assert objects_in(update.kind, data, scene.network) == [update]
        draw = random.Random(name)
        for start in range(0, len(data), 12):
            bit = 8 * start + draw.randrange(8 * min(12, len(data) - start))
            for changed in objects_in(update.kind, flipped(data, bit), scene.network):
                same += changed == update
                judged += changed is not None
                if changed is not None and changed != update:
                    scene.check(changed)
    assert same > 100
    assert judged - same > 1000


def test_every_flipped_bit_of_an_envelope_gives_the_same_object_or_is_refused() -> None:
    for _, scene in forged_scenes():
        update = scene.update
        fork = scene.network.fork_at_slot(update.attested_header.beacon.slot)
        body = json.dumps(to_json(update))
        start, end = f'{{"version": "{fork.name}", "data": '.encode(), b"}"
        for bit in range(8 * len(start)):
            data = flipped(start, bit) + body.encode() + end
            for changed in objects_in(update.kind, data, scene.network):
                assert changed in (None, update)


def test_every_flipped_bit_of_a_stream_s_framing_gives_the_same_objects_or_a_refusal() -> None:
    scenes = [scene for name, scene in forged_scenes() if name.endswith("-update")]
    network = scenes[0].network
    updates = [scene.update for scene in scenes]
    chunks = []
    for update in updates:
        epoch = network.compute_epoch_at_slot(update.attested_header.beacon.slot)
        payload = network.compute_fork_digest(epoch) + encode_ssz(update)
        chunks.append(len(payload).to_bytes(8, "little") + payload)
    stream = b"".join(chunks)
    assert objects_in(ObjectKind.UPDATE, stream, network) == updates
    position = 0
    for chunk in chunks:
        for bit in range(8 * position, 8 * (position + 12)):
            read = objects_in(ObjectKind.UPDATE, flipped(stream, bit), network)
            assert read == updates or None in read
            for changed, scene in zip(read, scenes, strict=False):
                # A length may move the end of the last list in an object, its extra_data.
                if changed is not None and changed not in updates:
                    scene.check(changed)
        position += len(chunk)


# Real objects ---------------------------------------------------------------------------------


def _mainnet(folder: Path, bootstrap: str, *updates: str) -> Iterator[Scene]:
    """Follows real updates; a scene before each."""
    network, signatures = network_by_name("mainnet"), SignatureVerifier(choose_backend())
    [first] = objects_in(ObjectKind.BOOTSTRAP, (folder / bootstrap).read_bytes(), network)
    assert isinstance(first, LightClientBootstrap)
    root = first.header.beacon.hash_tree_root()
    store, _ = initialize_light_client_store(root, first, network)
    assert store is not None
    for name in updates:
        kind = ObjectKind.UPDATE
        if "fin" in name:
            kind = ObjectKind.FINALITY_UPDATE
        elif "opt" in name:
            kind = ObjectKind.OPTIMISTIC_UPDATE
        for update in objects_in(kind, (folder / name).read_bytes(), network):
            assert update is not None
            assert not isinstance(update, LightClientBootstrap)
            now = update.signature_slot + network.preset.slots_per_sync_committee_period
            scene = Scene(network, signatures, store.copy(), update, now)
            yield scene
            verdict = process_light_client_update(store, update, now, network, signatures)
            assert not verdict.is_refusal


def test_a_flipped_bit_of_a_real_update_is_never_accepted(real_data: Path) -> None:
    decoded = 0
    capella = _mainnet(
        real_data / "mainnet-capella",
        "bootstrap.ssz",
        "updates.ssz",
        "finUpdate.ssz",
        "optUpdate.json",
    )
    deneb = _mainnet(
        real_data / "mainnet-deneb",
        "LightClientBootstrapDeneb.ssz",
        "LightClientUpdateDeneb.ssz",
        "LightClientUpdateNewPeriodDeneb.ssz",
    )
    for scenes in (list(capella), list(deneb)):
        for index, scene in enumerate(scenes):
            full = isinstance(scene.update, LightClientUpdate)
            if full and 0 < index < len(scenes) - 3:
                continue  # more of the same
            if scene.judge(scene.update).kind is VerdictKind.ACCEPTED:
                decoded += check_ssz_flips(f"real {index}", scene)
    assert decoded > 1000


def test_a_flipped_bit_of_a_real_bootstrap_is_never_accepted(real_data: Path) -> None:
    network = network_by_name("mainnet")
    for name in ("mainnet-capella/bootstrap.ssz", "mainnet-deneb/LightClientBootstrapDeneb.ssz"):
        data = (real_data / name).read_bytes()
        [bootstrap] = objects_in(ObjectKind.BOOTSTRAP, data, network)
        assert isinstance(bootstrap, LightClientBootstrap)
        root = bootstrap.header.beacon.hash_tree_root()
        assert check_bootstrap_flips(name, network, bootstrap, root) > 400
