"""What a fault is, and how several act on one answer.

A fault is a small object that may act at four places: on what the server knows (``view``), before
it answers (``before``), on the objects (``objects``), and on the bytes (``answer``, ``body``). In
process there are no bytes; there ``in_process`` does what a client would make of them.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from typing import ClassVar

from lightclient.containers import LightClientObject
from lightclient.simulator.exchange import Answer, Asked
from lightclient.simulator.views import ChainView, honest_objects


class Fault:
    """Honest in everything; a real fault overrides what it spoils.

    Args:
        rng: draws whatever the fault has to choose; its own, so that faults do not disturb each
            other.
        chance: of acting on a request that it applies to, 0 to 1.

    Attributes:
        name: stable; names the fault in seeds, logs and tests.
        is_on_wire: whether it works on bytes: in process it is played, not done.
        needs_dishonest_committee: whether it shows what only a sync committee can sign that breaks
            the assumption all light clients make. No client can be blamed for believing it.
    """

    name: ClassVar[str] = "none"
    is_on_wire: ClassVar[bool] = False
    needs_dishonest_committee: ClassVar[bool] = False

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        self.rng = rng
        self.chance = chance

    def __repr__(self) -> str:
        often = "" if self.chance == 1.0 else f" {self.chance:.0%}"
        return f"<{self.name}{often}>"

    def applies_to(self, asked: Asked) -> bool:
        """Whether there is anything in an answer to ``asked`` that this spoils."""
        return asked.kind is not None

    def view(self, view: ChainView) -> ChainView:
        """What the server knows."""
        return view

    async def before(self, asked: Asked, view: ChainView) -> None:
        """Wait, or raise Refusal or ConnectionLost, before there is an answer."""

    def objects(
        self, asked: Asked, values: list[LightClientObject], view: ChainView
    ) -> list[LightClientObject]:
        """The objects of the answer; empty means that there is none."""
        return values

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        """The answer before it is sent; may be changed in place."""
        return answer

    def body(self, asked: Asked, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        """The answer's body as it is sent; raising ConnectionLost resets the connection."""
        return body

    async def in_process(
        self, asked: Asked, values: list[LightClientObject]
    ) -> list[LightClientObject]:
        """What a client gets of ``values`` where no bytes are sent; may wait or raise BrokenOff."""
        return values

    def is_down(self, view: ChainView) -> bool:
        """Whether connections are refused now."""
        return False


class Episode:
    """The faults that act on one request, in the order given."""

    def __init__(self, faults: Sequence[Fault], asked: Asked, view: ChainView) -> None:
        self.faults = faults
        self.asked = asked
        for fault in faults:
            view = fault.view(view)
        self.view = view

    async def before(self) -> None:
        """Let all faults wait or refuse. Raises Refusal or ConnectionLost."""
        for fault in self.faults:
            await fault.before(self.asked, self.view)

    def objects(self) -> list[LightClientObject]:
        """The objects of the answer, spoilt."""
        values = honest_objects(self.view, self.asked)
        for fault in self.faults:
            values = fault.objects(self.asked, values, self.view)
        return values

    def answer(self, answer: Answer) -> Answer:
        """The answer over HTTP, spoilt."""
        for fault in self.faults:
            answer = fault.answer(self.asked, answer, self.view)
        return answer

    async def body(self, pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
        """The body in the pieces in which it is sent."""
        stages = [pieces]
        for fault in self.faults:
            stages.append(fault.body(self.asked, stages[-1]))
        try:
            async for piece in stages[-1]:
                yield piece
        finally:
            for stage in reversed(stages):
                if isinstance(stage, AsyncGenerator):
                    await stage.aclose()

    async def in_process(self, values: list[LightClientObject]) -> list[LightClientObject]:
        """What arrives without bytes. Raises BrokenOff."""
        for fault in self.faults:
            values = await fault.in_process(self.asked, values)
        return values


class FaultSet:
    """The faults of one server; ``faults`` may be replaced at any time.

    Args:
        rng: decides which faults act on a request.

    Attributes:
        injected: how many requests each fault acted on, by its name.
        requests: how many there were.
    """

    def __init__(self, faults: Iterable[Fault] = (), rng: random.Random | None = None) -> None:
        self.faults: tuple[Fault, ...] = tuple(faults)
        self.rng = rng or random.Random(0)
        self.injected: Counter[str] = Counter()
        self.requests = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Of the faults now in force."""
        return tuple(fault.name for fault in self.faults)

    def begin(self, asked: Asked, view: ChainView) -> Episode:
        """Decide what happens to one request."""
        self.requests += 1
        acting = [
            fault
            for fault in self.faults
            if fault.applies_to(asked) and (fault.chance >= 1 or self.rng.random() < fault.chance)
        ]
        self.injected.update(fault.name for fault in acting)
        return Episode(acting, asked, view)

    def is_down(self, view: ChainView) -> bool:
        """Whether connections are refused now."""
        return any(fault.is_down(view) for fault in self.faults)
