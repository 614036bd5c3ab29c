"""Parameter types and options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

UINT64_MAX = 2**64 - 1
LAST_UNIX_TIME = 253_402_300_799
"""The end of the year 9999."""

_DECIMAL = re.compile(r"[0-9]{1,20}", re.ASCII)
_Command = TypeVar("_Command", bound=Callable[..., Any])

HOW_TO_TRUST = (
    "get the root of a recent finalized block from a source you trust: your own beacon node"
    " (GET /eth/v1/beacon/headers/finalized, the field root), a checkpoint provider or a block"
    " explorer, better two of them, and compare (the checkpoint command does)"
)


def decimal_up_to(
    high: int,
) -> Callable[[click.Context, click.Parameter, str | None], int | None]:
    """An option's callback: its text as a whole number from 0 to ``high``, in digits only."""

    def convert(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
        if text is None:
            return None
        if not _DECIMAL.fullmatch(text) or int(text) > high:
            shown = ascii(text if len(text) <= 40 else text[:40] + "...")
            message = f"{shown} is not a whole number from 0 to {high}"
            raise click.BadParameter(message, ctx, param)
        return int(text)

    return convert


def network_options(command: _Command) -> _Command:
    """``--network``, ``--genesis-time`` and ``--genesis-validators-root``."""
    for option in (
        click.option(
            "--genesis-validators-root",
            metavar="ROOT",
            help="For a network directory without genesis.ssz: 32 bytes in hex.",
        ),
        click.option(
            "--genesis-time",
            callback=decimal_up_to(LAST_UNIX_TIME),
            metavar="UNIX",
            help="For a network directory without genesis.ssz: Unix time in seconds.",
        ),
        click.option(
            "--network",
            default="mainnet",
            show_default=True,
            metavar="NAME|DIR",
            help="A network's name, or a directory with its config.yaml.",
        ),
    ):
        command = option(command)
    return command
