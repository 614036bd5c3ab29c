"""What a provider says beside light client data: its configuration, its genesis, and the time.

All of it is hearsay. It is bounded, read leniently and compared with what the client knows; nothing
that is verified ever depends on it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

from lightclient.containers import parse_json
from lightclient.errors import DecodeError, MalformedAnswer, NotServed
from lightclient.ssz import Json
from lightclient.transports.answers import JSON_TYPE
from lightclient.transports.base import Genesis, ServerTime, Spec
from lightclient.transports.fetching import Fetcher
from lightclient.transports.redaction import Redactor
from lightclient.transports.refusals import refusal

MAX_SPEC_BYTES: Final = 256 * 1024
"""Of a configuration: real ones take 6 to 12 KiB."""
MAX_SPEC_KEYS: Final = 2048
MAX_GENESIS_BYTES: Final = 4096
_SPEC_PATH: Final = "/eth/v1/config/spec"
_GENESIS_PATH: Final = "/eth/v1/beacon/genesis"
_KEY: Final = re.compile(r"[A-Z][A-Z0-9_]{0,99}", re.ASCII)
_ROOT: Final = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_MAX_DATE_LENGTH: Final = 64
_MAX_AGE_SECONDS: Final = 366 * 86400


async def get_spec(fetcher: Fetcher, redactor: Redactor) -> Spec:
    """``/eth/v1/config/spec``. Raises TransportError."""
    data = await _data(fetcher, redactor, _SPEC_PATH, MAX_SPEC_BYTES, "its configuration")
    if not isinstance(data, dict) or len(data) > MAX_SPEC_KEYS:
        raise fetcher.failure(MalformedAnswer, "its configuration is no list of named values")
    return {key: value for key, value in data.items() if _KEY.fullmatch(key)}


async def get_genesis(fetcher: Fetcher, redactor: Redactor) -> Genesis:
    """``/eth/v1/beacon/genesis``. Raises TransportError."""
    data = await _data(fetcher, redactor, _GENESIS_PATH, MAX_GENESIS_BYTES, "its genesis")
    fields = data if isinstance(data, dict) else {}
    seconds, root = fields.get("genesis_time"), fields.get("genesis_validators_root")
    if not (
        isinstance(root, str)
        and _ROOT.fullmatch(root)
        and isinstance(seconds, str | int)
        and _SECONDS.fullmatch(str(seconds))
    ):
        raise fetcher.failure(MalformedAnswer, "its genesis has no readable time and root")
    return Genesis(int(seconds), bytes.fromhex(root[2:]))


async def _data(fetcher: Fetcher, redactor: Redactor, path: str, max_bytes: int, what: str) -> Json:
    answer = await fetcher.get(path, accept=JSON_TYPE, max_bytes=max_bytes)
    if answer.status in (404, 405, 501):
        raise fetcher.failure(NotServed, f"does not tell {what} (HTTP {answer.status})")
    if answer.status >= 300:
        raise refusal(answer, what, fetcher.provider, redactor)
    if answer.incomplete is not None:
        raise answer.incomplete
    try:
        value = parse_json(answer.body)
    except DecodeError as error:
        reason = redactor.quote(str(error))
    else:
        return value.get("data") if isinstance(value, dict) else None
    raise fetcher.failure(MalformedAnswer, f"for {what}: {reason}")


# Time -------------------------------------------------------------------------------------------


def read_server_time(headers: Mapping[str, str], round_trip_seconds: float) -> ServerTime | None:
    """The time from an answer's ``Date`` and ``Age`` headers; None where they tell none.

    Args:
        headers: names in lower case. A cached answer carries an old Date, and in Age for how many
            seconds it was kept.
        round_trip_seconds: from the request to the answer's headers.
    """
    date, age = headers.get("date", ""), headers.get("age", "0").strip()
    if not date or len(date) > _MAX_DATE_LENGTH or not _SECONDS.fullmatch(age):
        return None
    try:
        moment = parsedate_to_datetime(date)
        # A Date without a zone is GMT: no other is legal in HTTP.
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        seconds = int(moment.timestamp())
    except (ValueError, OverflowError):
        return None
    kept = int(age)
    if kept > _MAX_AGE_SECONDS or seconds < 0 or round_trip_seconds < 0:
        return None
    earliest_ms = 1000 * (seconds + kept)
    # Both headers are rounded to whole seconds.
    doubt_ms = 1000 * (2 if kept else 1)
    return ServerTime(earliest_ms, earliest_ms + doubt_ms + int(1000 * round_trip_seconds))
