"""The table of what is fuzzed: each decoder, and the processor, with inputs to begin from."""

from __future__ import annotations

import json
import sqlite3
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from lightclient.client.dumps import RefusedObject, encode_dump
from lightclient.config import config_mapping
from lightclient.containers import LightClientObject, ObjectKind, Undecoded, object_type, to_json
from lightclient.protocol import ACCEPTED, Rule, Verdict, verdict_of
from lightclient.simulator.vector_files import snappy_block
from lightclient.storage.sealed_file import SealedFile
from lightclient.storage.state import SCHEMA_VERSION, StoredState, encode_state
from lightclient.sync import Processor
from tests.fuzz import decoders, discovery, wire, wire_seeds
from tests.fuzz.decoders import CONTENT_TYPES, FORMATS, KINDS, network_with_all_forks
from tests.fuzz.histories import (
    CHECKOUT,
    SPEC_VECTORS,
    VECTORS,
    RawObject,
    histories,
    raw_objects,
)
from tests.fuzz.processing import fuzz_processor, signatures

REGRESSIONS = CHECKOUT / "tests" / "fuzz" / "regressions"


@dataclass(frozen=True)
class Target:
    """Something to fuzz.

    Attributes:
        run: takes any bytes; gives a word for what happened, and raises for a finding.
        seeds: inputs to begin from, of which some are well formed.
        max_bytes: longest input that is tried.
        share: of the time, beside the others.
    """

    name: str
    run: Callable[[bytes], str]
    seeds: Callable[[], Iterable[bytes]]
    max_bytes: int = 8192
    share: int = 1

    def regressions(self) -> list[bytes]:
        """Inputs that were findings once."""
        files = sorted((REGRESSIONS / self.name).glob("*"))
        return [file.read_bytes() for file in files]

    def keep(self, data: bytes, folder: Path) -> Path:
        """Write a finding's input; gives the file."""
        path = folder / f"{self.name}-{sha256(data).hexdigest()[:16]}"
        path.write_bytes(data)
        return path


# Seeds --------------------------------------------------------------------------------------------
# The first bytes of each are the choices that the function in `decoders` makes of them.


_ROOTS = [VECTORS]


def add_spec_vectors() -> None:
    """Begin from the specification's vectors as well, where they lie beside the checkout."""
    if SPEC_VECTORS not in _ROOTS:
        _ROOTS.append(SPEC_VECTORS)


def _small(kind: ObjectKind | None = None) -> Iterator[RawObject]:
    """Objects of the small preset, a few of each format."""
    for root in _ROOTS:
        counts: dict[tuple[str, str], int] = {}
        for raw in raw_objects(root):
            key = (raw.kind, raw.format_name)
            counts[key] = counts.get(key, 0) + (len(raw.ssz) < 6000)
            if len(raw.ssz) < 6000 and counts[key] <= 6 and kind in (None, raw.kind):
                yield raw


def _format_number(name: str) -> int:
    return [data_format.name for data_format in FORMATS].index(name)


def _as_json(raw: RawObject) -> object:
    layout = object_type(raw.kind, FORMATS[_format_number(raw.format_name)], 32)
    try:
        return {"version": raw.format_name, "data": to_json(layout.decode(raw.ssz))}
    except ValueError:
        return {"version": raw.format_name, "data": {}}


def _json_bytes(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _ssz_seeds(kind: ObjectKind) -> Callable[[], Iterator[bytes]]:
    return lambda: (bytes([0, _format_number(raw.format_name)]) + raw.ssz for raw in _small(kind))


def _json_seeds() -> Iterator[bytes]:
    for raw in _small():
        yield bytes([KINDS.index(raw.kind), 0]) + _json_bytes(_as_json(raw))


def _chunk(raw: RawObject) -> bytes:
    network = network_with_all_forks("minimal")
    epochs = [s.epoch for s in network.forks if s.fork.data_format.name == raw.format_name]
    payload = network.compute_fork_digest(epochs[-1]) + raw.ssz
    return len(payload).to_bytes(8, "little") + payload


def _document_seeds() -> Iterator[bytes]:
    for raw in _small():
        first = bytes([KINDS.index(raw.kind), 0])
        yield first + raw.ssz
        yield first + _chunk(raw) * 2
        yield first + _json_bytes([_as_json(raw)] * 2)


def _object_answer_seeds() -> Iterator[bytes]:
    for raw in _small():
        first = bytes([KINDS.index(raw.kind), 0])
        yield first + bytes([0, 0, 0, 0]) + raw.ssz
        yield first + bytes([1, 0, 0, 0]) + _json_bytes(_as_json(raw))
        yield first + bytes([2, 5, 0, 0]) + raw.ssz


def _range_answer_seeds() -> Iterator[bytes]:
    for raw in _small(ObjectKind.UPDATE):
        yield bytes([0, 0, 0, 0, 0]) + _chunk(raw) * 2
        yield bytes([0, 1, 0, 0, 0]) + _json_bytes([_as_json(raw)] * 2)
        yield bytes([0, 1, 0, 2, 0]) + _json_bytes([_as_json(raw)] * 2)[:-40]


def _error_answer_seeds() -> Iterator[bytes]:
    for status in range(8):
        for body in (
            b'{"code":404,"message":"no such block"}',
            b'{"message":{"message":"s3cr3t-key https://u:p@h/"}}',
            b"<html><title>Not found</title><p>404</html>",
            b"Cannot GET /eth",
        ):
            yield bytes([1, 0, 0, status]) + body
    date = b"Tue, 14 Nov 2023 22:13:20 GMT"
    yield bytes([1, 0, 1, len(date)]) + date + b"\x0212\x0512345\5{}"


def _hearsay_seeds() -> Iterator[bytes]:
    first, root = bytes([0, 1, 0, 0, 0]), "0x" + "11" * 32
    header = {"message": {"slot": "64"}}
    for data in (
        {"genesis_validators_root": root, "genesis_time": "5"},
        {"root": root},
        {"root": root, "canonical": True, "header": header},
        {"finalized": {"epoch": "8", "root": root}},
        {"finality": {"finalized": {"epoch": "8", "root": root}}},
        {"slots": [{"slot": "64", "block_root": root}, {"slot": "128", "block_root": root}]},
        _quoted(config_mapping(network_with_all_forks("minimal"))),
    ):
        yield first + _json_bytes({"data": data, "finalized": True})


def _quoted(value: object) -> object:
    if isinstance(value, dict):
        return {key: _quoted(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_quoted(item) for item in value]
    return str(value)


def _event_seeds() -> Iterator[bytes]:
    first = bytes([0, 2, 2, 40, 0, 99, 0])
    for raw in _small():
        if raw.kind in (ObjectKind.FINALITY_UPDATE, ObjectKind.OPTIMISTIC_UPDATE):
            text = b"event: light_client_%s\ndata: %s\n\n"
            yield first + text % (raw.kind.encode(), _json_bytes(_as_json(raw)))
    yield first + b": alive\n\nevent: head\r\ndata: {}\r\ndata: []\r\n\r\nid: 5\rretry: 5\r\r"


def _compression_seeds() -> Iterator[bytes]:
    for encoding, wbits in ((1, 31), (2, 15), (2, -15), (3, 31)):
        for plain in (b"", b"light client" * 40, bytes(30_000)):
            packer = zlib.compressobj(wbits=wbits)
            packed = packer.compress(plain) + packer.flush()
            for limit in range(4):
                yield bytes([encoding, limit, 1, 9, 0]) + packed
                yield bytes([encoding, limit, 0]) + packed * 2


def _address_seeds() -> Iterator[bytes]:
    for url in (
        b"https://user:pass@node.example:5052/eth/abcdef0123456789?key=s3cr3t#x",
        b"http://127.0.0.1:5052",
        b"https://[::1]:80/x",
        b"https://0123456789abcdef0123456789abcdef.node.example/",
    ):
        yield b"\x05/evil" + url
        yield b"\x13https://a@b.example" + url


def _config_seeds() -> Iterator[bytes]:
    for path in sorted((CHECKOUT / "vectors").glob("tests/*/*/light_client/sync/*/*/config.yaml")):
        yield b"\x01" + path.read_bytes()
    for preset in ("minimal", "mainnet", "gnosis"):
        yield b"\x00" + _json_bytes(config_mapping(network_with_all_forks(preset)))


def _played(index: int) -> Processor:
    history = histories()[index]
    processor = Processor(history.network, history.trusted_block_root, backend=signatures().backend)
    for value in history.objects:
        processor.process(value, history.network.slot_start_ms(history.last_slot + 1))
    return processor


def _dump_of(index: int, refused: LightClientObject | Undecoded, verdict: Verdict) -> bytes:
    history, store = histories()[index], _played(index).store
    assert store is not None
    dump = RefusedObject(
        network=history.network,
        trusted_block_root=history.trusted_block_root,
        store=store.copy(),
        time_ms=history.network.slot_start_ms(history.last_slot + 1),
        provider="https://node.example",
        refused=refused,
        verdict=verdict,
        program_version="0.1.0",
    )
    # Unpacked: nothing is learnt from damaging a compressed stream.
    return zlib.decompress(encode_dump(dump), wbits=31)


def _dump_seeds() -> Iterator[bytes]:
    for index in (0, 3, 6, 9, 13, 15):
        last = histories()[index].objects[-1]
        yield _dump_of(index, last, verdict_of(Rule.BAD_SIGNATURE, **_VALUES))
        undecoded = Undecoded(ObjectKind.UPDATE, b"\x01")
        yield _dump_of(index, undecoded, verdict_of(Rule.UNDECODABLE, reason="x"))


def _evidence_seeds() -> Iterator[bytes]:
    for index in (0, 3, 9):
        *_, one, two = histories()[index].objects
        for first, second in ((one, two), (two, two)):
            dumped = _dump_of(index, first, ACCEPTED)
            yield len(dumped).to_bytes(3, "little") + dumped + _dump_of(index, second, ACCEPTED)


_VALUES: dict[str, object] = {
    "participants": 30,
    "signature_period": 2,
    "attested_slot": 140,
    "fork_version": bytes(4),
}


def _snappy_seeds() -> Iterator[bytes]:
    for raw in _small():
        yield snappy_block(raw.ssz)
    yield snappy_block(bytes(70_000))


def _state_of(index: int) -> dict[str, bytes]:
    processor, history = _played(index), histories()[index]
    assert processor.store is not None
    return encode_state(
        StoredState.of(
            history.network, history.trusted_block_root, processor.store, processor.proofs
        )
    )


def _state_seeds() -> Iterator[bytes]:
    for index in range(len(histories())):
        parts = _state_of(index)
        yield bytes([index]) + b"".join(
            bytes([len(name)]) + name.encode() + len(part).to_bytes(2, "little") + part
            for name, part in parts.items()
        )


def _state_file_seeds() -> Iterator[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        for index in (0, 9):
            path = Path(folder) / f"{index}"
            file = SealedFile(path, SCHEMA_VERSION)
            file.write(_state_of(index))
            file.close()
            yield path.read_bytes()
        other = Path(folder) / "other"
        connection = sqlite3.connect(other)
        connection.execute("CREATE TABLE part (name TEXT)")
        connection.close()
        yield other.read_bytes()


def _processor_seeds() -> Iterator[bytes]:
    for index in range(len(histories())):
        # All genuine objects in order; then splices, rewordings, damage, and several together.
        yield bytes([index, 1]) + bytes([0, 1]) * 12
        # The clock set back a little, far, and on.
        for moved in (0x7F00, 0, 0x9000):
            yield bytes([index, 1, 26]) + moved.to_bytes(2, "little") + bytes([0, 1]) * 8
        for action in (6, 12, 18, 23, 24, 27):
            yield bytes([index, 1]) + bytes([0, 1, action, 1, 2, 3, 4, 5, 0, 1]) * 4


def _discovery_targets() -> Iterator[Target]:
    """None where the cryptography of the extra [libp2p] is not installed."""
    if not all(map(find_spec, ("coincurve", "Crypto", "cryptography"))):
        return
    yield Target("rlp", wire.fuzz_rlp, wire_seeds.rlp, 1400)
    yield Target("record", wire.fuzz_record, wire_seeds.records, 600)
    yield Target("packet", wire.fuzz_packet, wire_seeds.packets, 1400)
    yield Target("message", wire.fuzz_discovery_message, wire_seeds.messages, 1400)
    yield Target("engine", discovery.fuzz_engine, wire_seeds.conversations, 1024, share=2)
    yield Target("discovery", discovery.fuzz_discovery, wire_seeds.conversations, 1024, share=2)


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("ssz-bootstrap", decoders.fuzz_ssz_bootstrap, _ssz_seeds(ObjectKind.BOOTSTRAP)),
        Target("ssz-update", decoders.fuzz_ssz_update, _ssz_seeds(ObjectKind.UPDATE)),
        Target(
            "ssz-finality-update",
            decoders.fuzz_ssz_finality_update,
            _ssz_seeds(ObjectKind.FINALITY_UPDATE),
        ),
        Target(
            "ssz-optimistic-update",
            decoders.fuzz_ssz_optimistic_update,
            _ssz_seeds(ObjectKind.OPTIMISTIC_UPDATE),
        ),
        Target("json", decoders.fuzz_json, _json_seeds, 16_384),
        Target("documents", decoders.fuzz_documents, _document_seeds, 16_384),
        Target("object-answer", decoders.fuzz_object_answer, _object_answer_seeds, 16_384),
        Target("range-answer", decoders.fuzz_range_answer, _range_answer_seeds, 32_768),
        Target("error-answer", decoders.fuzz_error_answer, _error_answer_seeds, 4096),
        Target("hearsay", decoders.fuzz_hearsay, _hearsay_seeds, 8192),
        Target("events", decoders.fuzz_events, _event_seeds, 16_384),
        Target("compression", decoders.fuzz_compression, _compression_seeds, 4096),
        Target("address", decoders.fuzz_address, _address_seeds, 1024),
        Target("config", decoders.fuzz_config, _config_seeds, 8192),
        Target("dump", decoders.fuzz_dump, _dump_seeds, 32_768),
        Target("evidence", decoders.fuzz_evidence, _evidence_seeds, 65_536),
        Target("snappy", decoders.fuzz_snappy, _snappy_seeds),
        Target("state", decoders.fuzz_state, _state_seeds, 32_768),
        Target("state-file", decoders.fuzz_state_file, _state_file_seeds, 65_536),
        Target("frames", wire.fuzz_frames, wire_seeds.frames, 16_384),
        Target("block", wire.fuzz_block, wire_seeds.blocks, 4096),
        Target("gossip", wire.fuzz_gossip, lambda: wire_seeds.gossip(_small()), 4096),
        Target("answers", wire.fuzz_answers, lambda: wire_seeds.answers(_small()), 16_384),
        Target("requests", wire.fuzz_requests, wire_seeds.requests, 4096),
        *_discovery_targets(),
        Target("processor", fuzz_processor, _processor_seeds, 1024, share=4),
    )
}
assert CONTENT_TYPES[1] == "application/json"  # the number in the seeds above
