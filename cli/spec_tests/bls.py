"""``bls``: the signature functions of phase0 and altair, on one backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lightclient.bls import Backend, eth_fast_aggregate_verify
from lightclient.errors import BlsError
from lightclient_cli.spec_tests.case import Case, as_list, as_mapping, as_octets, expect, octets


def run_bls(case: Case, backend: Backend) -> None:
    """Output of the function that the handler names; ``null`` where it has none."""
    document = case.mapping("data.yaml")
    call = FUNCTIONS[case.handler]
    try:
        answer = call(backend, document.get("input"))
    except BlsError:
        answer = None
    recorded = document.get("output")
    if isinstance(recorded, str):
        recorded = None if recorded in ("", "~") else recorded.lower()
        recorded = None if recorded == "null" else recorded
    expect("the output", _as_text(answer), recorded)


def _as_text(answer: bool | bytes | None) -> str | None:
    if isinstance(answer, bytes):
        return "0x" + answer.hex()
    return None if answer is None else str(answer).lower()


def _octets_list(values: Any, where: str) -> list[bytes]:
    return [as_octets(value, where) for value in as_list(values, where)]


def _keys_message_signature(given: Any) -> tuple[list[bytes], bytes, bytes]:
    values = as_mapping(given, "input")
    keys = _octets_list(values.get("pubkeys"), "pubkeys")
    return keys, octets(values, "message"), octets(values, "signature")


def _sign(backend: Backend, given: Any) -> bytes:
    values = as_mapping(given, "input")
    secret = int.from_bytes(octets(values, "privkey", 32), "big")
    return backend.sign(secret, octets(values, "message"))


def _verify(backend: Backend, given: Any) -> bool:
    values: Mapping[str, Any] = as_mapping(given, "input")
    return backend.verify(
        octets(values, "pubkey"), octets(values, "message"), octets(values, "signature")
    )


def _aggregate_verify(backend: Backend, given: Any) -> bool:
    values = as_mapping(given, "input")
    return backend.aggregate_verify(
        _octets_list(values.get("pubkeys"), "pubkeys"),
        _octets_list(values.get("messages"), "messages"),
        octets(values, "signature"),
    )


FUNCTIONS: dict[str, Callable[[Backend, Any], bool | bytes]] = {
    "aggregate": lambda backend, given: backend.aggregate(_octets_list(given, "input")),
    "aggregate_verify": _aggregate_verify,
    "eth_aggregate_pubkeys": lambda backend, given: backend.aggregate_pubkeys(
        _octets_list(given, "input")
    ),
    "eth_fast_aggregate_verify": lambda backend, given: eth_fast_aggregate_verify(
        backend, *_keys_message_signature(given)
    ),
    "fast_aggregate_verify": lambda backend, given: backend.fast_aggregate_verify(
        *_keys_message_signature(given)
    ),
    "sign": _sign,
    "verify": _verify,
}
