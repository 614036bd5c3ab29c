"""Evidence of a conflict on disk: a folder with both objects, each with all it takes to judge it.

The two files have the form of the dump directory's (see ``dumps``): network, clock, store and
object. A folder appears whole or not at all. Whoever reads one may have it from anybody.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lightclient.bls import Backend
from lightclient.client.conflicts import Conflict, ConflictWatch, Sighting
from lightclient.client.diagnosis import judge_again
from lightclient.client.dumps import MAX_DUMP_BYTES, RefusedObject, decode_dump, encode_dump
from lightclient.containers import AnyUpdate, LightClientBootstrap, Undecoded
from lightclient.errors import DecodeError
from lightclient.protocol import Verdict
from lightclient.sync import Processor

FILE_NAMES: Final = ("first.json.gz", "second.json.gz")
MAX_FOLDERS: Final = 64
"""More is not written: what is wrong with the chain is clear by then."""

_README: Final = """\
Two objects that contradict each other, although the sync committee has signed both:

{conflict}

Seen at {time} on {network}. To judge both again, offline:

    nimbus-light-client verify --evidence .

Each file holds the store that its object is judged by: the finalized header
{finalized} (slot {slot}) and the sync committee of its period. That the
committee is the right one is for you to compare with a source you trust; the rest is proven.
"""


def write_evidence(directory: Path, conflict: Conflict, processor: Processor) -> Path:
    """Write a new folder into ``directory``, which is created if missing; returns the folder.

    Raises:
        OSError: it cannot be written, or there are :data:`MAX_FOLDERS` already.
    """
    from lightclient import __version__

    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if sum(1 for _ in _folders(directory)) >= MAX_FOLDERS:
        raise OSError(f"there are {MAX_FOLDERS} pieces of evidence already")
    seen = datetime.fromtimestamp(conflict.second.time_ms / 1000, UTC)
    root = conflict.second.root.hex()[:8]
    name = f"{seen:%Y%m%dT%H%M%SZ}-{conflict.kind}-{conflict.position}-{root}"
    store = conflict.first.store
    text = _README.format(
        conflict=conflict,
        time=seen.isoformat(sep=" "),
        network=processor.network.name,
        finalized="0x" + store.finalized_header.beacon.hash_tree_root().hex(),
        slot=store.finalized_header.beacon.slot,
    )
    files = {"README.txt": text.encode("utf-8")}
    for file_name, sighting in zip(FILE_NAMES, (conflict.first, conflict.second), strict=True):
        files[file_name] = encode_dump(_dump(sighting, processor, __version__))
    return _write_folder(directory, name, files)


def _folders(directory: Path) -> Iterator[Path]:
    return (item for item in directory.iterdir() if item.is_dir() and item.name[:1].isdigit())


def _dump(sighting: Sighting, processor: Processor, version: str) -> RefusedObject:
    return RefusedObject(
        network=processor.network,
        trusted_block_root=processor.trusted_block_root,
        store=sighting.store,
        time_ms=sighting.time_ms,
        provider=sighting.provider,
        refused=sighting.value,
        verdict=sighting.verdict,
        program_version=version,
    )


def _write_folder(directory: Path, name: str, files: dict[str, bytes]) -> Path:
    target, temporary = directory / name, directory / f".{name}.tmp"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    try:
        for file_name, content in files.items():
            with (temporary / file_name).open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


# Reading ------------------------------------------------------------------------------------------


def find_evidence(directory: Path, processor: Processor) -> Path | None:
    """The latest folder about the chain and the trusted block of ``processor``, if there is one.

    What cannot be read is passed over. Raises OSError if the directory itself cannot be.
    """
    for folder in sorted(_folders(directory), reverse=True):
        try:
            with (folder / FILE_NAMES[0]).open("rb") as file:
                item = decode_dump(file.read(MAX_DUMP_BYTES + 1), may_be_accepted=True)
        except (OSError, DecodeError):
            continue
        chain = item.network.genesis_validators_root
        if (chain, item.trusted_block_root) == (
            processor.network.genesis_validators_root,
            processor.trusted_block_root,
        ):
            return folder
    return None


@dataclass(frozen=True, slots=True)
class EvidenceReport:
    """What judging the evidence again led to.

    Attributes:
        objects: what the two files hold.
        verdicts: how each is judged today, by the store in its file.
        conflict: what they contradict each other about, as a sentence; None if they do not, or if
            a signature does not hold.
        sync_committee_root: of the committee that all of this relies on, 32 bytes.
    """

    objects: tuple[RefusedObject, RefusedObject]
    verdicts: tuple[Verdict, Verdict]
    conflict: str | None
    sync_committee_root: bytes


def judge_evidence(first: bytes, second: bytes, backend: Backend) -> EvidenceReport:
    """Judge the contents of both files again, and compare the objects.

    Raises:
        DecodeError: a file that is damaged or of another kind, or two that do not belong together.
    """
    objects = one, two = (
        decode_dump(first, may_be_accepted=True),
        decode_dump(second, may_be_accepted=True),
    )
    values = [_update_of(item) for item in objects]
    if one.network != two.network or one.store is None or two.store is None:
        raise DecodeError("the two objects do not belong together")
    verdicts = judge_again(one, backend), judge_again(two, backend)
    watch = ConflictWatch(Processor(one.network, None, backend=backend))
    watch.remember(one.provider, values[0], verdicts[0], one.store, one.time_ms)
    conflict = watch.compare(two.provider, values[1], two.time_ms).conflict
    return EvidenceReport(
        objects,
        verdicts,
        None if conflict is None else str(conflict),
        one.store.current_sync_committee.hash_tree_root(),
    )


def _update_of(item: RefusedObject) -> AnyUpdate:
    if isinstance(item.refused, Undecoded | LightClientBootstrap):
        raise DecodeError(f"a {item.kind} is no evidence of a conflict")
    return item.refused
