"""A status line at the bottom of a terminal, with a progress bar while catching up.

Only for people: log lines scroll above it, and nothing of it appears when output is not a terminal.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lightclient.client import LightClient, SyncState


@contextmanager
def status_display(client: LightClient, *, enabled: bool) -> Iterator[None]:
    """Show the client's status for as long as the context lasts."""
    if not enabled or not sys.stdout.isatty():
        yield
        return
    from rich.console import Console
    from rich.live import Live

    console = Console()
    with Live(
        _Renderable(client),
        console=console,
        refresh_per_second=4,
        transient=True,
        redirect_stderr=True,
        redirect_stdout=True,
    ):
        yield


class _Renderable:
    def __init__(self, client: LightClient) -> None:
        self._client = client

    def __rich__(self) -> object:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        status = self._client.status
        grid = Table.grid(padding=(0, 2))
        cells: list[object] = [Text(status.state.value, style="bold")]
        if status.state is SyncState.SYNCING:
            cells.append(ProgressBar(total=1.0, completed=status.progress, width=30))
            cells.append(f"period {status.finalized_period} of {status.current_period}")
        head, finalized = self._client.optimistic_header, self._client.finalized_header
        if head is not None and finalized is not None:
            cells.append(f"head {head.slot}")
            cells.append(f"finalized {finalized.slot}")
            cells.append(f"{self._client.age(head):.0f} s behind the clock")
        cells.append(f"providers {status.usable_providers}/{status.providers}")
        grid.add_row(*cells)  # type: ignore[arg-type]  # all of them can be rendered
        return grid
