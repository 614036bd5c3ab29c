"""Asks providers which network and forks they know of, and says what does not agree.

A provider that says itself that it is on another network is not asked for anything: that harms
nobody but itself. A fork that the client does not know is told of as soon as somebody announces it.
From its epoch on nothing verifies any more, as signatures are made for another fork version; the
client then says why, and gives up once nobody contradicts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from lightclient.client.providers import Provider
from lightclient.client.schedules import (
    ScheduleChange,
    date_of_epoch,
    other_network,
    schedule_changes,
)
from lightclient.client.status import Reason
from lightclient.config import Network
from lightclient.errors import NotServed, TransportError, UnknownFork, WrongNetwork
from lightclient.sync import VerifiedHeader
from lightclient.transports.base import AnnouncesNetwork, Genesis, Spec

_logger = logging.getLogger("lightclient")

_CHECK_EPOCHS = 16
_CHECK_AGAIN_EPOCHS = 2
"""How soon to ask again somebody who failed, or who was on another network."""
_GRACE_EPOCHS = 2
"""So long after an unknown fork nothing may verify before the client gives up."""


@dataclass(slots=True)
class _Announced:
    """What was last heard from a provider; ``changes`` is None until it told its schedule."""

    checked_ms: int | None = None
    has_failed: bool = False
    changes: tuple[ScheduleChange, ...] | None = None


@dataclass(slots=True)
class _Open:
    """A change that nothing has disproved, with how long nothing was verified since its epoch."""

    announced_by: list[str] = field(default_factory=list)
    idle_slots: float = 0.0
    told_period: int | None = None


class ScheduleWatch:
    """Asks, compares, warns, and in the end fails closed.

    Args:
        clock: Unix milliseconds.

    Raises of its methods are told there; nothing a provider announces makes them raise, except
    where no provider contradicts.
    """

    def __init__(
        self, network: Network, providers: Sequence[Provider], clock: Callable[[], int]
    ) -> None:
        self._network = network
        self._providers = tuple(providers)
        self._clock = clock
        self._announced = {provider: _Announced() for provider in self._providers}
        self._open: dict[ScheduleChange, _Open] = {}
        self._last_ms: int | None = None
        self._last_mark: object = None

    # Asking -------------------------------------------------------------------------------------

    async def check_networks(self) -> None:
        """Before the sync: ask all at once which network they are on.

        Takes a quarter of a slot at most: who has not answered by then is asked later.

        Raises:
            WrongNetwork: every provider is on another one.
        """
        with anyio.move_on_after(self._network.slot_duration_ms / 4000):
            async with anyio.create_task_group() as tasks:
                for provider in self._providers:
                    tasks.start_soon(self._check_network, provider)
        wrong = [p for p in self._providers if p.wrong_network is not None]
        if wrong and len(wrong) == len(self._providers):
            said = "; ".join(f"{p.name} serves {p.wrong_network}" for p in wrong[:5])
            raise WrongNetwork(
                f"no provider serves {self._network.name}: {said}: check --network and the URLs",
                provider=wrong[0].name,
            )

    async def check_due(self) -> None:
        """Ask those whom it is time to ask; all at once."""
        now_ms = self._clock()
        async with anyio.create_task_group() as tasks:
            for provider in self._providers:
                if self._is_due(provider, now_ms):
                    tasks.start_soon(self._check, provider)

    def ask_again(self) -> None:
        """Forget when everybody was last asked: time jumped, and nobody knows what happened."""
        for announced in self._announced.values():
            announced.checked_ms = None

    def _is_due(self, provider: Provider, now_ms: int) -> bool:
        announced = self._announced[provider]
        if announced.checked_ms is None or now_ms < announced.checked_ms:
            return True
        soon = announced.has_failed or provider.wrong_network is not None
        epochs = _CHECK_AGAIN_EPOCHS if soon else _CHECK_EPOCHS
        slots = epochs * self._network.preset.slots_per_epoch
        return now_ms - announced.checked_ms >= slots * self._network.slot_duration_ms

    async def _check_network(self, provider: Provider) -> None:
        transport = _announcing(provider)
        if transport is None:
            return
        genesis = await self._genesis(provider, transport)
        spec = None
        if genesis is None or other_network(self._network, genesis, None) is not None:
            spec = await self._spec(provider, transport)
        self._judge_network(provider, genesis, spec)

    async def _check(self, provider: Provider) -> None:
        transport = _announcing(provider)
        if transport is None:
            return
        announced = self._announced[provider]
        announced.checked_ms = self._clock()
        genesis = await self._genesis(provider, transport)
        spec = await self._spec(provider, transport)
        self._judge_network(provider, genesis, spec)
        if spec is not None and provider.wrong_network is None:
            announced.changes = schedule_changes(self._network, spec)
        elif provider.wrong_network is not None:
            announced.changes = None

    async def _genesis(self, provider: Provider, transport: AnnouncesNetwork) -> Genesis | None:
        if provider.has_asked_for_pause(self._clock()):
            return None
        try:
            return await transport.get_genesis()
        except TransportError as error:
            _logger.debug("No genesis: %s", error)
            provider.note_pause(error, self._clock())
            return None

    async def _spec(self, provider: Provider, transport: AnnouncesNetwork) -> Spec | None:
        announced = self._announced[provider]
        if provider.has_asked_for_pause(self._clock()):
            announced.has_failed = True
            return None
        try:
            spec = await transport.get_spec()
        except TransportError as error:
            _logger.debug("No configuration: %s", error)
            provider.note_pause(error, self._clock())
            announced.has_failed = not isinstance(error, NotServed)
            return None
        announced.has_failed = False
        return spec

    def _judge_network(
        self, provider: Provider, genesis: Genesis | None, spec: Spec | None
    ) -> None:
        if genesis is None and spec is None:
            return  # silence does not clear a provider, nor accuse it
        before = provider.wrong_network
        provider.wrong_network = other_network(self._network, genesis, spec)
        fields = {"provider": provider.name, "serves": provider.wrong_network}
        if provider.wrong_network not in (None, before):
            _logger.error(
                "This provider serves another network, not %s: it is not asked",
                self._network.name,
                extra={"lc": fields},
            )
        elif before is not None and provider.wrong_network is None:
            _logger.info(
                "This provider serves %s now: it is asked again",
                self._network.name,
                extra={"lc": {"provider": provider.name}},
            )

    # Comparing ----------------------------------------------------------------------------------

    def tick(self, head: VerifiedHeader | None, mark: object) -> None:
        """Once a slot: tell of changes, and count for how long nothing verifies after one.

        Args:
            head: the optimistic header.
            mark: changes with all that is verified.

        Raises:
            UnknownFork: an unknown fork has begun, and nobody contradicts.
        """
        now_ms = self._clock()
        self._gather(head)
        passed_slots = self._passed_slots(now_ms)
        has_progress, self._last_mark = mark != self._last_mark, mark
        epoch = self._network.compute_epoch_at_slot(self._network.slot_at_time_ms(now_ms))
        for change, item in self._open.items():
            self._tell(change, item, epoch)
            if change.epoch is None or epoch < change.epoch or has_progress:
                item.idle_slots = 0.0
                continue
            item.idle_slots += passed_slots
            grace_slots = _GRACE_EPOCHS * self._network.preset.slots_per_epoch
            if item.idle_slots > grace_slots and self._is_uncontradicted(change):
                raise UnknownFork(self._sentence(change, item, epoch))

    def _passed_slots(self, now_ms: int) -> float:
        """Waking time since the last tick: two slots at most."""
        last_ms, self._last_ms = self._last_ms, now_ms
        passed_ms = 0 if last_ms is None else now_ms - last_ms
        return min(max(passed_ms / self._network.slot_duration_ms, 0.0), 2.0)

    def _gather(self, head: VerifiedHeader | None) -> None:
        """Who announces what, without what is disproved."""
        found: dict[ScheduleChange, list[str]] = {}
        for provider, announced in self._announced.items():
            for change in announced.changes or ():
                if not self._is_disproved(change, head):
                    found.setdefault(change, []).append(provider.name)
        kept = {change: self._open.get(change, _Open()) for change in found}
        for change, item in kept.items():
            item.announced_by = found[change]
        self._open = kept

    def _is_disproved(self, change: ScheduleChange, head: VerifiedHeader | None) -> bool:
        """Whether a committee's signature from after the change holds by the schedule we know."""
        if change.epoch is None or head is None or head.signature_slot is None:
            return False
        # The signature slot is later than this: the fork version signed for is of this epoch or on.
        return head.slot >= self._network.compute_start_slot_at_epoch(change.epoch)

    def _is_uncontradicted(self, change: ScheduleChange) -> bool:
        """Whether all who ever told a schedule announce it, and they are two, or all there are."""
        told = [a.changes for a in self._announced.values() if a.changes is not None]
        return len(told) >= min(2, len(self._providers)) and all(change in c for c in told)

    # Telling ------------------------------------------------------------------------------------

    def _tell(self, change: ScheduleChange, item: _Open, epoch: int) -> None:
        """Once, again in every period that precedes the change, and once it is there."""
        period = 0
        if change.epoch is not None:
            left = max(change.epoch - epoch, 0)
            period = self._network.compute_sync_committee_period(left) + (left > 0)
        # Months ahead, once is enough; in the last two weeks or so, once a period.
        period = min(period, 14)
        if item.told_period == period:
            return
        item.told_period = period
        level = logging.INFO if change.epoch is None else logging.WARNING
        _logger.log(
            level,
            _headline(change, epoch),
            extra={
                "lc": {
                    "key": change.key,
                    "ours": change.ours,
                    "announced": change.theirs,
                    "date": date_of_epoch(self._network, change.epoch)
                    if change.epoch is not None
                    else None,
                    "providers": ",".join(item.announced_by),
                    "hint": "update this program before" if change.epoch is not None else None,
                }
            },
        )

    def _sentence(self, change: ScheduleChange, item: _Open, epoch: int) -> str:
        what = f"the fork {change.fork!r}"
        if not change.is_unknown_fork:
            what = f"another schedule ({change.key}: {change.theirs}, here {change.ours})"
        assert change.epoch is not None
        tense = "since" if epoch >= change.epoch else "from"
        return (
            f"{len(item.announced_by)} of {len(self._providers)} provider(s) announce {what}"
            f" {tense} epoch {change.epoch} ({date_of_epoch(self._network, change.epoch)}), which"
            " this version does not know: nothing after that can be verified; update it"
        )

    def concerns(self) -> tuple[Reason, ...]:
        """What is announced and not disproved, if it would keep anything from being verified."""
        epoch = self._network.compute_epoch_at_slot(self._network.slot_at_time_ms(self._clock()))
        return tuple(
            Reason(
                "unknown_fork" if epoch >= change.epoch else "fork_ahead",
                self._sentence(change, item, epoch),
            )
            for change, item in self._open.items()
            if change.epoch is not None
        )

    @property
    def next_unknown_epoch(self) -> int | None:
        """The first epoch of those from which on nothing can be verified, if any is announced."""
        return min((c.epoch for c in self._open if c.epoch is not None), default=None)


def _headline(change: ScheduleChange, epoch: int) -> str:
    if change.epoch is None:
        return "A provider announces another configuration; what is verified does not depend on it"
    if epoch >= change.epoch:
        return (
            "A fork is announced as begun that this version does not know: nothing after verifies"
        )
    return "A fork is announced that this version does not know: from then on nothing verifies"


def _announcing(provider: Provider) -> AnnouncesNetwork | None:
    """The provider's transport, if it can ask for announcements."""
    transport = provider.transport
    has_both = hasattr(transport, "get_spec") and hasattr(transport, "get_genesis")
    return transport if has_both else None  # type: ignore[return-value]
