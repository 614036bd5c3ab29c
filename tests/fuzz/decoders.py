"""Every decoder under fuzz: bytes from outside go in; an object, or one kind of error, comes out.

Each function takes a fuzzer's bytes, whose first few choose labels and formats, and gives a short
word for what happened: a fuzzer without coverage tells new behaviour by it. Whatever is raised is a
finding.
"""

from __future__ import annotations

import re
import tempfile
from functools import cache
from pathlib import Path

from lightclient.client.diagnosis import findings, judge_again
from lightclient.client.dumps import decode_dump
from lightclient.client.evidence import judge_evidence
from lightclient.client.schedules import other_network, schedule_changes
from lightclient.config import PRESETS, Network, network_from_config_mapping
from lightclient.config.forks import DATA_FORMATS, FORKS
from lightclient.config.yaml_text import parse_yaml
from lightclient.containers import (
    LightClientBootstrap,
    ObjectKind,
    decode_json,
    encode_ssz,
    hash_tree_root,
    object_type,
    parse_json,
    read_document,
    to_json,
    type_of,
)
from lightclient.errors import ConfigError, DataDirError, DecodeError, TransportError
from lightclient.storage.sealed_file import DamagedFile, NewerSchema, SealedFile
from lightclient.storage.state import SCHEMA_VERSION, decode_state, decode_summary
from lightclient.sync import why_not_proven
from lightclient.transports import checkpoint_answers
from lightclient.transports.address import parse_address, redirect_target
from lightclient.transports.announcements import read_server_time
from lightclient.transports.answers import decode_event, decode_object, decode_range
from lightclient.transports.compression import Inflater
from lightclient.transports.events import EventParser, ServerSentEvent
from lightclient.transports.fetching import Answer
from lightclient.transports.redaction import Redactor
from lightclient.transports.refusals import absence, refusal, server_message
from lightclient_cli.spec_tests.case import MAX_OBJECT_BYTES, CaseFailed, uncompress
from tests.fuzz.consumer import Consumer
from tests.fuzz.histories import histories
from tests.fuzz.processing import signatures, truth_of

KINDS = list(ObjectKind)
FORMATS = list(DATA_FORMATS)
SMALL = [PRESETS["minimal"], PRESETS["minimal"], PRESETS["minimal"], PRESETS["mainnet"]]
CONTENT_TYPES = ["application/octet-stream", "application/json", "", "text/html", "text/x;q=1"]
VERSIONS = ["", *(fork.name for fork in FORKS), "electra,deneb", "gibberish", '"deneb"']
ENCODINGS = ["", "gzip", "deflate", "x-gzip", "identity"]
STATUSES = [200, 404, 400, 500, 503, 429, 206, 301]


def words_of(error: Exception) -> str:
    """What kind of error it is: its words without numbers and quoted text."""
    text = re.sub(r"0x[0-9a-fA-F]+|\d+|'.*?'|\".*?\"", "#", str(error))
    return f"{type(error).__name__}: {text[:80]}"


def _check_presentable(error: Exception) -> None:
    text = str(error)
    assert text.isprintable()
    assert len(text) < 5000


@cache
def network_with_all_forks(preset: str) -> Network:
    """Every fork some epochs after the one before it."""
    config = {
        f"{fork.name.upper()}_FORK_EPOCH": 4 * (fork.index - 1) for fork in FORKS if fork.index
    }
    return network_from_config_mapping(config, preset=preset, name="fuzz")


def chosen_network(chosen: Consumer) -> Network:
    return network_with_all_forks(chosen.choice(SMALL).name)


# Objects ------------------------------------------------------------------------------------------


def _fuzz_ssz(kind: ObjectKind, data: bytes) -> str:
    chosen = Consumer(data)
    size = chosen.choice(SMALL).sync_committee_size
    layout = object_type(kind, chosen.choice(FORMATS), size)
    encoded = chosen.rest()
    try:
        value = layout.decode(encoded)
    except DecodeError as error:
        return words_of(error)
    assert encode_ssz(value) == encoded
    assert type_of(value) is layout
    assert len(hash_tree_root(value)) == 32
    assert layout.from_json(to_json(value)) == value
    if not isinstance(value, LightClientBootstrap):
        assert value.as_update(size).signature_slot == value.signature_slot
    return "decoded"


def fuzz_ssz_bootstrap(data: bytes) -> str:
    return _fuzz_ssz(ObjectKind.BOOTSTRAP, data)


def fuzz_ssz_update(data: bytes) -> str:
    return _fuzz_ssz(ObjectKind.UPDATE, data)


def fuzz_ssz_finality_update(data: bytes) -> str:
    return _fuzz_ssz(ObjectKind.FINALITY_UPDATE, data)


def fuzz_ssz_optimistic_update(data: bytes) -> str:
    return _fuzz_ssz(ObjectKind.OPTIMISTIC_UPDATE, data)


def fuzz_json(data: bytes) -> str:
    chosen = Consumer(data)
    kind, network = chosen.choice(KINDS), chosen_network(chosen)
    try:
        value = decode_json(kind, parse_json(chosen.rest()), network)
    except DecodeError as error:
        return words_of(error)
    assert type_of(value).decode(encode_ssz(value)) == value
    return f"decoded {value.data_format.name}"


def fuzz_documents(data: bytes) -> str:
    chosen = Consumer(data)
    kind, network = chosen.choice(KINDS), chosen_network(chosen)
    seen = set()
    for entry in read_document(kind, chosen.rest(), network):
        try:
            seen.add(entry.decode().data_format.name)
        except DecodeError as error:
            seen.add(words_of(error))
    return " ".join(sorted(seen))


# Answers ------------------------------------------------------------------------------------------


def _answer(chosen: Consumer, statuses: list[int]) -> Answer:
    headers = {
        "content-type": chosen.choice(CONTENT_TYPES),
        "eth-consensus-version": chosen.choice(VERSIONS),
    }
    flags = chosen.byte()
    if flags & 1:
        headers["date"] = chosen.take(chosen.byte() % 40).decode("latin-1")
        headers["age"] = chosen.take(chosen.byte() % 6).decode("latin-1")
        headers["retry-after"] = chosen.take(chosen.byte() % 40).decode("latin-1")
    status = chosen.choice(statuses)
    incomplete = TransportError("cut") if flags & 2 else None
    return Answer(status, headers, chosen.rest(), incomplete)


def fuzz_object_answer(data: bytes) -> str:
    chosen = Consumer(data)
    kind, network = chosen.choice(KINDS), chosen_network(chosen)
    try:
        value = decode_object(kind, _answer(chosen, [200]), network)
    except DecodeError as error:
        return words_of(error)
    assert value.kind is kind
    assert value.sync_committee_size == network.preset.sync_committee_size
    return f"decoded {value.data_format.name}"


def fuzz_range_answer(data: bytes) -> str:
    chosen = Consumer(data)
    network = chosen_network(chosen)
    read = decode_range(_answer(chosen, [200]), network)
    assert len(read.updates) <= 128
    if read.error is None:
        assert read.undecoded is None
        return f"{min(len(read.updates), 4)} updates"
    return f"{min(len(read.updates), 4)} {words_of(read.error)}"


def fuzz_error_answer(data: bytes) -> str:
    chosen = Consumer(data)
    redactor = Redactor(["s3cr3t-key"])
    answer = _answer(chosen, STATUSES)
    error = refusal(answer, "the update", "https://node.example", redactor)
    assert str(error).isprintable()
    assert len(str(error)) < 1000
    assert "s3cr3t-key" not in str(error)
    read_server_time(answer.headers, 0.1)
    return f"{type(error).__name__} {absence(answer).name} {bool(server_message(answer, redactor))}"


def fuzz_hearsay(data: bytes) -> str:
    """Checkpoint services, the announced configuration and genesis."""
    chosen = Consumer(data)
    network, answer = chosen_network(chosen), _answer(chosen, [200, 200, 404])
    seen = [
        checkpoint_answers.read_genesis(answer) is not None,
        checkpoint_answers.read_block_root(answer) is not None,
        checkpoint_answers.read_final_slot(answer) is not None,
        len(checkpoint_answers.read_history(answer, network)) > 0,
    ]
    for _, _, read in checkpoint_answers.FINALITY_SOURCES:
        try:
            found = read(checkpoint_answers.parsed(answer), network)
            checkpoint_answers.check_plausible(found, 1000)
            seen.append(True)
        except DecodeError:
            seen.append(False)
    try:
        value = checkpoint_answers.parsed(answer)
    except DecodeError:
        value = None
    if isinstance(value, dict):
        spec = {str(key): item for key, item in value.items()}
        seen += [other_network(network, None, spec) is None, not schedule_changes(network, spec)]
    return str(seen)


def fuzz_events(data: bytes) -> str:
    chosen = Consumer(data)
    network, most = chosen_network(chosen), chosen.choice([64, 4096, 600_000])
    pieces = chosen.pieces()
    read, error = _events(pieces, most)
    whole, whole_error = _events([b"".join(pieces)], most)
    # However a stream is cut, it reads the same, up to where it breaks a bound.
    assert (read == whole) or (error and whole_error)
    seen = {error}
    for name, text in read:
        try:
            seen.add(str(decode_event(ServerSentEvent(name, text), network) is None))
        except DecodeError as refused:
            seen.add(words_of(refused))
    return " ".join(sorted(seen))


def _events(pieces: list[bytes], most: int) -> tuple[list[tuple[str, str]], str]:
    parser, found = EventParser(most), []
    try:
        for piece in pieces:
            for event in parser.feed(piece):
                assert len(event.data.encode("utf-8", "replace")) <= 3 * most
                found.append((event.name, event.data))
    except DecodeError as error:
        return found, words_of(error)
    return found, ""


def fuzz_compression(data: bytes) -> str:
    chosen = Consumer(data)
    encoding, limit = chosen.choice(ENCODINGS), chosen.choice([0, 10, 5000, 1 << 20])
    inflater, made = Inflater(encoding), 0
    try:
        for piece in chosen.pieces():
            out = inflater.feed(piece, limit)
            assert len(out) <= limit + 1
            made += len(out)
    except DecodeError as error:
        return words_of(error)
    return f"{inflater.is_complete} {made > limit}"


def fuzz_address(data: bytes) -> str:
    chosen = Consumer(data)
    to, url = chosen.take(chosen.byte()), chosen.rest().decode("utf-8", "replace")
    try:
        address = parse_address(url)
    except ConfigError as error:
        _check_presentable(error)
        return words_of(error)[:40]
    assert address.name.isprintable()
    target = redirect_target(address.url("/eth"), to.decode("latin-1"))
    assert target is None or "@" not in target.split("/")[2]
    return f"parsed {target is None}"


# Files --------------------------------------------------------------------------------------------


def fuzz_config(data: bytes) -> str:
    chosen = Consumer(data)
    as_yaml, text = chosen.byte() % 4, chosen.rest()
    try:
        if as_yaml:
            config: object = parse_yaml(text, source="config.yaml")
        else:
            config = parse_json(text)
        network = network_from_config_mapping(config, preset="minimal")  # type: ignore[arg-type]
    except (ConfigError, DecodeError) as error:
        _check_presentable(error)
        return words_of(error)
    for slot in (0, 1, 2**32, 2**64 - 1):
        network.compute_fork_digest(network.compute_epoch_at_slot(slot))
    assert len(network.forks_by_digest) <= 4200
    return "network"


def fuzz_dump(data: bytes) -> str:
    try:
        dump = decode_dump(data)
    except DecodeError as error:
        return words_of(error)
    backend = signatures().backend
    verdict = judge_again(dump, backend)
    for sentence in findings(dump, backend):
        assert len(sentence) < 2000
    return str(verdict.rule)


def fuzz_evidence(data: bytes) -> str:
    """Two files that are to contradict each other, the first behind its length."""
    chosen = Consumer(data)
    first = chosen.take(chosen.number(3))
    try:
        report = judge_evidence(first, chosen.rest(), signatures().backend)
    except DecodeError as error:
        return words_of(error)
    # No committee of the vectors has signed two truths.
    assert report.conflict is None, report.conflict
    return f"{report.verdicts[0].rule} {report.verdicts[1].rule}"


def fuzz_snappy(data: bytes) -> str:
    try:
        plain = uncompress(data, "x.ssz_snappy")
    except CaseFailed as error:
        return words_of(error)
    assert len(plain) <= MAX_OBJECT_BYTES
    return "plain"


def fuzz_state(data: bytes) -> str:
    """The parts of a stored state, each behind its name and length."""
    chosen = Consumer(data)
    index = chosen.byte() % len(histories())
    network = histories()[index].network
    parts: dict[str, bytes] = {}
    while not chosen.is_empty and len(parts) < 32:
        name = chosen.take(chosen.byte() % 40).decode("latin-1")
        parts[name] = chosen.take(chosen.number(2))
    try:
        summary = decode_summary(parts)
        state = decode_state(parts, summary, network)
    except DecodeError as error:
        return words_of(error)
    reason = why_not_proven(
        state.store, state.proofs, state.trusted_block_root, network, signatures()
    )
    if reason is None and state.trusted_block_root == histories()[index].trusted_block_root:
        # That committee alone nothing in a state can prove: the file's seal protects it.
        truth_of(index).check_store(state.store, but_current_committee=True)
    return f"state: {reason is None}"


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="lightclient-fuzz-"))


def fuzz_state_file(data: bytes) -> str:
    path = _folder() / "state.sqlite"
    for old in _folder().iterdir():
        old.unlink()
    path.write_bytes(data)
    file = SealedFile(path, SCHEMA_VERSION)
    try:
        parts = file.read()
    except (DamagedFile, NewerSchema, DataDirError) as error:
        return words_of(error)
    finally:
        file.close()
    return f"{0 if parts is None else len(parts)} parts"
