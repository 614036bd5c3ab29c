"""Who asks REST providers pays nothing for the network of peers: none of it is even imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("libp2p", "trio", "cryptography", "coincurve", "Crypto", "fastecdsa", "noise", "snappy")

CODE = f"""
import asyncio, sys
import lightclient, lightclient.client, lightclient.transports.rest
import lightclient_cli.main, lightclient_cli.follow
from lightclient_cli.follow import _client
options = lightclient_cli.main.main.make_context("x", [
    "--trusted-block-root", "0x" + "11" * 32, "--rest-url", "http://127.0.0.1:9",
]).params
client, _ = _client(options, None)
assert not client.pools

def loaded(*heavy):
    names = {{name.partition(".")[0] for name in sys.modules}} & set(heavy)
    ours = [name for name in sys.modules if "libp2p" in name or name.endswith(".pools")]
    return [*sorted(names), *ours]

print(*loaded(*{HEAVY!r}))

async def use():
    async with client:
        await asyncio.sleep(0.2)

asyncio.run(use())
# httpcore imports trio by itself, where it is installed.
print(*loaded(*(set({HEAVY!r}) - {{"trio"}})))
"""


def test_a_client_of_rest_providers_imports_nothing_of_libp2p() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


THREADED = """
import os, sys, threading, trio
from lightclient.transports.libp2p.options import Libp2pOptions
from lightclient.transports.libp2p.pool import Libp2pPool

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "libp2p":
            print("main" if threading.current_thread() is threading.main_thread() else "aside")
            raise ImportError("seen")

async def use():
    pool = Libp2pPool(Libp2pOptions(secret=os.urandom(32)))
    sys.meta_path.insert(0, Watch())
    try:
        await pool._run_node(None, None)
    except ImportError:
        pass

trio.run(use)
"""


def test_other_providers_go_on_while_libp2p_is_imported() -> None:
    pytest.importorskip("libp2p", reason="the extra [libp2p] is not installed")
    done = subprocess.run(
        [sys.executable, "-c", THREADED], capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["aside"]
