"""Committees of eight, known by number, and what they sign."""

from __future__ import annotations

from lightclient.bls import Backend, CommitteeKeys, CommitteeSignature

SIZE = 8
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
INFINITY_SIGNATURE = b"\xc0" + bytes(95)


def secrets_of(committee: int) -> list[int]:
    return [1000 * (committee + 1) + seat for seat in range(SIZE)]


def keys_of(backend: Backend, committee: int) -> CommitteeKeys:
    pubkeys = [backend.sk_to_pk(secret) for secret in secrets_of(committee)]
    return CommitteeKeys(backend, b"".join(pubkeys), backend.aggregate_pubkeys(pubkeys))


def signed(backend: Backend, committee: int, bits: int, message: bytes) -> CommitteeSignature:
    present = [s for i, s in enumerate(secrets_of(committee)) if bits >> i & 1]
    signature = backend.sign(sum(present) % ORDER, message)
    keys = keys_of(backend, committee)
    return CommitteeSignature(keys, bits.to_bytes(1, "little"), message, signature)
