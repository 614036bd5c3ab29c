"""The four light client endpoints of one provider, and what it turned out to speak.

SSZ is preferred and JSON understood; v1 of the API is asked first and v0, its predecessor of 2022,
where a provider has no v1. What works is remembered, for each provider or endpoint.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from lightclient.containers import ObjectKind
from lightclient.errors import DecodeError, TransportError
from lightclient.transports.answers import (
    JSON_TYPE,
    MAX_JSON_OBJECT_BYTES,
    MAX_RANGE_BYTES,
    SSZ_TYPE,
    is_json,
    undecoded_object,
)
from lightclient.transports.fetching import Answer, Fetcher
from lightclient.transports.redaction import Redactor
from lightclient.transports.refusals import Absence, absence

_logger = logging.getLogger(__name__)

_PATHS: Final = {
    "v1": "/eth/v1/beacon/light_client",
    "v0": "/eth/v0/beacon/light_client",
}
_OTHER: Final = {"v1": "v0", "v0": "v1"}
_ACCEPT_BOTH: Final = f"{SSZ_TYPE};q=1.0,{JSON_TYPE};q=0.9"
_RANGE_PATIENCE: Final = 4.0
"""A full range of updates is 4 to 8 MB: it may take so many times longer than one object."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of the four endpoints, with the bounds of its answers.

    Attributes:
        what: it in words.
        max_bytes: of an answer in either encoding; SSZ's own bound is checked where it is decoded.
        patience: factor on the total deadline.
    """

    name: str
    what: str
    max_bytes: int = MAX_JSON_OBJECT_BYTES
    patience: float = 1.0


BOOTSTRAP: Final = Endpoint("bootstrap", "the bootstrap")
UPDATES: Final = Endpoint("updates", "the updates", MAX_RANGE_BYTES, _RANGE_PATIENCE)
FINALITY_UPDATE: Final = Endpoint("finality_update", "the finality update")
OPTIMISTIC_UPDATE: Final = Endpoint("optimistic_update", "the optimistic update")


class LightClientApi:
    """Asks the endpoints through ``fetcher``, in the version and encoding that work."""

    def __init__(self, fetcher: Fetcher, redactor: Redactor) -> None:
        self._fetcher = fetcher
        self._redactor = redactor
        self.version = "v1"
        self._version_is_known = False
        self._json_only: set[str] = set()

    async def request(
        self,
        endpoint: Endpoint,
        tail: str = "",
        query: Sequence[tuple[str, str]] = (),
        *,
        as_json: bool = False,
    ) -> Answer:
        """The answer in the API version that the provider speaks; it may be a refusal."""
        answer = await self._get(self.version, endpoint, tail, query, as_json=as_json)
        missing = absence(answer)
        if answer.status < 300 or missing is Absence.OBJECT:
            self._version_is_known = True
        elif missing is Absence.ROUTE or (
            missing is Absence.UNCLEAR and not self._version_is_known
        ):
            other = _OTHER[self.version]
            second = await self._get(other, endpoint, tail, query, as_json=as_json)
            if second.status < 300 or absence(second) is Absence.OBJECT:
                _logger.debug("%s speaks version %s of the API", self._fetcher.provider, other)
                self.version, self._version_is_known = other, True
                return second
        return answer

    async def _get(
        self,
        version: str,
        endpoint: Endpoint,
        tail: str,
        query: Sequence[tuple[str, str]],
        *,
        as_json: bool,
    ) -> Answer:
        path = f"{_PATHS[version]}/{endpoint.name}{tail}"
        only_json = as_json or endpoint.name in self._json_only

        async def get(accept: str) -> Answer:
            return await self._fetcher.get(
                path,
                query,
                accept=accept,
                max_bytes=endpoint.max_bytes,
                patience=endpoint.patience,
            )

        answer = await get(JSON_TYPE if only_json else _ACCEPT_BOTH)
        if answer.status in (406, 415) and not only_json:
            only_json = True
            answer = await get(JSON_TYPE)
        if only_json and answer.status < 300:
            self._json_only.add(endpoint.name)
        return answer

    async def decoded(
        self,
        endpoint: Endpoint,
        answer: Answer,
        decode: Callable[[Answer], T],
        tail: str = "",
    ) -> T:
        """The answer's object; asked for once more in JSON where its SSZ cannot be read."""
        if answer.incomplete is not None:
            raise answer.incomplete
        try:
            return decode(answer)
        except DecodeError as error:
            reason = self._redactor.quote(str(error))
        if not is_json(answer):
            again = await self.again_as_json(endpoint, decode, tail)
            if again is not None:
                return again
        undecoded = undecoded_object(ObjectKind(endpoint.name), answer)
        raise self._fetcher.undecodable(f"for {endpoint.what}: {reason}", undecoded)

    async def again_as_json(
        self,
        endpoint: Endpoint,
        decode: Callable[[Answer], T],
        tail: str = "",
        query: Sequence[tuple[str, str]] = (),
    ) -> T | None:
        """The object of the same request in JSON; None if that cannot be read either."""
        known = endpoint.name in self._json_only
        try:
            answer = await self.request(endpoint, tail, query, as_json=True)
            if answer.status >= 300 or answer.incomplete is not None:
                value = None
            else:
                value = decode(answer)
        except (TransportError, DecodeError):
            value = None
        if value is None and not known:
            self._json_only.discard(endpoint.name)
        return value
