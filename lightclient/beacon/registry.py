"""Finds the containers of a fork and a preset: ``containers_for("deneb", "minimal").BeaconState``.

Types are made when first asked for. Lengths come from the preset's constants and, for the branches
of light client objects, from the fork's data format.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Mapping
from functools import cache

from lightclient.beacon.presets import constants_of
from lightclient.beacon.schema import ContainerSchema, schemas_of
from lightclient.beacon.types import BASIC_TYPES, ViewType, container_type, parametrised_type
from lightclient.config.forks import FORKS_BY_NAME, DataFormat, Fork
from lightclient.config.network import Preset
from lightclient.config.presets import preset_by_name
from lightclient.errors import ConfigError


class BeaconContainers:
    """The container types of one fork and preset, as attributes named as in the specification.

    Asking for a type that the fork does not have raises :class:`ConfigError`; ``in`` and
    ``names()`` tell without asking.
    """

    def __init__(self, fork: Fork, preset: Preset, schemas: Mapping[str, ContainerSchema]) -> None:
        self.fork_name = fork.name
        self.preset_name = preset.name
        self._schemas = schemas
        self._constants = constants_of(preset) | _branch_depths(fork.data_format)
        self._types: dict[str, ViewType] = {}

    def names(self) -> tuple[str, ...]:
        """The names of all containers of this fork."""
        return tuple(self._schemas)

    def __contains__(self, name: object) -> bool:
        return name in self._schemas

    def __iter__(self) -> Iterator[str]:
        return iter(self._schemas)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._schemas]

    def __repr__(self) -> str:
        return f"<BeaconContainers of {self.fork_name}, preset {self.preset_name}>"

    def __getattr__(self, name: str) -> ViewType:
        if name.startswith("_"):
            raise AttributeError(name)
        return self.type_named(name)

    def type_named(self, name: str) -> ViewType:
        """The container ``name``; :class:`ConfigError` if this fork has none of that name."""
        made = self._types.get(name)
        if made is None:
            schema = self._schemas.get(name)
            if schema is None:
                raise ConfigError(f"fork {self.fork_name} has no container {name!r}")
            fields = tuple(
                (field_name, self._resolve(ast.parse(expression, mode="eval").body))
                for field_name, expression in schema.fields.items()
            )
            made = self._types[name] = container_type(name, fields, schema.progressive)
        return made

    def _resolve(self, expression: ast.expr) -> ViewType:
        """The type that a schema's type expression names."""
        match expression:
            case ast.Name(id=name):
                basic = BASIC_TYPES.get(name)
                return self.type_named(name) if basic is None else basic
            case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[element, length])):
                return parametrised_type(name, self._resolve(element), self._length(length))
            case ast.Subscript(value=ast.Name(id="ProgressiveList" as name), slice=element):
                return parametrised_type(name, self._resolve(element))
            case ast.Subscript(value=ast.Name(id=name), slice=length):
                return parametrised_type(name, self._length(length))
        raise ConfigError(f"not a type expression: {ast.unparse(expression)}")

    def _length(self, expression: ast.expr) -> int:
        """A length: the product of the constants named."""
        names = ast.unparse(expression).split(" * ")
        return math.prod(self._constants[name] for name in names)


def _branch_depths(data_format: DataFormat) -> dict[str, int]:
    return {
        "FINALITY_BRANCH_DEPTH": data_format.finality_branch_depth,
        "CURRENT_SYNC_COMMITTEE_BRANCH_DEPTH": data_format.current_sync_committee_branch_depth,
        "NEXT_SYNC_COMMITTEE_BRANCH_DEPTH": data_format.next_sync_committee_branch_depth,
        "EXECUTION_BRANCH_DEPTH": data_format.execution_branch_depth,
    }


@cache
def containers_for(fork_name: str, preset: str | Preset) -> BeaconContainers:
    """The containers of ``fork_name`` (phase0 to heze) at ``preset``.

    Args:
        preset: mainnet, minimal, gnosis, or one of them with a network's own values.

    Raises:
        ConfigError: no such fork, or no such preset.
    """
    if isinstance(preset, str):
        return containers_for(fork_name, preset_by_name(preset))
    fork = FORKS_BY_NAME.get(fork_name)
    if fork is None:
        known = ", ".join(FORKS_BY_NAME)
        raise ConfigError(f"unknown fork {fork_name[:60]!r}; known forks: {known}")
    return BeaconContainers(fork, preset, schemas_of(fork_name))
