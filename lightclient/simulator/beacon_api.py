"""What a beacon node answers, as a function of what it knows, its habits and a request.

No sockets here. Each method gives a finished :class:`Answer`; an error is raised as
:class:`Refusal`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lightclient.config import FORKS, Network, config_mapping
from lightclient.containers import BEACON_BLOCK_HEADER, LightClientUpdate, encode_ssz, to_json
from lightclient.containers.objects import LightClientObject
from lightclient.simulator.blocks import Checkpoint, SimulatedBlock
from lightclient.simulator.exchange import Answer, Refusal
from lightclient.simulator.faults import Episode
from lightclient.simulator.habits import ServerHabits

JSON_TYPE = "application/json"
SSZ_TYPE = "application/octet-stream"
_VERSION_HEADER = "Eth-Consensus-Version"
_HEADER_FIELDS = ("header", "attested_header", "finalized_header")
_BARE_FORMATS = {fork.data_format.name for fork in FORKS if fork.data_format.header == "bare"}


def refusal_answer(refusal: Refusal) -> Answer:
    """The Beacon API's error object."""
    answer = json_answer(
        {"code": refusal.status, "message": refusal.message}, status=refusal.status
    )
    answer.headers.update(refusal.headers)
    return answer


def json_answer(value: object, *, status: int = 200, version: str | None = None) -> Answer:
    """A JSON answer; ``version`` goes into its header."""
    headers = {"Content-Type": JSON_TYPE}
    if version is not None:
        headers[_VERSION_HEADER] = version
    return Answer(status, headers, json.dumps(value, separators=(",", ":")).encode())


def negotiate(accept: str | None, *, ssz: bool) -> str:
    """The media type to answer in, JSON or SSZ; :class:`Refusal` 406 if neither is accepted."""
    if not accept:
        return JSON_TYPE
    offers = {JSON_TYPE: 0.0} | ({SSZ_TYPE: 0.0} if ssz else {})
    for part in accept.split(","):
        name, _, parameters = part.partition(";")
        quality = _quality(parameters)
        for offer in offers:
            if name.strip().lower() in {offer, "*/*", "application/*"}:
                offers[offer] = max(offers[offer], quality)
    best = max(offers, key=lambda offer: offers[offer])
    if not offers[best]:
        raise Refusal(406, f"Accept: {accept} is not served")
    return best


def _quality(parameters: str) -> float:
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip().lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def version_of(value: LightClientObject, network: Network) -> str:
    """Name of the fork at the object's attested (or bootstrap) slot."""
    return network.fork_at_slot(value.main_header.beacon.slot).name


class BeaconApi:
    """The answers to one request.

    Args:
        episode: what the server knows, and the objects that it answers with.
    """

    def __init__(self, episode: Episode, habits: ServerHabits) -> None:
        self.episode = episode
        self.view = episode.view
        self.network = episode.view.network
        self.habits = habits

    # Light client ------------------------------------------------------------------------------

    def bootstrap(self, accept: str | None) -> Answer:
        """GET .../bootstrap/{block_root}."""
        content = negotiate(accept, ssz=self.habits.ssz)
        if len(self.episode.asked.block_root) != 32:
            raise Refusal(400, "Invalid block root")
        values = self.episode.objects()
        if not values or values[0].main_header.beacon.slot < self.habits.oldest_bootstrap_slot:
            raise Refusal(self.habits.unknown_root_status, "LC bootstrap unavailable")
        return self._single(values[0], content)

    def finality_update(self, accept: str | None) -> Answer:
        """GET .../finality_update."""
        return self._latest(accept, "LC finality update unavailable")

    def optimistic_update(self, accept: str | None) -> Answer:
        """GET .../optimistic_update."""
        return self._latest(accept, "LC optimistic update unavailable")

    def _latest(self, accept: str | None, missing: str) -> Answer:
        content = negotiate(accept, ssz=self.habits.ssz)
        values = self.episode.objects()
        if not values:
            raise Refusal(404, missing)
        return self._single(values[0], content)

    def updates(self, query: Mapping[str, str], accept: str | None) -> Answer:
        """GET .../updates?start_period=&count=."""
        content = negotiate(accept, ssz=self.habits.ssz)
        start, count = _number(query, "start_period"), _number(query, "count")
        newest = self.network.compute_sync_committee_period_at_slot(self.view.head.slot)
        if self.habits.past_newest == "error" and start + count - 1 > newest:
            raise Refusal(500, f"No partialUpdate available for period {newest + 1}")
        updates = self.episode.objects()
        answer = self._ssz_range(updates) if content == SSZ_TYPE else self._json_range(updates)
        if self.habits.updates_version_header:
            versions = [version_of(update, self.network) for update in updates]
            answer.headers[_VERSION_HEADER] = ",".join(versions)
        return answer

    def _single(self, value: LightClientObject, content: str) -> Answer:
        version = version_of(value, self.network)
        header = version if self.habits.version_header else None
        if content == JSON_TYPE:
            return json_answer(self.json_of(value), version=header)
        answer = Answer(200, {"Content-Type": SSZ_TYPE}, encode_ssz(value))
        if header is not None:
            answer.headers[_VERSION_HEADER] = header
        return answer

    def _json_range(self, updates: list[LightClientObject]) -> Answer:
        items = [self.json_of(update) for update in updates]
        return json_answer({"data": items} if self.habits.updates_in_data else items)

    def _ssz_range(self, updates: list[LightClientObject]) -> Answer:
        body = b"".join(self._chunk(update) for update in updates)
        return Answer(200, {"Content-Type": SSZ_TYPE}, body)

    def _chunk(self, update: LightClientObject) -> bytes:
        slot = update.main_header.beacon.slot
        if self.habits.digest == "signature" and isinstance(update, LightClientUpdate):
            slot = update.signature_slot
        network = self.network
        if self.habits.digest == "zero_root":
            network = replace(network, genesis_validators_root=bytes(32))
        digest = network.compute_fork_digest(network.compute_epoch_at_slot(slot))
        payload = encode_ssz(update)
        return (len(payload) + 4).to_bytes(8, "little") + digest + payload

    def json_of(self, value: LightClientObject) -> object:
        """The JSON form of an object with all habits applied."""
        data: Any = to_json(value)
        if self.habits.flat_altair_headers and value.data_format.name in _BARE_FORMATS:
            data = {k: v["beacon"] if k in _HEADER_FIELDS else v for k, v in data.items()}
        if not self.habits.quoted_numbers:
            data = _unquoted(data)
        if not self.habits.envelope:
            return data
        version = version_of(value, self.network)
        return {"version": version, "data": data} if self.habits.body_version else {"data": data}

    # The rest of a beacon node -----------------------------------------------------------------

    def genesis(self) -> Answer:
        """GET /eth/v1/beacon/genesis."""
        network = self.network
        return json_answer(
            {
                "data": {
                    "genesis_time": str(network.genesis_time),
                    "genesis_validators_root": _hex(network.genesis_validators_root),
                    "genesis_fork_version": _hex(network.forks[0].version),
                }
            }
        )

    def spec(self) -> Answer:
        """GET /eth/v1/config/spec."""
        return json_answer({"data": _quoted(config_mapping(self.network))})

    def fork_schedule(self) -> Answer:
        """GET /eth/v1/config/fork_schedule."""
        forks = self.network.forks
        return json_answer(
            {
                "data": [
                    {
                        "previous_version": _hex(forks[max(index - 1, 0)].version),
                        "current_version": _hex(scheduled.version),
                        "epoch": str(scheduled.epoch),
                    }
                    for index, scheduled in enumerate(forks)
                ]
            }
        )

    def node_version(self) -> Answer:
        """GET /eth/v1/node/version."""
        return json_answer({"data": {"version": "lightclient-simulator/0"}})

    def syncing(self) -> Answer:
        """GET /eth/v1/node/syncing."""
        head_slot = str(self.view.head.slot)
        return json_answer(
            {
                "data": {
                    "head_slot": head_slot,
                    "sync_distance": "0",
                    "is_syncing": False,
                    "is_optimistic": False,
                    "el_offline": False,
                }
            }
        )

    def header(self, block_id: str) -> Answer:
        """GET /eth/v1/beacon/headers/{block_id}."""
        block = self._block(block_id)
        return json_answer(
            {
                "execution_optimistic": False,
                "finalized": self.view.is_finalized(block),
                "data": {
                    "root": _hex(block.root),
                    "canonical": True,
                    "header": {
                        "message": BEACON_BLOCK_HEADER.to_json(block.header),
                        "signature": _hex(bytes(96)),
                    },
                },
            }
        )

    def block_root(self, block_id: str) -> Answer:
        """GET /eth/v1/beacon/blocks/{block_id}/root."""
        block = self._block(block_id)
        finalized = self.view.is_finalized(block)
        root = {"root": _hex(block.root)}
        return json_answer({"execution_optimistic": False, "finalized": finalized, "data": root})

    def finality_checkpoints(self, state_id: str) -> Answer:
        """GET /eth/v1/beacon/states/{state_id}/finality_checkpoints."""
        checkpoint = self._block(state_id).finalized
        data = {
            name: _checkpoint_json(checkpoint)
            for name in ("previous_justified", "current_justified", "finalized")
        }
        return json_answer({"execution_optimistic": False, "finalized": False, "data": data})

    def _block(self, block_id: str) -> SimulatedBlock:
        view = self.view
        if block_id.startswith("0x"):
            found = view.block_of_root(_root(block_id))
        elif block_id.isdecimal():
            at_slot = view.block_at(max(int(block_id), view.chain.first_slot))
            found = at_slot if at_slot.slot == int(block_id) else None
        elif block_id in {"head", "finalized", "genesis"}:
            named = {
                "head": view.head,
                "finalized": view.finalized,
                "genesis": view.chain.blocks[0],
            }
            found = named[block_id]
        else:
            raise Refusal(400, f"Invalid block ID: {block_id[:80]}")
        if found is None:
            raise Refusal(404, "Block not found")
        return found


def _hex(value: bytes) -> str:
    return "0x" + value.hex()


def _checkpoint_json(checkpoint: Checkpoint) -> dict[str, str]:
    return {"epoch": str(checkpoint.epoch), "root": _hex(checkpoint.root)}


def _root(text: str) -> bytes:
    try:
        root = bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        root = b""
    if not text.startswith("0x") or len(root) != 32:
        raise Refusal(400, f"Invalid block root: {text[:80]}")
    return root


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if not (text.isascii() and text.isdecimal()) or len(text) > 20 or int(text) >= 2**64:
        raise Refusal(400, f"Invalid {name}")
    return int(text)


def _quoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return str(value)


def _unquoted(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _unquoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_unquoted(item) for item in value]
    return int(value) if isinstance(value, str) and value.isdecimal() else value
