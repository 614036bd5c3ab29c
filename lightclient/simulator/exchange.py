"""What passes between a client and a simulated server: a request, an answer, and ways to have none.

Shared by the server over HTTP and the transport in process, so that a fault is written once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lightclient.containers import LightClientObject, ObjectKind

EVENTS_PATH = "/eth/v1/events"


@dataclass(frozen=True, slots=True)
class Asked:
    """What a client wants.

    Attributes:
        kind: the light client object or objects; None for anything else a beacon node serves.
        block_root: of a bootstrap, 32 bytes.
        start_period, count: of a range of updates.
        path: where it is asked for; empty in process.
        pushed: whether this is an event of a stream, which nobody asks for one by one.
    """

    kind: ObjectKind | None = None
    block_root: bytes = b""
    start_period: int = 0
    count: int = 1
    path: str = ""
    pushed: bool = False

    @property
    def is_range(self) -> bool:
        """Whether the answer is a range of updates."""
        return self.kind is ObjectKind.UPDATE


@dataclass(slots=True)
class Answer:
    """An HTTP answer before it is sent.

    ``headers`` may name a Content-Length of its own, which is sent as it is.
    """

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the server saw it; header names are lower case."""

    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)


class Refusal(Exception):
    """An error answer with its status and, if wanted, headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = dict(headers or {})


class ConnectionLost(Exception):
    """No answer at all: the connection is refused (``refused``) or reset."""

    def __init__(self, *, refused: bool = False) -> None:
        super().__init__("refused" if refused else "reset")
        self.refused = refused


class BrokenOff(Exception):
    """In process only: of an answer no more than ``kept`` arrives whole.

    Attributes:
        malformed: whether the rest is unreadable; otherwise it is missing.
    """

    def __init__(self, kept: Sequence[LightClientObject] = (), *, malformed: bool = False) -> None:
        super().__init__("malformed" if malformed else "broken off")
        self.kept = tuple(kept)
        self.malformed = malformed
