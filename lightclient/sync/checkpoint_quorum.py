"""Which finalized checkpoint several services agree on, as a pure function of what they said.

Services finalize at different moments, so they are compared over epochs that they have in common;
the newest epoch for which enough of them name the same root is chosen. A contradiction anywhere
raises the bar: then more than half of all that were asked must agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Standing(StrEnum):
    """How a service stands to the checkpoint that was chosen."""

    AGREES = "agrees"
    LAGGING = "lagging"
    """It has finalized an older epoch, and nothing that it says speaks against the checkpoint."""
    SILENT = "silent"
    """It has finalized the epoch, but does not tell the root of its checkpoint (any more)."""
    CONFLICTING = "conflicting"
    UNCONFIRMED = "unconfirmed"
    """No checkpoint was chosen."""
    UNREACHABLE = "unreachable"
    WRONG_NETWORK = "wrong network"
    UNUSABLE = "unusable"
    """It answered with something that is no finalized checkpoint."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An epoch and the 32-byte root of the last block up to the epoch's first slot."""

    epoch: int
    root: bytes


@dataclass(slots=True)
class Statement:
    """What one service said.

    Attributes:
        service: its name, safe to show.
        finalized: the newest checkpoint that it calls final; None if it told none.
        failure: why it does not count; None if it does.
        reason: the same as a sentence, or a remark.
        roots: what it says the checkpoint's root of an epoch is; ``finalized`` among them.
    """

    service: str
    finalized: Checkpoint | None = None
    failure: Standing | None = None
    reason: str = ""
    roots: dict[int, bytes] = field(default_factory=dict)

    def has_finalized(self, epoch: int) -> bool:
        """Whether it counts, and calls ``epoch`` or a later one final."""
        is_usable = self.failure is None and self.finalized is not None
        return is_usable and self.finalized is not None and self.finalized.epoch >= epoch


@dataclass(frozen=True, slots=True)
class Conflict:
    """Different roots for one epoch; ``roots`` in the order of their number of services."""

    epoch: int
    roots: tuple[tuple[bytes, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from the statements.

    Attributes:
        checkpoint: agreed on by at least ``needed`` services; None if there is none.
        agreeing: how many name its root.
        needed: how many had to: the quorum, and in a conflict more than half of all asked.
        standings: of each statement, in their order.
        conflicts: newest epoch first.
    """

    checkpoint: Checkpoint | None
    agreeing: int
    needed: int
    standings: tuple[Standing, ...]
    conflicts: tuple[Conflict, ...]


def absolute_majority(asked: int) -> int:
    """The smallest number that is more than half of ``asked``."""
    return asked // 2 + 1


def default_quorum(asked: int) -> int:
    """A majority of those asked, two at least."""
    return max(2, absolute_majority(asked))


def epochs_to_compare(statements: Sequence[Statement], quorum: int) -> list[int]:
    """Epochs that some service finalized last and at least ``quorum`` have finalized, newest first.

    These are all that need looking at: between two of them nobody's view changes.
    """
    finalized = [t.finalized.epoch for t in statements if t.finalized and t.failure is None]
    return [
        epoch
        for epoch in sorted(set(finalized), reverse=True)
        if sum(other >= epoch for other in finalized) >= quorum
    ]


def decide(statements: Sequence[Statement], quorum: int) -> Decision:
    """The newest checkpoint that enough services name, and how each stands to it."""
    conflicts = find_conflicts(statements)
    needed = max(quorum, absolute_majority(len(statements))) if conflicts else quorum
    for epoch in epochs_to_compare(statements, quorum):
        votes = Counter(
            t.roots[epoch] for t in statements if t.has_finalized(epoch) and epoch in t.roots
        )
        root, agreeing = max(votes.items(), key=lambda item: item[1], default=(b"", 0))
        # Two roots with as many services are a conflict, in which neither has a majority.
        if agreeing >= needed:
            chosen = Checkpoint(epoch, root)
            standings = tuple(_standing(t, chosen, statements) for t in statements)
            return Decision(chosen, agreeing, needed, standings, conflicts)
    contradicting = {name for c in conflicts for _, names in c.roots for name in names}
    standings = tuple(
        t.failure or (Standing.CONFLICTING if t.service in contradicting else Standing.UNCONFIRMED)
        for t in statements
    )
    return Decision(None, 0, needed, standings, conflicts)


def find_conflicts(statements: Sequence[Statement]) -> tuple[Conflict, ...]:
    """Epochs for which services that count name different roots, newest first."""
    named: dict[int, dict[bytes, list[str]]] = {}
    for statement in statements:
        if statement.failure is None:
            for epoch, root in statement.roots.items():
                named.setdefault(epoch, {}).setdefault(root, []).append(statement.service)
    return tuple(
        Conflict(
            epoch,
            tuple(
                (root, tuple(names))
                for root, names in sorted(roots.items(), key=lambda item: -len(item[1]))
            ),
        )
        for epoch, roots in sorted(named.items(), reverse=True)
        if len(roots) > 1
    )


def _standing(
    statement: Statement, chosen: Checkpoint, statements: Sequence[Statement]
) -> Standing:
    if statement.failure is not None:
        return statement.failure
    assert statement.finalized is not None
    if statement.finalized.epoch >= chosen.epoch:
        told = statement.roots.get(chosen.epoch)
        if told is None:
            return Standing.SILENT
        return Standing.AGREES if told == chosen.root else Standing.CONFLICTING
    # It is behind; those that agree tell whether it is behind on the same chain.
    epoch, root = statement.finalized.epoch, statement.finalized.root
    elsewhere = {
        other.roots[epoch]
        for other in statements
        if other.failure is None
        and other.roots.get(chosen.epoch) == chosen.root
        and epoch in other.roots
    }
    return Standing.CONFLICTING if elsewhere and root not in elsewhere else Standing.LAGGING
