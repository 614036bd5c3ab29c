"""Which blocks make the newest updates, as a full node chooses what it pushes."""

from __future__ import annotations

from dataclasses import dataclass

from lightclient.config import Preset
from lightclient.simulator.blocks import Checkpoint, SimulatedBlock


@dataclass(frozen=True, slots=True)
class LatestSigners:
    """The blocks whose aggregates make the newest finality and optimistic update."""

    finality: SimulatedBlock | None = None
    optimistic: SimulatedBlock | None = None

    def after(self, block: SimulatedBlock, preset: Preset) -> LatestSigners:
        """What they are when ``block``, which enough members signed, is the chain's new head."""
        attested, finality = block.parent, self.finality
        assert attested is not None
        if attested.finalized != Checkpoint() and self._is_newer_finality(block, attested, preset):
            finality = block
        return LatestSigners(finality, block)

    def _is_newer_finality(
        self, block: SimulatedBlock, attested: SimulatedBlock, preset: Preset
    ) -> bool:
        latest = self.finality
        if latest is None or latest.parent is None:
            return True
        if attested.finalized != latest.parent.finalized:
            return True
        size = preset.sync_committee_size
        return block.participants * 3 >= size * 2 > latest.participants * 3
