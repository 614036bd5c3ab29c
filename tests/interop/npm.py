"""Programs from npm that no one here wrote: installed next to their package.json, once.

They are asked for by ``make interop`` (``LIGHTCLIENT_INTEROP=1``) and skipped otherwise, and where
node, npm or the registry are missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_OLDEST_NODE = 20
_INSTALL_SECONDS = 600


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
    wanted = (folder / "package.json").read_text()
    stamp = folder / "node_modules" / ".installed"
    if not stamp.is_file() or stamp.read_text() != wanted:
        command = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*command, "--loglevel=error"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install {folder.name}: {done.stderr[-300:]}")
        stamp.write_text(wanted)
    return node
