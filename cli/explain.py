"""``nimbus-light-client explain``: what was wrong with an object that ``--dump-dir`` kept.

Judges it again with the same processor, offline, and puts rule, values and circumstances into plain
words. The file may come from anybody.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from lightclient_cli.main import EXIT_FAILURE, EXIT_OK, one_line
from lightclient_cli.object_files import read_bounded

if TYPE_CHECKING:
    from lightclient.bls import Backend
    from lightclient.client.dumps import RefusedObject
    from lightclient.protocol import Verdict
    from lightclient.protocol.explanations import Explanation, Suspect

_WIDTH = 98
_MAX_SHOWN = 400


@dataclass(frozen=True, slots=True)
class Report:
    """What there is to say about a refused object.

    Attributes:
        again: the verdict of today.
        is_same: whether it is the one in the file.
        findings: what else was found out, as sentences.
    """

    dump: RefusedObject
    again: Verdict
    is_same: bool
    explanation: Explanation
    findings: list[str]
    backend: str


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--bls-backend", metavar="NAME", help="blst, arkworks or milagro.")
def explain(file: str, as_json: bool, bls_backend: str | None) -> int:
    """Say what was wrong with a refused object that --dump-dir kept.

    FILE is one of that directory; - is standard input. It holds all that is needed: the object is
    judged again, without network or data directory. Exit code 0 if the verdict is the same, 1 if it
    is another one, 2 for a file that cannot be used.
    """
    from lightclient.bls import choose_backend
    from lightclient.client.dumps import MAX_DUMP_BYTES, decode_dump
    from lightclient.errors import DecodeError

    data = read_bounded(file, MAX_DUMP_BYTES)
    try:
        dump = decode_dump(data)
    except DecodeError as error:
        raise click.UsageError(f"{file}: no file of a refused object: {error}") from None
    report = report_on(dump, choose_backend(bls_backend))
    if as_json:
        click.echo(json.dumps(_as_json(report)))
    else:
        _print(report)
    return EXIT_OK if report.is_same else EXIT_FAILURE


def report_on(dump: RefusedObject, backend: Backend) -> Report:
    """Judge it again, and look at it from all sides."""
    from lightclient.client.diagnosis import findings, judge_again
    from lightclient.client.dumps import shown_values
    from lightclient.protocol import Rule
    from lightclient.protocol.explanations import EXPLANATIONS

    again, before = judge_again(dump, backend), dump.verdict
    is_same = again.rule is before.rule
    # How a decoder words its refusal may change between versions.
    if is_same and again.rule is not Rule.UNDECODABLE:
        is_same = shown_values(again.values) == shown_values(before.values)
    assert before.rule is not None  # a file without a rule is none
    return Report(
        dump, again, is_same, EXPLANATIONS[before.rule], findings(dump, backend), backend.name
    )


def _as_json(report: Report) -> dict[str, Any]:
    dump, verdict, explanation = report.dump, report.dump.verdict, report.explanation
    values = _texts(verdict)
    return {
        "object": str(dump.kind),
        "format": _format(dump),
        "bytes": len(dump.content),
        "attested_slot": _slot(dump),
        "signature_slot": getattr(dump.refused, "signature_slot", None),
        "provider": dump.provider,
        "time_ms": dump.time_ms,
        "current_slot": dump.network.slot_at_time_ms(dump.time_ms),
        "network": dump.network.name,
        "program_version": dump.program_version,
        "store": _store_json(dump),
        "verdict": str(verdict.kind),
        "rule": str(verdict.rule),
        "values": values,
        "detail": verdict.detail,
        "checks": explanation.checks,
        "expected": explanation.expected.format_map(values),
        "seen": explanation.seen.format_map(values),
        "suspects": [str(suspect) for suspect in explanation.suspects],
        "advice": explanation.advice,
        "findings": report.findings,
        "judged_again": {
            "verdict": str(report.again.kind),
            "rule": None if report.again.rule is None else str(report.again.rule),
            "detail": report.again.detail or None,
            "is_same": report.is_same,
            "bls_backend": report.backend,
            "program_version": _version(),
        },
    }


def _store_json(dump: RefusedObject) -> dict[str, Any] | None:
    store = dump.store
    if store is None:
        return None
    return {
        "finalized_slot": store.finalized_header.beacon.slot,
        "optimistic_slot": store.optimistic_header.beacon.slot,
        "knows_next_sync_committee": store.next_sync_committee is not None,
    }


def _print(report: Report) -> None:
    dump, explanation = report.dump, report.explanation
    values = _texts(dump.verdict)
    rows = [
        ("object", _object_line(dump)),
        ("from", dump.provider or "(not told)"),
        ("when", _when(dump)),
        ("network", dump.network.name),
        ("store", _store_line(dump)),
        ("verdict", f"{dump.verdict.kind} ({dump.verdict.rule})"),
        ("program", f"version {dump.program_version}"),
    ]
    for name, text in rows:
        click.echo(f"{name:<8} {_clean(text)}")
    _paragraph("What was wrong", [dump.verdict.detail])
    expected, seen = (text.format_map(values) for text in (explanation.expected, explanation.seen))
    _paragraph("What the rule checks", [explanation.checks])
    _paragraph("", [f"expected: {expected}", f"seen:     {seen}"])
    _paragraph("Who is probably at fault", _suspects(explanation.suspects))
    _paragraph("What else was found", report.findings)
    _paragraph("What to do", [explanation.advice])
    _print_again(report)


def _suspects(suspects: tuple[Suspect, ...]) -> list[str]:
    from lightclient.protocol.explanations import SUSPECT_SENTENCES

    return [f"{number}. {SUSPECT_SENTENCES[each]}" for number, each in enumerate(suspects, 1)]


def _print_again(report: Report) -> None:
    again = report.again
    by = f"version {_version()} with {report.backend}"
    click.echo()
    if report.is_same:
        click.echo(click.style(f"Judged again by {by}: the same verdict.", fg="green"))
        return
    said = f"{again.kind}" + (f" ({again.rule}): {again.detail}" if again.rule else "")
    click.echo(click.style(f"Judged again by {by}: another verdict.", fg="red"))
    _paragraph("", [f"now: {said}", _why_another(report)])


def _why_another(report: Report) -> str:
    if report.dump.program_version != _version():
        return "the program has changed since: this version is right, unless it is older"
    return (
        "by the same version that is a fault of the program, or the file was altered: please"
        " report it with the file"
    )


def _paragraph(title: str, texts: list[str]) -> None:
    if not texts:
        return
    if title:
        click.echo(f"\n{click.style(title, bold=True)}")
    for text in texts:
        click.echo(
            textwrap.fill(_clean(text), _WIDTH, initial_indent="  ", subsequent_indent="    ")
        )


def _clean(text: str) -> str:
    """Text of a file that anybody may have written: one printable line, not too long."""
    line = one_line(text)
    return line if len(line) <= _MAX_SHOWN else line[: _MAX_SHOWN - 3] + "..."


def _texts(verdict: Verdict) -> dict[str, Any]:
    from lightclient.client.dumps import shown_values

    return shown_values(verdict.values)


def _format(dump: RefusedObject) -> str | None:
    data_format = getattr(dump.refused, "data_format", None)
    return None if data_format is None else str(data_format.name)


def _slot(dump: RefusedObject) -> int | None:
    from lightclient.containers import Undecoded

    refused = dump.refused
    return None if isinstance(refused, Undecoded) else refused.main_header.beacon.slot


def _object_line(dump: RefusedObject) -> str:
    size, slot = len(dump.content), _slot(dump)
    if slot is None:
        return f"{dump.kind}, {size} bytes that are no such object"
    fork = dump.network.fork_at_slot(slot).name
    signature_slot = getattr(dump.refused, "signature_slot", None)
    signed = "" if signature_slot is None else f", signature slot {signature_slot}"
    return f"{dump.kind} in format {_format(dump)}, {size} bytes, {fork} slot {slot}{signed}"


def _when(dump: RefusedObject) -> str:
    network = dump.network
    when = datetime.fromtimestamp(dump.time_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
    if network.is_before_genesis_ms(dump.time_ms):
        return f"{when} UTC by its clock, before genesis"
    return f"{when} UTC by its clock, slot {network.slot_at_time_ms(dump.time_ms)}"


def _store_line(dump: RefusedObject) -> str:
    store = _store_json(dump)
    if store is None:
        return "none yet (before the bootstrap)"
    knows = "knows" if store["knows_next_sync_committee"] else "does not know"
    return (
        f"finalized slot {store['finalized_slot']}, optimistic slot {store['optimistic_slot']},"
        f" {knows} the next sync committee"
    )


def _version() -> str:
    from lightclient import __version__

    return __version__
