"""What is remembered of peers: scores, bans, whom to dial next. Sans-I/O.

Scores are those of all providers (``transports.scores``). A peer whose score falls below 0 is left
for the time that the score says; the memory of peers that are gone is bounded, and shared out so
that no crowd washes out what is known of others: neither strangers, nor those that discovery tells
of by the thousand, nor those that had to be banned.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeGuard

from lightclient.transports.libp2p.addresses import (
    PeerAddress,
    is_of_internet,
    neighbourhood_of,
    network_of,
)
from lightclient.transports.libp2p.limits import RateLimiter, RequestPace
from lightclient.transports.scores import ProviderScore, Uniform

MAX_CANDIDATES: Final = 512
MAX_CANDIDATES_OF_ADDRESS: Final = 4
"""At one address of the internet: identities cost nothing, and it may be somebody else's."""
MAX_CANDIDATES_OF_NEIGHBOURHOOD: Final = 16
MAX_DIALLED_OF_NEIGHBOURHOOD: Final = 3
"""In a /24 of the internet (IPv6: a /48): whoever owns one would else be all whom we choose."""
_FIRST_RETRY_MS: Final = 2_000
_LONGEST_RETRY_MS: Final = 300_000
_MAX_FAILURES: Final = 16
_HOPELESS_FAILURES: Final = 3
_STALE_MS: Final = 3_600_000
"""Who was not told of for so long makes room for others."""
_USELESS_MS: Final = 3_600_000
"""How long somebody who serves nothing that we want is not dialled again."""


class _Kind(Enum):
    STRANGER = "nobody to dial, nobody to keep out"
    CANDIDATE = "somebody to dial"
    BANNED = "somebody to keep out"


_SHARES: Final = {_Kind.STRANGER: 256, _Kind.CANDIDATE: MAX_CANDIDATES, _Kind.BANNED: 256}
_SLACK: Final = 64
"""How many may be too many before they are counted, which takes a moment."""
MAX_REMEMBERED: Final = sum(_SHARES.values()) + _SLACK
"""Besides those that are connected and those whom the user named."""


@dataclass(slots=True)
class KnownPeer:
    """What is known of a peer, connected or not. Times are Unix milliseconds.

    Attributes:
        address: where it can be dialled.
        is_direct: the user named it: it is dialled whatever happens, and never removed for space.
        is_connected: then it is not removed, either.
        serves: whether it serves light client data, as far as it said.
        told_at_ms: when it was last told of, or of use.
        banned_until_ms: not to be connected to before, whoever dials.
        failures: dials that failed in a row.
        pace, limiter: how often we asked it lately, and it us; a new connection changes neither.
    """

    score: ProviderScore = field(default_factory=ProviderScore)
    address: PeerAddress | None = None
    is_direct: bool = False
    is_connected: bool = False
    serves: bool | None = None
    told_at_ms: int = 0
    banned_until_ms: int = 0
    banned_from_ms: int = 0
    failures: int = 0
    retry_at_ms: int = 0
    pace: RequestPace = field(default_factory=RequestPace)
    limiter: RateLimiter = field(default_factory=RateLimiter)

    def is_banned(self, now_ms: int) -> bool:
        """Whether it is to be left alone; a clock that steps back ends a ban."""
        return self.banned_from_ms <= now_ms < self.banned_until_ms

    def kind(self, now_ms: int) -> _Kind:
        """Among whom it is remembered."""
        if self.is_banned(now_ms):
            return _Kind.BANNED
        return _Kind.STRANGER if self.address is None else _Kind.CANDIDATE

    def is_unpromising(self, now_ms: int) -> bool:
        """Whether it may make room for somebody who was just told of."""
        return self.failures >= _HOPELESS_FAILURES or now_ms - self.told_at_ms > _STALE_MS


class PeerBook:
    """All peers that were heard of lately.

    Args:
        clock: Unix milliseconds. uniform: as ``random.uniform``.
    """

    def __init__(
        self, direct: Iterable[PeerAddress], clock: Callable[[], int], uniform: Uniform
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._peers: dict[str, KnownPeer] = {}
        for address in direct:
            known = self.known(address.peer_id)
            known.address, known.is_direct = address, True

    def __iter__(self) -> Iterator[tuple[str, KnownPeer]]:
        """All that are remembered, those heard of longest ago first."""
        return iter(tuple(self._peers.items()))

    def known(self, peer_id: str) -> KnownPeer:
        """What is known of a peer, from now on remembered."""
        known = self._peers.pop(peer_id, None) or KnownPeer()
        self._peers[peer_id] = known  # last now
        self._make_room()
        return known

    def _make_room(self) -> None:
        if len(self._peers) <= MAX_REMEMBERED:
            return
        now_ms = self._clock()
        members: dict[_Kind, list[str]] = {kind: [] for kind in _Kind}
        for peer_id, known in self._peers.items():
            if not known.is_direct and not known.is_connected:
                members[known.kind(now_ms)].append(peer_id)
        for kind, peer_ids in members.items():
            for peer_id in peer_ids[: max(len(peer_ids) - _SHARES[kind], 0)]:
                del self._peers[peer_id]

    # Whom to dial -------------------------------------------------------------------------------

    def add_candidate(self, address: PeerAddress) -> None:
        """Somebody told of a peer; what the user said of it stands."""
        before = self._peers.get(address.peer_id)
        if self._is_crowded(address):
            return
        # The newest are not let in by the thousand: that would wash out what is remembered.
        if (before is None or before.address is None) and not self._has_room_for_candidate():
            return
        known = self.known(address.peer_id)
        known.told_at_ms = self._clock()
        if not known.is_direct:
            known.address = address

    def _is_crowded(self, address: PeerAddress) -> bool:
        """Whether enough others are said to be where this one is said to be, or around there."""
        if not is_of_internet(address.host):
            return False
        network, around = network_of(address.host), neighbourhood_of(address.host)
        there = near = 0
        for peer_id, known in self._peers.items():
            told = known.address
            if told is None or known.is_direct or peer_id == address.peer_id:
                continue
            if is_of_internet(told.host) and neighbourhood_of(told.host) == around:
                near += 1
                there += network_of(told.host) == network
        return there >= MAX_CANDIDATES_OF_ADDRESS or near >= MAX_CANDIDATES_OF_NEIGHBOURHOOD

    def _has_room_for_candidate(self) -> bool:
        candidates = [
            known
            for known in self._peers.values()
            if known.address is not None and not known.is_direct and not known.is_connected
        ]
        if len(candidates) < MAX_CANDIDATES:
            return True
        now_ms = self._clock()
        worst = max(candidates, key=lambda known: (known.failures, -known.told_at_ms))
        if not worst.is_unpromising(now_ms):
            worst = min(candidates, key=lambda known: known.told_at_ms)
        if not worst.is_unpromising(now_ms):
            return False
        worst.address = None  # its score and its ban stay
        return True

    def to_dial(self, connected: Container[str], wanted: int) -> list[PeerAddress]:
        """Whom to dial now: all direct peers, and ``wanted`` others, best first."""
        now_ms = self._clock()
        ready = [
            known
            for peer_id, known in self._peers.items()
            if known.address is not None
            and peer_id not in connected
            and now_ms >= known.retry_at_ms
            and not known.is_banned(now_ms)
        ]
        direct = [known for known in ready if known.is_direct]
        others = [known for known in ready if not known.is_direct]
        others.sort(
            key=lambda known: (
                known.serves is False,
                -known.score.value,
                known.failures,
                self._uniform(0, 1),
            )
        )
        chosen = direct + self._spread(others, connected)[: max(wanted, 0)]
        return [known.address for known in chosen if known.address is not None]

    def _spread(self, others: Iterable[KnownPeer], connected: Container[str]) -> list[KnownPeer]:
        """``others`` in their order, but few of a neighbourhood, those ``connected`` included."""
        there = (known.address for key, known in self._peers.items() if key in connected)
        crowd = Counter(neighbourhood_of(item.host) for item in there if _may_crowd(item))
        chosen = []
        for known in others:
            if _may_crowd(known.address):
                around = neighbourhood_of(known.address.host)
                crowd[around] += 1
                if crowd[around] > MAX_DIALLED_OF_NEIGHBOURHOOD:
                    continue
            chosen.append(known)
        return chosen

    # What happened ------------------------------------------------------------------------------

    def note_dial(self, peer_id: str, *, succeeded: bool) -> None:
        """A dial ended; the next one waits longer each time that it fails."""
        known = self.known(peer_id)
        if succeeded:
            known.failures = known.retry_at_ms = 0
            known.told_at_ms = self._clock()
            return
        known.failures = min(known.failures + 1, _MAX_FAILURES)
        if known.failures == _MAX_FAILURES and not known.is_direct:
            known.address = None
        self._wait(known)

    def note_gone(self, peer_id: str) -> None:
        """A connection ended: a peer that drops us at once is not dialled at once again."""
        known = self.known(peer_id)
        known.failures = min(known.failures + 1, _MAX_FAILURES)
        self._wait(known)

    def note_useful(self, peer_id: str) -> None:
        """A connection was worth its while."""
        known = self.known(peer_id)
        known.failures, known.told_at_ms = 0, self._clock()

    def note_useless(self, peer_id: str) -> None:
        """A peer had to make room for others: it may come, but is not dialled for a while."""
        known = self.known(peer_id)
        known.retry_at_ms = max(known.retry_at_ms, self._clock() + _USELESS_MS)

    def _wait(self, known: KnownPeer) -> None:
        wait_ms = min(_FIRST_RETRY_MS << (known.failures - 1), _LONGEST_RETRY_MS)
        known.retry_at_ms = self._clock() + int(wait_ms * self._uniform(0.75, 1.25))

    def ban(self, peer_id: str, milliseconds: int) -> None:
        """Leave a peer alone for so long."""
        known, now_ms = self.known(peer_id), self._clock()
        known.banned_from_ms = now_ms
        known.banned_until_ms = max(known.banned_until_ms, now_ms + milliseconds)

    @property
    def banned_count(self) -> int:
        """How many are banned now."""
        now_ms = self._clock()
        return sum(known.is_banned(now_ms) for _, known in self)


def _may_crowd(address: PeerAddress | None) -> TypeGuard[PeerAddress]:
    return address is not None and is_of_internet(address.host)
