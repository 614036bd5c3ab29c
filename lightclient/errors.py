"""Every exception that the library raises, in one tree.

Judged objects never raise: they get a :class:`lightclient.protocol.Verdict`. Exceptions are for the
caller's mistakes and for the outside world (files, servers, missing libraries).

::

    LightClientError
    ├── ConfigError            a network definition or an option that cannot be used   (ValueError)
    ├── DecodeError            bytes or JSON that are not the object they should be     (ValueError)
    ├── BlsError               a backend that is missing or input it cannot work on     (ValueError)
    ├── DataDirError           the data directory cannot be created, locked or written
    ├── StaleTrustedRoot       what to start from is older than the weak subjectivity period
    ├── ListenError            an address of this machine that nothing can be served at
    ├── NotSyncedError         asked for a header before there is one
    │   └── StaleError             ... or for a younger one than there is, with its ``age``
    ├── ConflictingHeaders     the committee signed two headers that contradict each other
    ├── UnknownFork            the chain went on without this version: nothing verifies any more
    ├── DeriveError            states or blocks that yield no light client data        (ValueError)
    └── TransportError         a provider did not give what was asked; carries ``provider``
        ├── ProviderUnavailable    no connection, timeout, 5xx, 429: try again or elsewhere
        │   └── RateLimited        429 or 503 with Retry-After, in ``retry_after`` seconds
        ├── ProviderRefused        the provider answered that it will not or cannot
        │   ├── NotServed          the endpoint does not exist there (404/405/501 of the route)
        │   ├── WrongNetwork       it serves another network, or a network of another preset
        │   └── UnknownBootstrap   no bootstrap for this root; ``reason`` says why
        └── MalformedAnswer        an answer that breaks a bound or cannot be decoded
"""

from __future__ import annotations

from pathlib import Path


class LightClientError(Exception):
    """Root of the tree."""


class ConfigError(LightClientError, ValueError):
    """A network definition or an option that cannot be used."""


class DecodeError(LightClientError, ValueError):
    """Bytes or JSON that are not the object they should be."""


class BlsError(LightClientError, ValueError):
    """A signature backend that is missing, or input that it cannot work on."""


class DataDirError(LightClientError):
    """The data directory cannot be created, locked or written."""


class StaleTrustedRoot(LightClientError):
    """The trusted block, or the stored state, is older than the weak subjectivity period."""


class ListenError(LightClientError):
    """An address of this machine that nothing can be served at."""


class NotSyncedError(LightClientError):
    """Asked for a header before there is one."""


class StaleError(NotSyncedError):
    """The header asked for is older than the caller allows; ``age`` is its age in seconds."""

    def __init__(self, message: str, *, age: float = 0.0) -> None:
        super().__init__(message)
        self.age = age


class ConflictingHeaders(LightClientError):
    """The sync committee signed two headers that contradict each other.

    ``evidence`` is the folder with both; None if it could not be kept.
    """

    def __init__(self, message: str, *, evidence: Path | None = None) -> None:
        super().__init__(message)
        self.evidence = evidence


class UnknownFork(LightClientError):
    """The chain has a fork that this version does not know: nothing after it can be verified."""


class DeriveError(LightClientError, ValueError):
    """Beacon states or blocks that do not yield the light client object asked for."""


class TransportError(LightClientError):
    """A provider did not give what was asked.

    ``provider`` is a name that is safe to show: it never contains credentials.
    """

    def __init__(self, message: str, *, provider: str = "") -> None:
        super().__init__(message)
        self.provider = provider


class ProviderUnavailable(TransportError):
    """No connection, a timeout, a server error: try again later or elsewhere."""


class RateLimited(ProviderUnavailable):
    """The provider asked for a pause of ``retry_after`` seconds."""

    def __init__(self, message: str, *, provider: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message, provider=provider)
        self.retry_after = retry_after


class ProviderRefused(TransportError):
    """The provider answered that it will not or cannot serve this."""


class NotServed(ProviderRefused):
    """The endpoint does not exist at this provider."""


class WrongNetwork(ProviderRefused):
    """The provider says that it serves another network."""


class UnknownBootstrap(ProviderRefused):
    """The provider has no bootstrap for this root; ``reason`` is a short stable word for why."""

    def __init__(self, message: str, *, provider: str = "", reason: str = "unknown_root") -> None:
        super().__init__(message, provider=provider)
        self.reason = reason


class MalformedAnswer(TransportError):
    """An answer that breaks a bound or cannot be decoded.

    ``undecoded`` is a ``containers.Undecoded`` with the bytes that are no object, where there are
    any to look at.
    """

    def __init__(self, message: str, *, provider: str = "", undecoded: object = None) -> None:
        super().__init__(message, provider=provider)
        self.undecoded = undecoded
