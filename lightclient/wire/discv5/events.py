"""What the discovery engine tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from lightclient.wire.discv5.messages import Pong, TalkResponse
from lightclient.wire.enr import Address, NodeRecord


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """A node proved who it is, from ``address``; ``initiated`` if we asked first."""

    record: NodeRecord
    address: Address
    initiated: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """A node with a session asked us something from ``address``."""

    record: NodeRecord
    address: Address


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a PING or TALKREQ of ours, from the address in ``record``."""

    request_id: bytes
    record: NodeRecord
    answer: Pong | TalkResponse


@dataclass(frozen=True, slots=True)
class NodesFound:
    """The answer to a FINDNODE of ours: verified records.

    Attributes:
        refused: how many were not signed or not asked for.
        complete: whether all announced parts came.
    """

    request_id: bytes
    record: NodeRecord
    found: tuple[NodeRecord, ...]
    refused: int
    complete: bool


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """A request of ours was not answered in time."""

    request_id: bytes
    record: NodeRecord


@dataclass(frozen=True, slots=True)
class NewerRecord:
    """A node that may be asked at the address in ``record`` says that it has a newer one."""

    record: NodeRecord
    enr_sequence: int


Event: TypeAlias = SessionOpened | Asked | Answered | NodesFound | RequestFailed | NewerRecord
