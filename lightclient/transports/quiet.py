"""Keep the HTTP library's own log records about our requests out of every log.

httpx logs each URL at INFO and httpcore logs response headers at DEBUG, with whatever keys they
hold. Records made during one of our requests are dropped; those of an embedder's own use of the
same libraries pass.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

_OURS: ContextVar[bool] = ContextVar("lightclient_http_request", default=False)
# A filter on a logger is not asked about its children's records: hence every name.
_LOGGERS: Final = (
    "httpx",
    "httpcore.connection",
    "httpcore.http11",
    "httpcore.http2",
    "httpcore.proxy",
    "httpcore.socks",
    "hpack.hpack",
    "hpack.table",
)


def _is_not_ours(_: logging.LogRecord) -> bool:
    return not _OURS.get()


def install() -> None:
    """Put the filter on the libraries' loggers. Doing it again changes nothing."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_is_not_ours)


@contextmanager
def quiet() -> Iterator[None]:
    """Marks what runs inside (in this task and those it starts) as ours.

    Never around a ``yield``: it would reach the code that consumes a generator.
    """
    token = _OURS.set(True)
    try:
        yield
    finally:
        _OURS.reset(token)
