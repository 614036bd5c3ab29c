"""What servers say on real sockets, and what a REST transport makes of it."""

from __future__ import annotations

import anyio
import pytest
from anyio.abc import SocketStream

from lightclient.config import Network
from lightclient.errors import TransportError
from lightclient.transports.rest import RestTransport
from tests.transports.tcp import Heard, Script, response

PATH = "/eth/v1/beacon/light_client/optimistic_update"


def says(content: bytes, *, pause: float = 0.0, step: int = 0) -> Script:
    async def script(_: Heard, stream: SocketStream) -> None:
        size = step or max(len(content), 1)
        for start in range(0, len(content), size):
            await stream.send(content[start : start + size])
            await anyio.sleep(pause)

    return script


async def ask(url: str, network: Network, **options: object) -> int:
    """Slot of the optimistic update that the server gives."""
    transport = RestTransport(url, **options)  # type: ignore[arg-type]
    await transport.open(network)
    try:
        update = await transport.get_light_client_optimistic_update()
        return update.attested_header.beacon.slot
    finally:
        await transport.aclose()


async def refusal(url: str, network: Network, **options: object) -> TransportError:
    with pytest.raises(TransportError) as caught:
        await ask(url, network, **options)
    return caught.value


def redirect(location: str, status: str = "302 Found") -> bytes:
    return response(b"", status, location=location)
