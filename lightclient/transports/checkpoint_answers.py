"""What checkpoint services answer, sans I/O: bounded JSON in, checkpoints and roots out.

Lenient about labels, envelopes and numbers; an entry that cannot be used is left out, and what is
missing altogether is said in one sentence (DecodeError).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from lightclient.config.network import Network
from lightclient.containers import parse_json
from lightclient.errors import DecodeError
from lightclient.ssz import Json
from lightclient.sync.checkpoint_quorum import Checkpoint
from lightclient.transports.fetching import Answer

HISTORY_PATH: Final = "/checkpointz/v1/beacon/slots"
MAX_HISTORY_ENTRIES: Final = 4096


def check_plausible(found: Checkpoint, current_epoch: int) -> None:
    """Raises DecodeError for what cannot be final, or not yet."""
    if not any(found.root):
        raise DecodeError("its chain has not finalized anything yet")
    if found.epoch > current_epoch:
        raise DecodeError(
            f"it calls epoch {found.epoch} final, which by this machine's clock is yet to come"
            f" (now is epoch {current_epoch}); check the clock"
        )


def parsed(answer: Answer) -> Json:
    """The answer's value, out of its envelope."""
    value = parse_json(answer.body)
    if isinstance(value, dict) and value.get("execution_optimistic") is True:
        raise DecodeError("it has not verified its chain itself yet (execution_optimistic)")
    return value["data"] if isinstance(value, dict) and "data" in value else value


def read_genesis(answer: Answer) -> bytes | None:
    """The genesis validators root; None if it is not told."""
    if answer.status >= 300:
        return None
    try:
        return _root(_field(parsed(answer), "genesis_validators_root"))
    except DecodeError:
        return None


def read_block_root(answer: Answer) -> bytes | None:
    """The answer of ``/eth/v1/beacon/blocks/{slot}/root``; None if it names no final block."""
    if answer.status >= 300:
        return None
    try:
        value = parse_json(answer.body)
        if isinstance(value, dict) and value.get("finalized") is False:
            return None
        return _root(_field(parsed(answer), "root"))
    except DecodeError:
        return None


def read_final_slot(answer: Answer) -> int | None:
    """The slot of a block header; None unless it is said to be final and canonical."""
    if answer.status >= 300:
        return None
    try:
        value = parse_json(answer.body)
        block = parsed(answer)
        slot = _number(_field(_field(_field(block, "header"), "message"), "slot"))
    except DecodeError:
        return None
    is_final = isinstance(value, dict) and value.get("finalized") is not False
    is_canonical = isinstance(block, dict) and block.get("canonical") is not False
    return slot if is_final and is_canonical else None


def read_history(answer: Answer, network: Network) -> dict[int, bytes]:
    """Roots by epoch from checkpointz' list of slots; empty if there is none."""
    if answer.status >= 300:
        return {}
    try:
        return _roots_by_epoch(parsed(answer), network)
    except DecodeError:
        return {}


def _roots_by_epoch(value: Json, network: Network) -> dict[int, bytes]:
    """The list of slots without its odd entries, and without those that contradict each other."""
    slots = _field(value, "slots")
    found: dict[int, bytes] = {}
    contradicted: set[int] = set()
    for entry in slots[:MAX_HISTORY_ENTRIES] if isinstance(slots, list) else ():
        try:
            slot, root = _number(_field(entry, "slot")), _root(_field(entry, "block_root"))
        except DecodeError:
            continue
        epoch = network.compute_epoch_at_slot(slot)
        # Of a block within an epoch, its slot alone does not tell which checkpoint it is, if any.
        if slot != network.compute_start_slot_at_epoch(epoch):
            continue
        if found.setdefault(epoch, root) != root:
            contradicted.add(epoch)
    return {epoch: root for epoch, root in found.items() if epoch not in contradicted}


def _from_finality(value: Json, _network: Network) -> Checkpoint:
    """``finality_checkpoints`` of the Beacon API."""
    finalized = _field(value, "finalized")
    return Checkpoint(_number(_field(finalized, "epoch")), _root(_field(finalized, "root")))


def _from_status(value: Json, network: Network) -> Checkpoint:
    """Status of checkpointz."""
    return _from_finality(_field(value, "finality"), network)


def _from_header(value: Json, network: Network) -> Checkpoint:
    """``headers/finalized``: a block is the checkpoint of the first epoch that starts after it."""
    slot = _number(_field(_field(_field(value, "header"), "message"), "slot"))
    epoch = -(-slot // network.preset.slots_per_epoch)
    return Checkpoint(epoch, _root(_field(value, "root")))


def _from_history(value: Json, network: Network) -> Checkpoint:
    """The newest usable entry of checkpointz' list of slots."""
    roots = _roots_by_epoch(value, network)
    if not roots:
        raise DecodeError("its list of slots holds no usable checkpoint")
    epoch = max(roots)
    return Checkpoint(epoch, roots[epoch])


FINALITY_SOURCES: Final[tuple[tuple[str, str, Callable[[Json, Network], Checkpoint]], ...]] = (
    ("/eth/v1/beacon/states/head/finality_checkpoints", "its finality", _from_finality),
    ("/eth/v1/beacon/states/finalized/finality_checkpoints", "its finality", _from_finality),
    ("/checkpointz/v1/status", "its status", _from_status),
    ("/eth/v1/beacon/headers/finalized", "its finalized header", _from_header),
    (HISTORY_PATH, "its list of slots", _from_history),
)
"""Where a service may tell its newest finalized checkpoint, in the order to ask: path, its
name in words, how to read it."""


def _field(value: Json, name: str) -> Json:
    found = value.get(name) if isinstance(value, dict) else None
    if found is None:
        raise DecodeError(f"no {name} in the answer")
    return found


def _number(value: Json) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return value
    raise DecodeError("a slot or epoch that is no number")


def _root(value: Json) -> bytes:
    text = value.removeprefix("0x") if isinstance(value, str) else ""
    try:
        root = bytes.fromhex(text) if len(text) == 64 else b""
    except ValueError:
        root = b""
    if len(root) != 32:
        raise DecodeError("a root that is not 32 bytes of hex")
    return root
