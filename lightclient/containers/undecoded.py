"""Bytes that were to be an object and are none, with what their sender called them."""

from __future__ import annotations

from dataclasses import dataclass

from lightclient.containers.objects import ObjectKind


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Bytes that were to be an object of ``kind``.

    Attributes:
        content: what came, perhaps cut.
        content_type: media type that the sender gave them; empty if it gave none.
        version: fork that the sender named; empty likewise.
        digest: fork digest before a chunk of an update stream, 4 bytes; empty for anything else.
    """

    kind: ObjectKind
    content: bytes
    content_type: str = ""
    version: str = ""
    digest: bytes = b""
