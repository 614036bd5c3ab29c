"""The soak can fail: each kind of violation is seen in a client that was broken on purpose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from lightclient.client.fetching import Fetcher
from lightclient.client.following import Follower
from lightclient.client.health import HealthReport
from lightclient.client.persistence import Persistence
from lightclient.client.status import Health
from lightclient.client.subscriptions import HeaderFeed
from lightclient.protocol import SignatureVerifier
from lightclient.storage import StateDirectory
from lightclient.sync import VerifiedHeader
from tests.soak.providers import HONEST, Behaviour
from tests.soak.scenario import Kind, Phase, Restart, Scenario, draw_scenario
from tests.soak.world import play

# httpx leaves its generators to the garbage collector when a stream is closed before its end.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")
LIAR = Behaviour(forging=1.0)
AWAY = Behaviour(down=1.0)


def scenario(*phases: Phase, **changes: Any) -> Scenario:
    """A plain one on a small network, with these phases."""
    plain = next(
        drawn
        for drawn in map(draw_scenario, range(50))
        if drawn.network.preset.slots_per_epoch == 8 and drawn.first_slot == 0
    )
    plain = replace(plain, trusted_slot=0, start_slot=100, backend="toy", forced_update="never")
    return replace(plain, phases=phases, **{"min_providers": 1, "has_disk": False} | changes)


def calm(*behaviours: Behaviour, **changes: Any) -> Phase:
    return Phase(Kind.CALM, 60, behaviours or (HONEST,), **changes)


def violations(of: Scenario) -> str:
    return "\n".join(play(of).violations)


def test_an_honest_world_is_without_violations() -> None:
    played = scenario(calm(HONEST, LIAR), calm(HONEST, LIAR, restart=Restart.KILL))
    assert violations(replace(played, has_disk=True)) == ""


@pytest.mark.parametrize("over_http", [False, True])
def test_with_one_honest_provider_of_five_the_head_is_reached(over_http: bool) -> None:
    others = (LIAR, AWAY, Behaviour(false=True), Behaviour(timeout=1.0))
    result = play(scenario(calm(*others, HONEST), over_http=over_http))
    assert result.violations == []
    assert result.figures.runs["liveness checks"] == 1
    assert result.figures.runs["liveness checks beyond what finality allows"] == 0


def test_what_a_committee_signs_twice_is_reported_as_a_conflict() -> None:
    traitor = replace(HONEST, treason=0.6)
    result = play(scenario(calm(traitor, HONEST), conflict_policy="halt"))
    assert result.violations == []
    assert result.figures.runs["gave up with ConflictingHeaders"] == 1


def test_a_client_that_checks_no_signatures_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SignatureVerifier, "is_signature_valid", lambda *_: True)
    found = violations(scenario(calm(*[replace(LIAR, pushes="honest")] * 4, HONEST)))
    assert "a forged object was accepted" in found
    assert "not of the true chain" in found


def test_a_client_that_asks_nobody_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: object, **__: object) -> bool:
        return False

    monkeypatch.setattr(Fetcher, "perform", nothing)
    assert "was to be had for long" in violations(scenario(calm()))


def test_a_client_that_keeps_to_its_first_provider_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: Callable[[Fetcher], Sequence[Any]] = lambda self: self.providers[:1]  # noqa: E731
    monkeypatch.setattr(Fetcher, "asking_order", order)
    monkeypatch.setattr(Fetcher, "last_resort", lambda _: [])
    assert "was to be had for long" in violations(scenario(calm(AWAY, HONEST)))


def test_a_client_that_loses_what_it_saved_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StateDirectory, "load", lambda *_: None)
    played = scenario(calm(), calm(restart=Restart.STOP), has_disk=True)
    assert "finalized slot" in violations(played)


def test_a_client_that_confirms_before_it_saves_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(StateDirectory, "save", lambda *_: None)
    played = scenario(calm(), calm(restart=Restart.KILL), has_disk=True)
    assert "finalized slot" in violations(played)


def test_a_client_that_does_not_save_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(_: Persistence) -> None:
        pass

    monkeypatch.setattr(Persistence, "save", nothing)
    assert "is saved, not" in violations(scenario(calm(), has_disk=True))


def test_a_client_that_claims_to_be_well_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    well = HealthReport(Health.SYNCED)
    monkeypatch.setattr("lightclient.client.watch.Watch.report", lambda _: well)
    hopeless = Phase(Kind.HOPELESS, 40, (AWAY,))
    assert "claims to be synced" in violations(scenario(calm(), hopeless))


def test_headers_told_twice_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    call = HeaderFeed.call

    async def twice(self: HeaderFeed, header: VerifiedHeader) -> None:
        await call(self, header)
        await call(self, header)

    monkeypatch.setattr(HeaderFeed, "call", twice)
    assert "told after" in violations(scenario(calm()))


def test_an_exception_in_the_client_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: Follower) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Follower, "step", broken)
    assert "ZeroDivisionError" in violations(scenario(calm()))
