"""The stage on which forged objects appear: an honest chain in one fork and a prepared store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property

from lightclient.config import FORKS_BY_NAME, DataFormat, Network
from lightclient.containers import (
    AnyUpdate,
    LightClientBootstrap,
    LightClientObject,
    LightClientUpdate,
    ObjectKind,
    SyncCommittee,
    encode_ssz,
)
from lightclient.protocol import Rule, VerdictKind, verdict_of
from lightclient.protocol.excerpts import (
    create_light_client_finality_update,
    create_light_client_optimistic_update,
)
from lightclient.simulator.blocks import Checkpoint, SimulatedBlock
from lightclient.simulator.chain import SimulatedChain
from lightclient.simulator.networks import simulated_network


class Stage(StrEnum):
    """What the store has seen before the forgery comes."""

    NO_STORE = "no_store"
    NEXT_UNKNOWN = "next_unknown"
    """A bootstrap."""
    NEXT_KNOWN = "next_known"
    """That, and an update that brought the next committee."""
    FOLLOWED = "followed"
    """That, and an optimistic update."""


@dataclass(frozen=True)
class Forgery:
    """A forged object and when it comes.

    Attributes:
        name: unique within a scene.
        value: the object; None if no object has these bytes.
        encoded: its SSZ, in ``data_format``.
        trusted_block_root: what a bootstrap is judged against.
    """

    rule: Rule
    name: str
    kind: ObjectKind
    stage: Stage
    value: LightClientObject | None = field(repr=False)
    encoded: bytes = field(repr=False)
    data_format: DataFormat = field(repr=False)
    trusted_block_root: bytes
    current_slot: int

    @property
    def verdict(self) -> VerdictKind:
        """What the rule leads to."""
        return verdict_of(self.rule).kind


class Scene:
    """An honest chain in one fork, and what leads a store to each stage.

    Before Capella headers prove nothing of their execution, so they can be wrong only by belonging
    to a later slot: there Capella follows in the middle of the third period.

    Args:
        fork: the fork of all blocks up to the head.
    """

    def __init__(self, fork: str, *, preset: str = "minimal", seed: int = 0) -> None:
        shape = simulated_network(preset).preset
        epoch, period = shape.slots_per_epoch, shape.slots_per_sync_committee_period
        self.later_fork_slot = 2 * period + 4 * epoch
        epochs = {fork: 0}
        if FORKS_BY_NAME[fork].data_format.header == "bare":
            epochs["capella"] = self.later_fork_slot // epoch
        self.fork = FORKS_BY_NAME[fork]
        self.epoch_slots, self.period_slots = epoch, period
        self.chain = SimulatedChain(
            simulated_network(preset, epochs), seed=seed, dense_from_slot=period - epoch
        )
        self.head_slot = self.later_fork_slot - epoch
        self.chain.advance_to(self.head_slot)
        self.trusted = self.chain.block_at(period + 2 * epoch)
        self.known_slot = period + 5 * epoch + 3
        self.signature_slot = period + 6 * epoch + 3

    @property
    def network(self) -> Network:
        """The chain's network."""
        return self.chain.network

    @cached_property
    def bootstrap(self) -> LightClientBootstrap:
        """The honest bootstrap of the trusted block."""
        bootstrap = self.chain.bootstrap(self.trusted.root)
        assert bootstrap is not None
        return bootstrap

    @cached_property
    def known_update(self) -> LightClientUpdate:
        """Brings the next committee."""
        return self.chain.update_signed_by(self.chain.block_at(self.known_slot))

    @cached_property
    def honest(self) -> LightClientUpdate:
        """Accepted at both stages with a store; most forgeries begin as this."""
        attested = self.chain.block_at(self.signature_slot - 1)
        return self.chain.update_attesting(attested, self.signature_slot)

    @cached_property
    def followed_update(self) -> AnyUpdate:
        """The optimistic update of the stage FOLLOWED."""
        return create_light_client_optimistic_update(self.honest)

    def before(self, stage: Stage) -> list[tuple[LightClientObject, int]]:
        """What is accepted before the forgery comes, each with its current slot."""
        steps: list[tuple[LightClientObject, int]] = [
            (self.bootstrap, self.trusted.slot),
            (self.known_update, self.known_slot),
            (self.followed_update, self.signature_slot),
        ]
        return steps[: list(Stage).index(stage)]

    # Where a forgery needs another block, honest in itself ---------------------------------------

    @property
    def other_trusted(self) -> SimulatedBlock | None:
        """Another block with a bootstrap than the trusted one; None if there is none."""
        return self.chain.block_at(self.period_slots)

    @property
    def later_block(self) -> SimulatedBlock:
        """A block after the signature."""
        return self.chain.block_at(self.signature_slot + self.epoch_slots)

    @property
    def unfinalized_block(self) -> SimulatedBlock:
        """A block that the attested state does not finalize."""
        return self.chain.block_at(self.honest.finalized_header.beacon.slot + 1)

    # Making --------------------------------------------------------------------------------------

    def forged_block(
        self,
        slot: int,
        *,
        finalized: Checkpoint | None = None,
        next_sync_committee: SyncCommittee | None = None,
    ) -> SimulatedBlock:
        """A block beside the chain whose state says something else."""
        chain = self.chain
        parent = chain.block_at(slot - 1)
        empty = chain.committee_at_slot(slot).sign(chain.backend, b"", ())
        contents = chain.contents_at(parent, slot, empty)
        if finalized is not None:
            contents = replace(contents, finalized=finalized)
        if next_sync_committee is not None:
            contents = replace(contents, next_sync_committee=next_sync_committee)
        return chain.make_block(parent, slot, contents)

    def other_committee(self) -> SyncCommittee:
        """A committee of no period near."""
        return self.chain.keys.committee(1_000_000).public

    def checkpoint(self, block: SimulatedBlock) -> Checkpoint:
        """A checkpoint of any block."""
        return Checkpoint(self.network.compute_epoch_at_slot(block.slot), block.root)

    def forgery(
        self,
        rule: Rule,
        name: str,
        value: LightClientObject,
        stage: Stage = Stage.NEXT_KNOWN,
        *,
        current_slot: int | None = None,
        trusted_block_root: bytes | None = None,
    ) -> Forgery:
        """An encoded object as a forgery, by default at the stage NEXT_KNOWN."""
        slot = self.head_slot + 2 * self.epoch_slots if current_slot is None else current_slot
        root = self.trusted.root if trusted_block_root is None else trusted_block_root
        encoded = encode_ssz(value)
        return Forgery(rule, name, value.kind, stage, value, encoded, value.data_format, root, slot)

    def updates(
        self, rule: Rule, name: str, update: LightClientUpdate, stage: Stage = Stage.NEXT_KNOWN
    ) -> Iterator[Forgery]:
        """The same forgery as a full, a finality and an optimistic update."""
        yield self.forgery(rule, name, update, stage)
        finality_update = create_light_client_finality_update(update)
        yield self.forgery(rule, f"{name}_finality", finality_update, stage)
        optimistic_update = create_light_client_optimistic_update(update)
        yield self.forgery(rule, f"{name}_optimistic", optimistic_update, stage)
