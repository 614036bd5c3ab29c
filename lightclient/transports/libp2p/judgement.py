"""What to do with a gossiped update: pass it on, keep silent, or hold it against its sender.

The rules are those of the specification (altair p2p-interface) as Nimbus has them. An update is
judged like any other first; this decides what its verdict means for others.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from lightclient.config import Network
from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    ObjectKind,
    decode_ssz,
    format_of_digest,
)
from lightclient.errors import DecodeError
from lightclient.protocol import VerdictKind
from lightclient.sync import Outcome
from lightclient.wire.gossip import (
    FINALITY_UPDATE,
    OPTIMISTIC_UPDATE,
    Topic,
    decode_update,
    topic_of,
)

MAXIMUM_GOSSIP_CLOCK_DISPARITY_MS: Final = 500

PushedUpdate: TypeAlias = LightClientFinalityUpdate | LightClientOptimisticUpdate
_KINDS: Final = {
    FINALITY_UPDATE: ObjectKind.FINALITY_UPDATE,
    OPTIMISTIC_UPDATE: ObjectKind.OPTIMISTIC_UPDATE,
}


class Acceptance(Enum):
    """The three results of gossip validation."""

    ACCEPT = "accept"
    IGNORE = "ignore"
    REJECT = "reject"


def decode_gossip(topic: Topic, content: bytes, network: Network) -> PushedUpdate:
    """The update of a message, told under the right fork digest and in that fork's form.

    Peers that go by the signature's slot name a fork's digest one update too early: theirs are
    read, too, and are not for others (:func:`~lightclient.wire.gossip.topic_of` differs).

    Raises:
        DecodeError: it is none, or of another fork than its topic. Such a message is to be
            rejected.
    """
    kind = _KINDS.get(topic.name)
    if kind is None:
        raise DecodeError(f"nothing is known of {topic.name}")
    update = decode_ssz(kind, content, network, (format_of_digest(topic.fork_digest, network),))
    assert isinstance(update, LightClientFinalityUpdate | LightClientOptimisticUpdate)
    if topic_of(update, network) == topic:
        # In no other form, either: the rules take newer ones, those whom we tell do not.
        return decode_update(topic, content, network)
    # The attested block decides. At a fork's first slots Lodestar goes by the signature instead.
    signed = network.compute_fork_digest(network.compute_epoch_at_slot(update.signature_slot))
    if topic.fork_digest != signed:
        slot = update.attested_header.beacon.slot
        raise DecodeError(f"an update of slot {slot} under another fork's digest")
    return update


def is_too_early(update: PushedUpdate, network: Network, now_ms: int) -> bool:
    """Whether the signature's slot has not gone on for long enough for updates to be told."""
    slot = update.signature_slot
    told_from_ms = network.slot_start_ms(slot) + network.get_sync_message_due_ms(slot)
    return now_ms + MAXIMUM_GOSSIP_CLOCK_DISPARITY_MS < told_from_ms


@dataclass(slots=True)
class GossipRules:
    """Decides, and remembers the finality update that was last passed on."""

    network: Network
    _last_passed_on: LightClientFinalityUpdate | None = None

    def decide(
        self,
        update: PushedUpdate,
        outcome: Outcome | None,
        now_ms: int,
        *,
        is_at_home: bool = True,
    ) -> Acceptance:
        """What the outcome of judging ``update`` means for others; None: it was not judged.

        Args:
            is_at_home: it came on the topic of its attested slot; others reject it elsewhere.
        """
        if outcome is None:
            return Acceptance.IGNORE
        if outcome.verdict.kind is VerdictKind.INVALID:
            return Acceptance.REJECT
        is_early = is_too_early(update, self.network, now_ms)
        if outcome.verdict.is_refusal or is_early or not is_at_home:
            return Acceptance.IGNORE
        if outcome.events:
            if isinstance(update, LightClientFinalityUpdate):
                self._last_passed_on = update
            return Acceptance.ACCEPT
        if isinstance(update, LightClientOptimisticUpdate) and self._matches_last(update):
            # The finality update brought this header already; others wait for both.
            self._last_passed_on = None
            return Acceptance.ACCEPT
        return Acceptance.IGNORE

    def _matches_last(self, update: LightClientOptimisticUpdate) -> bool:
        last = self._last_passed_on
        return last is not None and (
            last.attested_header == update.attested_header
            and last.sync_aggregate == update.sync_aggregate
            and last.signature_slot == update.signature_slot
        )
