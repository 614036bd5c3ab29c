"""A beacon node's REST API as a transport (the Beacon API's ``light_client`` endpoints).

Ties the layers of this room together: ``fetching`` gets bounded answers, ``api`` speaks the
provider's dialect, ``answers`` decodes, ``refusals`` and ``explain`` say what went wrong.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from lightclient.config.network import Network
from lightclient.containers import (
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientObject,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    ObjectKind,
)
from lightclient.errors import (
    ConfigError,
    DecodeError,
    ProviderUnavailable,
    TransportError,
    UnknownBootstrap,
)
from lightclient.transports import announcements
from lightclient.transports.address import parse_address
from lightclient.transports.answers import (
    JSON_TYPE,
    DecodedRange,
    decode_object,
    decode_range,
    is_json,
)
from lightclient.transports.api import (
    BOOTSTRAP,
    FINALITY_UPDATE,
    OPTIMISTIC_UPDATE,
    UPDATES,
    Endpoint,
    LightClientApi,
)
from lightclient.transports.base import (
    MAX_REQUEST_LIGHT_CLIENT_UPDATES,
    Genesis,
    ServerTime,
    Spec,
    UpdateRange,
)
from lightclient.transports.explain import (
    LIGHT_CLIENT_OFF,
    MAX_EXPLANATION_BYTES,
    NOT_TOLD,
    Explanation,
    explain_missing_bootstrap,
)
from lightclient.transports.fetching import Answer, Fetcher, Timeouts
from lightclient.transports.http_client import make_client
from lightclient.transports.push import PushedUpdate, default_event_idle, push_updates
from lightclient.transports.redaction import Redactor
from lightclient.transports.refusals import Absence, absence, refusal, server_message

if TYPE_CHECKING:
    import httpx

_MISSING_PERIOD: Final = re.compile(r"\bperiod[ :=]{1,3}([0-9]{1,9})\b", re.IGNORECASE)
_MAX_SHORTENINGS: Final = 3


class RestTransport:
    """Light client objects from one beacon node or provider over HTTP.

    Args:
        url: where the API is: ``https://host``, with a path before ``/eth/`` if there is one.
            Credentials and keys in it are used, and never shown.
        headers: ``(name, value)`` pairs sent with each request, but never to another host that a
            redirect leads to. Their values are never shown.
        timeout: seconds for a whole request. A range of updates may take four times as long.
        connect_timeout, idle_timeout: seconds to connect, and between two pieces of an answer.
        event_idle_timeout: seconds without a sign of life after which an event stream counts as
            dead; None for ten slots, 30 s at least.
        ca_file: PEM file with the certificate authorities to accept, in place of the usual ones
            (or those of ``SSL_CERT_FILE``).
        http_transport: an ``httpx`` transport in place of the network, for tests.

    Attributes:
        on_server_time: told what the provider's clock shows, whenever an answer's headers say it.

    Raises:
        ConfigError: a URL or header that cannot be used; ``open`` raises it for ``ca_file``, proxy
            variables and ``SSL_CERT_FILE``.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Sequence[tuple[str, str]] = (),
        timeout: float = 30.0,
        connect_timeout: float = 10.0,
        idle_timeout: float = 20.0,
        event_idle_timeout: float | None = None,
        ca_file: str | None = None,
        http_transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        if min(timeout, connect_timeout, idle_timeout, event_idle_timeout or 1.0) <= 0:
            raise ConfigError("a timeout must be more than 0 seconds")
        self._address = parse_address(url, headers)
        timeouts = Timeouts(min(connect_timeout, timeout), min(idle_timeout, timeout), timeout)
        self._fetcher = Fetcher(self._address, timeouts, make_client(ca_file, http_transport))
        self._timeout = timeout
        self._event_idle = event_idle_timeout
        self._network: Network | None = None
        self._api = LightClientApi(self._fetcher, self._address.redactor)
        self.on_server_time: Callable[[ServerTime], None] | None = None
        self._fetcher.on_headers = self._note_headers

    def __repr__(self) -> str:
        return f"RestTransport({self.name!r})"

    @property
    def name(self) -> str:
        """The provider, safe to show: without credentials or key-like parts."""
        return self._address.name

    @property
    def server(self) -> str:
        """Host and port: whatever else their URLs have, providers that share them are one."""
        return self._address.server

    @property
    def redactor(self) -> Redactor:
        """Masks this provider's secrets in other text that will be shown."""
        return self._address.redactor

    async def open(self, network: Network) -> None:
        """Make ready for use on ``network``. Connects to nothing yet. Raises ConfigError."""
        self._network = network
        self._fetcher.open()

    async def aclose(self) -> None:
        """Give up all connections. May be called twice."""
        await self._fetcher.aclose()

    # Objects -----------------------------------------------------------------------------------

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """The bootstrap of a 32-byte block root.

        Raises:
            UnknownBootstrap: the provider has none; ``reason`` says why if it could be found out.
            TransportError: anything else that went wrong.
        """
        if len(block_root) != 32:
            raise ValueError(f"a block root has 32 bytes, not {len(block_root)}")
        tail = f"/0x{block_root.hex()}"
        answer = await self._api.request(BOOTSTRAP, tail)
        if answer.status >= 300:
            raise await self._missing_bootstrap(block_root, answer)
        decode = self._object_decoder(ObjectKind.BOOTSTRAP)
        value = await self._api.decoded(BOOTSTRAP, answer, decode, tail)
        assert isinstance(value, LightClientBootstrap)
        return value

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        """The latest finality update. Raises TransportError."""
        value = await self._latest(FINALITY_UPDATE, ObjectKind.FINALITY_UPDATE)
        assert isinstance(value, LightClientFinalityUpdate)
        return value

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        """The latest optimistic update. Raises TransportError."""
        value = await self._latest(OPTIMISTIC_UPDATE, ObjectKind.OPTIMISTIC_UPDATE)
        assert isinstance(value, LightClientOptimisticUpdate)
        return value

    async def _latest(self, endpoint: Endpoint, kind: ObjectKind) -> LightClientObject:
        answer = await self._api.request(endpoint)
        if answer.status >= 300:
            raise self._refusal(answer, endpoint.what)
        return await self._api.decoded(endpoint, answer, self._object_decoder(kind))

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        """Best updates of ``count`` (1 to 128) sync committee periods from ``start_period``.

        What came before the answer broke off or became unreadable is kept, beside the error.

        Raises:
            TransportError: nothing usable came.
        """
        if start_period < 0 or not 1 <= count <= MAX_REQUEST_LIGHT_CLIENT_UPDATES:
            raise ValueError(f"cannot ask for {count} periods from {start_period}")
        cut_short: TransportError | None = None
        for _ in range(_MAX_SHORTENINGS):
            query = (("start_period", str(start_period)), ("count", str(count)))
            answer = await self._api.request(UPDATES, query=query)
            if answer.status < 300:
                return await self._read_range(answer, query, cut_short)
            cut_short = self._refusal(answer, self._what_range(start_period, count))
            missing = self._missing_period(answer, start_period, count)
            if missing is None:
                raise cut_short
            count = missing - start_period
        assert cut_short is not None
        raise cut_short

    async def _read_range(
        self, answer: Answer, query: Sequence[tuple[str, str]], cut_short: TransportError | None
    ) -> UpdateRange:
        network = self._opened()
        # Megabytes of updates take long enough to decode that the event loop would notice.
        read = await anyio.to_thread.run_sync(decode_range, answer, network)
        failed = read.error is not None and answer.incomplete is None
        if failed and not read.updates and not is_json(answer):
            again = await self._api.again_as_json(
                UPDATES, lambda a: _whole_range(decode_range(a, network)), query=query
            )
            if again is not None:
                return UpdateRange(again, cut_short)
        error = answer.incomplete
        if error is None and read.error is not None:
            error = self._fetcher.undecodable(self._safe(read.error), read.undecoded)
        if error is not None and not read.updates:
            raise error
        return UpdateRange(read.updates, error or cut_short)

    @staticmethod
    def _what_range(start_period: int, count: int) -> str:
        if count == 1:
            return f"the update of period {start_period}"
        return f"the updates of periods {start_period} to {start_period + count - 1}"

    def _missing_period(self, answer: Answer, start_period: int, count: int) -> int | None:
        """The period after the first for which a server says that it refuses the whole range."""
        if answer.status not in (400, 404, 500):
            return None
        said = server_message(answer, self._address.redactor)
        named = [int(number) for number in _MISSING_PERIOD.findall(said)]
        return next((n for n in named if start_period < n < start_period + count), None)

    def _object_decoder(self, kind: ObjectKind) -> Callable[[Answer], LightClientObject]:
        network = self._opened()
        return lambda answer: decode_object(kind, answer, network)

    # Announcements -----------------------------------------------------------------------------

    async def get_spec(self) -> Spec:
        """The configuration that the provider announces, unverified. Raises TransportError."""
        return await announcements.get_spec(self._fetcher, self._address.redactor)

    async def get_genesis(self) -> Genesis:
        """The genesis that the provider announces, unverified. Raises TransportError."""
        return await announcements.get_genesis(self._fetcher, self._address.redactor)

    def _note_headers(self, headers: Mapping[str, str], round_trip_seconds: float) -> None:
        if self.on_server_time is not None:
            time = announcements.read_server_time(headers, round_trip_seconds)
            if time is not None:
                self.on_server_time(time)

    # Refusals ----------------------------------------------------------------------------------

    async def _missing_bootstrap(self, block_root: bytes, answer: Answer) -> TransportError:
        missing = absence(answer)
        explanation: Explanation | None = None
        if missing is Absence.ROUTE:
            explanation = Explanation("light_client_off", LIGHT_CLIENT_OFF)
        elif missing is not Absence.NOTHING or answer.status in (400, 500):
            with anyio.move_on_after(self._timeout):
                explanation = await explain_missing_bootstrap(
                    block_root, self._opened(), self._ask, self._latest_updates
                )
        # An error of another kind, and nothing about the block that accounts for it.
        if missing is Absence.NOTHING and (
            explanation is None or explanation.reason in ("not_kept", "light_client_off")
        ):
            return self._refusal(answer, f"the bootstrap of block 0x{block_root.hex()}")
        reason, sentence = "not_told", NOT_TOLD
        if explanation is not None:
            reason, sentence = explanation.reason, explanation.sentence
        said = server_message(answer, self._address.redactor)
        quoted = f': "{said}"' if said else ""
        return UnknownBootstrap(
            f"{self.name}: no bootstrap for block 0x{block_root.hex()}: {sentence} "
            f"(HTTP {answer.status}{quoted})",
            provider=self.name,
            reason=reason,
        )

    async def _ask(self, path: str, query: Sequence[tuple[str, str]]) -> Answer | None:
        try:
            answer = await self._fetcher.get(
                path, query, accept=JSON_TYPE, max_bytes=MAX_EXPLANATION_BYTES
            )
        except TransportError:
            return None
        return None if answer.incomplete is not None else answer

    async def _latest_updates(
        self,
    ) -> list[LightClientFinalityUpdate | LightClientOptimisticUpdate]:
        updates: list[LightClientFinalityUpdate | LightClientOptimisticUpdate] = []
        try:
            updates.append(await self.get_light_client_optimistic_update())
            updates.append(await self.get_light_client_finality_update())
        except TransportError:
            pass
        return updates

    def _refusal(self, answer: Answer, asked: str) -> TransportError:
        return refusal(answer, asked, self.name, self._address.redactor)

    def _safe(self, error: DecodeError) -> str:
        return self._address.redactor.quote(str(error))

    def _opened(self) -> Network:
        if self._network is None:
            raise self._fetcher.failure(ProviderUnavailable, "this transport is not open")
        return self._network

    # Events ------------------------------------------------------------------------------------

    async def stream_updates(self) -> AsyncGenerator[PushedUpdate, None]:
        """Updates as the provider pushes them (server-sent events).

        Raises:
            NotServed: the provider pushes no such events: poll instead.
            ProviderUnavailable: the stream ended or fell silent.
            MalformedAnswer: an event beyond its bound, or one that cannot be decoded.
        """
        network = self._opened()
        stream = push_updates(
            self._fetcher,
            self._address.redactor,
            network,
            idle=self._event_idle or default_event_idle(network),
            v0_first=self._api.version == "v0",
        )
        async with aclosing(stream) as updates:
            async for update in updates:
                yield update


def _whole_range(read: DecodedRange) -> tuple[LightClientUpdate, ...]:
    if read.error is not None and not read.updates:
        raise read.error
    return read.updates
