"""Where light client objects come from: the interface, REST, and what they share.

``RestTransport`` is imported on first use, so that the interface alone stays light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lightclient.transports.base import (
    MAX_REQUEST_LIGHT_CLIENT_UPDATES,
    Transport,
    UpdateRange,
)

if TYPE_CHECKING:
    from lightclient.transports.rest import RestTransport

__all__ = ["MAX_REQUEST_LIGHT_CLIENT_UPDATES", "RestTransport", "Transport", "UpdateRange"]


def __getattr__(name: str) -> object:
    if name == "RestTransport":
        from lightclient.transports.rest import RestTransport

        return RestTransport
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
