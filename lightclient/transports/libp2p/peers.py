"""What is remembered of peers: scores, bans, whom to dial next. Sans-I/O.

Scores are those of all providers (``transports.scores``). A peer whose score falls below 0 is left
for the time that the score says; the memory of peers that are gone is bounded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from typing import Final

from lightclient.transports.libp2p.addresses import PeerAddress
from lightclient.transports.scores import ProviderScore, Uniform

MAX_REMEMBERED: Final = 1024
MAX_CANDIDATES: Final = 512
_FIRST_RETRY_MS: Final = 2_000
_LONGEST_RETRY_MS: Final = 300_000
_MAX_FAILURES: Final = 16


@dataclass(slots=True)
class KnownPeer:
    """What is known of a peer, connected or not. Times are Unix milliseconds.

    Attributes:
        address: where it can be dialled.
        is_direct: the user named it: it is dialled whatever happens, and never removed for space.
        banned_until_ms: not to be connected to before, whoever dials.
        failures: dials that failed in a row.
    """

    score: ProviderScore = field(default_factory=ProviderScore)
    address: PeerAddress | None = None
    is_direct: bool = False
    banned_until_ms: int = 0
    banned_from_ms: int = 0
    failures: int = 0
    retry_at_ms: int = 0

    def is_banned(self, now_ms: int) -> bool:
        """Whether it is to be left alone; a clock that steps back ends a ban."""
        return self.banned_from_ms <= now_ms < self.banned_until_ms


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
        self._peers: OrderedDict[str, KnownPeer] = OrderedDict()
        for address in direct:
            known = self.known(address.peer_id)
            known.address, known.is_direct = address, True

    def known(self, peer_id: str) -> KnownPeer:
        """What is known of a peer, from now on remembered."""
        if peer_id not in self._peers:
            self._peers[peer_id] = KnownPeer()
        self._peers.move_to_end(peer_id)
        self._make_room()
        return self._peers[peer_id]

    def _make_room(self) -> None:
        excess = len(self._peers) - MAX_REMEMBERED
        for peer_id in [key for key, known in self._peers.items() if not known.is_direct]:
            if excess <= 0:
                return
            del self._peers[peer_id]
            excess -= 1

    def add_candidate(self, address: PeerAddress) -> None:
        """Somebody told of a peer; what the user said of it stands."""
        if address.peer_id not in self._peers:
            # The newest are not let in by the thousand: that would wash out what is remembered.
            candidates = sum(peer.address is not None for peer in self._peers.values())
            if candidates >= MAX_CANDIDATES:
                return
        known = self.known(address.peer_id)
        if not known.is_direct:
            known.address = address

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
        others.sort(key=lambda known: (-known.score.value, known.failures, self._uniform(0, 1)))
        chosen = direct + others[: max(wanted, 0)]
        return [known.address for known in chosen if known.address is not None]

    def note_dial(self, peer_id: str, *, succeeded: bool) -> None:
        """A dial ended; the next one waits longer each time that it fails."""
        known = self.known(peer_id)
        if succeeded:
            known.failures = known.retry_at_ms = 0
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
        self.known(peer_id).failures = 0

    def _wait(self, known: KnownPeer) -> None:
        wait_ms = min(_FIRST_RETRY_MS << (known.failures - 1), _LONGEST_RETRY_MS)
        known.retry_at_ms = self._clock() + int(wait_ms * self._uniform(0.75, 1.25))

    def ban(self, peer_id: str, milliseconds: int) -> None:
        """Leave a peer alone for so long."""
        known, now_ms = self.known(peer_id), self._clock()
        known.banned_from_ms = now_ms
        known.banned_until_ms = max(known.banned_until_ms, now_ms + milliseconds)
