"""``light_client/update_ranking``: updates of one period, best first."""

from __future__ import annotations

from lightclient.containers import LightClientUpdate, ObjectKind
from lightclient.errors import DecodeError
from lightclient.protocol import is_better_update
from lightclient_cli.spec_tests.case import Case, CaseFailed, number
from lightclient_cli.spec_tests.chain import (
    decode_object,
    known_fork,
    known_preset,
    preset_network,
)

MAX_UPDATES = 4096


def run_update_ranking(case: Case) -> None:
    """Each update must be better than all that follow, and none of those better than it."""
    fork, network = known_fork(case), preset_network(known_preset(case))
    count = number(case.mapping("meta.yaml"), "updates_count")
    if not 0 < count <= MAX_UPDATES:
        raise CaseFailed(f"updates_count: {count} is not between 1 and {MAX_UPDATES}")
    updates: list[LightClientUpdate] = []
    for index in range(count):
        data = case.ssz(f"updates_{index}")
        try:
            update = decode_object(ObjectKind.UPDATE, data, fork, network)
        except DecodeError as error:
            raise CaseFailed(f"updates_{index}: {error}") from None
        assert isinstance(update, LightClientUpdate)
        updates.append(update)
    for index, better in enumerate(updates):
        for offset, worse in enumerate(updates[index + 1 :], start=1):
            if not is_better_update(better, worse, network) or is_better_update(
                worse, better, network
            ):
                raise CaseFailed(f"update {index} is not better than update {index + offset}")
