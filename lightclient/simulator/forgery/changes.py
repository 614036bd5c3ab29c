"""What several forgeries have in common: wrong branches, headers, and kinds of updates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from lightclient.config import DataFormat, Network
from lightclient.containers import LightClientHeader, LightClientUpdate
from lightclient.protocol import Rule
from lightclient.protocol.derivation import block_to_light_client_header
from lightclient.protocol.excerpts import create_light_client_finality_update
from lightclient.simulator.blocks import SimulatedBlock
from lightclient.simulator.scenes import Forgery, Scene


def flipped(branch: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The branch with one bit changed."""
    first = branch[0]
    return (bytes([first[0] ^ 1]) + first[1:], *branch[1:])


def _with_wrong_proof(header: LightClientHeader) -> LightClientHeader:
    return replace(header, execution_branch=flipped(header.execution_branch))


def _with_other_execution(header: LightClientHeader) -> LightClientHeader:
    if header.execution is not None:
        execution = replace(header.execution, block_number=header.execution.block_number + 1)
        return replace(header, execution=execution)
    return replace(header, execution_block_hash=b"\x11" * 32)


HEADER_CHANGES: dict[str, Callable[[LightClientHeader], LightClientHeader]] = {
    "wrong_execution_branch": _with_wrong_proof,
    "other_execution": _with_other_execution,
}
"""What can be wrong with a header that proves its execution."""


def without_execution(
    block: SimulatedBlock, data_format: DataFormat, network: Network
) -> LightClientHeader:
    """A block's header as a format from before its fork has it."""
    return LightClientHeader(data_format, block_to_light_client_header(block.block, network).beacon)


def with_finality_update(
    scene: Scene, rule: Rule, name: str, update: LightClientUpdate
) -> Iterator[Forgery]:
    """The same forgery as a full and a finality update."""
    yield scene.forgery(rule, name, update)
    finality_update = create_light_client_finality_update(update)
    yield scene.forgery(rule, f"{name}_finality", finality_update)
