"""Files of light client objects, read whole within a bound."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lightclient.config import Network
    from lightclient.containers import DocumentEntry, ObjectKind

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Several times the updates of a public network's whole history, even in JSON."""


@dataclass(frozen=True, slots=True)
class ObjectFile:
    """The objects of one file, not decoded yet.

    ``seconds_per_entry`` is each object's share of the time that parsing JSON took; SSZ has none.
    """

    kind: ObjectKind
    path: str
    entries: tuple[DocumentEntry, ...]
    seconds_per_entry: float


def read_object_file(kind: ObjectKind, path: str, network: Network) -> ObjectFile:
    """The objects in the file ``path``, or in standard input for ``-``.

    Raises:
        click.UsageError: the file cannot be read, or is too large.
    """
    from lightclient.containers import read_document

    data = read_bounded(path, MAX_FILE_BYTES)
    start = time.perf_counter()
    entries = tuple(read_document(kind, data, network))
    is_json = data[:64].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
    elapsed = time.perf_counter() - start if is_json else 0.0
    return ObjectFile(kind, path, entries, elapsed / max(len(entries), 1))


def read_bounded(path: str, most: int) -> bytes:
    """The whole of the file ``path``, or of standard input for ``-``.

    Raises:
        click.UsageError: it cannot be read, or is larger than ``most`` bytes.
    """
    try:
        if path == "-":
            data = sys.stdin.buffer.read(most + 1)
        else:
            with Path(path).open("rb") as stream:
                data = stream.read(most + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise click.UsageError(f"{path}: cannot be read: {reason}") from None
    if len(data) > most:
        raise click.UsageError(f"{path}: larger than {most >> 20} MiB")
    return data
