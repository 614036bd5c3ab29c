"""What the fetcher sees refused, on its way into the dump directory."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

import anyio
import anyio.to_thread

from lightclient.client.dump_directory import DumpDirectory
from lightclient.client.dumps import RefusedObject
from lightclient.client.fetching import Fetcher
from lightclient.client.providers import Provider, Request
from lightclient.containers import LightClientObject, Undecoded
from lightclient.errors import MalformedAnswer
from lightclient.protocol import LightClientStore, Verdict, undecodable
from lightclient.sync import Processor


class Dumper:
    """Keeps what ``fetcher`` sees refused in the directory ``path``.

    Raises:
        ConfigError: from :meth:`open`, if the directory cannot be used.
    """

    def __init__(
        self, path: str | PathLike[str], fetcher: Fetcher, clock: Callable[[], int]
    ) -> None:
        self._directory = DumpDirectory(path)
        self._processor: Processor = fetcher.processor
        self._clock = clock
        fetcher.on_refused.append(self._note_refusal)
        fetcher.on_request.append(self._note_request)

    def open(self) -> None:
        """Create the directory, and begin."""
        self._directory.open()

    async def aclose(self) -> None:
        """Write what still waits, and end."""
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._directory.close)

    def _note_refusal(
        self,
        provider: Provider,
        value: LightClientObject,
        verdict: Verdict,
        store: LightClientStore | None,
        now_ms: int,
    ) -> None:
        self._take(provider, value, verdict, store, now_ms)

    def _note_request(self, request: Request) -> None:
        self.note_failure(request.provider, request.error)

    def note_failure(self, provider: Provider, error: Exception | None) -> None:
        """Keep the bytes that could not be decoded, if that is what ``error`` is about."""
        undecoded = error.undecoded if isinstance(error, MalformedAnswer) else None
        if isinstance(undecoded, Undecoded):
            store = self._processor.store
            before = None if store is None else store.copy()
            self._take(provider, undecoded, undecodable(str(error)), before, self._clock())

    def _take(
        self,
        provider: Provider,
        refused: LightClientObject | Undecoded,
        verdict: Verdict,
        store: LightClientStore | None,
        now_ms: int,
    ) -> None:
        from lightclient import __version__

        self._directory.take(
            RefusedObject(
                network=self._processor.network,
                trusted_block_root=self._processor.trusted_block_root,
                store=store,
                time_ms=now_ms,
                provider=provider.name,
                refused=refused,
                verdict=verdict,
                program_version=__version__,
            )
        )
