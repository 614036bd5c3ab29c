"""Every row of the field notes is in docs/troubleshooting.md, and played by tests that exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.field_notes.rows import ROWS

HERE = Path(__file__).parent
HEADING = "## What broke other light clients"


def rows(checkout: Path) -> list[list[str]]:
    """The cells of the table, row by row."""
    text = (checkout / "docs" / "troubleshooting.md").read_text()
    section = text.partition(HEADING)[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


@cache
def names_in(path: Path) -> frozenset[str]:
    """Names of the test functions that pytest collects from a file."""
    return frozenset(
        node.name
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
    )


def located(name: str) -> tuple[Path, str]:
    file, _, test = name.partition("::")
    inside = HERE / file
    return (inside if inside.exists() else HERE.parent / file), test


def test_the_table_and_the_tests_have_the_same_themes(checkout: Path) -> None:
    assert [row[0] for row in rows(checkout)] == list(ROWS)


def test_each_row_says_what_went_wrong_what_is_done_and_what_to_do(checkout: Path) -> None:
    for row in rows(checkout):
        assert len(row) == 4, row[0]
        assert all(row), row[0]
        assert re.search(r"[a-z]#\d+", row[1]), f"{row[0]}: no thread"


@pytest.mark.parametrize("theme", ROWS)
def test_each_row_is_played_by_tests_that_exist(theme: str) -> None:
    assert ROWS[theme]
    for name in ROWS[theme]:
        path, test = located(name)
        assert path.exists(), name
        assert test in names_in(path), name


def test_each_test_here_plays_a_row() -> None:
    named = {located(name) for tests in ROWS.values() for name in tests}
    for path in HERE.glob("test_*.py"):
        if path != Path(__file__):
            assert {(path, test) for test in names_in(path)} <= named, path.name


def test_no_row_of_the_field_notes_is_left_out(shared: Path) -> None:
    text = (shared / "reference" / "field-notes.md").read_text()
    table = text[text.index("|---|") :].splitlines()[1:]
    themes = [line for line in table if line.startswith("| ")]
    assert len(themes) == len(ROWS)
    # In the same order, and with threads of the same row.
    for line, theme in zip(themes, ROWS, strict=True):
        threads = set(re.findall(r"#(\d+)", line))
        assert threads & set(_threads(theme)), theme


def _threads(theme: str) -> list[str]:
    (row,) = [row for row in rows(HERE.parents[1]) if row[0] == theme]
    return re.findall(r"#(\d+)", row[1])
