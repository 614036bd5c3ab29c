"""A status line at the bottom of a terminal, with a progress bar while catching up.

Only for people: log lines scroll above it, and nothing of it appears when output is not a terminal
that can move its cursor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from lightclient.client import Health, LightClient, SyncState

if TYPE_CHECKING:
    from rich.table import Table

_BAR_WIDTH = 30


def can_display() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}


@contextmanager
def status_display(
    client: LightClient, *, enabled: bool = True, colors: bool = True
) -> Iterator[Callable[[str], None] | None]:
    """Show the client's status for as long as the context lasts.

    Gives what writes a line above it; None if nothing is shown.
    """
    if not enabled or not can_display():
        yield None
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(force_terminal=True, no_color=not colors, highlight=False)

    def write(line: str) -> None:
        # As it is: the terminal breaks long lines itself, so that they can be copied whole.
        console.print(Text.from_ansi(line), soft_wrap=True)

    with Live(
        console=console,
        get_renderable=lambda: status_line(client),
        refresh_per_second=4,
        transient=True,
        # Errors may go elsewhere than the terminal.
        redirect_stderr=sys.stderr.isatty(),
    ):
        yield write


def status_line(client: LightClient) -> Table:
    """The client's status, one row."""
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    status = client.status
    cells: list[Text | ProgressBar] = [Text(status.state.value, style="bold")]
    if status.state is SyncState.SYNCING:
        cells.append(ProgressBar(total=1.0, completed=status.progress, width=_BAR_WIDTH))
        cells.append(Text(f"{status.progress:4.0%}"))
        cells.append(Text(f"period {status.finalized_period} of {status.current_period}"))
    elif status.state is SyncState.SYNCED:
        head, finalized = client.optimistic_header(), client.finalized_header()
        if head is not None and finalized is not None:
            cells.append(Text(f"head {head.slot}, {client.age(head):.0f} s old"))
            cells.append(Text(f"finalized {finalized.slot}"))
    if status.health in (Health.STALE, Health.STUCK):
        codes = ", ".join(reason.code for reason in status.reasons)
        cells.append(
            Text(f"{status.health}: {codes}" if codes else status.health, style="bold red")
        )
    cells.append(Text(f"providers {status.usable_providers}/{status.providers}"))
    grid = Table.grid(padding=(0, 2))
    for _ in cells:
        grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(*cells)
    return grid
