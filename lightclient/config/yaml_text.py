"""Untrusted YAML as plain lists, dicts and strings: every scalar stays text.

PyYAML parses; the values are put together here from its event stream, so that hex stays hex, tags
mean nothing, and aliases, deep nesting and contradicting duplicate keys are refused before they
cost anything. PyYAML is imported on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from lightclient.errors import ConfigError

if TYPE_CHECKING:
    from yaml import Event

MAX_DEPTH: Final = 16
MAX_EVENTS: Final = 20_000
"""About one a key and one a value: a hundred times a network's configuration, parsed in a second.
A mebibyte of the shortest entries would take PyYAML half a minute."""

YamlValue: TypeAlias = "str | list[YamlValue] | dict[str, YamlValue]"


def parse_yaml(content: bytes, *, source: str) -> YamlValue | None:
    """The one document in ``content``; None if there is none. Bound its length before.

    Raises:
        ConfigError: naming ``source`` and the line.
    """
    import yaml

    builder = _Builder(source)
    try:
        for count, event in enumerate(yaml.parse(content, Loader=yaml.BaseLoader)):
            if count >= MAX_EVENTS:
                raise ConfigError(f"{source}: more than {MAX_EVENTS} entries")
            builder.feed(event)
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {_one_line(error)}") from None
    except ConfigError:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        # PyYAML lets these escape for code points, directives and encodings beyond their range.
        raise ConfigError(f"{source}: not valid YAML: {_one_line(error)}") from None
    return builder.document


def _one_line(error: Exception) -> str:
    return ascii(" ".join(str(error).split()))[1:-1][:300]


class _Builder:
    """Puts values together from PyYAML's events."""

    def __init__(self, source: str) -> None:
        self.document: YamlValue | None = None
        self._source = source
        self._documents = 0
        self._open: list[list[YamlValue] | dict[str, YamlValue]] = []
        # For each open mapping its key that still waits for a value.
        self._keys: list[str | None] = []

    def feed(self, event: Event) -> None:
        """Take PyYAML's next event."""
        import yaml

        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._fault(event, "a second document")
        elif isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise self._fault(event, "anchors and aliases are not accepted")
        elif isinstance(event, yaml.ScalarEvent):
            self._add(event, str(event.value))
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin(event, [])
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin(event, {})
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()
            self._keys.pop()

    def _begin(self, event: Event, collection: list[YamlValue] | dict[str, YamlValue]) -> None:
        if len(self._open) >= MAX_DEPTH:
            raise self._fault(event, "nested too deeply")
        self._add(event, collection)
        self._open.append(collection)
        self._keys.append(None)

    def _add(self, event: Event, value: YamlValue) -> None:
        if not self._open:
            self.document = value
            return
        parent = self._open[-1]
        if isinstance(parent, list):
            parent.append(value)
            return
        key = self._keys[-1]
        if key is None:
            if not isinstance(value, str):
                raise self._fault(event, "a key that is not text")
            self._keys[-1] = value
            return
        self._keys[-1] = None
        if key in parent and (not isinstance(value, str) or parent[key] != value):
            raise self._fault(event, f"{key[:60]!a} is given twice with different values")
        parent[key] = value

    def _fault(self, event: Event, problem: str) -> ConfigError:
        line = event.start_mark.line + 1 if event.start_mark is not None else 0
        return ConfigError(f"{self._source}: line {line}: {problem}")
