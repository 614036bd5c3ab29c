"""The attackers, a process of their own: cases by number, several at a time, each told of."""

from __future__ import annotations

import json
import logging
import random
import sys
import time
from itertools import count

import trio

from tests.fuzz.p2p import attacks, attacks_of_nodes, attacks_of_peers
from tests.fuzz.p2p.attacks import Attack, Layer
from tests.fuzz.p2p.hosts import Answers
from tests.fuzz.p2p.scene import SceneWorld, Target, draw_for

LAYERS: dict[str, tuple[int, Layer]] = {
    "tcp": (3, attacks.raw_tcp),
    "negotiation": (3, attacks.negotiation),
    "noise": (3, attacks.noise),
    "frames": (4, attacks.frames),
    "many streams": (2, attacks.many_streams),
    "unread data": (2, attacks.unread_data),
    "deaf": (1, attacks.deaf),
    "gossip": (4, attacks_of_peers.gossip),
    "gossip at line rate": (2, attacks_of_peers.gossip_at_line_rate),
    "updates at line rate": (2, attacks_of_peers.updates_at_line_rate),
    "requests": (4, attacks_of_peers.requests),
    "answers": (4, attacks_of_peers.answers),
    "identities": (2, attacks_of_peers.identities),
    "datagrams": (2, attacks_of_nodes.datagrams),
    "forged records": (1, attacks_of_nodes.forged_records),
}
WORKERS = 12
"""Cases at a time."""
_CASE_SECONDS = 25


def main(arguments: list[str]) -> None:
    target, seed, numbers = arguments
    logging.disable(logging.CRITICAL)
    trio.run(
        _attack, Target.from_text(target), seed, [int(item) for item in numbers.split(",") if item]
    )


async def _attack(target: Target, seed: str, numbers: list[int]) -> None:
    world = SceneWorld(target.started_ms)
    answers = Answers(world)
    cases = iter(numbers) if numbers else count()

    async def work() -> None:
        for number in cases:
            draw = draw_for(seed, number)
            name = layer_of(draw)
            # Each from an address of its own, as far as this machine lets us.
            source = f"127.{draw.randrange(16, 200)}.{draw.randrange(250)}.{draw.randrange(1, 250)}"
            attack = Attack(target, world, answers, draw, source)
            _say(case=number, layer=name)
            failure = ""
            try:
                with trio.move_on_after(_CASE_SECONDS):
                    await LAYERS[name][1](attack)
            except Exception as error:  # noqa: BLE001 - the victim hangs up in many ways
                failure = type(_first(error)).__name__
            _say(done=number, layer=name, inputs=attack.inputs, cut=attack.cut_off, failed=failure)

    async def grow() -> None:
        while True:
            assert world.slot
            await trio.sleep(0.5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(grow)
        async with trio.open_nursery() as workers:
            for _ in range(WORKERS):
                workers.start_soon(work)
        nursery.cancel_scope.cancel()


def layer_of(draw: random.Random) -> str:
    """Which attack a case is; the first thing drawn."""
    return draw.choices(list(LAYERS), [weight for weight, _ in LAYERS.values()])[0]


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _say(**told: object) -> None:
    sys.stdout.write(json.dumps({"at": round(time.time(), 3), **told}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
