"""The consensus specification's bls vectors, on every backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from lightclient.bls import Backend, eth_fast_aggregate_verify
from lightclient.errors import BlsError

VECTORS = Path(__file__).resolve().parents[2].parent / "shared" / "spec-vectors"
CASES = sorted(VECTORS.glob("tests/general/*/bls/*/bls/*/data.yaml"))


def _octets(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def _octets_list(texts: list[str]) -> list[bytes]:
    return [_octets(text) for text in texts]


def _answer(backend: Backend, handler: str, given: Any) -> bool | str | None:
    try:
        match handler:
            case "sign":
                secret = int.from_bytes(_octets(given["privkey"]), "big")
                return "0x" + backend.sign(secret, _octets(given["message"])).hex()
            case "aggregate":
                return "0x" + backend.aggregate(_octets_list(given)).hex()
            case "eth_aggregate_pubkeys":
                return "0x" + backend.aggregate_pubkeys(_octets_list(given)).hex()
            case "verify":
                return backend.verify(
                    _octets(given["pubkey"]), _octets(given["message"]), _octets(given["signature"])
                )
            case "aggregate_verify":
                return backend.aggregate_verify(
                    _octets_list(given["pubkeys"]),
                    _octets_list(given["messages"]),
                    _octets(given["signature"]),
                )
    except BlsError:
        return None
    arguments = (
        _octets_list(given["pubkeys"]),
        _octets(given["message"]),
        _octets(given["signature"]),
    )
    if handler == "fast_aggregate_verify":
        return backend.fast_aggregate_verify(*arguments)
    assert handler == "eth_fast_aggregate_verify"
    return eth_fast_aggregate_verify(backend, *arguments)


@pytest.mark.skipif(not CASES, reason="needs ../shared/spec-vectors beside the checkout")
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.parent.name)
def test_the_specifications_vectors_hold(backend: Backend, case: Path) -> None:
    vector = yaml.safe_load(case.read_text(encoding="utf-8"))
    handler = case.parents[2].name
    assert _answer(backend, handler, vector["input"]) == vector["output"]
