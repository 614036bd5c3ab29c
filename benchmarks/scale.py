"""The machine's speed, by one bare signature check, and what a check took where targets were set.

Times that consist of signatures are given as measured and scaled: multiplied with the reference
check over the check measured in the same run, close to what it scales.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

from lightclient.bls import Backend

REFERENCE_MS = {"milagro": 4.66, "arkworks": 2.67, "blst": 1.39}
"""One bare signature check (one key, one message) on the reference machine, a 2.3 GHz Xeon."""


class BareCheck:
    """One valid signature of one key."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.reference_ms = REFERENCE_MS[backend.name]
        self._message = bytes(32)
        self._pubkey = backend.sk_to_pk(0x5EED)
        self._signature = backend.sign(0x5EED, self._message)

    def time_ms(self) -> float:
        """One check's time."""
        start = perf_counter()
        valid = self._backend.verify(self._pubkey, self._message, self._signature)
        elapsed = perf_counter() - start
        assert valid
        return elapsed * 1000

    def factor(self, checks: int = 40) -> float:
        """What a time measured now is to be multiplied with."""
        return self.reference_ms / median(self.time_ms() for _ in range(checks))
