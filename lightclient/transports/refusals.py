"""What a provider's refusal means, sans I/O: an error answer in, a TransportError out.

Servers agree on little here: a 404 may mean that the object or that the whole route is unknown,
a 500 that the object is. The text of the answer is quoted, as one bounded, redacted line.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Final

from lightclient.containers import parse_json
from lightclient.errors import (
    DecodeError,
    NotServed,
    ProviderRefused,
    ProviderUnavailable,
    RateLimited,
    TransportError,
)
from lightclient.transports.fetching import Answer
from lightclient.transports.redaction import Redactor

MAX_RETRY_AFTER: Final = 3600.0
"""No provider makes a client wait for more than this many seconds."""
MAX_MESSAGE_CHARACTERS: Final = 2048
"""Of a server's own words no more than these are looked at."""
_MESSAGE_KEYS: Final = ("message", "error", "detail", "title", "reason")
_NO_ROUTE: Final = re.compile(
    r"\b(route|endpoint|path|page|url|uri|method|handler)\b.*\bnot (be )?(found|supported"
    r"|implemented|allowed)\b|\bcannot get\b|\bno (such )?(route|endpoint|handler)\b"
    r"|\bunknown (route|endpoint|path)\b|^\s*not_found\s*$",
    re.IGNORECASE | re.DOTALL,
)
_NO_OBJECT: Final = re.compile(
    r"^\s*not[_ ]found:"
    r"|unavailable|not available|no longer|unknown|missing|does not exist|doesn't exist"
    r"|(block|root|header|bootstrap|update|witness|state).*not (found|available)"
    r"|(could not|couldn't|unable to|failed to) .*(get|find|fetch|load)",
    re.IGNORECASE | re.DOTALL,
)
_TAGS: Final = re.compile(r"<(style|script|title)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)


class Absence(Enum):
    """What an error answer says is not there."""

    NOTHING = auto()
    """Nothing: it is an error of another kind."""
    ROUTE = auto()
    OBJECT = auto()
    UNCLEAR = auto()
    """A bare 404: the route or the object."""


def absence(answer: Answer) -> Absence:
    """Whether the answer says that the route, or only the object, does not exist."""
    if answer.status in (405, 410, 501):
        return Absence.ROUTE
    said = _json_message(answer)
    if answer.status == 500 and said and _NO_OBJECT.search(said):
        return Absence.OBJECT
    if answer.status != 404:
        return Absence.NOTHING
    if said is None:
        # The API's errors are JSON; another 404 comes from a router or a proxy in front. An empty
        # one says nothing.
        return Absence.ROUTE if answer.body.strip() else Absence.UNCLEAR
    if _NO_ROUTE.search(said):
        return Absence.ROUTE
    return Absence.OBJECT if _NO_OBJECT.search(said) else Absence.UNCLEAR


def _json_message(answer: Answer) -> str | None:
    """The message of a JSON error body; empty if it has none; None if it is not JSON."""
    try:
        value = parse_json(answer.body)
    except DecodeError:
        return None
    for _ in range(3):
        if not isinstance(value, dict):
            break
        found = next((value[key] for key in _MESSAGE_KEYS if value.get(key)), "")
        value = found
    return value[:MAX_MESSAGE_CHARACTERS] if isinstance(value, str) else ""


def server_message(answer: Answer, redactor: Redactor) -> str:
    """What the server says about its error: one safe line, perhaps empty."""
    said = _json_message(answer)
    if said is None:
        # Cut JSON, HTML or plain text.
        text = answer.body[:MAX_MESSAGE_CHARACTERS].decode("utf-8", "replace")
        match = re.search(r'"message"\s*:\s*"([^"\\]*)', text)
        said = match[1] if match else _TAGS.sub(" ", text)
    return redactor.quote(said.strip())


def retry_after(answer: Answer) -> float | None:
    """Seconds that ``Retry-After`` asks for (a number or a date), bounded; None without it."""
    stated = answer.headers.get("retry-after", "").strip()
    if stated.isascii() and stated.isdigit():
        return min(float(stated[:9]), MAX_RETRY_AFTER)
    until = _timestamp(stated)
    if until is None:
        return None
    # Both by the server's clock, if it says what that shows.
    now = _timestamp(answer.headers.get("date", ""))
    return min(max(until - (time.time() if now is None else now), 0.0), MAX_RETRY_AFTER)


def _timestamp(http_date: str) -> float | None:
    if not http_date or len(http_date) > 64:
        return None
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def refusal(answer: Answer, asked: str, provider: str, redactor: Redactor) -> TransportError:
    """The error for an answer whose status is not 2xx.

    Args:
        asked: what was asked for, in words (``the finality update``).
        provider: its safe name.
    """
    status = answer.status
    said = server_message(answer, redactor)
    quoted = f': "{said}"' if said else ""
    heading = f"{provider}: HTTP {status} for {asked}{quoted}"

    pause = retry_after(answer)
    if status == 429 or (status == 503 and pause is not None):
        seconds = pause or 0.0
        asks = f"; it asks for a pause of {seconds:g} s" if pause else ""
        return RateLimited(f"{heading}{asks}", provider=provider, retry_after=seconds)
    if status in (401, 402, 403, 407):
        advice = "check the credentials (request headers, URL) and the plan of this provider"
        return ProviderRefused(f"{heading}; {advice}", provider=provider)
    missing = absence(answer)
    if missing is Absence.ROUTE:
        advice = "it does not serve light client data there; check the URL or use another provider"
        return NotServed(f"{heading}; {advice}", provider=provider)
    if missing is not Absence.NOTHING:
        advice = "it has none yet (still syncing?) or does not serve light client data"
        return ProviderUnavailable(f"{heading}; {advice}", provider=provider)
    if 400 <= status < 500 and status != 408:
        return ProviderRefused(heading, provider=provider)
    return ProviderUnavailable(heading, provider=provider)
