"""``nimbus-light-client spec-tests DIR``: options, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import click

from lightclient_cli.main import EXIT_FAILURE, EXIT_OK

_ALL = "all"
_Item = TypeVar("_Item")


@click.command("spec-tests")
@click.argument("directory", metavar="DIR")
@click.option("--preset", "presets", multiple=True, metavar="P", help="Only this preset.")
@click.option("--fork", "forks", multiple=True, metavar="F", help="Only this fork's directory.")
@click.option("--handler", "handlers", multiple=True, metavar="H", help="Only this handler.")
@click.option(
    "--bls-backend", metavar="NAME|all", help="blst, arkworks, milagro, or all usable ones."
)
def spec_tests(
    directory: str,
    presets: tuple[str, ...],
    forks: tuple[str, ...],
    handlers: tuple[str, ...],
    bls_backend: str | None,
) -> int:
    """Run the consensus specification's test vectors in DIR, or in any part of the official layout.

    Options may be repeated. Exit code 0 if something passed and nothing failed, 1 otherwise.
    """
    from lightclient.bls import available_backends, choose_backend
    from lightclient_cli.spec_tests.discovery import Filter, find_cases
    from lightclient_cli.spec_tests.report import count_outcomes, print_report, print_totals
    from lightclient_cli.spec_tests.runner import Outcome, run_cases

    root = Path(directory)
    if "\0" in directory or not root.is_dir():
        raise click.UsageError(f"{directory}: no such directory")
    backends = available_backends() if bls_backend == _ALL else []
    if not backends:
        backends = [choose_backend(None if bls_backend == _ALL else bls_backend)]
    wanted = Filter(presets, forks, handlers)
    found = list(find_cases(root))
    chosen = [case for case in found if wanted.lets_through(case)]
    results = list(_with_progress(run_cases(chosen, backends), len(chosen)))
    print_report(results)
    if not found:
        click.echo(f"Error: there are no vectors in {directory}", err=True)
    elif not chosen:
        click.echo(f"Error: none of the {len(found)} vectors is asked for", err=True)
    print_totals(results)
    counts = count_outcomes(results)
    is_good = counts[Outcome.PASSED] and not counts[Outcome.FAILED]
    return EXIT_OK if is_good else EXIT_FAILURE


def _with_progress(items: Iterable[_Item], total: int) -> Iterator[_Item]:
    """The items, with a progress bar on a terminal while they come."""
    if not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(items, "Vectors", total=total, console=console, transient=True)
