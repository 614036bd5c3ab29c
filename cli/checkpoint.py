"""``nimbus-light-client checkpoint``: a trusted block root that several services agree on.

The root alone goes to standard output, so that it can be used in a command line; who said what goes
to standard error. Without a quorum there is no root, and the exit code is 1.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import click

from lightclient.config import Network, resolve_network
from lightclient.errors import ConfigError, LightClientError
from lightclient.sync.checkpoint_quorum import (
    Conflict,
    Decision,
    Standing,
    Statement,
    absolute_majority,
    default_quorum,
)
from lightclient.transports.checkpoints import (
    MAX_SERVICES,
    CheckpointService,
    ask_for_checkpoint,
)
from lightclient_cli.main import EXIT_OK, one_line
from lightclient_cli.parameters import network_options

if TYPE_CHECKING:
    from click import Context, Parameter

_COLOURS = {
    Standing.AGREES: "green",
    Standing.LAGGING: "yellow",
    Standing.SILENT: "yellow",
    Standing.UNCONFIRMED: "yellow",
}
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


def _not_empty(_ctx: Context, _param: Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("is empty")
    return value


@click.command()
@network_options
@click.option(
    "--from",
    "urls",
    multiple=True,
    metavar="URL",
    help="A checkpointz service or beacon node; give it at least twice, of different operators.",
)
@click.option(
    "--quorum",
    type=click.IntRange(1, MAX_SERVICES),
    metavar="K",
    help="How many must name the same root.  [default: a majority, two at least]",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 600),
    default=20.0,
    show_default=True,
    metavar="SECONDS",
    help="For each service, in each round of questions.",
)
@click.option("--rest-ca-file", metavar="FILE", callback=_not_empty, help="Certificates (PEM).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on standard output.")
def checkpoint(
    network: str,
    genesis_time: int | None,
    genesis_validators_root: str | None,
    urls: tuple[str, ...],
    quorum: int | None,
    timeout: float,
    rest_ca_file: str | None,
    as_json: bool,
) -> int:
    """Find a trusted block root that several services agree on.

    Prints the root of the newest finalized checkpoint that enough of them name, and on standard
    error who said what. Exit code 0 with a root; 1 without: too few agree, they contradict each
    other, or what they agree on is older than the weak subjectivity period.
    """
    chain = resolve_network(
        network, genesis_time=genesis_time, genesis_validators_root=genesis_validators_root
    )
    services = _services(urls, timeout, rest_ca_file)
    needed = _checked_quorum(quorum, len(services))
    now_ms = time.time_ns() // 1_000_000
    current_epoch = chain.compute_epoch_at_slot(chain.slot_at_time_ms(now_ms))
    statements, decision = anyio.run(ask_for_checkpoint, services, chain, needed, current_epoch)
    report = Report(chain, statements, decision, needed, now_ms)
    _say(report, as_json)
    if report.problem is not None:
        raise LightClientError(report.problem)
    return EXIT_OK


def _services(urls: Sequence[str], timeout: float, ca_file: str | None) -> list[CheckpointService]:
    if not urls:
        raise click.UsageError(
            "missing --from: give the URLs of two or more checkpoint services or beacon nodes that"
            " have nothing to do with each other"
        )
    if len(urls) > MAX_SERVICES:
        raise click.UsageError(f"--from may be given {MAX_SERVICES} times at most")
    services: list[CheckpointService] = []
    for number, url in enumerate(urls, 1):
        try:
            service = CheckpointService(url, timeout=timeout, ca_file=ca_file)
        except ConfigError as error:
            # The URL may be a secret: its number has to do.
            raise click.UsageError(f"--from number {number}: {error}") from None
        for other, known in enumerate(services, 1):
            if known.host == service.host:
                raise click.UsageError(
                    f"--from number {number} is on the same host as number {other}: one service's"
                    " word counts once"
                )
        services.append(service)
    return services


def _checked_quorum(quorum: int | None, asked: int) -> int:
    if quorum is None:
        if asked == 1:
            raise click.UsageError(
                "a single --from: one service could name any root, and everything that is verified"
                " later starts from it. Give a second one of another operator, or say --quorum 1"
                " to trust this one alone (your own node, say)"
            )
        return default_quorum(asked)
    if quorum > asked:
        raise click.UsageError(f"--quorum {quorum} of {asked} services can never be reached")
    return quorum


@dataclass(frozen=True, slots=True)
class Report:
    """What was said and what follows, for people and for programs."""

    network: Network
    statements: Sequence[Statement]
    decision: Decision
    quorum: int
    now_ms: int

    @property
    def age_seconds(self) -> int | None:
        """Since the start of the checkpoint's epoch."""
        if self.decision.checkpoint is None:
            return None
        slot = self.network.compute_start_slot_at_epoch(self.decision.checkpoint.epoch)
        return max(self.now_ms - self.network.slot_start_ms(slot), 0) // 1000

    @property
    def age_epochs(self) -> int | None:
        """Epochs from the checkpoint to now."""
        if self.decision.checkpoint is None:
            return None
        now = self.network.compute_epoch_at_slot(self.network.slot_at_time_ms(self.now_ms))
        return max(now - self.decision.checkpoint.epoch, 0)

    @property
    def problem(self) -> str | None:
        """Why there is no root to use; None if there is one."""
        asked, decision = len(self.statements), self.decision
        if decision.checkpoint is None:
            if decision.conflicts:
                return (
                    f"the services contradict each other about epoch {decision.conflicts[0].epoch},"
                    f" and no root is named by {decision.needed} of {asked}: use none of these"
                    " roots before you know why"
                )
            counting = sum(statement.failure is None for statement in self.statements)
            return (
                f"no finalized checkpoint that {decision.needed} of {asked} services name"
                f" ({counting} gave a usable answer); ask others"
            )
        bound = self.network.weak_subjectivity_epochs_upper_bound
        if self.age_epochs is not None and self.age_epochs > bound:
            return (
                f"the newest checkpoint agreed on is {self.age_epochs} epochs old, more than the"
                f" weak subjectivity period (at most {bound} epochs): validators that have left"
                " since could have made it up; ask others, and check this machine's clock"
            )
        return None

    @property
    def warnings(self) -> list[str]:
        """What to know before using the root."""
        found = []
        if self.quorum == 1:
            found.append("--quorum 1: this root rests on the word of one service alone")
        if self.decision.conflicts:
            majority = absolute_majority(len(self.statements))
            found.append(
                "the services contradict each other: somebody is wrong or lies, and more than half"
                f" of all asked ({majority} of {len(self.statements)}) must agree now"
            )
        if self.network.retired:
            found.append(f"{self.network.name} no longer runs")
        return found

    def as_json(self) -> dict[str, Any]:
        """The keys of the JSON object, in order."""
        found = self.decision.checkpoint
        root = None if found is None else _hex(found.root)
        return {
            "network": self.network.name,
            "trusted_block_root": root if self.problem is None else None,
            "problem": self.problem,
            "warnings": self.warnings,
            "asked": len(self.statements),
            "quorum": self.quorum,
            "needed": self.decision.needed,
            "checkpoint": None
            if found is None
            else {
                "epoch": found.epoch,
                "root": root,
                "agreeing": self.decision.agreeing,
                "age_epochs": self.age_epochs,
                "age_seconds": self.age_seconds,
            },
            "weak_subjectivity_epochs": self.network.weak_subjectivity_epochs_upper_bound,
            "conflicts": [_conflict_json(conflict) for conflict in self.decision.conflicts],
            "services": [
                _service_json(statement, standing)
                for statement, standing in zip(
                    self.statements, self.decision.standings, strict=True
                )
            ],
        }

    def lines(self) -> list[str]:
        """The report for people; parts of lines from outside are single lines already."""
        asked = len(self.statements)
        lines = [
            f"Finalized checkpoints of {self.network.name}; {self.quorum} of {asked} must agree"
        ]
        for statement, standing in zip(self.statements, self.decision.standings, strict=True):
            text = click.style(f"{standing:<13}", fg=_COLOURS.get(standing, "red"))
            lines.append(f"  {text} {one_line(_service_text(statement))}")
        for conflict in self.decision.conflicts:
            lines += _conflict_lines(conflict)
        found = self.decision.checkpoint
        if found is not None:
            bound = self.network.weak_subjectivity_epochs_upper_bound
            period = _duration(bound * self._epoch_seconds)
            lines.append(
                f"Epoch {found.epoch}, root {_hex(found.root)}: {self.decision.agreeing} of"
                f" {asked} agree. It is {self.age_epochs} epochs"
                f" ({_duration(self.age_seconds or 0)}) old; the weak subjectivity period is at"
                f" most {bound} epochs ({period})."
            )
        return lines + [f"Warning: {warning}" for warning in self.warnings]

    @property
    def _epoch_seconds(self) -> int:
        network = self.network
        return network.preset.slots_per_epoch * network.slot_duration_ms // 1000


def _say(report: Report, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(report.as_json()))
        return
    for line in report.lines():
        click.echo(line, err=True)
    if report.problem is None and report.decision.checkpoint is not None:
        click.echo(_hex(report.decision.checkpoint.root))


def _service_text(statement: Statement) -> str:
    parts = [statement.service]
    if statement.finalized is not None:
        parts.append(f"epoch {statement.finalized.epoch} {_hex(statement.finalized.root)}")
    return "  ".join(parts) + (f": {statement.reason}" if statement.reason else "")


def _service_json(statement: Statement, standing: Standing) -> dict[str, Any]:
    finalized = statement.finalized
    return {
        "service": statement.service,
        "standing": str(standing),
        "reason": statement.reason or None,
        "finalized_epoch": None if finalized is None else finalized.epoch,
        "finalized_root": None if finalized is None else _hex(finalized.root),
        "roots": {str(epoch): _hex(root) for epoch, root in sorted(statement.roots.items())},
    }


def _conflict_json(conflict: Conflict) -> dict[str, Any]:
    return {
        "epoch": conflict.epoch,
        "roots": {_hex(root): list(names) for root, names in conflict.roots},
    }


def _conflict_lines(conflict: Conflict) -> list[str]:
    title = click.style(f"CONFLICT about epoch {conflict.epoch}:", fg="red")
    return [title, *(f"  {_hex(root)}  {', '.join(names)}" for root, names in conflict.roots)]


def _duration(seconds: int) -> str:
    for unit, name in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds} seconds"


def _hex(root: bytes) -> str:
    return f"0x{root.hex()}"
