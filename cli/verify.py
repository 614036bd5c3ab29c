"""``nimbus-light-client verify``: judge light client objects from files, without any network.

Objects are judged in the order bootstrap, updates, finality updates, optimistic updates by the same
processor that follows a live chain. What is printed about an object is put together here.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from lightclient_cli.main import EXIT_FAILURE, EXIT_OK, one_line
from lightclient_cli.object_files import ObjectFile, read_object_file
from lightclient_cli.parameters import (
    HOW_TO_TRUST,
    LAST_UNIX_TIME,
    UINT64_MAX,
    decimal_up_to,
    network_options,
)

if TYPE_CHECKING:
    from lightclient.config import Network
    from lightclient.containers import LightClientObject, ObjectKind
    from lightclient.protocol import Verdict
    from lightclient.sync import Processor

_COLOURS = {"accepted": "green", "duplicate": "yellow"}


@click.command()
@network_options
@click.option("--trusted-block-root", metavar="ROOT", help="The block to start from, in hex.")
@click.option("--bootstrap", "bootstraps", multiple=True, metavar="FILE", help="Its bootstrap.")
@click.option("--updates", multiple=True, metavar="FILE", help="Full updates; repeatable.")
@click.option(
    "--finality-update",
    "finality_updates",
    multiple=True,
    metavar="FILE",
    help="Finality updates; repeatable.",
)
@click.option(
    "--optimistic-update",
    "optimistic_updates",
    multiple=True,
    metavar="FILE",
    help="Optimistic updates; repeatable.",
)
@click.option(
    "--at-slot", callback=decimal_up_to(UINT64_MAX), metavar="N", help="Judge as of slot N."
)
@click.option(
    "--at-time",
    callback=decimal_up_to(LAST_UNIX_TIME),
    metavar="UNIX",
    help="Judge as of this Unix time in seconds. Default: now.",
)
@click.option("--evidence", metavar="FOLDER", help="Two conflicting headers, kept as evidence.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--bls-backend", metavar="NAME", help="blst, arkworks or milagro.")
def verify(
    network: str,
    genesis_time: int | None,
    genesis_validators_root: str | None,
    trusted_block_root: str | None,
    bootstraps: tuple[str, ...],
    updates: tuple[str, ...],
    finality_updates: tuple[str, ...],
    optimistic_updates: tuple[str, ...],
    at_slot: int | None,
    at_time: int | None,
    evidence: str | None,
    as_json: bool,
    bls_backend: str | None,
) -> int:
    """Verify light client objects from files, offline.

    A file is JSON or SSZ: one object, an array, or the Beacon API's update stream; - is standard
    input. Exit code 0 if every object was accepted or a duplicate, 1 if any was refused, 2 for
    arguments or files that cannot be used.

    With --evidence, and then without the other files, the two objects of a folder are judged: exit
    code 0 if both are signed and contradict each other, else 1.
    """
    if evidence is not None:
        from lightclient_cli.evidence import verify_evidence

        given = (trusted_block_root, bootstraps, updates, finality_updates, optimistic_updates)
        if any(given) or at_slot is not None or at_time is not None:
            raise click.UsageError("--evidence holds all that is needed: leave the others out")
        return verify_evidence(evidence, as_json=as_json, bls_backend=bls_backend)
    from lightclient.bls import choose_backend
    from lightclient.config import resolve_network
    from lightclient.config.mapping import parse_root
    from lightclient.containers import ObjectKind
    from lightclient.sync import Processor

    _check_arguments(trusted_block_root, bootstraps, at_slot, at_time)
    chain = resolve_network(
        network, genesis_time=genesis_time, genesis_validators_root=genesis_validators_root
    )
    root = parse_root(trusted_block_root, source="--trusted-block-root")
    processor = Processor(chain, root, backend=choose_backend(bls_backend))
    paths = {
        ObjectKind.BOOTSTRAP: bootstraps,
        ObjectKind.UPDATE: updates,
        ObjectKind.FINALITY_UPDATE: finality_updates,
        ObjectKind.OPTIMISTIC_UPDATE: optimistic_updates,
    }
    files = [read_object_file(kind, path, chain) for kind in paths for path in paths[kind]]
    _check_files(files)
    now_ms = _judging_time_ms(chain, at_slot, at_time)
    summary = Summary()
    for judged in judge(files, processor, now_ms, summary):
        _print_object(judged, as_json)
    _print_summary(summary, as_json)
    return EXIT_FAILURE if summary.refused else EXIT_OK


def _check_arguments(
    trusted_block_root: str | None,
    bootstraps: Sequence[str],
    at_slot: int | None,
    at_time: int | None,
) -> None:
    if not trusted_block_root:
        raise click.UsageError(f"--trusted-block-root is missing: {HOW_TO_TRUST}")
    if not bootstraps:
        raise click.UsageError("--bootstrap is missing: the bootstrap of the trusted block root")
    if len(bootstraps) > 1:
        raise click.UsageError("more than one --bootstrap: a store begins with one")
    if at_slot is not None and at_time is not None:
        raise click.UsageError("--at-slot and --at-time exclude each other")


def _check_files(files: Sequence[ObjectFile]) -> None:
    for file in files:
        if not file.entries:
            raise click.UsageError(f"{file.path}: no object in this file")
    bootstrap_file = files[0]
    if len(bootstrap_file.entries) > 1:
        raise click.UsageError(
            f"{bootstrap_file.path}: {len(bootstrap_file.entries)} bootstraps, where one may be"
        )


def _judging_time_ms(network: Network, at_slot: int | None, at_time: int | None) -> int:
    if at_slot is not None:
        return network.slot_start_ms(at_slot)
    if at_time is not None:
        return at_time * 1000
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class JudgedObject:
    """An object of a file with its verdict and the store's slots after it.

    ``decoded`` is None if it could not be decoded.
    """

    kind: ObjectKind
    source: str
    decoded: LightClientObject | None
    verdict: Verdict
    network: Network
    finalized_slot: int | None
    optimistic_slot: int | None

    def as_json(self) -> dict[str, Any]:
        """The keys of a JSON line, in order."""
        attested_slot = self.decoded.main_header.beacon.slot if self.decoded else None
        aggregate = getattr(self.decoded, "sync_aggregate", None)
        verdict = self.verdict
        return {
            "object": str(self.kind),
            "source": self.source,
            "fork": (
                None if attested_slot is None else self.network.fork_at_slot(attested_slot).name
            ),
            "attested_slot": attested_slot,
            "signature_slot": getattr(self.decoded, "signature_slot", None),
            "participants": aggregate.num_active_participants if aggregate else None,
            "verdict": str(verdict.kind),
            "rule": None if verdict.rule is None else str(verdict.rule),
            "detail": verdict.detail or None,
            "finalized_slot": self.finalized_slot,
            "optimistic_slot": self.optimistic_slot,
        }


@dataclass(slots=True)
class Summary:
    """Counts of verdicts, and the time that full updates took to decode and process."""

    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    update_seconds: list[float] = field(default_factory=list)

    def count(self, verdict: Verdict) -> None:
        """Add one verdict."""
        if verdict.is_refusal:
            self.refused += 1
        elif verdict.rule is None:
            self.accepted += 1
        else:
            self.duplicates += 1

    def as_json(self) -> dict[str, Any]:
        """The keys of the last JSON line, in order."""
        seconds = self.update_seconds
        return {
            "summary": True,
            "objects": self.accepted + self.duplicates + self.refused,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "ms_per_update": round(1000 * sum(seconds) / len(seconds), 3) if seconds else None,
        }


def judge(
    files: Sequence[ObjectFile], processor: Processor, now_ms: int, summary: Summary
) -> Iterator[JudgedObject]:
    """Judge all objects in order; ``summary`` is brought up to date with each."""
    from lightclient.containers import ObjectKind
    from lightclient.errors import DecodeError
    from lightclient.protocol import undecodable

    for file in files:
        for entry in file.entries:
            start = time.perf_counter()
            decoded: LightClientObject | None = None
            try:
                decoded = entry.decode()
                verdict = processor.process(decoded, now_ms).verdict
            except DecodeError as error:
                verdict = undecodable(str(error))
            elapsed = time.perf_counter() - start + file.seconds_per_entry
            if decoded is not None and file.kind is ObjectKind.UPDATE:
                summary.update_seconds.append(elapsed)
            summary.count(verdict)
            # Aggregates are compared now, so that the next object's time is its own.
            processor.audit()
            store = processor.store
            yield JudgedObject(
                file.kind,
                f"{file.path}#{entry.index}",
                decoded,
                verdict,
                processor.network,
                store.finalized_header.beacon.slot if store else None,
                store.optimistic_header.beacon.slot if store else None,
            )


def _print_object(judged: JudgedObject, as_json: bool) -> None:
    line = judged.as_json()
    if as_json:
        click.echo(json.dumps(line))
        return
    verdict = click.style(f"{line['verdict']:<14}", fg=_COLOURS.get(line["verdict"], "red"))
    parts = [line["object"], line["source"]]
    if line["fork"] is not None:
        parts.append(f"{line['fork']} slot {line['attested_slot']}")
    if line["rule"] is None:
        parts.append(f"(finalized {line['finalized_slot']}, optimistic {line['optimistic_slot']})")
    text = " ".join(parts)
    if line["rule"] is not None:
        text += f": {line['rule']}: {line['detail']}; {judged.verdict.hint}"
    click.echo(f"{verdict} {one_line(text)}")


def _print_summary(summary: Summary, as_json: bool) -> None:
    line = summary.as_json()
    if as_json:
        click.echo(json.dumps(line))
        return
    speed = line["ms_per_update"]
    click.echo(
        f"{line['objects']} objects: {line['accepted']} accepted, {line['duplicates']} duplicates,"
        f" {line['refused']} refused" + (f"; {speed} ms per update" if speed is not None else "")
    )
