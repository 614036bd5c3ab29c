"""``nimbus-light-client explain``: plain words about a refused object, from any file at all."""

from __future__ import annotations

import json
import string
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lightclient import __version__
from lightclient.client.dumps import encode_dump
from lightclient.protocol import Rule, verdict_of
from lightclient.protocol.explanations import EXPLANATIONS, SUSPECT_SENTENCES, Suspect
from lightclient.protocol.verdicts import _MEANING
from tests.cli.conftest import Command
from tests.client import refused

every_refusal = pytest.mark.parametrize("rule", refused.EVERY, ids=str)


def _file(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "refused.json.gz"
    path.write_bytes(content)
    return path


# The table ----------------------------------------------------------------------------------------


def _names(template: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(template) if name}


@pytest.mark.parametrize("rule", Rule, ids=str)
def test_every_rule_is_explained_with_the_values_that_its_verdict_has(rule: Rule) -> None:
    explanation = EXPLANATIONS[rule]
    assert _names(explanation.expected + explanation.seen) <= _names(_MEANING[rule][1])
    assert explanation.checks.endswith(".")
    for text in (explanation.expected, explanation.seen, explanation.advice):
        assert text.strip() == text != ""
    assert explanation.suspects
    assert len(set(explanation.suspects)) == len(explanation.suspects)


def test_the_table_has_no_rule_too_many_and_a_sentence_for_every_suspect() -> None:
    assert list(EXPLANATIONS) == list(Rule)
    assert set(SUSPECT_SENTENCES) == set(Suspect)


def test_only_what_is_no_refusal_is_nobody_s_fault() -> None:
    for rule, explanation in EXPLANATIONS.items():
        is_refusal = verdict_of(rule).is_refusal
        assert (explanation.suspects == (Suspect.NOBODY,)) is not is_refusal


def test_the_documentation_names_every_rule_in_order(checkout: Path) -> None:
    text = (checkout / "docs" / "troubleshooting.md").read_text()
    listed = text.partition("## Rules")[2].partition("\n## ")[0]
    places = [listed.find(f"`{rule}`") for rule in Rule]
    assert -1 not in places
    assert places == sorted(places)


# The command --------------------------------------------------------------------------------------


@every_refusal
def test_it_says_what_the_rule_checks_who_is_at_fault_and_what_to_do(
    rule: Rule, command: Command, tmp_path: Path
) -> None:
    dump = refused.EVERY[rule]()
    result = command("explain", _file(tmp_path, encode_dump(dump)))
    assert result.exit_code == 0
    words = " ".join(result.output.split())
    assert f"({rule})" in words
    assert "https://node.example" in words
    assert "UTC by its clock" in words
    explanation = EXPLANATIONS[rule]
    assert explanation.checks in words
    assert explanation.advice in words
    assert SUSPECT_SENTENCES[explanation.suspects[0]] in words
    assert "the same verdict" in words


@every_refusal
def test_json_holds_the_same_for_programs(rule: Rule, command: Command, tmp_path: Path) -> None:
    dump = refused.EVERY[rule]()
    result = command("explain", "--json", _file(tmp_path, encode_dump(dump)))
    said: dict[str, Any] = json.loads(result.stdout)
    assert result.exit_code == 0
    assert said["rule"] == said["judged_again"]["rule"] == str(rule)
    assert said["judged_again"]["is_same"] is True
    assert said["bytes"] == len(dump.content)
    assert said["provider"] == "https://node.example"
    assert said["detail"] == dump.verdict.detail


def test_values_are_set_beside_what_was_expected(command: Command, tmp_path: Path) -> None:
    result = command("explain", _file(tmp_path, encode_dump(refused.in_future())))
    assert "expected: a signature slot of 17 at most" in result.output
    assert "seen:     signature slot 18" in result.output


def test_findings_are_told(command: Command, tmp_path: Path) -> None:
    result = command("explain", _file(tmp_path, encode_dump(refused.mistaken_kind())))
    assert "they are a whole optimistic_update" in result.output


def test_a_file_is_read_from_standard_input(command: Command) -> None:
    result = command("explain", "-", input=encode_dump(refused.bad_signature()))
    assert result.exit_code == 0
    assert "bad_signature" in result.output


@pytest.mark.parametrize("version", [__version__, "0.0.1"])
def test_another_verdict_than_the_file_s_is_exit_code_1(
    version: str, command: Command, tmp_path: Path
) -> None:
    dump = refused.bad_signature()
    other = replace(refused.in_future(), refused=dump.refused, time_ms=dump.time_ms)
    altered = replace(other, verdict=refused.in_future().verdict, program_version=version)
    path = _file(tmp_path, encode_dump(altered))
    result = command("explain", path)
    assert result.exit_code == 1
    assert "another verdict" in result.output
    assert "now: unviable_fork (bad_signature)" in result.output
    advice = "report it" if version == __version__ else "has changed since"
    assert advice in result.output
    said = json.loads(command("explain", path, "--json").stdout)
    assert said["judged_again"] == {
        **said["judged_again"],
        "is_same": False,
        "rule": "bad_signature",
    }


def test_other_values_of_the_same_rule_are_another_verdict(
    command: Command, tmp_path: Path
) -> None:
    dump = refused.in_future()
    values = {**dump.verdict.values, "current_slot": 3}
    altered = replace(dump, verdict=replace(dump.verdict, values=values))
    assert command("explain", _file(tmp_path, encode_dump(altered))).exit_code == 1


def test_an_object_that_is_accepted_today_is_another_verdict(
    command: Command, tmp_path: Path
) -> None:
    dump = refused.in_future()
    later = replace(dump, time_ms=dump.time_ms + 60_000_000)
    result = command("explain", _file(tmp_path, encode_dump(later)))
    assert result.exit_code == 1
    assert "now: accepted" in result.output


@pytest.mark.parametrize("name", ["blst", "arkworks", "milagro"])
def test_the_signature_library_can_be_chosen(name: str, command: Command, tmp_path: Path) -> None:
    path = _file(tmp_path, encode_dump(refused.bad_signature()))
    result = command("explain", "--bls-backend", name, path)
    if result.exit_code == 2:
        pytest.skip(f"{name} is not usable here")
    assert f"with {name}: the same verdict" in result.output


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\x1f\x8b junk",
        b"[" * 50_000,
        bytes(5 << 20),
        encode_dump(refused.bad_signature())[:-20],
    ],
    ids=range(6),
)
def test_a_file_that_is_none_is_one_line_and_exit_code_2(
    content: bytes, command: Command, tmp_path: Path
) -> None:
    result = command("explain", _file(tmp_path, content))
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_missing_file_and_a_directory_are_told(command: Command, tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, "a\0b"):
        result = command("explain", path)
        assert result.exit_code == 2
        assert "cannot be read" in result.stderr


def test_text_of_a_file_moves_no_terminal(command: Command, tmp_path: Path) -> None:
    evil = "\x1b[2J\x9b31m\r\nError: all is well\u202e"
    dump = replace(refused.undecodable(), provider=evil, program_version=evil)
    document = json.loads(zlib.decompress(encode_dump(dump), wbits=31))
    document["verdict"]["values"]["reason"] = evil * 20
    result = command("explain", _file(tmp_path, json.dumps(document).encode()))
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "\x9b" not in result.output
    assert "\u202e" not in result.output
    assert "\nError" not in result.output
