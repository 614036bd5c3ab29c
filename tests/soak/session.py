"""One client of a simulated world, from its start to its end."""

from __future__ import annotations

import trio

from lightclient.client import LightClient
from lightclient.errors import LightClientError
from tests.soak.watching import Watch


class Session:
    """A client with who watches it.

    Attributes:
        scope: to cancel it as a kill does. ended: when it is over, however that came.
        failure: what it gave up with; None if it was stopped or killed.
    """

    def __init__(self, client: LightClient, watch: Watch) -> None:
        self.client = client
        self.watch = watch
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.failure: LightClientError | None = None

    async def live(self) -> None:
        """Run the client until it is stopped, killed or gives up."""
        try:
            with self.scope:
                async with self.client:
                    await self.client.run()
        except LightClientError as error:
            self.failure = error
        finally:
            self.ended.set()
