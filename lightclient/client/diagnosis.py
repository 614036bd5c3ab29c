"""Judges a refused object again, and looks for what would make it right.

Whatever is tried here (other fork versions, networks, presets, kinds) only tells people where the
fault may lie; the verdict is the processor's alone. No network, no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from lightclient.bls import Backend, CommitteeSignature
from lightclient.client.dumps import RefusedObject
from lightclient.config import (
    NETWORK_NAMES,
    PRESETS,
    Network,
    config_mapping,
    network_by_name,
)
from lightclient.containers import (
    LightClientBootstrap,
    LightClientHeader,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    SyncCommittee,
    Undecoded,
    decode_ssz,
    format_of_digest,
    format_of_version,
)
from lightclient.errors import DecodeError
from lightclient.protocol import (
    DOMAIN_SYNC_COMMITTEE,
    LightClientStore,
    Rule,
    SignatureVerifier,
    Verdict,
    compute_domain,
    compute_signature_fork_version,
    compute_signing_root,
    signing_committee,
    undecodable,
)
from lightclient.sync import Processor
from lightclient.transports.answers import EVENT_KINDS, EVENT_TYPE, decode_event, decode_object
from lightclient.transports.events import ServerSentEvent
from lightclient.transports.fetching import Answer


def decode_again(value: LightClientObject | Undecoded, network: Network) -> LightClientObject:
    """The object, decoded as whoever fetched it would.

    Raises:
        DecodeError: it is none.
    """
    if not isinstance(value, Undecoded):
        return value
    if value.digest:
        hints = (format_of_version(value.version), format_of_digest(value.digest, network))
        return decode_ssz(value.kind, value.content, network, hints)
    if value.content_type == EVENT_TYPE:
        names = [name for name, kind in EVENT_KINDS.items() if kind is value.kind]
        text = value.content.decode("utf-8", "replace")
        update = decode_event(ServerSentEvent((names or [""])[0], text), network)
        if update is None:
            raise DecodeError(f"no event brings a {value.kind}")
        return update
    labels = {"content-type": value.content_type, "eth-consensus-version": value.version}
    return decode_object(value.kind, Answer(200, labels, value.content), network)


def judge_again(dump: RefusedObject, backend: Backend) -> Verdict:
    """The processor's verdict, with the store, the clock and the network of the file."""
    try:
        value = decode_again(dump.refused, dump.network)
    except DecodeError as error:
        return undecodable(str(error))
    # Aggregates are compared first, as in `verify`: what took place before is not known here.
    processor = Processor(
        dump.network, dump.trusted_block_root, backend=backend, audit_committees=True
    )
    processor.store = None if dump.store is None else dump.store.copy()
    return processor.process(value, dump.time_ms).verdict


def findings(dump: RefusedObject, backend: Backend) -> list[str]:
    """What else the object and its circumstances tell: sentences, perhaps none."""
    rule = dump.verdict.rule
    found = list(_of_network(dump))
    look = _LOOKS.get(rule) if rule is not None else None
    if look is not None:
        found += look(dump, backend)
    return found


def _of_network(dump: RefusedObject) -> Iterator[str]:
    ours = network_by_name(dump.network.name) if dump.network.name in NETWORK_NAMES else None
    if ours is None:
        return
    theirs = dump.network
    if (ours.genesis_time, ours.genesis_validators_root) != (
        theirs.genesis_time,
        theirs.genesis_validators_root,
    ):
        yield f"the network calls itself {ours.name}, but its genesis is not that of {ours.name}"
        return
    here, there = config_mapping(ours), config_mapping(theirs)
    differing = sorted(key for key in here if here[key] != there.get(key))
    if differing:
        yield (
            f"the program that refused it and this one have different values for {ours.name}:"
            f" {', '.join(differing[:6])}"
        )


# What each rule's refusal gives occasion to look at -----------------------------------------------


def _of_clock(dump: RefusedObject, _: Backend) -> Iterator[str]:
    network = dump.network
    if network.is_before_genesis_ms(dump.time_ms):
        yield "the clock stood before the network's genesis"
    slot = _signature_slot(dump)
    if slot is None:
        return
    seconds = (network.slot_start_ms(slot) - dump.time_ms) / 1000
    yield f"the signature's slot begins {duration(seconds)} after the time of this clock"
    if seconds <= 2 * network.slot_duration_ms / 1000:
        yield "a clock that is slow by so little is the likeliest reason"


def _of_header(dump: RefusedObject, _: Backend) -> Iterator[str]:
    for header in _headers(dump):
        slot = header.beacon.slot
        fork = dump.network.fork_at_slot(slot)
        if fork.data_format is not header.data_format:
            yield (
                f"slot {slot} is of fork {fork.name}, whose headers have format"
                f" {fork.data_format.name}; this one came in format {header.data_format.name}"
            )


def _of_trusted_root(dump: RefusedObject, _: Backend) -> Iterator[str]:
    if not isinstance(dump.refused, LightClientBootstrap) or dump.trusted_block_root is None:
        return
    header = dump.refused.header
    execution = header.execution
    roots = {
        "parent block's root": header.beacon.parent_root,
        "state root": header.beacon.state_root,
        "body root": header.beacon.body_root,
        "execution block hash": header.execution_block_hash or (execution and execution.block_hash),
        "execution state root": execution and execution.state_root,
    }
    for name, root in roots.items():
        if root == dump.trusted_block_root:
            yield f"the trusted block root is not a block's root but the {name} of slot " + str(
                header.beacon.slot
            )


def _of_period(dump: RefusedObject, _: Backend) -> Iterator[str]:
    slot = _signature_slot(dump)
    if slot is None or dump.store is None:
        return
    period = dump.network.compute_sync_committee_period_at_slot
    ahead = period(slot) - period(dump.store.finalized_header.beacon.slot)
    now = period(dump.network.slot_at_time_ms(dump.time_ms))
    if ahead > 0:
        yield f"the store was {ahead} periods behind the object, and the clock at period {now}"
    else:
        yield f"the object is {-ahead} periods older than the store"


def _of_signature(dump: RefusedObject, backend: Backend) -> Iterator[str]:
    check = _SignatureCheck.of(dump, backend)
    if check is None:
        return
    network, version = dump.network, check.version
    for scheduled in network.forks:
        if scheduled.version != version and check.holds(scheduled.version):
            yield (
                f"the signature holds under the version of fork {scheduled.fork.name}"
                f" (0x{scheduled.version.hex()}): the fork schedules here and there differ"
            )
    epoch = network.compute_epoch_at_slot(max(check.update.signature_slot, 1) - 1)
    for name in NETWORK_NAMES:
        other = network_by_name(name)
        root = other.genesis_validators_root
        same = root == network.genesis_validators_root
        if not same and check.holds(other.compute_fork_version(epoch), root):
            yield f"the signature holds on network {name}: the genesis validators root is wrong"
    if check.other_committee is not None and check.holds(version, of=check.other_committee):
        yield "the signature is by the committee of the other period that the store knows"


def _of_conflict(dump: RefusedObject, backend: Backend) -> Iterator[str]:
    check = _SignatureCheck.of(dump, backend)
    if check is None:
        return
    if check.holds(check.version):
        yield (
            "the committee in force signed this object as well: two committees of one period are"
            " vouched for, which honest validators never do; keep this file as evidence"
        )
    else:
        yield "its signature does not hold either: it is forged, or of another chain"


def _of_bytes(dump: RefusedObject, _: Backend) -> Iterator[str]:
    value = dump.refused
    if not isinstance(value, Undecoded):
        return
    yield f"{len(value.content)} bytes came" + (
        f", labelled {value.content_type}" if value.content_type else ""
    )
    for preset in PRESETS.values():
        network = replace(dump.network, preset=preset)
        same_size = preset.sync_committee_size == dump.network.preset.sync_committee_size
        for kind in ObjectKind:
            if same_size and kind is value.kind:
                continue
            try:
                decode_again(replace(value, kind=kind), network)
            except DecodeError:
                continue
            size = "" if same_size else f" of a network with the {preset.name} preset"
            yield f"they are a whole {kind}{size}"
            return


_LOOKS: dict[Rule, Callable[[RefusedObject, Backend], Iterator[str]]] = {
    Rule.UNDECODABLE: _of_bytes,
    Rule.INVALID_BOOTSTRAP_HEADER: _of_header,
    Rule.BOOTSTRAP_ROOT_MISMATCH: _of_trusted_root,
    Rule.INVALID_ATTESTED_HEADER: _of_header,
    Rule.INVALID_FINALIZED_HEADER: _of_header,
    Rule.SIGNATURE_SLOT_IN_FUTURE: _of_clock,
    Rule.PERIOD_NOT_COVERED: _of_period,
    Rule.CONFLICTING_NEXT_COMMITTEE: _of_conflict,
    Rule.BAD_SIGNATURE: _of_signature,
}


class _SignatureCheck:
    """One update's signature, tried under fork versions, networks and committees."""

    def __init__(
        self, update: LightClientUpdate, store: LightClientStore, network: Network, backend: Backend
    ) -> None:
        committee = signing_committee(store, update.signature_slot, network)
        assert committee is not None  # what `of` looks at
        self.update = update
        self.version = compute_signature_fork_version(update.signature_slot, network)
        self.other_committee = (
            store.next_sync_committee
            if committee is store.current_sync_committee
            else store.current_sync_committee
        )
        self._committee = committee
        self._validators_root = network.genesis_validators_root
        self._signatures = SignatureVerifier(backend)

    @classmethod
    def of(cls, dump: RefusedObject, backend: Backend) -> _SignatureCheck | None:
        """For the update in ``dump``; None if it is none, or the store has no committee for it."""
        value, store, network = dump.refused, dump.store, dump.network
        if store is None or isinstance(value, Undecoded | LightClientBootstrap):
            return None
        if signing_committee(store, value.signature_slot, network) is None:
            return None
        return cls(value.as_update(network.preset.sync_committee_size), store, network, backend)

    def holds(
        self, version: bytes, validators_root: bytes = b"", of: SyncCommittee | None = None
    ) -> bool:
        """Whether it holds under this fork version; defaults are what the store says."""
        domain = compute_domain(
            DOMAIN_SYNC_COMMITTEE, version, validators_root or self._validators_root
        )
        aggregate = self.update.sync_aggregate
        return CommitteeSignature(
            self._signatures.keys_of(of or self._committee),
            aggregate.sync_committee_bits,
            compute_signing_root(self.update.attested_header.beacon.hash_tree_root(), domain),
            aggregate.sync_committee_signature,
        ).is_valid()


def _signature_slot(dump: RefusedObject) -> int | None:
    value = dump.refused
    if isinstance(value, LightClientBootstrap):
        return value.header.beacon.slot
    return None if isinstance(value, Undecoded) else value.signature_slot


def _headers(dump: RefusedObject) -> list[LightClientHeader]:
    value = dump.refused
    if isinstance(value, Undecoded):
        return []
    finalized = getattr(value, "finalized_header", None)
    headers = [value.main_header]
    if isinstance(finalized, LightClientHeader) and not finalized.is_default:
        headers.append(finalized)
    return headers


def duration(seconds: float) -> str:
    """A time span for people, in the largest unit that it fills."""
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} seconds"
