"""Histories in files: made once, kept in ``benchmarks/.cache`` (git ignores it), read in pieces.

A history's folder holds what a server would send: ``updates.ssz`` in the Beacon API's framing, one
bootstrap at its start and one at its head, and ``head.ssz`` with an update of each of the head's
slots. ``FileTransport`` reads them without ever holding more than was asked for.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from lightclient.config import Network, network_from_config_mapping
from lightclient.containers import (
    MAX_OBJECT_BYTES,
    LightClientBootstrap,
    LightClientFinalityUpdate,
    LightClientOptimisticUpdate,
    LightClientUpdate,
    ObjectKind,
    decode_ssz,
    encode_ssz,
    format_of_digest,
    split_update_stream,
)
from lightclient.errors import NotServed
from lightclient.transports.base import UpdateRange

CACHE = Path(__file__).resolve().parent / ".cache"
_HEAD_SLOTS = 16
_MAKER = Path(__file__).resolve().parent / "history.py"


@dataclass(frozen=True)
class StoredHistory:
    """``periods`` periods up to the head's, which is the one after them.

    ``updates.ssz`` holds one update more: that of the head's period.
    """

    folder: Path

    @cached_property
    def _description(self) -> dict[str, object]:
        described: dict[str, object] = json.loads((self.folder / "history.json").read_text())
        return described

    @property
    def periods(self) -> int:
        """How many periods lie before the head's."""
        periods = self._description["periods"]
        assert isinstance(periods, int)
        return periods

    @property
    def trusted_block_root(self) -> bytes:
        """Of the first period's bootstrap."""
        return bytes.fromhex(str(self._description["trusted_block_root"]))

    @cached_property
    def network(self) -> Network:
        """The network, its name included."""
        config = self._description["config"]
        assert isinstance(config, dict)
        return network_from_config_mapping(
            config, genesis_validators_root=str(self._description["genesis_validators_root"])
        )

    @property
    def head_slot(self) -> int:
        """The slot of the newest signature."""
        slot = self._description["head_slot"]
        assert isinstance(slot, int)
        return slot

    @property
    def now_ms(self) -> int:
        """When the newest object has just been sent."""
        return self.network.slot_start_ms(self.head_slot) + self.network.slot_duration_ms // 2

    @cached_property
    def offsets(self) -> list[int]:
        """Where in ``updates.ssz`` each period's chunk begins, and the file's end."""
        offsets = [0]
        with (self.folder / "updates.ssz").open("rb") as file:
            while length := file.read(8):
                offsets.append(file.seek(int.from_bytes(length, "little"), os.SEEK_CUR))
        return offsets

    def range_bytes(self, start_period: int, count: int) -> bytes:
        """The update stream of at most ``count`` periods."""
        offsets = self.offsets
        first, end = (min(n, len(offsets) - 1) for n in (start_period, start_period + count))
        with (self.folder / "updates.ssz").open("rb") as file:
            file.seek(offsets[first])
            return file.read(offsets[end] - offsets[first])

    def updates(self, start_period: int, count: int) -> Iterator[LightClientUpdate]:
        """The decoded updates of at most ``count`` periods."""
        stream = split_update_stream(self.range_bytes(start_period, count), MAX_OBJECT_BYTES)
        for digest, data in stream:
            hints = (format_of_digest(digest, self.network),)
            update = decode_ssz(ObjectKind.UPDATE, data, self.network, hints)
            assert isinstance(update, LightClientUpdate)
            yield update

    def head(self) -> Iterator[bytes]:
        """A finality update of each of the last slots, SSZ."""
        stream = split_update_stream((self.folder / "head.ssz").read_bytes(), MAX_OBJECT_BYTES)
        return (data for _digest, data in stream)

    def bootstrap_bytes(self, *, at_head: bool = False) -> bytes:
        """The bootstrap of the first period, or of the head's; SSZ."""
        name = "head_bootstrap.ssz" if at_head else "bootstrap.ssz"
        return (self.folder / name).read_bytes()


def stored_history(periods: int, preset: str = "mainnet", seed: int = 0) -> StoredHistory:
    """The history from the cache, made first if it is not there (about 3 ms a period)."""
    maker = sha256(_MAKER.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:12]
    folder = CACHE / f"{preset}-{periods}-{seed}-{maker}"
    if not folder.is_dir():
        CACHE.mkdir(exist_ok=True)
        for stale in CACHE.glob(f"{preset}-{periods}-{seed}-*"):
            shutil.rmtree(stale, ignore_errors=True)
        unfinished = Path(tempfile.mkdtemp(dir=CACHE))
        try:
            _write(unfinished, periods, preset, seed)
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster: the same history
                raise
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return StoredHistory(folder)


def _write(folder: Path, periods: int, preset: str, seed: int) -> None:
    # Here, because whoever only reads a history should not load what makes one.
    from benchmarks.history import HistoryMaker, history_network, update_chunk
    from lightclient.protocol.excerpts import create_light_client_finality_update
    from lightclient.simulator import config_mapping

    network = history_network(periods + 1, preset=preset, seed=seed)
    maker = HistoryMaker(network, seed)
    bootstrap = maker.bootstrap(0)
    with (folder / "updates.ssz").open("wb") as file:
        for period in range(periods + 1):
            update = maker.update(period)
            slot = update.attested_header.beacon.slot
            file.write(update_chunk(encode_ssz(update), slot, network))
    head_slot = 0
    with (folder / "head.ssz").open("wb") as file:
        for number in range(1, _HEAD_SLOTS + 1):
            finality = create_light_client_finality_update(maker.update(periods, number))
            head_slot = finality.signature_slot
            chunk = update_chunk(
                encode_ssz(finality), finality.attested_header.beacon.slot, network
            )
            file.write(chunk)
    (folder / "bootstrap.ssz").write_bytes(encode_ssz(bootstrap))
    (folder / "head_bootstrap.ssz").write_bytes(encode_ssz(maker.bootstrap(periods)))
    description = {
        "periods": periods,
        "trusted_block_root": bootstrap.header.beacon.hash_tree_root().hex(),
        "head_slot": head_slot,
        "genesis_validators_root": network.genesis_validators_root.hex(),
        "config": config_mapping(network),
    }
    (folder / "history.json").write_text(json.dumps(description, indent=1))


class FileTransport:
    """A history's files as a provider."""

    name = "local files"

    def __init__(self, history: StoredHistory) -> None:
        self._history = history

    async def open(self, network: Network) -> None:
        """Find where each period begins."""
        assert network == self._history.network
        assert self._history.offsets

    async def aclose(self) -> None:
        """Nothing stays open."""

    async def get_light_client_bootstrap(self, block_root: bytes) -> LightClientBootstrap:
        """The first period's."""
        assert block_root == self._history.trusted_block_root
        value = self._decoded(ObjectKind.BOOTSTRAP, self._history.bootstrap_bytes())
        assert isinstance(value, LightClientBootstrap)
        return value

    async def get_light_client_updates_by_range(self, start_period: int, count: int) -> UpdateRange:
        """From ``updates.ssz``."""
        return UpdateRange(tuple(self._history.updates(start_period, count)))

    async def get_light_client_finality_update(self) -> LightClientFinalityUpdate:
        """The newest in ``head.ssz``."""
        *_, newest = self._history.head()
        value = self._decoded(ObjectKind.FINALITY_UPDATE, newest)
        assert isinstance(value, LightClientFinalityUpdate)
        return value

    async def get_light_client_optimistic_update(self) -> LightClientOptimisticUpdate:
        """Made of the newest in ``head.ssz``."""
        update = await self.get_light_client_finality_update()
        return LightClientOptimisticUpdate(
            update.data_format, update.attested_header, update.sync_aggregate, update.signature_slot
        )

    async def stream_updates(
        self,
    ) -> AsyncGenerator[LightClientFinalityUpdate | LightClientOptimisticUpdate, None]:
        """Files push nothing."""
        pushed: tuple[LightClientFinalityUpdate, ...] = ()
        for update in pushed:
            yield update
        raise NotServed("files push nothing", provider=self.name)

    def _decoded(self, kind: ObjectKind, data: bytes) -> object:
        network = self._history.network
        hint = network.fork_at_slot(self._history.head_slot).data_format
        return decode_ssz(kind, data, network, (hint,))
