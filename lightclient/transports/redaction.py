"""Keep credentials and keys out of names, logs and errors.

A provider's URL often is a secret: it holds a password, or a key as a path segment, a query value
or a host label. Everything shown about a provider passes through :class:`Redactor`; what is not
known to be harmless is masked.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, quote_plus, unquote, urlsplit

MASK: Final = "***"
MAX_SHOWN_CHARACTERS: Final = 240
"""Longest text of a server that is ever quoted."""
_SHORTEST_SECRET: Final = 3
# Words of API paths and networks that say nothing about who asks. Everything else in a path is
# masked: a key made of plain letters cannot be told from a word.
_PLAIN_SEGMENTS: Final = frozenset(
    (
        "eth",
        "eth1",
        "eth2",
        "ethereum",
        "consensus",
        "beacon",
        "node",
        "api",
        "rest",
        "rpc",
        "http",
        "https",
        "cl",
        "lightclient",
        "light_client",
        "light-client",
        "bootstrap",
        "updates",
        "finality_update",
        "optimistic_update",
        "events",
        "headers",
        "blocks",
        "states",
        "config",
        "spec",
        "genesis",
        "head",
        "finalized",
        "finality_checkpoints",
        "mainnet",
        "sepolia",
        "holesky",
        "hoodi",
        "gnosis",
        "chiado",
        "testnet",
        "devnet",
        "v0",
        "v1",
        "v2",
        "v3",
    )
)
_KEY_LIKE_LABEL: Final = re.compile(r"[0-9a-f]{16,}|(?=[^.]*[0-9])[0-9a-z]{20,}", re.IGNORECASE)
_URL: Final = re.compile(r"\b[a-z][a-z0-9+.-]{1,15}://[^\s\"'<>\\`]+", re.IGNORECASE)
_CREDENTIAL: Final = re.compile(
    r"\b(?P<name>api[-_]?key|access[-_]?token|auth[-_]?token|token|secret|password|passwd|jwt)"
    r"(?P<sign>[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;<>]+",
    re.IGNORECASE,
)
_AUTH_SCHEME: Final = re.compile(r"\b(?P<scheme>basic|bearer)\s+[\w.~+/=-]{6,}", re.IGNORECASE)
_AUTH_SCHEMES: Final = frozenset({"basic", "bearer", "digest", "token", "apikey", "negotiate"})


def one_line(text: str, limit: int = MAX_SHOWN_CHARACTERS) -> str:
    """``text`` as one printable line of at most ``limit`` characters.

    Control, format and line separator characters (terminal escapes, text direction) become spaces.
    """
    # A bounded prefix first: the text may be the largest body that was let in.
    printable = "".join(
        " " if unicodedata.category(character)[0] in "CZ" else character
        for character in text[: 16 * limit]
    )
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def _host_label_is_secret(label: str) -> bool:
    return _KEY_LIKE_LABEL.fullmatch(label) is not None


def _safe_host(host: str) -> str:
    if ":" in host:
        return f"[{host}]"
    return ".".join(MASK if _host_label_is_secret(label) else label for label in host.split("."))


def _safe_path(path: str) -> str:
    segments = [segment for segment in path.split("/") if segment]
    shown = [segment if segment.lower() in _PLAIN_SEGMENTS else MASK for segment in segments]
    return "".join(f"/{segment}" for segment in shown)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises for a port that is none
    except ValueError:
        return None
    return parts if parts.hostname else None


def safe_url(url: str) -> str:
    """``url`` as it may be shown: scheme, host, port and the harmless words of its path.

    User name, password, query and fragment are left out; other path segments and key-like host
    labels are masked. A text that is no URL becomes the mask.
    """
    parts = _split(url)
    if parts is None or parts.hostname is None:
        return MASK
    port = f":{parts.port}" if parts.port is not None else ""
    return f"{parts.scheme}://{_safe_host(parts.hostname)}{port}{_safe_path(parts.path)}"


def url_secrets(url: str) -> tuple[str, ...]:
    """The parts of ``url`` that must not be shown: credentials, keys, query values."""
    parts = _split(url)
    if parts is None or parts.hostname is None:
        return (url,)
    found = [part for part in (parts.username, parts.password) if part]
    if parts.username is not None:
        found.append(basic_credentials(unquote(parts.username), unquote(parts.password or "")))
    found += [label for label in parts.hostname.split(".") if _host_label_is_secret(label)]
    found += [
        segment for segment in parts.path.split("/") if segment.lower() not in _PLAIN_SEGMENTS
    ]
    found += [value for _, value in parse_qsl(parts.query, keep_blank_values=True)]
    if parts.query and "=" not in parts.query:
        found.append(parts.query)
    found.append(parts.fragment)
    return tuple(secret for secret in found if secret)


def header_secrets(headers: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    """The values of ``headers`` and the tokens inside them (``Bearer TOKEN``)."""
    found: list[str] = []
    for _, value in headers:
        found.append(value)
        tokens = re.split(r"[\s;,]+", value)
        found += [token for token in tokens if token.lower() not in _AUTH_SCHEMES]
        found += [token.partition("=")[2] for token in tokens if "=" in token.rstrip("=")]
    return tuple(secret for secret in found if secret)


def basic_credentials(username: str, password: str) -> str:
    """The token of HTTP basic authentication (RFC 7617, UTF-8)."""
    return base64.b64encode(f"{username}:{password}".encode()).decode("ascii")


class Redactor:
    """Replaces known secrets, and whatever looks like one, in text that will be shown."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings: set[str] = set()
        for secret in secrets:
            plain = unquote(secret)
            spellings |= {secret, plain, quote(plain), quote(plain, safe=""), quote_plus(plain)}
        usable = [text for text in spellings if len(text) >= _SHORTEST_SECRET]
        # Longest first, or a secret's beginning would be masked and its rest shown.
        usable.sort(key=len, reverse=True)
        self._secrets = (
            re.compile("|".join(map(re.escape, usable)), re.IGNORECASE) if usable else None
        )

    def __repr__(self) -> str:
        return "Redactor()"

    def is_secret_in(self, content: bytes) -> bool:
        """Whether a known secret stands in ``content``."""
        return self._secrets is not None and bool(self._secrets.search(content.decode("latin-1")))

    def redact(self, text: str) -> str:
        """``text`` with secrets masked; URLs in it are reduced to what :func:`safe_url` shows."""
        text = _URL.sub(lambda match: safe_url(match[0]), text)
        if self._secrets is not None:
            text = self._secrets.sub(MASK, text)
        text = _CREDENTIAL.sub(lambda match: f"{match['name']}{match['sign']}{MASK}", text)
        return _AUTH_SCHEME.sub(lambda match: f"{match['scheme']} {MASK}", text)

    def quote(self, text: str, limit: int = MAX_SHOWN_CHARACTERS) -> str:
        """``text`` from outside as one printable, redacted, bounded line."""
        # Redacted before it is cut: half a secret would not be recognised. And once more after
        # control characters are gone, which could have hidden one.
        return one_line(self.redact(one_line(self.redact(text[: 64 * limit]), 16 * limit)), limit)
