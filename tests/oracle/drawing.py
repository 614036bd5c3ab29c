"""Draws the next object for a store: near what it would accept, near every boundary, or far off."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random

from lightclient.config import DataFormat
from lightclient.config.forks import DATA_FORMATS, FORKS_BY_NAME
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientHeader,
    LightClientUpdate,
    ObjectKind,
    SyncAggregate,
    encode_ssz,
    light_client_header_type,
    zero_branch,
)
from lightclient.protocol import (
    DOMAIN_SYNC_COMMITTEE,
    LightClientStore,
    compute_domain,
    compute_signature_fork_version,
    compute_signing_root,
)
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.ssz import ZERO_NODE
from tests.oracle.committees import Committees, Signers, bits_of, signed
from tests.oracle.forging import Forge, ForgedBlock
from tests.oracle.mutations import UPDATE_MUTATIONS, mutated_bootstrap, mutated_bytes
from tests.oracle.slots import UINT64_MAX, Slots
from tests.oracle.specification import Specification
from tests.oracle.worlds import World

CONFUSION = 0.03
MUTATED = 0.3


@dataclass(frozen=True)
class Step:
    """One object for the store, or a forced update (no kind).

    ``names`` say what was done to it.
    """

    kind: ObjectKind | None
    data_format: DataFormat
    data: bytes = field(repr=False)
    current_slot: int
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Start:
    """A bootstrap with the block root to trust."""

    step: Step
    trusted_block_root: bytes


class Drawer:
    """Draws for one sequence."""

    def __init__(
        self, draw: Random, world: World, specification: Specification, committees: Committees
    ) -> None:
        self.draw = draw
        self.world = world
        self.network = world.network
        self.committees = committees
        self.forge = Forge(world.network, specification, draw)
        self.slots = Slots(draw, world)
        self.period_slots = self.slots.period_slots
        self.newest_format = FORKS_BY_NAME[world.store_fork].data_format
        self._sent: list[Step] = []

    def _format_at(self, slot: int) -> tuple[DataFormat, str]:
        own = DATA_FORMATS.index(self.network.fork_at_slot(slot).data_format)
        newest = DATA_FORMATS.index(self.newest_format)
        chance = self.draw.random()
        if chance < 0.1 and own < newest:
            return DATA_FORMATS[self.draw.randrange(own + 1, newest + 1)], "newer_format"
        if chance > 0.97 and own > 0:
            return DATA_FORMATS[self.draw.randrange(own)], "older_format"
        return DATA_FORMATS[own], ""

    # Bootstraps ---------------------------------------------------------------------------------

    def bootstrap(self, *, hostile: bool) -> Start:
        """A bootstrap; a hostile one has something done to it."""
        draw, names = self.draw, []
        slot = self.slots.bootstrap()
        signers = self.committees.honest(self.slots.period(slot))
        if draw.random() < 0.08:
            signers = self.committees.hostile(draw)
            names.append(signers.name)
        data_format, name = self._format_at(slot)
        names.append(name)
        rows = self.forge.rows_at(slot, confusion=0.25 if hostile else 0.0)
        block = self.forge.block(
            slot, rows=rows, current_committee_root=signers.public.hash_tree_root()
        )
        bootstrap = LightClientBootstrap(
            data_format,
            self.forge.header(block, data_format),
            signers.public,
            self.forge.branch(
                block.state,
                rows.committees.current_sync_committee_gindex,
                data_format.current_sync_committee_branch_depth,
            ),
        )
        root = bootstrap.header.beacon.hash_tree_root()
        if hostile and draw.random() < 0.6:
            name, bootstrap = mutated_bootstrap(draw, bootstrap, self.forge, self.committees)
            names.append(name)
        if hostile and draw.random() < 0.4:
            root = bootstrap.header.beacon.hash_tree_root()
        elif hostile and draw.random() < 0.2:
            root = bootstrap.header.hash_tree_root()
        data = encode_ssz(bootstrap)
        if hostile and draw.random() < 0.3:
            name, data = mutated_bytes(draw, data)
            names.append(name)
        step = Step(ObjectKind.BOOTSTRAP, data_format, data, slot, _joined(names))
        return Start(step, root)

    # Updates ------------------------------------------------------------------------------------

    def step(self, store: LightClientStore) -> Step:
        """The next step: an object, an earlier one again, or a forced update."""
        draw = self.draw
        chance = draw.random()
        if chance < 0.06:
            timeout = store.finalized_header.beacon.slot + self.network.preset.update_timeout
            slot = timeout + draw.choice([0, 1, 1, -1, draw.randrange(10 * self.period_slots)])
            return Step(None, self.newest_format, b"", max(min(slot, UINT64_MAX), 0), ("forced",))
        if chance < 0.13 and self._sent:
            again = draw.choice(self._sent[-12:])
            slot = draw.choice([again.current_slot, again.current_slot + self.period_slots])
            return replace(again, current_slot=min(slot, UINT64_MAX), names=(*again.names, "again"))
        step = self._update_step(store)
        self._sent.append(step)
        if draw.random() < 0.03:  # comes later, if at all
            return self.step(store)
        return step

    def _update_step(self, store: LightClientStore) -> Step:
        draw = self.draw
        names: list[str] = []
        attested = self.slots.attested(store)
        signature_slot = self.slots.signature(attested)
        data_format, name = self._format_at(attested)
        names.append(name)
        update = self._update(store, attested, signature_slot, data_format, names)
        while draw.random() < MUTATED:
            name = draw.choice(list(UPDATE_MUTATIONS))
            update = UPDATE_MUTATIONS[name](draw, update, self.forge, self.committees)
            names.append(name)
        value = self._of_kind(update)
        data = encode_ssz(value)
        if draw.random() < 0.08:
            name, data = mutated_bytes(draw, data)
            names.append(name)
        kind = value.kind if draw.random() > 0.003 else draw.choice(list(ObjectKind)[1:])
        label = data_format
        if draw.random() < 0.02:
            formats = DATA_FORMATS[: DATA_FORMATS.index(self.newest_format) + 1]
            label = draw.choice(formats)
            names.append("relabelled")
        slot = draw.choices(
            [
                update.signature_slot,
                signature_slot,
                signature_slot + self.period_slots,
                signature_slot - 1,
            ],
            [6, 3, 3, 0.3],
        )[0]
        slot = min(max(slot, 0), UINT64_MAX)
        return Step(kind, label, data, slot, _joined(names))

    def _of_kind(self, update: LightClientUpdate) -> AnyUpdate:
        chance = self.draw.random()
        if chance < 0.55:
            return update
        if chance < 0.8:
            return create_light_client_finality_update(update)
        return create_light_client_optimistic_update(update)

    def _update(
        self,
        store: LightClientStore,
        attested: int,
        signature_slot: int,
        data_format: DataFormat,
        names: list[str],
    ) -> LightClientUpdate:
        draw = self.draw
        rows = self.forge.rows_at(attested, confusion=CONFUSION)
        finalized, finalized_root = self._finality(store, attested, data_format, names)
        committee = self._next_committee(store, attested, names)
        block = self.forge.block(
            attested,
            rows=rows,
            finalized_root=finalized_root,
            next_committee_root=committee.public.hash_tree_root(),
        )
        finality_branch = zero_branch(data_format.finality_branch_depth)
        if finalized is not None:
            finality_branch = self.forge.branch(
                block.state, rows.finality.finalized_root_gindex, len(finality_branch)
            )
        committee_branch = zero_branch(data_format.next_sync_committee_branch_depth)
        if draw.random() < 0.72:
            committee_branch = self.forge.branch(
                block.state, rows.committees.next_sync_committee_gindex, len(committee_branch)
            )
        else:
            committee = self.committees.default
        aggregate = self._aggregate(store, block, signature_slot, names)
        return LightClientUpdate(
            data_format,
            self.forge.header(block, data_format),
            committee.public,
            committee_branch,
            finalized or light_client_header_type(data_format).default(),
            finality_branch,
            aggregate,
            signature_slot,
        )

    def _finality(
        self, store: LightClientStore, attested: int, data_format: DataFormat, names: list[str]
    ) -> tuple[LightClientHeader | None, bytes]:
        draw = self.draw
        chance = draw.random()
        if chance < 0.2:
            return None, draw.randbytes(32)
        slot = self.slots.finalized(store, attested)
        if chance < 0.25 or (slot == 0 and draw.random() < 0.8):
            names.append("genesis_finality")
            return light_client_header_type(data_format).default(), ZERO_NODE
        block = self.forge.block(slot, rows=self.forge.rows_at(slot, confusion=CONFUSION))
        header = self.forge.header(block, data_format)
        root = ZERO_NODE if chance > 0.99 else header.beacon.hash_tree_root()
        return header, root

    def _next_committee(self, store: LightClientStore, attested: int, names: list[str]) -> Signers:
        draw = self.draw
        store_period = self.slots.period(store.finalized_header.beacon.slot)
        known = store.next_sync_committee
        if (
            known is not None
            and self.slots.period(attested) == store_period
            and draw.random() < 0.85
        ):
            signers = self.committees.of(known)
            if signers is not None:
                return signers
        if draw.random() < 0.1:
            signers = self.committees.hostile(draw)
            names.append(f"next: {signers.name}")
            return signers
        return self.committees.honest(self.slots.period(attested) + 1)

    # Signing ------------------------------------------------------------------------------------

    def _aggregate(
        self,
        store: LightClientStore,
        block: ForgedBlock,
        signature_slot: int,
        names: list[str],
    ) -> SyncAggregate:
        draw = self.draw
        signers = self._signers(store, signature_slot)
        seats = self._seats(store, signers)
        version = compute_signature_fork_version(signature_slot, self.network)
        if draw.random() < 0.03:
            version = draw.choice([item.version for item in self.network.forks])
            names.append("other_version")
        root = self.network.genesis_validators_root
        if draw.random() < 0.005:
            root = draw.randbytes(32)
            names.append("other_chain")
        domain = compute_domain(DOMAIN_SYNC_COMMITTEE, version, root)
        message = compute_signing_root(block.beacon.hash_tree_root(), domain)
        secret = signers.secret_of(seats)
        # What the aggregate key less the absent ones would verify, where it is not the sum.
        if not signers.aggregate_is_sum and signers.aggregate_secret and draw.random() < 0.3:
            secret = signers.secret_by_aggregate(seats)
            names.append("by_aggregate")
        signature = signed(self.committees.backend, secret, message)
        return SyncAggregate(bits_of(seats, len(signers.secrets)), signature)

    def _signers(self, store: LightClientStore, signature_slot: int) -> Signers:
        store_period = self.slots.period(store.finalized_header.beacon.slot)
        committee = store.current_sync_committee
        if self.slots.period(signature_slot) != store_period and store.next_sync_committee:
            committee = store.next_sync_committee
        if self.draw.random() < 0.03 and store.next_sync_committee:
            committee = store.next_sync_committee
        signers = self.committees.of(committee)
        return signers or self.committees.honest(self.slots.period(signature_slot))

    def _seats(self, store: LightClientStore, signers: Signers) -> list[int]:
        draw, size = self.draw, self.committees.size
        threshold = max(
            store.previous_max_active_participants, store.current_max_active_participants
        )
        two_thirds = -(-2 * size // 3)
        counts = [size, size, size, size, size - 1, two_thirds, two_thirds, two_thirds - 1]
        counts += [size // 2, size // 2 + 1, 1, draw.randrange(size + 1), draw.randrange(size + 1)]
        counts += [max(threshold // 2, 1), threshold // 2 + 1, 0 if draw.random() < 0.2 else size]
        able = [seat for seat in range(size) if signers.secrets[seat] is not None]
        if len(able) < size and able and draw.random() < 0.7:
            return draw.sample(able, min(draw.choice(counts), len(able)))
        if signers.name == "negations" and draw.random() < 0.3:
            return [0, 1]
        return draw.sample(range(size), min(draw.choice(counts), size))


def _joined(names: list[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name)
