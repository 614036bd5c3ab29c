"""Finds vectors below a directory, whatever part of the official layout it is.

A case is identified by its path's end, ``<preset>/<fork>/<runner>/<handler>/<suite>/<case>``, or
where the path does not tell, by its ``manifest.yaml``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lightclient.config import FORKS_BY_NAME, PRESETS
from lightclient_cli.spec_tests.case import Case, CaseFailed
from lightclient_cli.spec_tests.differential import (
    SUFFIX,
    differential_case,
    preset_of,
)
from lightclient_cli.spec_tests.fork_digests import FILE_NAME, find_fork_digests

_GENERAL = "general"
_MANIFEST = "manifest.yaml"
_LEVELS = ("preset", "fork", "runner", "handler", "suite", "case")


@dataclass(frozen=True, slots=True)
class Filter:
    """What to run; an empty tuple lets everything through.

    ``handlers`` may also name runners, or both as ``runner/handler``.
    """

    presets: tuple[str, ...] = ()
    forks: tuple[str, ...] = ()
    handlers: tuple[str, ...] = ()

    def lets_through(self, case: Case) -> bool:
        """Whether the case is asked for."""
        return (
            (not self.forks or case.fork in self.forks)
            and (
                not self.handlers
                or not {
                    case.handler,
                    case.runner,
                    f"{case.runner}/{case.handler}",
                }.isdisjoint(self.handlers)
            )
            and (not self.presets or self._preset(case) in self.presets)
        )

    @staticmethod
    def _preset(case: Case) -> str:
        # The preset of a differential file is inside it: looked up only if somebody asks.
        return case.preset or (preset_of(case) if case.path.name.endswith(SUFFIX) else "")


def find_cases(root: Path) -> Iterator[Case]:
    """All vectors below ``root``, in the order of their paths; each directory once."""
    seen: set[str] = set()
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        path = Path(folder)
        for file in sorted(files):
            if file == FILE_NAME:
                yield from find_fork_digests(path / file)
            elif file.endswith(SUFFIX):
                yield differential_case(path / file)
        case = _case_at(path, files)
        if case is not None:
            folders.clear()
            yield case


def _case_at(path: Path, files: list[str]) -> Case | None:
    """The case whose directory this is, if it is one."""
    parts = path.resolve().parts
    by_path = parts[-len(_LEVELS) :]
    is_layout = (
        len(by_path) == len(_LEVELS)
        and by_path[0] in {*PRESETS, _GENERAL}
        and by_path[1] in FORKS_BY_NAME
    )
    # Where `tests` stands above, a directory without files is a case that lost them.
    if is_layout and (files or parts[-len(_LEVELS) - 1] == "tests"):
        return Case(path, *by_path)
    if _MANIFEST not in files:
        return None
    return Case(path, *_manifest(path))


def _manifest(path: Path) -> tuple[str, str, str, str, str, str]:
    """The six names in ``manifest.yaml``; what it does not tell comes from the path's end."""
    try:
        values = Case(path, "", "", "", "", "", path.name).mapping(_MANIFEST)
    except CaseFailed:
        values = {}
    parts = path.resolve().parts[-len(_LEVELS) :]
    fallback = dict(zip(reversed(_LEVELS), reversed(parts), strict=False))
    named = {
        level: value
        if isinstance(value := values.get(level), str) and value
        else fallback.get(level, "")
        for level in _LEVELS
    }
    return (
        named["preset"], named["fork"], named["runner"],
        named["handler"], named["suite"], named["case"],
    )  # fmt: skip
