"""What is kept of a client, and how it is written as named parts.

Objects as SSZ in the format they came in; everything small in one JSON part. Reading trusts
nothing: every part is bounded by the file it comes from, and decoded as if it came from a server.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Final

from lightclient.config.forks import DATA_FORMATS, DataFormat
from lightclient.config.network import Network
from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientHeader,
    LightClientUpdate,
    ObjectKind,
    SyncCommittee,
    encode_ssz,
    light_client_header_type,
    object_type,
    parse_json,
    sync_committee_type,
)
from lightclient.errors import DecodeError
from lightclient.protocol import LightClientStore
from lightclient.protocol.excerpts import create_light_client_finality_update
from lightclient.ssz import Json, Nodes
from lightclient.sync import StoreProofs

SCHEMA_VERSION: Final = 1
MAX_SCORES: Final = 64
MAX_NAME_LENGTH: Final = 300
_UINT64_MAX: Final = 2**64 - 1
_SUMMARY: Final = "summary"

Scores = Mapping[str, Mapping[str, int]]
"""Providers' scores by their safe names, each as plain figures."""


@dataclass(frozen=True, slots=True)
class NetworkIdentity:
    """The network that a state belongs to.

    Attributes:
        schedule_digest: of the forks up to the state's newest epoch, of the preset and of the slot
            duration. Forks scheduled later change nothing that is stored, blob parameters never do:
            whoever updates after the chain changed them goes on from what was stored.
    """

    name: str
    genesis_validators_root: bytes
    schedule_digest: bytes

    @classmethod
    def of(cls, network: Network, epoch: int) -> NetworkIdentity:
        """That of ``network`` for a state whose newest header is of ``epoch``."""
        preset = network.preset
        described: list[object] = [
            preset.slots_per_epoch,
            preset.epochs_per_sync_committee_period,
            preset.sync_committee_size,
            network.slot_duration_ms,
            network.genesis_time,
            [[s.fork.name, s.version.hex(), s.epoch] for s in network.forks if s.epoch <= epoch],
        ]
        digest = sha256(json.dumps(described).encode()).digest()
        return cls(network.name, network.genesis_validators_root, digest)

    def is_that_of(self, other: NetworkIdentity) -> bool:
        """Whether both are one network; names are only for people."""
        return (self.genesis_validators_root, self.schedule_digest) == (
            other.genesis_validators_root,
            other.schedule_digest,
        )


@dataclass(frozen=True, slots=True)
class StoredState:
    """All that a client needs to go on where it was.

    Attributes:
        trusted_block_root: what everything in ``store`` descends from, 32 bytes.
        proofs: what the store's parts were proven by.
        saved_at_ms: the wall clock when it was saved, Unix milliseconds.
    """

    network: NetworkIdentity
    trusted_block_root: bytes
    store: LightClientStore
    proofs: StoreProofs
    saved_at_ms: int = 0
    scores: Scores = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        network: Network,
        trusted_block_root: bytes,
        store: LightClientStore,
        proofs: StoreProofs,
        saved_at_ms: int = 0,
        scores: Scores | None = None,
    ) -> StoredState:
        """The state of a client of ``network``."""
        epoch = network.compute_epoch_at_slot(store.optimistic_header.beacon.slot)
        identity = NetworkIdentity.of(network, epoch)
        return cls(identity, trusted_block_root, store, proofs, saved_at_ms, scores or {})


# Writing ------------------------------------------------------------------------------------------


def encode_state(state: StoredState) -> dict[str, bytes]:
    """The parts to write."""
    store, proofs = state.store, state.proofs
    parts: dict[str, bytes] = {}
    formats: dict[str, str] = {"store": store.data_format.name}

    def put_header(name: str, header: LightClientHeader) -> None:
        parts[name] = light_client_header_type(header.data_format).encode(header)
        formats[name] = header.data_format.name

    def put_update(name: str, update: LightClientUpdate | None, *, with_branch: bool) -> None:
        if update is not None:
            parts[name] = _encode_update(update, with_branch=with_branch)
            formats[name] = update.data_format.name

    put_header("finalized_header", store.finalized_header)
    put_header("optimistic_header", store.optimistic_header)
    put_update("finalized_proof", proofs.finalized, with_branch=False)
    put_update("optimistic_proof", proofs.optimistic, with_branch=False)
    put_update("next_sync_committee_proof", proofs.next_sync_committee, with_branch=True)
    parts["current_sync_committee"] = _encode_committee(store.current_sync_committee)
    if store.next_sync_committee is not None:
        parts["next_sync_committee"] = _encode_committee(store.next_sync_committee)
    best = store.best_valid_update
    if best is not None:
        # Most bring no committee: 24 kilobytes of zeros that need not be written every time.
        name = "best_valid_update" if best.next_sync_committee.is_default else "best_full_update"
        short = name != "best_full_update"
        parts[name] = encode_ssz(create_light_client_finality_update(best) if short else best)
        formats[name] = best.data_format.name
    parts[_SUMMARY] = json.dumps(_summary(state, formats), separators=(",", ":")).encode()
    return parts


def _summary(state: StoredState, formats: Mapping[str, str]) -> dict[str, Json]:
    store = state.store
    return {
        "network": state.network.name[:MAX_NAME_LENGTH],
        "genesis_validators_root": state.network.genesis_validators_root.hex(),
        "schedule_digest": state.network.schedule_digest.hex(),
        "trusted_block_root": state.trusted_block_root.hex(),
        "newest_slot": store.optimistic_header.beacon.slot,
        "finalized_slot": store.finalized_header.beacon.slot,
        "previous_max_active_participants": store.previous_max_active_participants,
        "current_max_active_participants": store.current_max_active_participants,
        "saved_at_ms": state.saved_at_ms,
        "formats": dict(formats),
        "scores": _kept_scores(state.scores),
    }


def _kept_scores(scores: Scores) -> dict[str, Json]:
    """The first ones, without those whose names take too much room."""
    kept = {
        name: dict(figures)
        for name, figures in scores.items()
        if len(json.dumps(name)) <= MAX_NAME_LENGTH
    }
    return dict(list(kept.items())[:MAX_SCORES])


def _encode_committee(committee: SyncCommittee) -> bytes:
    return sync_committee_type(committee.size).encode(committee)


def _encode_update(update: LightClientUpdate, *, with_branch: bool) -> bytes:
    """An update without its committee; the branch, where it is wanted, goes before the rest."""
    branch = update.next_sync_committee_branch if with_branch else ()
    return b"".join(branch) + encode_ssz(create_light_client_finality_update(update))


# Reading ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Summary:
    """What can be told of a state before its objects are read, which needs to know the network."""

    network: NetworkIdentity
    trusted_block_root: bytes
    newest_slot: int
    finalized_slot: int
    previous_max_active_participants: int
    current_max_active_participants: int
    saved_at_ms: int
    formats: Mapping[str, DataFormat]
    scores: Scores


def decode_summary(parts: Mapping[str, bytes]) -> Summary:
    """What a state says of itself.

    Raises:
        DecodeError: it is not there, or not as :func:`encode_state` writes it.
    """
    value = parse_json(_part(parts, _SUMMARY))
    if not isinstance(value, dict):
        raise DecodeError("summary: not an object")
    return Summary(
        network=NetworkIdentity(
            _text(value, "network"),
            _root(value, "genesis_validators_root"),
            _root(value, "schedule_digest"),
        ),
        trusted_block_root=_root(value, "trusted_block_root"),
        newest_slot=_uint(value, "newest_slot"),
        finalized_slot=_uint(value, "finalized_slot"),
        previous_max_active_participants=_uint(value, "previous_max_active_participants"),
        current_max_active_participants=_uint(value, "current_max_active_participants"),
        saved_at_ms=_uint(value, "saved_at_ms"),
        formats={name: _format(name, text) for name, text in _object(value, "formats").items()},
        scores=_scores(_object(value, "scores")),
    )


def decode_state(parts: Mapping[str, bytes], summary: Summary, network: Network) -> StoredState:
    """The whole state; what it claims is still to be proven (:func:`why_not_proven`).

    Raises:
        DecodeError: a part is missing, too many, or not the object it should be.
    """
    reader = _Reader(parts, summary, network.preset.sync_committee_size)
    store = LightClientStore(
        finalized_header=reader.header("finalized_header"),
        current_sync_committee=reader.committee("current_sync_committee"),
        next_sync_committee=reader.optional_committee("next_sync_committee"),
        best_valid_update=reader.best_valid_update(),
        optimistic_header=reader.header("optimistic_header"),
        previous_max_active_participants=summary.previous_max_active_participants,
        current_max_active_participants=summary.current_max_active_participants,
        data_format=reader.format("store"),
    )
    proofs = StoreProofs(
        finalized=reader.update("finalized_proof", with_branch=False),
        optimistic=reader.update("optimistic_proof", with_branch=False),
        next_sync_committee=reader.update("next_sync_committee_proof", with_branch=True),
    )
    unknown = parts.keys() - reader.used
    if unknown:
        raise DecodeError(f"{min(unknown)[:40]!a}: an unknown part")
    slots = (store.optimistic_header.beacon.slot, store.finalized_header.beacon.slot)
    if slots != (summary.newest_slot, summary.finalized_slot):
        raise DecodeError("summary: names other slots than the headers have")
    return StoredState(
        summary.network,
        summary.trusted_block_root,
        store,
        proofs,
        summary.saved_at_ms,
        summary.scores,
    )


class _Reader:
    """Decodes parts by name and remembers which were asked for."""

    def __init__(self, parts: Mapping[str, bytes], summary: Summary, committee_size: int) -> None:
        self._parts = parts
        self._formats = summary.formats
        self._size = committee_size
        self.used = {_SUMMARY}

    def format(self, name: str) -> DataFormat:
        if name not in self._formats:
            raise DecodeError(f"{name}: of no known format")
        return self._formats[name]

    def part(self, name: str) -> bytes:
        self.used.add(name)
        return _part(self._parts, name)

    def header(self, name: str) -> LightClientHeader:
        return light_client_header_type(self.format(name)).decode(self.part(name))

    def committee(self, name: str) -> SyncCommittee:
        return sync_committee_type(self._size).decode(self.part(name))

    def optional_committee(self, name: str) -> SyncCommittee | None:
        return self.committee(name) if name in self._parts else None

    def update(self, name: str, *, with_branch: bool) -> LightClientUpdate | None:
        """An update without its committee, whose branch may be there nevertheless."""
        if name not in self._parts:
            return None
        data_format, content = self.format(name), self.part(name)
        depth = data_format.next_sync_committee_branch_depth if with_branch else 0
        branch = Nodes(depth).decode(content[: 32 * depth]) if with_branch else ()
        short = object_type(ObjectKind.FINALITY_UPDATE, data_format, self._size).decode(
            content[32 * depth :]
        )
        assert isinstance(short, LightClientFinalityUpdate)
        full = short.as_update(self._size)
        return replace(full, next_sync_committee_branch=branch) if with_branch else full

    def best_valid_update(self) -> LightClientUpdate | None:
        if "best_full_update" not in self._parts:
            return self.update("best_valid_update", with_branch=False)
        layout = object_type(ObjectKind.UPDATE, self.format("best_full_update"), self._size)
        full = layout.decode(self.part("best_full_update"))
        assert isinstance(full, LightClientUpdate)
        return full


def _part(parts: Mapping[str, bytes], name: str) -> bytes:
    if name not in parts:
        raise DecodeError(f"{name}: missing")
    return parts[name]


def _uint(value: Mapping[str, Json], name: str) -> int:
    number = value.get(name)
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= _UINT64_MAX:
        raise DecodeError(f"summary: {name} is no number")
    return number


def _text(value: Mapping[str, Json], name: str) -> str:
    text = value.get(name)
    if not isinstance(text, str) or len(text) > MAX_NAME_LENGTH or not text.isprintable():
        raise DecodeError(f"summary: {name} is no name")
    return text


def _root(value: Mapping[str, Json], name: str) -> bytes:
    try:
        root = bytes.fromhex(_text(value, name))
    except ValueError:
        root = b""
    if len(root) != 32:
        raise DecodeError(f"summary: {name} is not 32 bytes")
    return root


def _object(value: Mapping[str, Json], name: str) -> dict[str, Json]:
    found = value.get(name)
    if not isinstance(found, dict) or len(found) > MAX_SCORES:
        raise DecodeError(f"summary: {name} is no object")
    return found


def _format(name: str, text: Json) -> DataFormat:
    for data_format in DATA_FORMATS:
        if data_format.name == text:
            return data_format
    raise DecodeError(f"{name[:40]!a}: of no known format")


def _scores(value: Mapping[str, Json]) -> Scores:
    """Scores are a convenience: what is odd about them is left out."""
    return {
        name: {
            key: number
            for key, number in figures.items()
            if isinstance(number, int) and not isinstance(number, bool)
        }
        for name, figures in value.items()
        if isinstance(figures, dict) and len(figures) <= MAX_SCORES
    }
