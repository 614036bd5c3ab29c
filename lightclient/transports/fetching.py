"""One bounded HTTP GET over httpx: redirects by hand, deadlines, body bounds, safe errors.

Nothing of the answer is interpreted here (``answers`` does that). What escapes is an
:class:`Answer` or a TransportError; no exception of the HTTP library, and no secret.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import anyio

from lightclient.containers import Undecoded
from lightclient.errors import (
    DecodeError,
    MalformedAnswer,
    ProviderRefused,
    ProviderUnavailable,
    TransportError,
)
from lightclient.transports.address import (
    ProviderAddress,
    may_keep_credentials,
    origin_of,
    redirect_target,
)
from lightclient.transports.compression import ACCEPT_ENCODING, Inflater
from lightclient.transports.http_client import ClientFactory
from lightclient.transports.quiet import install, quiet
from lightclient.transports.redaction import safe_url

if TYPE_CHECKING:
    import httpx

MAX_REDIRECTS: Final = 5
MAX_ERROR_BODY_BYTES: Final = 64 * 1024
"""Of an error's body no more than this is read; the rest is left."""
MAX_STREAM_PIECE_BYTES: Final = 4 * 1024 * 1024
USER_AGENT: Final = "lightclient"
# X509_V_ERR_ of OpenSSL: an issuer or the root is missing or not known.
_UNKNOWN_AUTHORITY: Final = frozenset((2, 18, 19, 20, 21))
_REDIRECTS: Final = frozenset((301, 302, 303, 307, 308))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Waits in seconds: to connect, between two pieces of an answer, and for all of it."""

    connect: float = 10.0
    idle: float = 20.0
    total: float = 30.0


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, bounded and decompressed.

    Attributes:
        headers: names in lower case.
        incomplete: why the body ends early; None if it is whole.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    incomplete: TransportError | None = None


@dataclass(frozen=True, slots=True)
class _Request:
    """What does not change while redirects are followed, and where it begins."""

    url: str = field(repr=False)
    accept: str
    idle: float
    accept_encoding: str = ACCEPT_ENCODING


class Fetcher:
    """Asks one provider.

    Args:
        factory: makes the HTTP client; called again after :meth:`aclose`.

    Attributes:
        on_headers: told of each answer's headers (names in lower case), with the seconds from the
            request to them; they may be of any host that a redirect led to.
    """

    def __init__(
        self, address: ProviderAddress, timeouts: Timeouts, factory: ClientFactory
    ) -> None:
        self._address = address
        self._timeouts = timeouts
        self._factory = factory
        self._client: httpx.AsyncClient | None = None
        self.on_headers: Callable[[Mapping[str, str], float], None] | None = None

    @property
    def provider(self) -> str:
        """The provider's name, safe to show."""
        return self._address.name

    def open(self) -> None:
        """Make the HTTP client; connects to nothing. Raises ConfigError."""
        if self._client is None:
            install()
            self._client = self._factory()

    async def aclose(self) -> None:
        """Close every connection. May be called twice."""
        client, self._client = self._client, None
        if client is not None:
            with anyio.CancelScope(shield=True), quiet():
                await client.aclose()

    async def get(
        self,
        path: str,
        query: Sequence[tuple[str, str]] = (),
        *,
        accept: str,
        max_bytes: int,
        patience: float = 1.0,
    ) -> Answer:
        """GET an API path.

        Args:
            max_bytes: bound of the decompressed body of a 2xx answer.
            patience: factor on the total deadline, for large answers.

        Raises:
            ProviderUnavailable: no connection, or no answer in time.
            ProviderRefused: a redirect that must not be followed.
            MalformedAnswer: a body beyond its bound, or an answer that is not HTTP.
        """
        body = _Body(max_bytes)
        failure: TransportError | None = None
        seconds = self._timeouts.total * patience
        request = _Request(self._address.url(path, query), accept, self._timeouts.idle)
        with anyio.move_on_after(seconds) as scope, quiet():
            try:
                async with self._response(request) as response:
                    await body.read(response)
            except _outside_errors() as error:
                failure = self._translate(error)
        if scope.cancelled_caught:
            failure = self.failure(ProviderUnavailable, f"no complete answer within {seconds:g} s")
        # Raised here, not in the except clause: httpx's errors carry the request with its URL.
        if failure is not None and not body.started:
            raise failure
        return body.answer(failure)

    async def chunks(
        self, path: str, query: Sequence[tuple[str, str]], *, accept: str, idle: float
    ) -> AsyncGenerator[Answer | bytes, None]:
        """A GET without end: first the Answer (its body only if it is an error), then bytes.

        ``idle`` is how many seconds the provider may be silent. Raises as :meth:`get` does; the end
        of the stream is the end of the iterator.
        """
        # Compression would make servers and proxies hold events back.
        request = _Request(self._address.url(path, query), accept, idle, "identity")
        async with aclosing(self._stream(request)) as pieces:
            while True:
                with quiet():
                    piece = await anext(pieces, None)
                if piece is None:
                    return
                yield piece

    async def _stream(self, request: _Request) -> AsyncGenerator[Answer | bytes, None]:
        failure: TransportError | None = None
        try:
            async with self._response(request) as response:
                body = _Body(0)
                if response.status_code >= 300:
                    with anyio.move_on_after(self._timeouts.total):
                        await body.read(response)
                    yield body.answer(None)
                    return
                yield Answer(response.status_code, _headers(response), b"")
                inflater = Inflater(response.headers.get("content-encoding", ""))
                async for chunk in _raw(response):
                    piece = inflater.feed(chunk, MAX_STREAM_PIECE_BYTES)
                    if len(piece) > MAX_STREAM_PIECE_BYTES:
                        raise DecodeError("a compression bomb")
                    yield piece
        except _outside_errors() as error:
            failure = self._translate(error)
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def _response(self, request: _Request) -> AsyncIterator[httpx.Response]:
        """The answer's head, after redirects; closed in any case."""
        response = await self._follow(request)
        try:
            yield response
        finally:
            with anyio.CancelScope(shield=True):
                await response.aclose()

    async def _follow(self, request: _Request) -> httpx.Response:
        url = request.url
        start = origin_of(url)
        assert start is not None
        trusted, seen = True, {url}
        for _ in range(MAX_REDIRECTS + 1):
            response = await self._send(request, url, with_credentials=trusted)
            if response.status_code not in _REDIRECTS:
                return response
            location = response.headers.get("location", "")
            await response.aclose()
            target = redirect_target(url, location) if location else None
            origin = origin_of(target) if target else None
            if target is None or origin is None:
                raise self.failure(MalformedAnswer, "redirects to nowhere (no usable Location)")
            if origin[0] == "http" and url.startswith("https:"):
                raise self.failure(
                    ProviderRefused,
                    f"redirects from https to unprotected {safe_url(target)}: not followed",
                )
            # Once lost, trust does not come back: the stranger chose where to go next.
            trusted = trusted and may_keep_credentials(start, origin)
            if not trusted:
                target = self._for_stranger(target)
            if target in seen:
                raise self.failure(ProviderRefused, "redirects in a circle; check the URL")
            seen.add(target)
            url = target
        raise self.failure(ProviderRefused, f"redirects more than {MAX_REDIRECTS} times")

    def _for_stranger(self, target: str) -> str:
        stripped = self._address.url_for_stranger(target)
        if stripped is None:
            raise self.failure(
                ProviderRefused,
                f"redirects to another host, {safe_url(target)}, with a key of this URL in the"
                " address: not followed; if that host may know it, name it as the provider",
            )
        return stripped

    async def _send(self, request: _Request, url: str, *, with_credentials: bool) -> httpx.Response:
        import httpx

        if self._client is None:
            raise self.failure(ProviderUnavailable, "this transport is not open")
        headers = [
            ("Accept", request.accept),
            ("Accept-Encoding", request.accept_encoding),
            *(self._address.headers if with_credentials else ()),
        ]
        given = {name.lower() for name, _ in headers}
        if "user-agent" not in given:
            headers.append(("User-Agent", USER_AGENT))
        timeout = httpx.Timeout(request.idle, connect=self._timeouts.connect)
        http_request = self._client.build_request("GET", url, timeout=timeout)
        if "host" not in given:
            headers.insert(0, ("Host", http_request.headers["host"]))
        http_request.headers = httpx.Headers(headers)
        sent = anyio.current_time()
        response = await self._client.send(http_request, stream=True, follow_redirects=False)
        if self.on_headers is not None:
            self.on_headers(_headers(response), anyio.current_time() - sent)
        return response

    # Errors ------------------------------------------------------------------------------------

    def failure(self, kind: type[TransportError], what: str) -> TransportError:
        """An error about this provider. ``what`` must be safe to show."""
        return kind(f"{self._address.name}: {what}", provider=self._address.name)

    def undecodable(self, what: str, undecoded: Undecoded | None) -> MalformedAnswer:
        """An error about bytes that are no object. ``what`` must be safe to show.

        The bytes go with it, for whoever looks into the matter, unless they repeat a secret.
        """
        if undecoded is not None and self._address.redactor.is_secret_in(undecoded.content):
            undecoded = None
        return MalformedAnswer(
            f"{self._address.name}: {what}", provider=self._address.name, undecoded=undecoded
        )

    def _translate(self, error: Exception) -> TransportError:
        """An error of the HTTP library, the TLS library or the system as one of ours."""
        import httpx

        chain = _chain(error)
        # Some layers pass an error on without its words.
        said = self._address.redactor.quote(next(filter(None, map(str, chain)), ""))
        detail = f" ({said})" if said else ""
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            return self.failure(MalformedAnswer, f"a URL that cannot be used{detail}")
        if isinstance(error, DecodeError):
            return self.failure(MalformedAnswer, f"the answer is {said}")
        return self.failure(ProviderUnavailable, self._why_unavailable(chain) + detail)

    def _why_unavailable(self, chain: list[BaseException]) -> str:
        import httpx

        error = chain[0]
        if isinstance(error, httpx.ProxyError):
            return "the proxy does not let us through"
        if isinstance(error, httpx.ConnectTimeout | httpx.PoolTimeout):
            return f"no connection within {self._timeouts.connect:g} s"
        if isinstance(error, httpx.TimeoutException):
            return "silent for too long"
        for link in chain:
            if isinstance(link, ssl.SSLCertVerificationError):
                return _why_untrusted(link)
        if isinstance(error, httpx.RemoteProtocolError):
            return "closed the connection early or does not speak HTTP"
        if isinstance(error, httpx.ConnectError):
            return "cannot be reached"
        return "the connection failed"


def _why_untrusted(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return (
            "its TLS certificate is not signed by a known authority; for a private one name "
            "the CA file (SSL_CERT_FILE or ca_file)"
        )
    return "its TLS certificate does not hold; check the URL and this machine's clock"


def _chain(error: BaseException) -> list[BaseException]:
    """An error and what caused it, a few links deep."""
    chain = [error]
    while len(chain) < 8 and (cause := chain[-1].__cause__ or chain[-1].__context__) is not None:
        chain.append(cause)
    return chain


def _outside_errors() -> tuple[type[Exception], ...]:
    """What the HTTP library and the layers below it raise; and damaged compression."""
    import httpx

    return (
        httpx.HTTPError,
        httpx.InvalidURL,
        httpx.StreamError,
        OSError,
        anyio.ClosedResourceError,
        anyio.BrokenResourceError,
        DecodeError,
    )


class _Body:
    """Reads a body up to its bound, keeping what came if it breaks off."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = bytearray()
        self._status = 0
        self._headers: Mapping[str, str] = {}
        self.started = False

    async def read(self, response: httpx.Response) -> None:
        """Raises DecodeError for a body that is too long or damaged, and httpx's own errors."""
        self._status, self._headers = response.status_code, _headers(response)
        is_error = response.status_code >= 300
        limit = MAX_ERROR_BODY_BYTES if is_error else self._max_bytes
        stated = self._headers.get("content-length", "")
        # Length of the compressed body, which is never much longer than the body itself.
        if not is_error and stated.isascii() and stated.isdigit() and int(stated[:20]) > limit:
            raise DecodeError(f"too long: {stated[:20]} bytes, where {limit} may be")
        inflater = Inflater(self._headers.get("content-encoding", ""))
        self.started = True
        async for chunk in _raw(response):
            self._bytes += inflater.feed(chunk, limit - len(self._bytes))
            if len(self._bytes) > limit:
                del self._bytes[limit:]
                if is_error:
                    return
                raise DecodeError(f"too long: more than {limit} bytes")
        if not inflater.is_complete:
            raise DecodeError("cut off inside its compression")

    def answer(self, failure: TransportError | None) -> Answer:
        return Answer(self._status, self._headers, bytes(self._bytes), failure)


def _raw(response: httpx.Response) -> httpx.AsyncByteStream:
    """The body as on the wire; ``aiter_raw`` refuses a response that a test made of bytes."""
    import httpx

    assert isinstance(response.stream, httpx.AsyncByteStream)
    return response.stream


def _headers(response: httpx.Response) -> dict[str, str]:
    return {name.lower(): value for name, value in response.headers.items()}
