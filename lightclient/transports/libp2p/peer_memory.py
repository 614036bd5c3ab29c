"""What is remembered of peers beyond a run: whom to dial first, and whom to keep out for how long.

A few hundred entries in a file of JSON. Nothing in it is believed: an address is proven by who
answers there, and all times and scores have bounds.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from lightclient.errors import ConfigError
from lightclient.transports.libp2p.addresses import parse_peer_address
from lightclient.transports.libp2p.kept_file import KeptFile
from lightclient.transports.libp2p.peers import KnownPeer, PeerBook
from lightclient.transports.scores import START_SCORE, ProviderScore

PEERS_FILE: Final = "peers.json"
MAX_FILE_BYTES: Final = 2**17
MAX_OF_A_KIND: Final = 128
_LONGEST_BAN_MS: Final = 86_400_000
_MAX_ID: Final = 128


class PeerMemory:
    """The file in a data directory. Nothing here raises."""

    def __init__(self, directory: Path) -> None:
        path = directory / PEERS_FILE
        self._file = KeptFile(path, "Remembered peers are of no use", MAX_FILE_BYTES)

    def load(self, book: PeerBook) -> None:
        """Tell ``book`` what is remembered."""
        content = self._file.read()
        if content is None:
            return
        try:
            entries = json.loads(content)["peers"]
            if not isinstance(entries, list):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError):
            self._file.set_aside("is not what was written there")
            return
        for entry in entries[: 2 * MAX_OF_A_KIND]:
            if isinstance(entry, dict):
                _recall(book, entry)

    def save(self, entries: Iterable[dict[str, Any]]) -> None:
        """Remember what :func:`entries_of` gave."""
        text = json.dumps({"peers": list(entries)}, indent=0)
        self._file.replace(text.encode())


def entries_of(book: PeerBook, now_ms: int) -> list[dict[str, Any]]:
    """What is worth remembering: those to keep out, and those that served well; newest first."""
    everybody = list(book)[::-1]
    banned = [item for item in everybody if item[1].is_banned(now_ms)]
    useful = [item for item in everybody if item not in banned and _is_useful(item[1])]
    return [_entry(*item) for item in banned[:MAX_OF_A_KIND] + useful[:MAX_OF_A_KIND]]


def _is_useful(known: KnownPeer) -> bool:
    return (
        known.address is not None
        and not known.is_direct
        and bool(known.serves)
        and known.score.value >= START_SCORE
    )


def _entry(peer_id: str, known: KnownPeer) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": peer_id, "score": known.score.to_dict()}
    if known.address is not None and not known.is_direct:
        entry["address"] = str(known.address)
    if known.banned_until_ms:
        entry["banned"] = [known.banned_from_ms, known.banned_until_ms]
    return entry


def _recall(book: PeerBook, entry: dict[Any, Any]) -> None:
    peer_id, address, banned = entry.get("id"), entry.get("address"), entry.get("banned")
    if not isinstance(peer_id, str) or len(peer_id) > _MAX_ID:
        return
    known = book.known(peer_id)
    if known.is_direct:
        # Whoever starts again has mended something, perhaps: a named peer is tried at once.
        return
    if isinstance(address, str):
        try:
            parsed = parse_peer_address(address)
        except ConfigError:
            return
        # Where a name leads is for the user to say, not for a file.
        if parsed.peer_id == peer_id and parsed.family in ("ip4", "ip6"):
            book.add_candidate(parsed)
    if isinstance(entry.get("score"), dict):
        known.score = ProviderScore.from_dict(entry["score"])
    if isinstance(banned, list) and [type(item) for item in banned] == [int, int]:
        known.banned_from_ms = banned[0]
        known.banned_until_ms = min(banned[1], banned[0] + _LONGEST_BAN_MS)
