"""What the follower does at each slot, without a process: tell of it, and know when to stop."""

from __future__ import annotations

from types import SimpleNamespace

import anyio
import pytest

from lightclient.client import SyncState
from lightclient.simulator import simulated_network
from lightclient_cli import follow
from lightclient_cli.follow import StopAt


@pytest.mark.parametrize(
    ("wall", "synced", "epoch", "state", "reason"),
    [
        (None, None, 9, SyncState.SYNCED, None),
        (5, None, 4, SyncState.SYNCED, None),
        (5, None, 5, SyncState.BOOTSTRAPPING, "--debug-stop-at-epoch"),
        (0, None, 0, SyncState.BOOTSTRAPPING, "--debug-stop-at-epoch"),
        (None, 5, 4, SyncState.SYNCED, None),
        (None, 5, 6, SyncState.SYNCING, None),
        (None, 5, 6, SyncState.BOOTSTRAPPING, None),
        (None, 5, 6, SyncState.SYNCED, "--stop-at-synced-epoch"),
        (7, 5, 6, SyncState.SYNCED, "--stop-at-synced-epoch"),
        (7, 5, 7, SyncState.SYNCING, "--debug-stop-at-epoch"),
    ],
)
def test_when_to_stop(
    wall: int | None, synced: int | None, epoch: int, state: SyncState, reason: str | None
) -> None:
    assert StopAt(wall, synced).reason(epoch, state) == reason


def test_slots_that_passed_while_the_machine_slept_are_not_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = simulated_network("minimal", slot_duration_ms=1000)
    clock = [10_000]
    sleeps = iter([11_000, 11_999, 12_001, 500_000, 501_000, 20_300, 21_000])
    told: list[tuple[int, int]] = []

    async def sleep_until(moment_ms: int, _network: object) -> None:
        try:
            clock[0] = next(sleeps)
        except StopIteration:
            stopped.append(True)
            client.status.state = SyncState.SYNCED

    stopped: list[bool] = []
    client = SimpleNamespace(
        network=network,
        status=SimpleNamespace(state=SyncState.SYNCING),
        stop=lambda: stopped.append(True),
    )
    monkeypatch.setattr(follow, "wall_clock_ms", lambda: clock[0])
    monkeypatch.setattr(follow, "_sleep_until", sleep_until)
    monkeypatch.setattr(
        follow, "_log_slot", lambda _client, slot: told.append((slot, clock[0] % 1000))
    )
    follower = follow._Follower(
        client,  # type: ignore[arg-type]  # as much of a client as it looks at
        StopAt(None, 0),
        None,  # type: ignore[arg-type]  # writes nothing
        with_display=False,
        with_colors=False,
    )
    anyio.run(follower._watch_slots, 10)
    assert [slot for slot, _ in told] == [11, 12, 500, 501, 20, 21]
    assert stopped == [True, True]
