"""The routes of the simulated beacon node: what a request asks for, and how to answer it."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import parse_qs, parse_qsl

from lightclient.containers import ObjectKind
from lightclient.simulator.beacon_api import BeaconApi
from lightclient.simulator.exchange import Answer, Asked, Received, Refusal
from lightclient.simulator.faults import Episode
from lightclient.simulator.habits import ServerHabits
from lightclient.transports.base import MAX_REQUEST_LIGHT_CLIENT_UPDATES

_LIGHT_CLIENT = re.compile(
    r"/eth/(?P<version>v[01])/beacon/light_client/"
    r"(?P<what>updates|finality_update|optimistic_update|bootstrap/(?P<root>[^/]+))"
)
_KINDS = {
    "updates": ObjectKind.UPDATE,
    "finality_update": ObjectKind.FINALITY_UPDATE,
    "optimistic_update": ObjectKind.OPTIMISTIC_UPDATE,
}
_BY_PATH: dict[str, Callable[[BeaconApi], Answer]] = {
    "/eth/v1/beacon/genesis": BeaconApi.genesis,
    "/eth/v1/config/spec": BeaconApi.spec,
    "/eth/v1/config/fork_schedule": BeaconApi.fork_schedule,
    "/eth/v1/node/version": BeaconApi.node_version,
    "/eth/v1/node/syncing": BeaconApi.syncing,
    "/eth/v1/node/health": lambda _: Answer(200, {}, b""),
}
_BY_ID: tuple[tuple[re.Pattern[str], Callable[[BeaconApi, str], Answer]], ...] = (
    (re.compile("/eth/v1/beacon/headers/([^/]+)"), BeaconApi.header),
    (re.compile("/eth/v1/beacon/blocks/([^/]+)/root"), BeaconApi.block_root),
    (
        re.compile("/eth/v1/beacon/states/([^/]+)/finality_checkpoints"),
        BeaconApi.finality_checkpoints,
    ),
)


def asked_by(request: Received, habits: ServerHabits) -> Asked:
    """What a request asks for; what is wrong with it, :func:`answer_to` says."""
    match = _LIGHT_CLIENT.fullmatch(request.path)
    if match is None:
        return Asked(path=request.path)
    if match["root"]:
        root = _hex_bytes(match["root"])
        return Asked(ObjectKind.BOOTSTRAP, block_root=root, path=request.path)
    kind = _KINDS[match["what"]]
    if kind is not ObjectKind.UPDATE:
        return Asked(kind, path=request.path)
    query = dict(parse_qsl(request.query))
    start, count = (_count(query.get(name, "")) for name in ("start_period", "count"))
    if count:
        count = min(count, MAX_REQUEST_LIGHT_CLIENT_UPDATES) + habits.extra_updates
    return Asked(kind, start_period=start, count=count, path=request.path)


def _hex_bytes(text: str) -> bytes:
    try:
        return bytes.fromhex(text.removeprefix("0x")) if text.startswith("0x") else b""
    except ValueError:
        return b""


def _count(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else 0


def answer_to(request: Received, episode: Episode, habits: ServerHabits) -> Answer:
    """The answer of a beacon node. Raises Refusal."""
    api = BeaconApi(episode, habits)
    match = _LIGHT_CLIENT.fullmatch(request.path)
    if match is not None:
        if habits.api not in {match["version"], "both"}:
            raise Refusal(404, "Route not found")
        if habits.light_client_status is not None:
            raise Refusal(habits.light_client_status, "Light client is not served")
        return _light_client_answer(api, request)
    by_path = _BY_PATH.get(request.path)
    if by_path is not None:
        return by_path(api)
    for pattern, by_id in _BY_ID:
        found = pattern.fullmatch(request.path)
        if found is not None:
            return by_id(api, found[1])
    raise Refusal(404, "Route not found")


def _light_client_answer(api: BeaconApi, request: Received) -> Answer:
    accept = request.headers.get("accept")
    match api.episode.asked.kind:
        case ObjectKind.BOOTSTRAP:
            return api.bootstrap(accept)
        case ObjectKind.UPDATE:
            return api.updates(dict(parse_qsl(request.query)), accept)
        case ObjectKind.FINALITY_UPDATE:
            return api.finality_update(accept)
        case _:
            return api.optimistic_update(accept)


def topics_of(request: Received) -> frozenset[str]:
    """The topics that a request for the event stream names."""
    named = parse_qs(request.query).get("topics", ())
    return frozenset(topic for item in named for topic in item.split(","))
