"""One run: a victim, its attackers and two honest peers, and what became of them."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from tests.client.world import until
from tests.fuzz.histories import CHECKOUT
from tests.fuzz.p2p.attacker import LAYERS
from tests.fuzz.p2p.honest import HonestPeer, Service
from tests.fuzz.p2p.scene import SceneWorld, Target
from tests.transports.libp2p.world import address_of

MAX_GROWTH_MB = 192
"""Of the victim's resident memory over what it had before the attacks: what peers may hold unread
(48 MB, and 1 MB each), what is decoded of it, the chain that it simulates, and room."""
MAX_DESCRIPTORS = 256
MAX_TASKS = 4_000
MAX_HEAD_LAG = 4
"""Slots that the victim's head may lie behind."""
MAX_MISSED = 0.02
MIN_HEARD = 0.7
"""Share of the published messages that a third party hears of through the victim: when the second
honest peer is not connected it hears nothing, and a mesh may have other members at times."""
ENOUGH_INPUTS = 200
_START_SECONDS = 90
_LONGEST_SHORT_SECONDS = 240.0
_QUIET_SECONDS = 3.0
_REMEMBERED_CASES = 400


@dataclass
class Layer:
    """What one kind of attack came to."""

    cases: int = 0
    inputs: int = 0
    cut_off: int = 0
    failed: Counter[str] = field(default_factory=Counter)


@dataclass
class Report:
    """What a run came to; ``findings`` are sentences, none if all is well."""

    seconds: float = 0.0
    layers: dict[str, Layer] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    services: dict[str, Service] = field(default_factory=dict)
    published: int = 0
    heard: int = 0
    first_rss_mb: float = 0.0
    findings: list[str] = field(default_factory=list)
    cases: list[int] = field(default_factory=list)

    @property
    def is_enough(self) -> bool:
        """Whether half of all attacks were made, with more than a few inputs."""
        inputs = sum(layer.inputs for layer in self.layers.values())
        return inputs > ENOUGH_INPUTS and 2 * len(self.layers) >= len(LAYERS)

    def most(self, key: str) -> float:
        """The largest figure that the victim told."""
        return max((item.get(key, 0) for item in self.told), default=0)


class Run:
    """Plays cases for so many seconds.

    Args:
        numbers: the cases; all from 0 on if there are none.
        is_short: see :func:`judged`; goes on until enough was attacked, on a slow machine longer.
        log: where the victim logs to.
    """

    def __init__(
        self,
        seed: str,
        seconds: float,
        log: Path,
        numbers: Sequence[int] = (),
        *,
        is_short: bool = False,
    ) -> None:
        self._seed = seed
        self._seconds = seconds
        self._log = log
        self._numbers = numbers
        self._is_short = is_short
        self._begun: deque[int] = deque(maxlen=_REMEMBERED_CASES)
        self.report = Report()

    async def play(self) -> Report:
        """Play it all."""
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.write_text("", "ascii")
        started_ms = time.time_ns() // 1_000_000
        world = SceneWorld(started_ms)
        named = HonestPeer(world)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(named.node.run)
            await until(lambda: named.node.port, _START_SECONDS)
            arguments = [str(address_of(named.node)), str(started_ms), str(self._log)]
            async with _process("tests.fuzz.p2p.victim", arguments) as victim:
                await self._play_with(victim, named, nursery)
            nursery.cancel_scope.cancel()
        self._judge()
        return self.report

    async def _play_with(
        self, victim: trio.Process, named: HonestPeer, nursery: trio.Nursery
    ) -> None:
        lines = _lines(victim)
        with trio.fail_after(_START_SECONDS):
            target = Target.from_text(await anext(lines))
        self._target = target
        other = HonestPeer(named.world, direct=[target.peer])
        nursery.start_soon(other.node.run)
        nursery.start_soon(self._listen_to_victim, lines)
        with trio.fail_after(_START_SECONDS):
            await until(lambda: self._is_ready(named, other), _START_SECONDS)
        self.report.first_rss_mb = self.report.told[-1]["rss_mb"]
        self.report.told.clear()
        begun = trio.current_time()
        nursery.start_soon(named.ask_on, target.peer.peer_id)
        nursery.start_soon(other.ask_on, target.peer.peer_id)
        nursery.start_soon(named.publish_heads)
        await self._attack(victim, target)
        # Afterwards, in peace, everything must be as it was.
        await trio.sleep(_QUIET_SECONDS)
        report = self.report
        report.seconds = trio.current_time() - begun
        report.services = {"named by the user": named.service, "came by itself": other.service}
        report.published = named.published
        report.heard = len(other.member.judged)
        if victim.poll() is not None:
            report.findings.append(f"the victim ended with exit code {victim.returncode}")

    def _is_ready(self, named: HonestPeer, other: HonestPeer) -> bool:
        victim = self._target.peer.peer_id
        nodes = (named.node, other.node)
        both = all(victim in node.peers and node.peers[victim].has_joined for node in nodes)
        return both and bool(self.report.told) and self.report.told[-1]["head"] > 0

    async def _listen_to_victim(self, lines: AsyncIterator[str]) -> None:
        async for line in lines:
            self.report.told.append(json.loads(line) | {"at": time.time()})

    async def _attack(self, victim: trio.Process, target: Target) -> None:
        numbers = ",".join(map(str, self._numbers))
        arguments = [target.to_text(), self._seed, numbers]
        async with _process("tests.fuzz.p2p.attacker", arguments) as attackers:
            with trio.move_on_after(_START_SECONDS) as attack:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._watch, victim, nursery.cancel_scope)
                    async for line in _lines(attackers):
                        if not self._begun:
                            nursery.start_soon(self._end_in_time, attack)
                        self._note(json.loads(line))
                    nursery.cancel_scope.cancel()
            if attackers.poll() not in (None, 0):
                self.report.findings.append(f"the attackers ended: {attackers.returncode}")

    async def _end_in_time(self, attack: trio.CancelScope) -> None:
        """Counted from the first case on: attackers, too, take their time to start."""
        longest = _LONGEST_SHORT_SECONDS if self._is_short else self._seconds
        attack.deadline = trio.current_time() + longest
        await trio.sleep(self._seconds)
        if self._is_short:
            await until(lambda: self.report.is_enough, longest)
        attack.cancel()

    async def _watch(self, victim: trio.Process, scope: trio.CancelScope) -> None:
        """End a run early whose victim is gone or told a fault: the last cases are the ones."""
        read = 0
        while victim.poll() is None:
            with self._log.open("rb") as log:
                log.seek(read)
                new = log.read()
            if b"Traceback" in new:
                break
            # A line may have been cut in two.
            read += max(len(new) - 20, 0)
            await trio.sleep(1)
        scope.cancel()

    def _note(self, told: dict[str, Any]) -> None:
        if "case" in told:
            self._begun.append(told["case"])
            return
        layer = self.report.layers.setdefault(told["layer"], Layer())
        layer.cases += 1
        layer.inputs += told["inputs"]
        layer.cut_off += told["cut"]
        if told["failed"]:
            layer.failed[told["failed"]] += 1

    def _judge(self) -> None:
        world = SceneWorld(self._target.started_ms)
        # As of when the victim last told how it is.
        at_ms = int(self.report.told[-1]["at"] * 1000) if self.report.told else 0
        clock_ms = world.now_ms + at_ms - self._target.started_ms
        self.report.cases = list(self._begun)
        self.report.findings += judged(
            self.report,
            log=self._log.read_text("utf-8", "replace"),
            slot=world.network.slot_at_time_ms(clock_ms),
            is_short=self._is_short,
        )


def judged(report: Report, *, log: str, slot: int, is_short: bool = False) -> list[str]:
    """What is wrong with a run, as sentences.

    Args:
        log: what the victim logged. slot: the one in which it last told how it is.
        is_short: too short for shares: honest peers must be answered at all.
    """
    findings = []
    if "Traceback" in log:
        findings.append("an exception went unhandled: see the log")
    limits = {
        "restarts": 0,
        "discovery_restarts": 0,
        "fds": MAX_DESCRIPTORS,
        "tasks": MAX_TASKS,
        "rss_mb": report.first_rss_mb + MAX_GROWTH_MB,
    }
    for key, most in limits.items():
        if report.most(key) > most:
            findings.append(f"{key}: {report.most(key):g}, where {most:g} may be")
    for name, service in report.services.items():
        asked = service.answered + len(service.missed)
        allowed = 0.5 * asked if is_short else 1 + MAX_MISSED * asked
        if not service.answered or len(service.missed) > allowed:
            worst = Counter(service.missed).most_common(3)
            findings.append(
                f"the peer that {name} missed {len(service.missed)} of {asked}: {worst}"
            )
    if report.heard < MIN_HEARD * report.published - 4:
        findings.append(f"gossip: {report.heard} of {report.published} were passed on")
    if report.told and report.told[-1]["head"] < slot - MAX_HEAD_LAG:
        findings.append(f"the head is {report.told[-1]['head']} in slot {slot}")
    return findings


@asynccontextmanager
async def _process(module: str, arguments: list[str]) -> AsyncIterator[trio.Process]:
    """``python -m module``, ended with the body."""
    command = [sys.executable, "-m", module, *arguments]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE, cwd=str(CHECKOUT))
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            if process.stdout is not None:
                await process.stdout.aclose()


async def _lines(process: trio.Process) -> AsyncIterator[str]:
    """Its output, until it ends or is ended."""
    assert process.stdout is not None
    rest = b""
    with suppress(trio.ClosedResourceError):
        while data := await process.stdout.receive_some(65536):
            *whole, rest = (rest + data).split(b"\n")
            for line in whole:
                yield line.decode()
