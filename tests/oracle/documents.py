"""``nimbus-light-client verify`` on files of every shape, against the same objects one by one.

Whatever the labels say (right, wrong or missing), the verdicts must be those of the objects.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from click.testing import CliRunner, Result

from lightclient.config import FORKS, Network, config_mapping
from lightclient.config.forks import DATA_FORMATS
from lightclient.containers import LightClientObject, ObjectKind, to_json
from lightclient_cli.main import main
from tests.oracle.comparing import Mismatch
from tests.oracle.drawing import Step
from tests.oracle.judging import Judged, JudgedSequence, decoded_object, judged_sequence
from tests.oracle.mutations import mutated_bytes

_OPTIONS = {
    ObjectKind.BOOTSTRAP: "--bootstrap",
    ObjectKind.UPDATE: "--updates",
    ObjectKind.FINALITY_UPDATE: "--finality-update",
    ObjectKind.OPTIMISTIC_UPDATE: "--optimistic-update",
}
_HEADERS = ("header", "attested_header", "finalized_header")


def compare_documents(seed: str, directory: Path, counts: Counter[tuple[str, str]]) -> None:
    """Draw a sequence, write it to files and have them verified.

    Raises:
        Mismatch: a line is not what directly processing the object says.
    """
    draw = Random(seed)
    sequence = judged_sequence(draw, list(ObjectKind)[1:], 8, _is_unmistakable)
    if sequence is not None:
        _verify(draw, sequence, directory)
        counts["documents", "objects verified from files"] += len(sequence.judged)


def _is_unmistakable(step: Step, network: Network) -> bool:
    """Whether the bytes alone decide the verdict.

    Labels only say which format to try first. So damaged bytes must be none in any format, and a
    sound object must not have less than the format of its slot.
    """
    value = decoded_object(step, network)
    if value is not None:
        own = network.fork_at_slot(value.main_header.beacon.slot).data_format
        return DATA_FORMATS.index(step.data_format) >= DATA_FORMATS.index(own)
    others = (decoded_object(replace(step, data_format=other), network) for other in DATA_FORMATS)
    # A file of nothing holds nothing, and one that is no object might be read as many.
    return all(other is None for other in others) and len(step.data) > 200


# Files --------------------------------------------------------------------------------------------


def _verify(draw: Random, sequence: JudgedSequence, directory: Path) -> None:
    network, judged = sequence.network, sequence.judged
    (directory / "config.yaml").write_text(json.dumps(config_mapping(network)))
    arguments = [
        "verify", "--json", "--network", str(directory),
        "--genesis-time", str(network.genesis_time),
        "--genesis-validators-root", network.genesis_validators_root.hex(),
        "--trusted-block-root", sequence.start.trusted_block_root.hex(),
        "--at-slot", str(sequence.at_slot),
    ]  # fmt: skip
    shapes: list[str] = []
    files = 0
    for kind in ObjectKind:
        left = [item for item in judged if item.step.kind is kind]
        while left:
            count = draw.choice([1, 1, 2, len(left)])
            shape, data = written(draw, left[:count], network)
            path = directory / str(files)
            files += 1
            path.write_bytes(data)
            shapes += [shape] * min(count, len(left))
            arguments += [_OPTIONS[kind], str(path)]
            left = left[count:]
    result = _run(arguments)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    if len(lines) != len(judged) + 1:
        raise Mismatch(f"{len(lines)} lines for {len(judged)} objects: {result.output[-500:]}")
    for item, shape, line in zip(judged, shapes, lines, strict=False):
        _compare_line(item, shape, line)
    refused = any(item.verdict.is_refusal for item in judged)
    if result.exit_code != int(refused):
        raise Mismatch(f"exit code {result.exit_code}")
    if draw.random() < 0.4:
        _damage_one(draw, directory, files, arguments)


def _run(arguments: list[str]) -> Result:
    result = CliRunner().invoke(main, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise Mismatch(f"verify raised {result.exception!r}")
    return result


def _damage_one(draw: Random, directory: Path, files: int, arguments: list[str]) -> None:
    """Whatever is in a file, there is a line for each object, or one that says what is wrong."""
    path = directory / str(draw.randrange(files))
    _name, data = mutated_bytes(draw, path.read_bytes())
    path.write_bytes(data)
    result = _run(arguments)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    whole = lines and lines[-1]["objects"] == len(lines) - 1
    refused = not lines and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    if not (whole and result.exit_code in (0, 1)) and not (refused and result.exit_code == 2):
        raise Mismatch(f"verify on junk: exit code {result.exit_code}: {result.output[-500:]}")


def _compare_line(item: Judged, shape: str, line: dict[str, Any]) -> None:
    rule = None if item.verdict.rule is None else str(item.verdict.rule)
    expected = {
        "object": str(item.step.kind),
        "verdict": str(item.verdict.kind),
        "rule": rule,
        "finalized_slot": item.store.finalized_header.beacon.slot,
        "optimistic_slot": item.store.optimistic_header.beacon.slot,
    }
    got = {name: line[name] for name in expected}
    if got != expected:
        raise Mismatch(f"{shape} ({item.step.names}): {got}, not {expected}")


def written(draw: Random, judged: Sequence[Judged], network: Network) -> tuple[str, bytes]:
    """Objects in a file's bytes, with the name of its shape."""
    values = [item.value for item in judged]
    if any(value is None for value in values) or draw.random() < 0.5:
        # A damaged object alone may look like a stream; then it is refused in more than one line.
        if len(judged) == 1 and values[0] is not None and draw.random() < 0.6:
            return "single", judged[0].step.data
        return _stream(draw, judged, network)
    found = [value for value in values if value is not None]
    return _json_document(draw, found, network)


def _stream(draw: Random, judged: Sequence[Judged], network: Network) -> tuple[str, bytes]:
    digests = draw.choice(["right", "wrong", "zero", "random"])
    chunks = []
    for item in judged:
        slot = item.value.main_header.beacon.slot if item.value is not None else 0
        digest = {
            "right": network.compute_fork_digest(network.compute_epoch_at_slot(slot)),
            "wrong": draw.choice(list(network.forks_by_digest)),
            "zero": bytes(4),
            "random": draw.randbytes(4),
        }[digests]
        length = len(item.step.data) + 4
        chunks.append(length.to_bytes(8, "little") + digest + item.step.data)
    return f"stream, {digests} digests", b"".join(chunks)


def _json_document(
    draw: Random, values: Sequence[LightClientObject], network: Network
) -> tuple[str, bytes]:
    numbers, flat = draw.random() < 0.4, draw.random() < 0.4
    enveloped = draw.random() < 0.5
    items: list[Any] = []
    for value in values:
        item: Any = to_json(value)
        item = _flattened(item) if flat else item
        item = _with_numbers(item) if numbers else item
        items.append(_envelope(draw, item, value, network) if enveloped else item)
    shape = "array"
    document: Any = items
    if len(items) == 1 and draw.random() < 0.6:
        shape, document = "object", items[0]
    elif draw.random() < 0.4 and not enveloped:
        shape, document = "array in an envelope", _envelope(draw, items, values[0], network)
    text = json.dumps(document, indent=draw.choice([None, 2]))
    before = draw.choice(["", "", "\n ", "\ufeff"])
    name = f"{shape}{', numbers' * numbers}{', flat' * flat}{', enveloped' * enveloped}"
    return name, (before + text).encode()


def _envelope(draw: Random, data: Any, value: LightClientObject, network: Network) -> Any:
    slot = value.main_header.beacon.slot
    versions: list[Any] = [network.fork_at_slot(slot).name, value.data_format.name.upper()]
    versions += [draw.choice(FORKS).name, "nonsense", None, 7]
    envelope = {"version": draw.choice(versions), "data": data}
    if draw.random() < 0.2:
        del envelope["version"]
    return envelope


def _flattened(item: Any) -> Any:
    """As servers wrote headers before Capella."""
    return {
        name: part["beacon"] if name in _HEADERS and list(part) == ["beacon"] else part
        for name, part in item.items()
    }


def _with_numbers(item: Any) -> Any:
    if isinstance(item, dict):
        return {name: _with_numbers(part) for name, part in item.items()}
    return int(item) if isinstance(item, str) and item.isdecimal() else item
