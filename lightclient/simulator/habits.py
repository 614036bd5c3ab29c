"""How the simulated server behaves: by default as the Beacon API says, or as real ones do.

Each habit has been seen in a beacon node somewhere; a client has to live with all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from lightclient.simulator.exchange import Answer, Received
from lightclient.simulator.faults import FaultSet

__all__ = ["Answer", "Received", "ServerHabits"]


@dataclass(slots=True)
class ServerHabits:
    """The server reads these at each request, so a test may change them while it runs.

    Attributes:
        api: which light client routes and event names exist.
        ssz: whether SSZ is offered; otherwise everything is JSON, and SSZ alone a 406.
        version_header: whether single objects come with ``Eth-Consensus-Version``.
        updates_version_header: whether update ranges come with a list of versions in that header.
        envelope: ``{version, data}`` around JSON objects, or the bare objects.
        body_version: whether that envelope says the version.
        digest: the fork digest of update chunks: by the attested slot as specified, by the
            signature slot, or computed with a zero genesis validators root.
        quoted_numbers: numbers as strings, as specified, or as numbers.
        flat_altair_headers: headers before Capella as in the v0 days, without ``beacon`` inside.
        updates_in_data: the array of updates inside ``{data: [...]}``.
        events: whether there is an event stream with light client topics.
        past_newest: what becomes of a range beyond the newest period.
        extra_updates: updates sent beyond the count asked for.
        unknown_root_status: the answer to a root without a bootstrap.
        oldest_bootstrap_slot: bootstraps of older blocks are pruned; their headers are not.
        light_client_status: if set, the answer on every light client route: serving is off.
        retry_after: with every ``rate_limit_every``-th request refused by 429, its Retry-After.
        delay_seconds: before each answer.
        faults: what goes wrong besides; habits are odd, faults are wrong.
        intercept: sees each request and answer, and may change or replace the answer.
        received: every request so far.
    """

    api: Literal["v1", "v0", "both"] = "v1"
    ssz: bool = True
    version_header: bool = True
    updates_version_header: bool = False
    envelope: bool = True
    body_version: bool = True
    digest: Literal["attested", "signature", "zero_root"] = "attested"
    quoted_numbers: bool = True
    flat_altair_headers: bool = False
    updates_in_data: bool = False
    events: bool = True
    past_newest: Literal["prefix", "error"] = "prefix"
    extra_updates: int = 0
    unknown_root_status: int = 404
    oldest_bootstrap_slot: int = 0
    light_client_status: int | None = None
    rate_limit_every: int = 0
    retry_after: int = 1
    delay_seconds: float = 0.0
    faults: FaultSet = field(default_factory=FaultSet)
    intercept: Callable[[Received, Answer], Answer] | None = None
    received: list[Received] = field(default_factory=list, repr=False)
