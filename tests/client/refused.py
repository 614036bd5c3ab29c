"""Objects that are refused, one for each rule that refuses, with the store and the time."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from lightclient import __version__
from lightclient.bls import choose_backend
from lightclient.client.diagnosis import judge_again
from lightclient.client.dumps import RefusedObject
from lightclient.containers import LightClientObject, ObjectKind, Undecoded, encode_ssz
from lightclient.protocol import Rule, Verdict, VerdictKind
from lightclient.sync import Processor
from tests.sync import chains

ROOT = bytes(32)


def refused(
    value: LightClientObject | Undecoded,
    *,
    store_of: Processor | None = None,
    time_ms: int = chains.NOW,
    trusted_block_root: bytes | None = None,
    provider: str = "https://node.example",
) -> RefusedObject:
    """``value`` as it is judged."""
    store = None if store_of is None or store_of.store is None else store_of.store.copy()
    root = trusted_block_root or chains.bootstrap().header.beacon.hash_tree_root()
    dump = RefusedObject(
        network=chains.chain().network,
        trusted_block_root=root,
        store=store,
        time_ms=time_ms,
        provider=provider,
        refused=value,
        verdict=Verdict(VerdictKind.ACCEPTED),
        program_version=__version__,
    )
    return replace(dump, verdict=judge_again(dump, choose_backend()))


@cache
def _fresh() -> Processor:
    return chains.processor()


def bad_signature() -> RefusedObject:
    """An update whose signature is another one's."""
    update, other = chains.update(0), chains.update(1)
    aggregate = replace(
        update.sync_aggregate,
        sync_committee_signature=other.sync_aggregate.sync_committee_signature,
    )
    return refused(replace(update, sync_aggregate=aggregate), store_of=_fresh())


def in_future(slots: int = 1) -> RefusedObject:
    """An update whose signature's slot has not begun yet."""
    update = chains.update(0)
    return refused(update, store_of=_fresh(), time_ms=chains.at(update.signature_slot - slots))


def not_covered() -> RefusedObject:
    """An update of a later period."""
    return refused(chains.update(3), store_of=_fresh())


def wrong_root(root: bytes = b"\x11" * 32) -> RefusedObject:
    """A bootstrap of another block than the trusted one."""
    return refused(chains.bootstrap(), trusted_block_root=root)


def bad_branch() -> RefusedObject:
    """An update whose finality proof is damaged."""
    update = chains.update(0)
    branch = (*update.finality_branch[:-1], b"\x11" * 32)
    return refused(replace(update, finality_branch=branch), store_of=_fresh())


def undecodable(content: bytes = b"\x01\x02", **labels: Any) -> RefusedObject:
    """Bytes that are no update."""
    return refused(Undecoded(ObjectKind.UPDATE, content, **labels), store_of=_fresh())


def mistaken_kind() -> RefusedObject:
    """A whole optimistic update where a finality update was asked for."""
    content = encode_ssz(chains.optimistic_update())
    value = Undecoded(ObjectKind.FINALITY_UPDATE, content, "application/octet-stream")
    return refused(value, store_of=_fresh())


EVERY = {
    Rule.BAD_SIGNATURE: bad_signature,
    Rule.SIGNATURE_SLOT_IN_FUTURE: in_future,
    Rule.PERIOD_NOT_COVERED: not_covered,
    Rule.BOOTSTRAP_ROOT_MISMATCH: wrong_root,
    Rule.INVALID_FINALITY_BRANCH: bad_branch,
    Rule.UNDECODABLE: undecodable,
}
