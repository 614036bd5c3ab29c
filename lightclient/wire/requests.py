"""The request of a req/resp stream, both ways: a length, then snappy frames, then the end.

A responder feeds what arrives to a :class:`RequestReader`; a requester writes
:func:`encode_request` and closes its side.
"""

from __future__ import annotations

from typing import Any

from lightclient.errors import DecodeError
from lightclient.wire.protocols import Protocol
from lightclient.wire.snappy_frames import STREAM_IDENTIFIER, FrameReader, frame
from lightclient.wire.varint import encode_varint, read_varint


def encode_request(protocol: Protocol, request: Any = None) -> bytes:
    """What to write for ``request``: nothing at all where the protocol has no request body.

    Raises:
        ValueError: ``request`` does not fit the protocol's type.
    """
    if protocol.request is None:
        if request is not None:
            raise ValueError(f"{protocol.name} takes no request")
        return b""
    payload = protocol.request.encode(request)
    return encode_varint(len(payload)) + frame(payload)


class RequestReader:
    """Reads one request, at most as much of it as its bounds allow.

    Feed :meth:`receive` until :attr:`is_complete`, or :meth:`receive_end` when the peer closed its
    side; then take :attr:`request`.
    """

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._buffer = bytearray()
        self._frames: FrameReader | None = None

    @property
    def is_complete(self) -> bool:
        """Whether the request can be answered, though the peer has not closed its side yet."""
        return self._frames is not None and self._frames.is_complete

    @property
    def request(self) -> Any:
        """The request, once complete; None where the protocol has no request body.

        Raises:
            DecodeError: it is not complete, or not of the protocol's type.
        """
        if self._protocol.request is None:
            return None
        if self._frames is None or not self._frames.is_complete:
            raise DecodeError(f"the {self._protocol.name} request ended too early")
        return self._protocol.request.decode(self._frames.content)

    def receive(self, data: bytes) -> None:
        """Take in what arrived.

        Raises:
            DecodeError: more than the request may have, or not of its form.
        """
        self._buffer += data
        bounds = self._protocol.request
        if bounds is None:
            self._refuse_what_is_left()
            return
        if self._frames is None:
            prefix = read_varint(self._buffer)
            if prefix is None:
                return
            size, taken = prefix
            if not bounds.min_size <= size <= bounds.max_size:
                raise DecodeError(f"a {self._protocol.name} request cannot have {size} bytes")
            del self._buffer[:taken]
            self._frames = FrameReader(size)
        if self._frames.take(self._buffer):
            self._refuse_what_is_left()

    def receive_end(self) -> None:
        """The peer closed its side.

        Raises:
            DecodeError: in the midst of the request.
        """
        if self._protocol.request is not None and not self.is_complete:
            raise DecodeError(f"the {self._protocol.name} request ended too early")

    def _refuse_what_is_left(self) -> None:
        # An empty list may come with the identifier of an empty stream.
        empty = self._frames is not None and not self._frames.content
        if self._buffer and not (empty and STREAM_IDENTIFIER.startswith(bytes(self._buffer))):
            raise DecodeError(f"{len(self._buffer)} bytes after the {self._protocol.name} request")
