"""What is too old to start from is refused with its age, unless the caller insists."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from lightclient.client.weak_subjectivity import TrustPeriod
from lightclient.config.networks import network_by_name
from lightclient.errors import ConfigError, StaleTrustedRoot
from lightclient.sync import VerifiedHeader
from tests.client.world import SLOTS_PER_EPOCH, SLOTS_PER_PERIOD, World

HEAD = 3 * SLOTS_PER_PERIOD + 30
MAINNET = network_by_name("mainnet")
SLOT = 14_000_000


def check(slots: int, period: TrustPeriod | None = None) -> None:
    now_ms = MAINNET.slot_start_ms(SLOT + slots)
    (period or TrustPeriod(MAINNET)).check(SLOT, now_ms, "the trusted block")


@pytest.mark.parametrize(
    ("name", "epochs"), [("mainnet", 3532), ("gnosis", 460), ("chiado", 460), ("hoodi", 3532)]
)
def test_the_bound_follows_from_the_configuration(name: str, epochs: int) -> None:
    assert TrustPeriod(network_by_name(name)).bound_epochs == epochs


def test_a_configuration_of_its_own_has_a_bound_of_its_own() -> None:
    network = replace(MAINNET, churn_limit_quotient=32, min_validator_withdrawability_delay=100)
    assert TrustPeriod(network).bound_epochs == 101


@pytest.mark.parametrize("epochs", [None, 1, 100])
def test_up_to_the_bound_it_may_be_used_and_after_it_not(epochs: int | None) -> None:
    period = TrustPeriod(MAINNET, epochs)
    bound = period.bound_epochs * 32
    check(bound, period)
    with pytest.raises(StaleTrustedRoot):
        check(bound + 1, period)


def test_the_refusal_says_how_old_it_is_and_what_to_do() -> None:
    with pytest.raises(StaleTrustedRoot) as caught:
        check(30 * 7200)
    assert str(caught.value).startswith(
        "the trusted block (slot 14000000) is 30.0 days old, and the weak subjectivity period is at"
        " most 15.7 days (3532 epochs): "
    )
    assert "--allow-stale-trusted-root" in str(caught.value)
    with pytest.raises(StaleTrustedRoot, match=r"period is 24\.0 hours \(225 epochs\)"):
        check(30 * 7200, TrustPeriod(MAINNET, 225))


def test_who_insists_is_only_warned(caplog: pytest.LogCaptureFixture) -> None:
    period = TrustPeriod(MAINNET, is_warning_only=True)
    check(30 * 7200, period)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.lc["age"] == "30.0 days"  # type: ignore[attr-defined]
    check(1, period)
    assert len(caplog.records) == 1


def test_a_block_of_the_future_is_not_too_old() -> None:
    check(-1000)


@pytest.mark.parametrize("epochs", [0, -1])
def test_a_period_of_nothing_is_refused(epochs: int) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        TrustPeriod(MAINNET, epochs)


# In the client ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_the_client_starts_from_no_old_root_and_tells_nobody_of_it() -> None:
    world = World(HEAD)
    told: list[VerifiedHeader] = []
    client = world.client(weak_subjectivity_epochs=8, on_finalized_header=told.append)
    with anyio.fail_after(60):
        async with client:
            with pytest.raises(StaleTrustedRoot, match="the trusted block"):
                await client.wait_until_synced()
            assert client.finalized_header() is None
            assert client.optimistic_header() is None
    assert told == []


@pytest.mark.anyio
async def test_the_client_starts_from_an_old_root_if_it_is_allowed_to() -> None:
    world = World(HEAD)
    with anyio.fail_after(60):
        async with world.client(
            weak_subjectivity_epochs=8, allow_stale_trusted_root=True
        ) as client:
            assert (await client.wait_until_synced()).slot > HEAD - 4 * SLOTS_PER_EPOCH


@pytest.mark.anyio
async def test_an_old_stored_state_asks_for_the_same_flag(tmp_path: Path) -> None:
    world = World(HEAD)
    with anyio.fail_after(60):
        async with world.client(data_dir=tmp_path) as client:
            synced = await client.wait_until_synced()
        world.set_clock(HEAD + 400 * SLOTS_PER_EPOCH)
        with pytest.raises(StaleTrustedRoot, match="the stored state"):
            await world.client(data_dir=tmp_path).__aenter__()
        # The directory was given back, and the state is still there.
        later = world.client(data_dir=tmp_path, allow_stale_trusted_root=True)
        async with later:
            assert later.finalized_header() == synced
