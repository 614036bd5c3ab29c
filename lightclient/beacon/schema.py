"""Reads the forks' container texts: a fork is the one before plus its changes.

Notation: a line without indentation names a container, with ``progressive`` before it for an
EIP-7495 container; ``- Name`` drops a container. Under it, ``field: type`` adds a field at the end
or changes its type in place, ``old -> new: type`` replaces a field in place, ``- field`` removes
one. A deeper indented line continues the one above. Lengths are products of constants, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Final

from lightclient.beacon import schema_before_gloas, schema_from_gloas
from lightclient.config.forks import FORKS, FORKS_BY_NAME

_CONTINUATION: Final = "\n" + 8 * " "

_TEXTS: Final = {
    "phase0": schema_before_gloas.PHASE0,
    "altair": schema_before_gloas.ALTAIR,
    "bellatrix": schema_before_gloas.BELLATRIX,
    "capella": schema_before_gloas.CAPELLA,
    "deneb": schema_before_gloas.DENEB,
    "electra": schema_before_gloas.ELECTRA,
    "fulu": schema_before_gloas.FULU,
    "gloas": schema_from_gloas.GLOAS,
    "heze": schema_from_gloas.HEZE,
}


@dataclass(frozen=True)
class ContainerSchema:
    """A container: its fields in order, name to type expression, and how it is Merkleised."""

    fields: Mapping[str, str] = field(default_factory=dict)
    progressive: bool = False


@cache
def schemas_of(fork_name: str) -> Mapping[str, ContainerSchema]:
    """Every container of a fork, by name; ``KeyError`` for a fork that is not in the table."""
    index = FORKS_BY_NAME[fork_name].index
    before = schemas_of(FORKS[index - 1].name) if index else {}
    return MappingProxyType(apply_changes(before, _TEXTS[fork_name]))


def apply_changes(before: Mapping[str, ContainerSchema], text: str) -> dict[str, ContainerSchema]:
    """The containers of a fork, from those of the fork before and the text of its changes.

    Raises:
        ValueError: the text removes or replaces what is not there, or is not in the notation.
    """
    schemas = dict(before)
    name = ""
    for line in text.replace(_CONTINUATION, " ").splitlines():
        if not line.strip():
            continue
        if line.startswith("- "):
            if schemas.pop(line[2:], None) is None:
                raise ValueError(f"cannot drop a container that is not there: {line!r}")
        elif not line.startswith(" "):
            kind, _, name = line.rpartition(" ")
            known = schemas.get(name, ContainerSchema())
            progressive = known.progressive or kind == "progressive"
            schemas[name] = ContainerSchema(known.fields, progressive)
        else:
            fields = _change_field(schemas[name].fields, line.strip())
            schemas[name] = ContainerSchema(fields, schemas[name].progressive)
    return schemas


def _change_field(fields: Mapping[str, str], change: str) -> dict[str, str]:
    if change.startswith("- "):
        removed = change[2:]
        if removed not in fields:
            raise ValueError(f"cannot remove a field that is not there: {change!r}")
        return {name: kind for name, kind in fields.items() if name != removed}
    names, colon, kind = (part.strip() for part in change.partition(":"))
    if not (names and colon and kind):
        raise ValueError(f"not 'field: type': {change!r}")
    old, arrow, new = (part.strip() for part in names.partition("->"))
    if not arrow:
        return {**fields, old: kind}
    if old not in fields or new in fields:
        raise ValueError(f"cannot replace a field that is not there: {change!r}")
    return dict((new, kind) if name == old else (name, was) for name, was in fields.items())
