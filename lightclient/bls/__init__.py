"""BLS12-381 signatures as Ethereum uses them: one interface, three native libraries behind it.

All backends give the same answer to the same bytes. Importing this room imports none of them;
:func:`choose_backend` does.
"""

from lightclient.bls.backend import Backend, eth_fast_aggregate_verify
from lightclient.bls.batch import (
    CommitteeSignature,
    best_batch_size,
    proves_each,
    verify_together,
)
from lightclient.bls.committee import CommitteeKeys
from lightclient.bls.questions import ANSWER_HOLDS, ANSWER_READY, question
from lightclient.bls.selection import (
    BACKEND_NAMES,
    BACKEND_VARIABLE,
    available_backends,
    backend_by_name,
    choose_backend,
    why_unusable,
)
from lightclient.bls.shared_check import OtherProcess, SharedCheck

__all__ = [
    "ANSWER_HOLDS",
    "ANSWER_READY",
    "BACKEND_NAMES",
    "BACKEND_VARIABLE",
    "Backend",
    "CommitteeKeys",
    "CommitteeSignature",
    "OtherProcess",
    "SharedCheck",
    "available_backends",
    "backend_by_name",
    "best_batch_size",
    "choose_backend",
    "eth_fast_aggregate_verify",
    "proves_each",
    "question",
    "verify_together",
    "why_unusable",
]
