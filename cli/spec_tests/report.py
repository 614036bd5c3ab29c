"""The outcome of a run for people: a table, the reasons, and the line that scripts read."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TextIO

import click

from lightclient.config import FORKS_BY_NAME
from lightclient_cli.main import one_line
from lightclient_cli.spec_tests.runner import CaseResult, Outcome

_PLAIN_WIDTH = 100


def print_report(results: Sequence[CaseResult]) -> None:
    """Everything but the last line, on standard output."""
    if results:
        _print_table(results, sys.stdout)
    unknown: Counter[str] = Counter()
    for result in results:
        if result.unknown_handler:
            unknown[result.reason] += 1
        elif result.outcome is not Outcome.PASSED:
            label = result.outcome.upper()
            click.echo(f"{label} {one_line(result.case.title)}: {one_line(result.reason)}")
    for reason, count in unknown.items():
        click.echo(f"SKIPPED {count} {'case' if count == 1 else 'cases'}: {one_line(reason)}")


def print_totals(results: Sequence[CaseResult]) -> None:
    """The last line: ``N passed, N failed, N skipped``."""
    counts = count_outcomes(results)
    click.echo(", ".join(f"{counts[outcome]} {outcome}" for outcome in Outcome))


def count_outcomes(results: Sequence[CaseResult]) -> Counter[Outcome]:
    """How many cases passed, failed and were skipped."""
    return Counter(result.outcome for result in results)


def _print_table(results: Sequence[CaseResult], stream: TextIO) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows: dict[tuple[str, str], Counter[Outcome]] = {}
    for result in results:
        handler = f"{result.case.runner}/{result.case.handler}"
        rows.setdefault((result.case.fork, handler), Counter())[result.outcome] += 1
    table = Table(title="Vectors by fork and handler")
    table.add_column("fork")
    table.add_column("handler")
    for outcome in Outcome:
        table.add_column(str(outcome), justify="right")
    for fork, handler in sorted(rows, key=_row_order):
        counts = rows[fork, handler]
        style = "red" if counts[Outcome.FAILED] else ""
        cells = [Text(one_line(fork)), Text(one_line(handler))]
        cells.extend(Text(str(counts[outcome])) for outcome in Outcome)
        table.add_row(*cells, style=style)
    # A pipe has no width of its own; the table must not be cut there.
    width = None if stream.isatty() else _PLAIN_WIDTH
    Console(file=stream, width=width, highlight=False).print(table)


def _row_order(row: tuple[str, str]) -> tuple[int, str, str]:
    fork, handler = row
    known = FORKS_BY_NAME.get(fork)
    return (known.index if known else len(FORKS_BY_NAME), fork, handler)
