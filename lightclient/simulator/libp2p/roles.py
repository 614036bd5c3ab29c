"""Characters of simulated peers: some faults under one name, and what a client makes of them."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from lightclient.protocol import Rule
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.faults.forged import FORGING
from lightclient.simulator.libp2p.faults import PEER_FAULTS
from lightclient.simulator.live_scenes import BOOTSTRAP_RULES
from lightclient.wire.messages import GoodbyeReason


@dataclass(frozen=True, slots=True)
class Role:
    """A peer's character.

    Attributes:
        says: what it does, in a few words.
        faults: names, each with its chance to act; a word in brackets is drawn by the seed.
        ends: the goodbyes that a client should have for it; none for who is honest.
        is_early: whether it is there before the honest ones, so that nobody else can be asked.
    """

    name: str
    says: str
    faults: tuple[tuple[str, float], ...] = ()
    ends: frozenset[GoodbyeReason] = frozenset()
    is_early: bool = True

    @property
    def is_honest(self) -> bool:
        """Whether everything that it says is true, whole and new."""
        return not self.faults

    def make_faults(self, rng: random.Random) -> list[Fault]:
        """The faults, each with randomness of its own."""
        made = []
        for name, chance in self.faults:
            kind = PEER_FAULTS[_DRAWN[name](rng) if name in _DRAWN else name]
            made.append(kind(random.Random(f"{name} {rng.getrandbits(64)}"), chance))
        return made


def _bootstrap_forgery(rng: random.Random) -> str:
    return FORGING[rng.choice(BOOTSTRAP_RULES)].name


def _update_forgery(rng: random.Random) -> str:
    rules = (Rule.BAD_SIGNATURE, Rule.INSUFFICIENT_PARTICIPANTS, Rule.INVALID_ATTESTED_HEADER)
    return FORGING[rng.choice(rules)].name


_DRAWN: Final = {"[bootstrap]": _bootstrap_forgery, "[update]": _update_forgery}
_BAD: Final = frozenset({GoodbyeReason.BAD_SCORE, GoodbyeReason.BANNED})

HONEST: Final = Role("honest", "serves and gossips what is true", is_early=False)
ROLES: Final = {
    role.name: role
    for role in (
        HONEST,
        Role(
            "forger",
            "answers and gossips with forged objects",
            (("[bootstrap]", 1.0), ("[update]", 1.0)),
            _BAD,
        ),
        Role(
            "breaker",
            "breaks answers and gossip off, resets streams, lies about lengths",
            (
                ("truncated_body", 0.5),
                ("resetting_mid_body", 0.3),
                ("length_lie", 1.0),
                ("cut_gossip", 1.0),
            ),
            _BAD,
        ),
        Role(
            "stranger",
            "is of another network, though its record says otherwise",
            (("wrong_network", 1.0),),
            frozenset({GoodbyeReason.IRRELEVANT_NETWORK, GoodbyeReason.BANNED}),
        ),
        Role(
            "mute",
            "takes every request and answers none",
            (("silent", 1.0),),
            frozenset({GoodbyeReason.FAULT}),
        ),
        Role(
            "spammer",
            "gossips junk, and true messages where they do not belong",
            (("junk_gossip", 1.0), ("misplaced_gossip", 0.5)),
            _BAD,
            is_early=False,
        ),
    )
}
"""The characters by name."""
