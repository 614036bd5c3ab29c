"""``nimbus-light-client verify --evidence``: judge two conflicting headers again, offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lightclient_cli.main import EXIT_FAILURE, EXIT_OK, one_line
from lightclient_cli.object_files import read_bounded

if TYPE_CHECKING:
    from lightclient.client.dumps import RefusedObject
    from lightclient.client.evidence import EvidenceReport
    from lightclient.protocol import Verdict


def verify_evidence(folder: str, *, as_json: bool, bls_backend: str | None) -> int:
    """Judge the two objects of a folder; the exit code.

    Raises:
        click.UsageError: the folder cannot be used.
    """
    from lightclient.bls import choose_backend
    from lightclient.client.dumps import MAX_DUMP_BYTES
    from lightclient.client.evidence import FILE_NAMES, judge_evidence
    from lightclient.errors import DecodeError

    first, second = (read_bounded(str(Path(folder) / name), MAX_DUMP_BYTES) for name in FILE_NAMES)
    try:
        report = judge_evidence(first, second, choose_backend(bls_backend))
    except DecodeError as error:
        raise click.UsageError(f"{folder}: no evidence of a conflict: {error}") from None
    if as_json:
        click.echo(json.dumps(_document(report)))
    else:
        _print(report)
    return EXIT_FAILURE if report.conflict is None else EXIT_OK


def _document(report: EvidenceReport) -> dict[str, Any]:
    store = report.objects[0].store
    assert store is not None  # or there would be no report
    header = store.finalized_header.beacon
    return {
        "network": report.objects[0].network.name,
        "conflict": report.conflict,
        "objects": [
            _object(item, verdict)
            for item, verdict in zip(report.objects, report.verdicts, strict=True)
        ],
        "finalized_root": "0x" + header.hash_tree_root().hex(),
        "finalized_slot": header.slot,
        "sync_committee_root": "0x" + report.sync_committee_root.hex(),
    }


def _object(item: RefusedObject, verdict: Verdict) -> dict[str, Any]:
    return {
        "object": item.kind.value,
        "provider": item.provider,
        "verdict": verdict.kind.value,
        "rule": None if verdict.rule is None else verdict.rule.value,
        "detail": verdict.detail or None,
    }


def _print(report: EvidenceReport) -> None:
    document = _document(report)
    for item in document["objects"]:
        reason = f": {item['rule']}: {item['detail']}" if item["rule"] else ""
        said = f"{item['verdict']:<14} {item['object']} from {item['provider']}{reason}"
        click.echo(one_line(said))
    if report.conflict is None:
        click.echo("No conflict: the two do not contradict each other, or one is not signed.")
    else:
        click.echo(one_line(f"Conflict on {document['network']}: {report.conflict}"))
    click.echo(
        f"All of this relies on the sync committee {document['sync_committee_root']} and the"
        f" finalized block {document['finalized_root']} (slot {document['finalized_slot']}),"
        " which come with the evidence: compare them with a source that you trust."
    )
