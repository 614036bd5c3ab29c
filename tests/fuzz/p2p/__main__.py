"""``make fuzz-p2p``: a live node under attack on real sockets, at every layer, for an hour.

A light client with libp2p, gossip, serving and discovery runs in a process of its own. Hostile
peers in another send it all that they should not; two honest ones must be served meanwhile. It
fails if the victim ended, restarted its host, told an exception, grew beyond bounds or left an
honest peer without answers; the cases that did it are kept, to be played again.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import sys
from collections import Counter
from pathlib import Path

import trio

from tests.fuzz.histories import CHECKOUT
from tests.fuzz.p2p.run import Report, Run

FOLDER = CHECKOUT / ".fuzz"


def main(arguments: list[str]) -> int:
    """Returns the exit code."""
    options = _options(arguments)
    seed, numbers = options.seed, []
    if options.repeat is not None:
        kept = json.loads(Path(options.repeat).read_text("ascii"))
        seed, numbers = kept["seed"], kept["cases"]
    _say(f"seed {seed}, {options.seconds:g} s")
    log = FOLDER / "logs" / "p2p-victim.txt"
    report = trio.run(Run(seed, options.seconds, log, numbers).play)
    for line in summary(report):
        _say(line)
    if not report.findings:
        return 0
    kept_in = _keep(seed, report, log)
    _say(f'again: make fuzz-p2p FUZZ_P2P_ARGS="--repeat {kept_in.relative_to(CHECKOUT)}"')
    return 1


def summary(report: Report) -> list[str]:
    """What to tell of a run, in lines."""
    lines = [f"{'attack':<22}{'cases':>8}{'inputs':>10}{'cut off':>9}  ended otherwise"]
    total = [0, 0, 0]
    for name, layer in sorted(report.layers.items()):
        figures = (layer.cases, layer.inputs, layer.cut_off)
        total = [before + more for before, more in zip(total, figures, strict=True)]
        failed = ", ".join(f"{count} {what}" for what, count in layer.failed.most_common(3))
        lines.append(f"{name:<22}{figures[0]:>8}{figures[1]:>10}{figures[2]:>9}  {failed}")
    lines.append(f"{'all':<22}{total[0]:>8}{total[1]:>10}{total[2]:>9}")
    lines.append(
        f"victim: {report.first_rss_mb:.0f} MB before, {report.most('rss_mb'):.0f} MB at most;"
        f" {report.most('unread') / 1e6:.1f} MB unread, {report.most('fds'):g} descriptors,"
        f" {report.most('tasks'):g} tasks, {report.most('peers'):g} peers at most;"
        f" loop late by {_median_lag(report):g} ms (median of each second's worst),"
        f" {report.most('lag_ms'):g} ms at worst; {report.most('restarts'):g} restarts"
    )
    if report.told:
        last = report.told[-1]
        received, left_out = last.get("discovery", (0, 0))
        asked = ", ".join(f"{count} {what}" for what, count in Counter(last["asked"]).most_common())
        lines.append(f"victim asked its peers: {asked or 'nothing'}")
        lines.append(
            f"victim's gossip: {last.get('gossip', [])} received, accepted, rejected, forwarded;"
            f" discovery: {received} datagrams, {left_out} left out"
        )
    for name, service in report.services.items():
        lines.append(
            f"honest peer that {name}: {service.answered} answered, {len(service.missed)} missed,"
            f" p50 {1000 * service.percentile(0.5):.0f} ms, p99"
            f" {1000 * service.percentile(0.99):.0f} ms, {service.reconnects} reconnects"
        )
    lines.append(f"gossip: {report.heard} of {report.published} published were passed on")
    lines += [f"FINDING: {item}" for item in report.findings]
    lines.append(f"{len(report.findings) or 'no'} findings in {report.seconds:.0f} s")
    return lines


def _median_lag(report: Report) -> float:
    lags = sorted(item.get("lag_ms", 0) for item in report.told)
    return lags[len(lags) // 2] if lags else 0


def _keep(seed: str, report: Report, log: Path) -> Path:
    folder = FOLDER / "findings"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"p2p-{seed}.json"
    kept = {"seed": seed, "cases": report.cases, "findings": report.findings}
    path.write_text(json.dumps(kept), "ascii")
    shutil.copyfile(log, path.with_suffix(".log"))
    return path


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.p2p", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3600, help="of attack; default 3600")
    parser.add_argument("--seed", default=str(secrets.randbelow(2**31)), help="default: any")
    parser.add_argument("--repeat", metavar="FILE", help="play the cases of a finding again")
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
