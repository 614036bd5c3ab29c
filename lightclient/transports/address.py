"""Where a REST provider is and what is sent to it: URL and headers, checked and taken apart.

Credentials in the URL become a header here, so that no later step ever sees them in a URL.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import SplitResult, quote, unquote, unquote_plus, urljoin, urlsplit

from lightclient.errors import ConfigError
from lightclient.transports.redaction import (
    Redactor,
    basic_credentials,
    header_secrets,
    safe_url,
    url_secrets,
)

MAX_URL_CHARACTERS: Final = 4096
_SHORTEST_UNMISTAKABLE_KEY: Final = 12
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
# What the transport itself decides; a second value would contradict it.
_RESERVED_HEADERS: Final = frozenset(
    ("accept", "accept-encoding", "connection", "content-length", "te", "transfer-encoding")
)

Origin = tuple[str, str, int]
"""Scheme, host and port: whom one talks to."""


@dataclass(frozen=True, slots=True)
class ProviderAddress:
    """A provider's address without its credentials.

    Attributes:
        name: the provider, safe to show.
        base_url: URL without user name, password, query, fragment and trailing slash.
        query: the query that the user gave (an API key, often), sent with every request.
        headers: sent with every request to this origin, and to no other.
        redactor: knows every secret in the above.
    """

    name: str
    base_url: str = field(repr=False)
    query: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    redactor: Redactor = field(repr=False)

    @property
    def server(self) -> str:
        """Host and port."""
        origin = origin_of(self.base_url)
        assert origin is not None  # or there would be no address
        _, host, port = origin
        return f"{host.rstrip('.')}:{port}"

    def url(self, path: str, query: Sequence[tuple[str, str]] = ()) -> str:
        """URL of an API path (``/eth/...``), with the user's own query kept."""
        asked = "&".join(f"{name}={quote(value, safe=',')}" for name, value in query)
        joined = "&".join(part for part in (self.query, asked) if part)
        return f"{self.base_url}{path}?{joined}" if joined else f"{self.base_url}{path}"

    def url_for_stranger(self, target: str) -> str | None:
        """A redirect's ``target`` on another host without the query that the user gave.

        Many servers redirect to the same path and query elsewhere. None if a key of this address
        would still go along, in the path or inside of something else.
        """
        parts = urlsplit(target)
        own = {unquote_plus(part) for part in self.query.split("&") if part}
        kept = [part for part in parts.query.split("&") if unquote_plus(part) not in own]
        stripped = parts._replace(query="&".join(kept)).geturl()
        keys = {unquote(key) for key in url_secrets(f"{self.base_url}?{self.query}")}
        segments = {unquote(segment) for segment in parts.path.split("/")}
        long_keys = (key for key in keys if len(key) >= _SHORTEST_UNMISTAKABLE_KEY)
        if keys & segments or any(key in unquote(stripped) for key in long_keys):
            return None
        return stripped


def parse_address(url: str, headers: Sequence[tuple[str, str]] = ()) -> ProviderAddress:
    """Check a provider's URL and extra headers.

    Raises:
        ConfigError: not an http(s) URL, or a header that cannot be sent. No message quotes a value.
    """
    parts = _split(url)
    assert parts.hostname is not None
    sent = _checked_headers(headers)
    secrets = [*url_secrets(url), *header_secrets(sent)]
    if parts.username is not None and not any(n.lower() == "authorization" for n, _ in sent):
        token = basic_credentials(unquote(parts.username), unquote(parts.password or ""))
        sent = (*sent, ("Authorization", f"Basic {token}"))
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = host if parts.port is None else f"{host}:{parts.port}"
    return ProviderAddress(
        name=safe_url(url),
        base_url=f"{parts.scheme}://{authority}{parts.path.rstrip('/')}",
        query=parts.query,
        headers=sent,
        redactor=Redactor(secrets),
    )


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL_CHARACTERS:
        raise ConfigError(f"a provider URL of more than {MAX_URL_CHARACTERS} characters")
    if not url.isprintable() or " " in url:
        raise ConfigError("a provider URL holds a space or a control character; encode it (%20)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ConfigError("a provider URL has an unusable host or port") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConfigError("a provider URL must start with https:// or http://")
    if not parts.hostname:
        raise ConfigError("a provider URL has no host")
    if port == 0:
        raise ConfigError("a provider URL has port 0")
    if parts.fragment:
        raise ConfigError("a provider URL ends in a fragment (#...), which is never sent")
    return parts


def _checked_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    checked: list[tuple[str, str]] = []
    for name, value in headers:
        name, value = name.strip(), value.strip()
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError("a request header has an unusable name (expected NAME:VALUE)")
        if name.lower() in _RESERVED_HEADERS:
            raise ConfigError(f"the request header {name} is set by the client itself")
        if not _HEADER_VALUE.fullmatch(value):
            raise ConfigError(f"the value of request header {name} is empty or not printable ASCII")
        checked.append((name, value))
    return tuple(checked)


def origin_of(url: str) -> Origin | None:
    """Whom a request to ``url`` talks to; None if it is no usable http(s) URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        return None
    return parts.scheme, parts.hostname, port or _DEFAULT_PORTS[parts.scheme]


def may_keep_credentials(source: Origin, target: Origin) -> bool:
    """Whether headers meant for ``source`` may go to ``target``: the same, or its https twin."""
    twin = source[:1] == ("http",) and target == ("https", source[1], 443) and source[2] == 80
    return source == target or twin


def redirect_target(current: str, location: str) -> str | None:
    """Absolute URL that ``location`` names, without user name, password and fragment.

    None if it is no usable http(s) URL.
    """
    if len(location) > MAX_URL_CHARACTERS or not location.isprintable() or " " in location:
        return None
    try:
        target = urljoin(current, location)
        parts = urlsplit(target)
    except ValueError:
        return None
    if origin_of(target) is None:
        return None
    authority = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=authority, fragment="").geturl()
