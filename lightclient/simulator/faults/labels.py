"""Answers whose labels lie: version, digest, preset, date, schedule, and where to look instead."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from email.utils import formatdate, parsedate_to_datetime
from typing import Any, ClassVar

from lightclient.bls.encoding import G1_INFINITY
from lightclient.config import FORKS
from lightclient.containers import (
    LightClientBootstrap,
    LightClientObject,
    LightClientUpdate,
    SyncAggregate,
    SyncCommittee,
)
from lightclient.simulator.exchange import Answer, Asked
from lightclient.simulator.faults.base import Fault
from lightclient.simulator.faults.bodies import BodyFault
from lightclient.simulator.views import ChainView

_VERSION = "Eth-Consensus-Version"
_SPEC_PATH = "/eth/v1/config/spec"
_SCHEDULE_PATH = "/eth/v1/config/fork_schedule"
_UNKNOWN_FORK = "zubenelgenubi"
_UNKNOWN_FORK_VERSION = "0xfe000001"
_OTHER_PRESETS = {"minimal": "mainnet", "mainnet": "minimal"}
_Values = list[LightClientObject]


class _ReadableLie(BodyFault):
    """A label that a careful client looks behind: in process nothing happens."""

    async def in_process(self, asked: Asked, values: _Values) -> _Values:
        return values

    def other_fork(self, true_name: object) -> str:
        """The name of some other fork."""
        return self.rng.choice([fork.name for fork in FORKS if fork.name != true_name])


class LyingVersionHeader(_ReadableLie):
    """Eth-Consensus-Version names another fork."""

    name = "lying_version_header"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        if answer.status == 200:
            answer.headers[_VERSION] = self.other_fork(answer.headers.get(_VERSION))
        return answer


class LyingVersionBody(_ReadableLie):
    """The envelope of JSON names another fork."""

    name = "lying_version_body"

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        if answer.headers.get("Content-Type") == "application/json":
            value = json.loads(answer.body or b"null")
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, dict) and "version" in item:
                    item["version"] = self.other_fork(item["version"])
            answer.body = json.dumps(value).encode()
        return answer


class LyingDigest(_ReadableLie):
    """The chunks of a range begin with digests of other forks, or of none."""

    name = "lying_digest"

    def applies_to(self, asked: Asked) -> bool:
        return asked.is_range

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        if answer.headers.get("Content-Type") != "application/octet-stream":
            return answer
        known = sorted(view.network.forks_by_digest)
        body, position = bytearray(answer.body), 0
        while position < len(body):
            length = int.from_bytes(body[position : position + 8], "little")
            digest = bytes(body[position + 8 : position + 12])
            wrong = [one for one in known if one != digest]
            body[position + 8 : position + 12] = self.rng.choice([*wrong, b"\xff\xff\xff\xff"])
            position += 8 + length
        answer.body = bytes(body)
        return answer


class WrongPreset(BodyFault):
    """Objects as another preset has them: committees of another size; and a spec that says so."""

    name = "wrong_preset"

    def applies_to(self, asked: Asked) -> bool:
        return asked.kind is not None or asked.path == _SPEC_PATH

    def objects(self, asked: Asked, values: _Values, view: ChainView) -> _Values:
        size = view.network.preset.sync_committee_size
        wanted = 512 if size < 512 else 32
        return [_resized(value, wanted) for value in values]

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        if asked.path == _SPEC_PATH and answer.status == 200:
            spec = json.loads(answer.body)["data"]
            spec["PRESET_BASE"] = _OTHER_PRESETS.get(spec["PRESET_BASE"], "minimal")
            spec["SYNC_COMMITTEE_SIZE"] = "512" if spec["SYNC_COMMITTEE_SIZE"] != "512" else "32"
            answer.body = json.dumps({"data": spec}).encode()
        return answer


def _resized(value: LightClientObject, size: int) -> LightClientObject:
    if isinstance(value, LightClientBootstrap):
        committee = _resized_committee(value.current_sync_committee, size)
        return replace(value, current_sync_committee=committee)
    bits = value.sync_aggregate.sync_committee_bits
    bits = (bits * (size // 8))[: size // 8]
    aggregate = SyncAggregate(bits, value.sync_aggregate.sync_committee_signature)
    if isinstance(value, LightClientUpdate):
        committee = _resized_committee(value.next_sync_committee, size)
        return replace(value, next_sync_committee=committee, sync_aggregate=aggregate)
    return replace(value, sync_aggregate=aggregate)


def _resized_committee(committee: SyncCommittee, size: int) -> SyncCommittee:
    length = size * len(G1_INFINITY)
    pubkeys = (committee.pubkeys * (length // len(committee.pubkeys) + 1))[:length]
    return SyncCommittee(pubkeys, committee.aggregate_pubkey)


class WrongDate(Fault):
    """The server's clock is hours off, fast or slow; it shows in the Date header alone."""

    name = "wrong_date"
    is_on_wire = True

    def __init__(
        self, rng: random.Random, chance: float = 1.0, *, seconds: int | None = None
    ) -> None:
        super().__init__(rng, chance)
        drawn = rng.choice((-1, 1)) * rng.randint(600, 2 * 86400)
        self.seconds = drawn if seconds is None else seconds

    def applies_to(self, asked: Asked) -> bool:
        return not asked.pushed

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        now = parsedate_to_datetime(answer.headers["Date"]).timestamp()
        answer.headers["Date"] = formatdate(now + self.seconds, usegmt=True)
        return answer


class UnknownFork(Fault):
    """Announces a fork soon that no client knows, in the configuration and the schedule."""

    name = "unknown_fork"
    is_on_wire = True

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        super().__init__(rng, chance)
        self._epochs_ahead = rng.randint(1, 2000)
        self._epoch: int | None = None

    def applies_to(self, asked: Asked) -> bool:
        return asked.path in (_SPEC_PATH, _SCHEDULE_PATH)

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        if answer.status != 200:
            return answer
        if self._epoch is None:
            now = view.network.compute_epoch_at_slot(view.head.slot)
            self._epoch = now + self._epochs_ahead
        document: Any = json.loads(answer.body)
        if asked.path == _SPEC_PATH:
            upper = _UNKNOWN_FORK.upper()
            document["data"][f"{upper}_FORK_VERSION"] = _UNKNOWN_FORK_VERSION
            document["data"][f"{upper}_FORK_EPOCH"] = str(self._epoch)
        else:
            last = document["data"][-1]["current_version"]
            document["data"].append(
                {
                    "previous_version": last,
                    "current_version": _UNKNOWN_FORK_VERSION,
                    "epoch": str(self._epoch),
                }
            )
        answer.body = json.dumps(document).encode()
        return answer


class RedirectCircle(BodyFault):
    """Redirects from one address to the next and back."""

    name = "redirect_circle"
    status: ClassVar[int] = 302

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        # The first request has a query or none; the second one always has this.
        return Answer(self.status, {"Location": f"{asked.path}?around=1"}, b"")


class RedirectWithoutEnd(BodyFault):
    """Redirects ever further."""

    name = "redirect_without_end"

    def __init__(self, rng: random.Random, chance: float = 1.0) -> None:
        super().__init__(rng, chance)
        self._hops = 0

    def answer(self, asked: Asked, answer: Answer, view: ChainView) -> Answer:
        self._hops += 1
        return Answer(307, {"Location": f"{asked.path}?hop={self._hops}"}, b"")
