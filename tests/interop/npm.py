"""Programs from npm that no one here wrote: installed next to their package.json, once.

They are asked for by ``make interop`` (``LIGHTCLIENT_INTEROP=1``) and skipped otherwise, and where
node, npm or the registry are missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

_OLDEST_NODE = 20
_INSTALL_SECONDS = float(os.environ.get("LIGHTCLIENT_INTEROP_INSTALL_SECONDS", "600"))
# A registry that cannot be reached is to be told in seconds, not after npm's minutes of retries.
_INSTALL = (
    *("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"),
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"),
)


def installed(folder: Path) -> str:
    """The node program, once what ``folder`` asks for is installed there; else skips the test."""
    if os.environ.get("LIGHTCLIENT_INTEROP") != "1":
        pytest.skip("runs in `make interop`")
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("needs node and npm")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < _OLDEST_NODE:
        pytest.skip(f"needs node {_OLDEST_NODE}, not {version.strip()}")
    reason = _why_not_installed(folder)
    if reason:
        pytest.skip(f"npm cannot install {folder.name}: {reason}")
    return node


@cache
def _why_not_installed(folder: Path) -> str:
    """Nothing if it is; asked once a run, however many tests need it."""
    wanted = (folder / "package.json").read_text()
    stamp = folder / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return ""
    try:
        done = subprocess.run(
            _INSTALL,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not within {_INSTALL_SECONDS:g} s"
    if done.returncode:
        return done.stderr[-300:] or f"npm ended with {done.returncode}"
    stamp.write_text(wanted)
    return ""
