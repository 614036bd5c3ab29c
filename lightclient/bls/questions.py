"""What two processes of this program say to each other about signatures: lots of them, and a byte.

No I/O but on streams that the caller brings. Both ends are this program and of one version, so the
format needs no more than a length and what ``marshal`` makes of plain bytes.
"""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from contextlib import suppress
from typing import BinaryIO, Final

from lightclient.bls.batch import SignatureParts, verify_parts_together
from lightclient.bls.selection import backend_by_name

ANSWER_READY: Final = b"R"
"""Said once, before the first question."""
ANSWER_HOLDS: Final = b"1"
"""All signatures of a question hold, as far as a check together can tell."""
_ANSWER_FAILS: Final = b"0"
_LENGTH_BYTES: Final = 4


def question(parts: Sequence[SignatureParts]) -> bytes:
    """Whether these signatures hold, as bytes for :func:`serve`."""
    text = marshal.dumps([tuple(item) for item in parts])
    return len(text).to_bytes(_LENGTH_BYTES, "little") + text


def serve(backend_name: str, questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer what comes, until there is no more.

    Raises:
        BlsError: the backend cannot be used here.
    """
    backend = backend_by_name(backend_name)
    with suppress(BrokenPipeError):  # whoever asked is gone
        _write(answers, ANSWER_READY)
        while (parts := _read(questions)) is not None:
            holds = verify_parts_together(backend, parts)
            _write(answers, ANSWER_HOLDS if holds else _ANSWER_FAILS)


def _write(answers: BinaryIO, answer: bytes) -> None:
    answers.write(answer)
    answers.flush()


def _read(questions: BinaryIO) -> list[SignatureParts] | None:
    length = int.from_bytes(questions.read(_LENGTH_BYTES), "little")
    text = questions.read(length)
    if length == 0 or len(text) < length:
        return None
    return [SignatureParts(*item) for item in marshal.loads(text)]  # noqa: S302 - our parent's
