"""Server-sent events, sans I/O: bytes in, events out (WHATWG HTML, section 9.2).

Every line and every event has a bound, because a stream has no end that could bound it. Lines end
in LF, CRLF or CR; a chunk may end anywhere, in the middle of a character too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lightclient.errors import DecodeError


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event: its name (``message`` if it had none) and its data lines joined by LF."""

    name: str
    data: str


class EventParser:
    """Splits a byte stream into events.

    Args:
        max_bytes: bound of one line, and of the data of one event.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._line = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._data_bytes = 0
        self._skip_line_feed = False
        self._at_start = True

    def feed(self, chunk: bytes) -> Iterator[ServerSentEvent]:
        """The events that ``chunk`` completes.

        Raises:
            DecodeError: a line or an event beyond the bound. The stream cannot be read on then.
        """
        position = 0
        while position < len(chunk):
            if self._skip_line_feed:
                self._skip_line_feed = False
                if chunk[position] == 0x0A:
                    position += 1
                    continue
            end = self._line_end(chunk, position)
            if end < 0:
                self._extend_line(chunk[position:])
                return
            self._extend_line(chunk[position:end])
            self._skip_line_feed = chunk[end] == 0x0D
            position = end + 1
            line, self._line = bytes(self._line), bytearray()
            event = self._take_line(line)
            if event is not None:
                yield event

    @staticmethod
    def _line_end(chunk: bytes, start: int) -> int:
        line_feed = chunk.find(b"\n", start)
        carriage_return = chunk.find(b"\r", start, line_feed if line_feed >= 0 else len(chunk))
        return carriage_return if carriage_return >= 0 else line_feed

    def _extend_line(self, part: bytes) -> None:
        if len(self._line) + len(part) > self._max_bytes:
            raise DecodeError(f"an event stream line of more than {self._max_bytes} bytes")
        self._line += part

    def _take_line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            return self._dispatch()
        if line.startswith(b":"):  # a comment, sent to keep the connection alive
            return None
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"data":
            self._data_bytes += len(value) + 1
            if self._data_bytes > self._max_bytes:
                raise DecodeError(f"an event of more than {self._max_bytes} bytes")
            self._data.append(value.decode("utf-8", "replace"))
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._data_bytes = "", [], 0
        return ServerSentEvent(name or "message", "\n".join(data)) if data else None
