"""Programs that the tests talk with are installed before the first test."""

from __future__ import annotations

import pytest

from tests.interop.npm import HERE, why_not_installed


def pytest_collection_finish(session: pytest.Session) -> None:
    """Install what the tests to come need, outside of their time limits.

    Those of a folder are in it, or beside it in the file ``test_FOLDER.py``.
    """
    paths = {item.path for item in session.items}
    for package in sorted(HERE.glob("*/package.json")):
        folder = package.parent
        if any(folder in path.parents or path == HERE / f"test_{folder.name}.py" for path in paths):
            why_not_installed(folder)
