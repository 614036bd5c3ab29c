"""The executable consensus specification, as the published package, set up for one network.

Its functions work on objects of one fork. As the specification says, everything older is upgraded
first, through each format in between. The store's fork may be any from the newest scheduled one on.
"""

from __future__ import annotations

import ast
import copy
import inspect
import sys
import traceback
import typing
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any

from lightclient.config import FAR_FUTURE_EPOCH, FORKS, DataFormat, Network
from lightclient.config.forks import DATA_FORMATS, FORKS_BY_NAME
from lightclient.containers import ObjectKind
from lightclient.protocol import Rule

PACKAGE = "eth_consensus_specs"
VERSION = "1.7.0a13"

_FORK_NAMES = tuple(fork.name for fork in FORKS[1:])
_TYPE_NAMES = {
    ObjectKind.BOOTSTRAP: "LightClientBootstrap",
    ObjectKind.UPDATE: "LightClientUpdate",
    ObjectKind.FINALITY_UPDATE: "LightClientFinalityUpdate",
    ObjectKind.OPTIMISTIC_UPDATE: "LightClientOptimisticUpdate",
}
_JUDGES = ("initialize_light_client_store", "validate_light_client_update")
_THREE_SLOT_RULES = frozenset(
    {
        Rule.ATTESTED_BEFORE_FINALIZED,
        Rule.SIGNATURE_NOT_AFTER_ATTESTED,
        Rule.SIGNATURE_SLOT_IN_FUTURE,
    }
)
# How the text of each assertion begins, in order; the same text may stand for two rules in turn.
_ASSERTIONS: tuple[tuple[str, frozenset[Rule]], ...] = (
    ("is_valid_light_client_header(bootstrap.", frozenset({Rule.INVALID_BOOTSTRAP_HEADER})),
    ("hash_tree_root(bootstrap.header.beacon)", frozenset({Rule.BOOTSTRAP_ROOT_MISMATCH})),
    (
        "is_valid_normalized_merkle_branch(leaf=hash_tree_root(bootstrap.",
        frozenset({Rule.INVALID_BOOTSTRAP_COMMITTEE_BRANCH}),
    ),
    ("sum(sync_aggregate.", frozenset({Rule.INSUFFICIENT_PARTICIPANTS})),
    ("is_valid_light_client_header(update.att", frozenset({Rule.INVALID_ATTESTED_HEADER})),
    ("current_slot >= update.signature_slot", _THREE_SLOT_RULES),
    ("update_signature_period", frozenset({Rule.PERIOD_NOT_COVERED})),
    ("update_attested_slot > store.finalized_header", frozenset({Rule.NOT_RELEVANT})),
    ("update.finalized_header == LightC", frozenset({Rule.UNEXPECTED_FINALIZED_HEADER})),
    ("update.finalized_header == LightC", frozenset({Rule.INVALID_GENESIS_FINALITY})),
    ("is_valid_light_client_header(update.fin", frozenset({Rule.INVALID_FINALIZED_HEADER})),
    (
        "is_valid_normalized_merkle_branch(leaf=finalized_root",
        frozenset({Rule.INVALID_FINALITY_BRANCH}),
    ),
    ("update.next_sync_committee == SyncC", frozenset({Rule.UNEXPECTED_NEXT_COMMITTEE})),
    ("update.next_sync_committee == store.", frozenset({Rule.CONFLICTING_NEXT_COMMITTEE})),
    (
        "is_valid_normalized_merkle_branch(leaf=hash_tree_root(update.",
        frozenset({Rule.INVALID_NEXT_COMMITTEE_BRANCH}),
    ),
    ("bls.FastAggregateVerify", frozenset({Rule.BAD_SIGNATURE})),
)


@dataclass(frozen=True)
class Answer:
    """What the specification made of an object: accepted, or the assertion that failed.

    ``rules`` are those that the assertion stands for; empty if something else was raised.
    """

    accepted: bool
    failure: str = ""
    rules: frozenset[Rule] = frozenset()


@cache
def _assertions_of(module: ModuleType, function_name: str) -> list[tuple[range, str]]:
    function = inspect.unwrap(getattr(module, function_name))
    lines, first = inspect.getsourcelines(function)
    found = []
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.Assert):
            assert node.end_lineno is not None
            span = range(first + node.lineno - 1, first + node.end_lineno)
            found.append((span, ast.unparse(node.test)))
    return sorted(found, key=lambda item: item[0].start)


def _answer_of(error: BaseException, module: ModuleType) -> Answer:
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.name not in _JUDGES or not isinstance(error, AssertionError):
            continue
        seen: dict[str, int] = {}
        for span, text in _assertions_of(module, frame.name):
            matching = [rules for start, rules in _ASSERTIONS if text.startswith(start)]
            turn = seen[text] = seen.get(text, -1) + 1
            if frame.lineno in span:
                return Answer(False, text, matching[min(turn, len(matching) - 1)])
    return Answer(False, f"{type(error).__name__}: {error}")


def _remember(module: ModuleType, name: str) -> None:
    """Have a function of bytes remember its answers."""
    function = getattr(module, name)
    if getattr(function, "__module__", "") != __name__:
        answers = lru_cache(maxsize=65536)(function)
        setattr(module, name, lambda octets: answers(bytes(octets)))


@cache
def _modules(preset: str) -> dict[str, ModuleType]:
    bls = import_module(f"{PACKAGE}.utils.bls")
    # The same keys come again and again; whether one is valid does not change.
    for name in ("_valid_pubkey_point", "_valid_signature_point"):
        _remember(bls, name)
    if sys.version_info < (3, 12):
        # The views' types are checked against a typing protocol whose members are listed anew each
        # time, which is two thirds of all the work. Later versions of Python remember them.
        listing = "_get_protocol_attrs"
        setattr(typing, listing, cache(getattr(typing, listing)))
    return {name: import_module(f"{PACKAGE}.{name}.{preset}") for name in ("phase0", *_FORK_NAMES)}


class Specification:
    """The specification under the configuration of ``network``.

    The configuration is global to the package: one instance of a preset at a time.

    Args:
        store_fork: the fork whose functions and store are used; the newest scheduled by default.
    """

    def __init__(self, network: Network, store_fork: str | None = None) -> None:
        self.network = network
        self.modules = _modules(network.preset.name)
        newest = [item.fork for item in network.forks if item.epoch != FAR_FUTURE_EPOCH][-1]
        self.fork = newest if store_fork is None else FORKS_BY_NAME[store_fork]
        assert self.fork.index >= max(newest.index, 1)
        self.module = self.modules[self.fork.name]
        self.data_format = self.fork.data_format
        for module in self.modules.values():
            self._configure(module, network)

    def _configure(self, module: ModuleType, network: Network) -> None:
        values: dict[str, Any] = {"GENESIS_FORK_VERSION": network.forks[0].version}
        for scheduled in network.forks[1:]:
            upper = scheduled.fork.name.upper()
            values[f"{upper}_FORK_VERSION"] = scheduled.version
            values[f"{upper}_FORK_EPOCH"] = scheduled.epoch
        values["MAX_BLOBS_PER_BLOCK_ELECTRA"] = network.max_blobs_per_block_electra
        config = module.config
        known = {name: value for name, value in values.items() if name in config._fields}
        typed = {name: type(getattr(config, name))(value) for name, value in known.items()}
        if "BLOB_SCHEDULE" in config._fields:
            typed["BLOB_SCHEDULE"] = tuple(
                {"EPOCH": entry.epoch, "MAX_BLOBS_PER_BLOCK": entry.max_blobs_per_block}
                for entry in network.blob_schedule
            )
        module.config = config._replace(**typed)  # type: ignore[attr-defined]  # a plain global

    # Objects ------------------------------------------------------------------------------------

    def view_type(self, kind: ObjectKind, data_format: DataFormat) -> Any:
        """The remerkleable type of an object in a format."""
        return getattr(self.modules[data_format.name], _TYPE_NAMES[kind])

    def decode(self, kind: ObjectKind, data_format: DataFormat, data: bytes) -> Any:
        """The view of ``data``, or None where the specification's decoder refuses."""
        return decoded(self.view_type(kind, data_format), data)

    def upgraded(self, kind: ObjectKind, view: Any, data_format: DataFormat) -> Any:
        """An object of a format as the store's fork has it."""
        view = self._through_formats(kind.value, view, data_format)
        return self._as_own(getattr(self.module, _TYPE_NAMES[kind]), view)

    def upgraded_header(self, view: Any, data_format: DataFormat) -> Any:
        """A LightClientHeader of a format as the store's fork has it."""
        view = self._through_formats("header", view, data_format)
        return self._as_own(self.module.LightClientHeader, view)

    def _through_formats(self, name: str, view: Any, data_format: DataFormat) -> Any:
        start, end = map(DATA_FORMATS.index, (data_format, self.data_format))
        for newer in DATA_FORMATS[start + 1 : end + 1]:
            upgrade = getattr(self.modules[newer.name], f"upgrade_lc_{name}_to_{newer.name}")
            view = upgrade(view)
        return view

    @staticmethod
    def _as_own(own: Any, view: Any) -> Any:
        return view if type(view) is own else own.decode_bytes(view.encode_bytes())

    # Judging ------------------------------------------------------------------------------------

    def initialize(self, trusted_block_root: bytes, bootstrap: Any) -> tuple[Any, Answer]:
        """``initialize_light_client_store``: the store, or None."""
        module = self.module
        try:
            root = module.Root(trusted_block_root)
            return module.initialize_light_client_store(root, bootstrap), Answer(True)
        except Exception as error:  # noqa: BLE001  # whatever it raises, it refuses
            return None, _answer_of(error, module)

    def process(self, store: Any, kind: ObjectKind, update: Any, current_slot: int) -> Answer:
        """``process_light_client_{,finality_,optimistic_}update``."""
        module = self.module
        name = "" if kind is ObjectKind.UPDATE else f"{kind.value.removesuffix('update')}"
        function = getattr(module, f"process_light_client_{name}update")
        root = module.Root(self.network.genesis_validators_root)
        before = copy.copy(store)
        try:
            function(store, update, module.Slot(current_slot), root)
        except Exception as error:
            if any(getattr(before, name) is not getattr(store, name) for name in _parts(store)):
                raise AssertionError(
                    "the specification changed its store and then raised"
                ) from error
            return _answer_of(error, module)
        return Answer(True)

    def force_update(self, store: Any, current_slot: int) -> None:
        """``process_light_client_store_force_update``."""
        slot = self.module.Slot(current_slot)
        self.module.process_light_client_store_force_update(store, slot)


def _parts(store: Any) -> tuple[str, ...]:
    return tuple(item.name for item in fields(store))


def decoded(view_type: Any, data: bytes) -> Any:
    """The view of ``data``, or None where the decoder raises whatever it likes."""
    try:
        return view_type.decode_bytes(data)
    except Exception:  # noqa: BLE001  # a decoder of many exceptions
        return None


def is_canonical(view: Any, data: bytes) -> bool:
    """Whether the decoder took the one encoding of what it read."""
    return bytes(view.encode_bytes()) == data
