"""Why a provider has no bootstrap for a block root, in words that say what to do.

The provider is asked about the block itself. Its answers explain a refusal and nothing else: they
are unverified, and no root that it names is ever suggested as one to trust.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from lightclient.config.forks import FIRST_LIGHT_CLIENT_FORK
from lightclient.config.network import Network
from lightclient.containers import (
    LightClientFinalityUpdate,
    LightClientHeader,
    LightClientOptimisticUpdate,
    parse_json,
)
from lightclient.errors import DecodeError
from lightclient.ssz import Json
from lightclient.transports.fetching import Answer
from lightclient.transports.refusals import Absence, absence

MAX_EXPLANATION_BYTES: Final = 128 * 1024
CHOOSE_ANOTHER: Final = (
    "take the root of a recent finalized checkpoint from a source that you trust"
)
LIGHT_CLIENT_OFF: Final = (
    "it does not serve light client data (on many nodes an option turns that on); "
    "use another provider"
)
NOT_TOLD: Final = "it does not say why; check the root and the network, or ask another provider"

Ask = Callable[[str, Sequence[tuple[str, str]]], Awaitable[Answer | None]]
"""GET a path with a query; None if no answer came."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """A stable word for why there is no bootstrap, and a sentence."""

    reason: str
    sentence: str


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """What a provider says of a block; ``finalized`` is None if it does not say."""

    slot: int
    canonical: bool
    finalized: bool | None


async def explain_missing_bootstrap(
    block_root: bytes,
    network: Network,
    ask: Ask,
    latest: Callable[
        [], Awaitable[Sequence[LightClientFinalityUpdate | LightClientOptimisticUpdate]]
    ],
) -> Explanation | None:
    """Find out why a provider that was asked for a bootstrap has none.

    Args:
        ask: asks the provider.
        latest: its latest updates, those that can be had.

    Returns:
        None if the provider does not tell.
    """
    answer = await ask(f"/eth/v1/beacon/headers/0x{block_root.hex()}", ())
    if answer is None:
        return None
    missing = absence(answer)
    if missing in (Absence.OBJECT, Absence.UNCLEAR):
        return _unknown_root(block_root, await latest())
    try:
        facts = read_block_facts(answer)
    except DecodeError:
        return None
    checkpoints = await ask("/eth/v1/beacon/states/head/finality_checkpoints", ())
    finalized_epoch, roots = read_checkpoints(checkpoints)
    if block_root in roots:
        is_boundary = True
    else:
        is_boundary = await _is_epoch_boundary(block_root, facts, network, ask)
    found = judge_block(facts, finalized_epoch, network, is_epoch_boundary=is_boundary)
    if found is not None:
        return found
    if not await latest():
        return Explanation("light_client_off", LIGHT_CLIENT_OFF)
    return Explanation(
        "not_kept",
        f"it knows the block (slot {facts.slot}) but keeps no light client data of it, as nodes do "
        f"for blocks from before they were set up; {CHOOSE_ANOTHER}, or use another provider",
    )


def judge_block(
    facts: BlockFacts, finalized_epoch: int | None, network: Network, *, is_epoch_boundary: bool
) -> Explanation | None:
    """What about a known block rules out a bootstrap; None if nothing does.

    The conditions are those of ``create_light_client_bootstrap`` and ``full-node.md``.
    """
    epoch = network.compute_epoch_at_slot(facts.slot)
    if not facts.canonical:
        return Explanation(
            "not_finalized",
            f"the block (slot {facts.slot}) is not part of the chain any more; {CHOOSE_ANOTHER}",
        )
    if not is_epoch_boundary:
        return Explanation(
            "not_epoch_boundary",
            f"the block (slot {facts.slot}) is not the first of an epoch, and only those have "
            f"bootstraps; {CHOOSE_ANOTHER}",
        )
    if facts.finalized is False or (finalized_epoch is not None and epoch > finalized_epoch):
        until = "" if finalized_epoch is None else f", the chain is up to epoch {finalized_epoch}"
        return Explanation(
            "not_finalized",
            f"the block (slot {facts.slot}, epoch {epoch}) is not finalized yet{until}; wait, or "
            f"{CHOOSE_ANOTHER}",
        )
    oldest = (finalized_epoch or 0) - network.min_epochs_for_block_requests
    if epoch < max(oldest, network.fork_epoch(FIRST_LIGHT_CLIENT_FORK.name)):
        return Explanation(
            "too_old",
            f"the block (slot {facts.slot}, epoch {epoch}) is older than nodes need to keep "
            f"({network.min_epochs_for_block_requests} epochs); {CHOOSE_ANOTHER}",
        )
    return None


def _unknown_root(
    block_root: bytes,
    updates: Sequence[LightClientFinalityUpdate | LightClientOptimisticUpdate],
) -> Explanation:
    if any(block_root in _execution_block_hashes(update) for update in updates):
        return Explanation(
            "execution_block_hash",
            "this is the hash of an execution block, not the root of a beacon block; "
            f"{CHOOSE_ANOTHER}",
        )
    return Explanation(
        "unknown_root",
        "it knows no such block: perhaps a block of another network, a slip in copying, or the "
        f"hash of an execution block in place of a beacon block root; {CHOOSE_ANOTHER}",
    )


def _execution_block_hashes(
    update: LightClientFinalityUpdate | LightClientOptimisticUpdate,
) -> set[bytes]:
    headers: list[LightClientHeader] = [update.attested_header]
    if isinstance(update, LightClientFinalityUpdate):
        headers.append(update.finalized_header)
    hashes = {header.execution_block_hash for header in headers}
    hashes |= {h.execution.block_hash for h in headers if h.execution is not None}
    hashes |= {h.execution.parent_hash for h in headers if h.execution is not None}
    return {value for value in hashes if value is not None and any(value)}


async def _is_epoch_boundary(
    block_root: bytes, facts: BlockFacts, network: Network, ask: Ask
) -> bool:
    if facts.slot % network.preset.slots_per_epoch == 0:
        return True
    # The first slots of the next epoch may be empty: then this block is that epoch's checkpoint.
    answer = await ask("/eth/v1/beacon/headers", (("parent_root", f"0x{block_root.hex()}"),))
    if answer is None or answer.status != 200:
        return False
    try:
        body = _field(parse_json(answer.body), "data")
        children = body if isinstance(body, list) else []
        slots = [_facts(child, None).slot for child in children[:16]]
    except DecodeError:
        return False
    next_epoch = network.compute_epoch_at_slot(facts.slot) + 1
    return bool(slots) and min(slots) > network.compute_start_slot_at_epoch(next_epoch)


def read_block_facts(answer: Answer) -> BlockFacts:
    """The answer of ``/eth/v1/beacon/headers/{block_id}``. Raises DecodeError."""
    if answer.status != 200:
        raise DecodeError(f"HTTP {answer.status} for a block header")
    value = parse_json(answer.body)
    finalized = value.get("finalized") if isinstance(value, dict) else None
    return _facts(_field(value, "data"), finalized if isinstance(finalized, bool) else None)


def _facts(value: Json, finalized: bool | None) -> BlockFacts:
    message = _field(_field(value, "header"), "message")
    canonical = value.get("canonical") if isinstance(value, dict) else None
    return BlockFacts(_uint(_field(message, "slot")), canonical is not False, finalized)


def read_checkpoints(answer: Answer | None) -> tuple[int | None, frozenset[bytes]]:
    """Finalized epoch and the roots of ``finality_checkpoints``; ``(None, ...)`` if unusable."""
    if answer is None or answer.status != 200:
        return None, frozenset()
    try:
        body = _field(parse_json(answer.body), "data")
        epoch = _uint(_field(_field(body, "finalized"), "epoch"))
        root = _field(_field(body, "finalized"), "root")
    except DecodeError:
        return None, frozenset()
    try:
        return epoch, frozenset((bytes.fromhex(str(root)[2:66]),))
    except ValueError:
        return epoch, frozenset()


def _field(value: Json, name: str) -> Json:
    if not isinstance(value, dict) or name not in value:
        raise DecodeError(f"no {name} in the answer")
    return value[name]


def _uint(value: Json) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 20:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**64:
        return value
    raise DecodeError("not a slot or epoch")
