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

HERE = Path(__file__).parent
_OLDEST_NODE = 20
_INSTALL_SECONDS = float(os.environ.get("LIGHTCLIENT_INTEROP_INSTALL_SECONDS", "600"))
_INSTALL_OPTIONS = (
    *("--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"),
    # A registry that cannot be reached is to be told in seconds, not after minutes of retries.
    *("--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-retry-maxtimeout=2000"),
)


def installed(folder: Path) -> str:
    """The node program, once what ``folder`` asks for is installed there; else skips the test."""
    reason = why_not_installed(folder)
    if reason:
        pytest.skip(reason)
    return shutil.which("node") or "node"


@cache
def why_not_installed(folder: Path) -> str:
    """Why the programs of ``folder`` cannot be used; nothing if they can.

    Installs them where that is possible; tried once a run, however many tests need them.
    """
    if os.environ.get("LIGHTCLIENT_INTEROP") != "1":
        return "runs in `make interop`"
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "needs node and npm"
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    if int(version.strip().lstrip("v").partition(".")[0]) < _OLDEST_NODE:
        return f"needs node {_OLDEST_NODE}, not {version.strip()}"
    reason = _install(npm, folder)
    return reason and f"npm cannot install {folder.name}: {reason}"


def _install(npm: str, folder: Path) -> str:
    wanted = (folder / "package.json").read_text()
    stamp = folder / "node_modules" / ".installed"
    if stamp.is_file() and stamp.read_text() == wanted:
        return ""
    try:
        done = subprocess.run(
            [npm, "install", *_INSTALL_OPTIONS],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it is not done within {_INSTALL_SECONDS:g} s"
    if done.returncode:
        return " ".join(done.stderr[:200].split()) or f"it ended with {done.returncode}"
    stamp.write_text(wanted)
    return ""
