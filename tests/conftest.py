"""What every test may ask for: material beside the checkout, async backends, hypothesis profiles.

The product builds and tests without ``../shared``; tests that read it ask for one of the fixtures
below and are skipped, with the reason, where it is not there.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.measuring import measuring
from tests.scenery import leave_scenery_unmeasured, remember_scenery, scenery_of

CHECKOUT = Path(__file__).resolve().parents[1]
SHARED = CHECKOUT.parent / "shared"

# No deadline anywhere: on two shared cores a slow example says nothing about the code.
_SLOW_MACHINE = [HealthCheck.too_slow]
settings.register_profile("random", deadline=None, suppress_health_check=_SLOW_MACHINE)
settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, suppress_health_check=_SLOW_MACHINE
)
settings.register_profile(
    "thorough", deadline=None, max_examples=2000, suppress_health_check=_SLOW_MACHINE
)
# The same examples in every run, so that no run fails by chance; others where they are asked for.
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_sessionstart() -> None:
    remember_scenery()
    leave_scenery_unmeasured()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    test = item.path.relative_to(CHECKOUT / "tests").as_posix()
    with scenery_of(test), measuring(test):
        return (yield)


def _beside_the_checkout(*parts: str) -> Path:
    path = SHARED.joinpath(*parts)
    if not path.is_dir():
        pytest.skip(f"needs {Path('..', 'shared', *parts)} beside the checkout")
    return path


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder ``../shared``; skips where there is none."""
    return _beside_the_checkout()


@pytest.fixture(scope="session")
def spec_vectors() -> Path:
    """The consensus specification's vectors, ``../shared/spec-vectors``; skips without them."""
    return _beside_the_checkout("spec-vectors")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Objects and answers recorded from real nodes, ``../shared/real-data``; skips without them."""
    return _beside_the_checkout("real-data")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of this repository."""
    return CHECKOUT


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Runs tests marked ``anyio`` once on asyncio and once on trio."""
    return str(request.param)
