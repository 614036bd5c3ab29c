"""The answer on a req/resp stream: chunks, each a result code, context, a length, snappy frames.

:class:`ResponseReader` is fed bytes and asked for chunks. Every step is bounded before the next
byte is awaited, and chunks that came whole stay valid whatever follows them: a server that has only
part of a range sends that part and then an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final, TypeAlias

from lightclient.config import Network
from lightclient.containers import LightClientObject, decode_ssz, encode_ssz, format_of_digest
from lightclient.errors import DecodeError
from lightclient.wire.protocols import Protocol
from lightclient.wire.snappy_frames import FrameReader, frame
from lightclient.wire.varint import encode_varint, read_varint

MAX_ERROR_MESSAGE: Final = 256
"""Bytes of ``ErrorMessage``, phase0 p2p-interface."""
_DIGEST_SIZE: Final = 4


class ResultCode(IntEnum):
    """The result codes that mean the same in every protocol; others are errors, too."""

    SUCCESS = 0
    INVALID_REQUEST = 1
    SERVER_ERROR = 2
    RESOURCE_UNAVAILABLE = 3


@dataclass(frozen=True, slots=True)
class Chunk:
    """A successful chunk: ``context`` is its fork digest (empty where the protocol has none)."""

    context: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class ErrorChunk:
    """A refusal, which ends an answer; ``message`` is whatever bytes the server chose."""

    code: int
    message: bytes = b""

    @property
    def text(self) -> str:
        """The message, safe to print on one line."""
        text = self.message.decode("utf-8", "replace")
        return "".join(char if char.isprintable() else "\ufffd" for char in text)

    @property
    def name(self) -> str:
        """The code in words."""
        try:
            return ResultCode(self.code).name.lower()
        except ValueError:
            return f"error {self.code}"


ResponseEvent: TypeAlias = Chunk | ErrorChunk


def decode_payload(protocol: Protocol, chunk: Chunk) -> Any:
    """The message of a chunk without context (status, ping, metadata, goodbye).

    Raises:
        DecodeError: it is not of the protocol's type.
    """
    if protocol.response is None:
        raise ValueError(f"what {protocol.name} answers depends on the fork")
    return protocol.response.decode(chunk.payload)


def decode_object(protocol: Protocol, chunk: Chunk, network: Network) -> LightClientObject:
    """The light client object of a chunk; its fork digest is a hint only, as for every server.

    Raises:
        DecodeError: it is of no format.
    """
    if protocol.kind is None:
        raise ValueError(f"{protocol.name} does not answer with light client objects")
    hint = format_of_digest(chunk.context, network)
    return decode_ssz(protocol.kind, chunk.payload, network, (hint,))


def encode_chunk(payload: bytes, context: bytes = b"") -> bytes:
    """A successful chunk of SSZ bytes, after the fork digest where the protocol has one."""
    return bytes([ResultCode.SUCCESS]) + context + encode_varint(len(payload)) + frame(payload)


def encode_object(value: LightClientObject, network: Network) -> bytes:
    """A successful chunk of a light client object, under the fork digest of its main header."""
    epoch = network.compute_epoch_at_slot(value.main_header.beacon.slot)
    return encode_chunk(encode_ssz(value), network.compute_fork_digest(epoch))


def encode_error(code: int, message: str = "") -> bytes:
    """An error chunk; the message is cut to what may be sent."""
    text = message.encode("utf-8", "replace")[:MAX_ERROR_MESSAGE]
    return bytes([code]) + encode_varint(len(text)) + frame(text)


class ResponseReader:
    """Reads an answer of at most ``max_chunks`` chunks.

    Feed :meth:`receive`, then call :meth:`next_event` until it gives None; when the stream ends,
    :meth:`receive_end` and once more :meth:`next_event`. After :attr:`is_finished` nothing more is
    read: whatever follows is dropped, since servers are known to send more than was asked.
    """

    def __init__(self, protocol: Protocol, network: Network, max_chunks: int | None = None) -> None:
        self._protocol = protocol
        self._network = network
        self._chunks_left = min(max_chunks or protocol.max_chunks, protocol.max_chunks)
        self._buffer = bytearray()
        self._ended = ""
        self._anything = False
        self._failure: DecodeError | None = None
        self.is_finished = False
        self._start_chunk()

    def receive(self, data: bytes) -> None:
        """Take in what arrived; the events are to be taken out before more is fed."""
        if not self.is_finished and not self._ended:
            self._buffer += data

    def receive_end(self, *, reset: bool = False) -> None:
        """The stream ended: by the peer closing its side, or by a reset, which ends no answer."""
        self._ended = self._ended or ("was reset" if reset else "ended")

    def next_event(self) -> ResponseEvent | None:
        """The next chunk; None while it has not come whole, and when there will be no other.

        Raises:
            DecodeError: the answer breaks its format or a bound, or ended in the midst of a chunk.
                So does every later call.
        """
        if self._failure is not None:
            raise self._failure
        if self.is_finished:
            return None
        try:
            event = self._advance()
        except DecodeError as error:
            self._failure = DecodeError(f"{self._protocol.name} answer: {error}")
            self._buffer.clear()
            raise self._failure from None
        if event is not None:
            self._anything = True
            self._chunks_left -= 1
            self._start_chunk()
            self.is_finished = isinstance(event, ErrorChunk) or not self._chunks_left
        if self.is_finished:
            self._buffer.clear()
        return event

    def _start_chunk(self) -> None:
        self._code: int | None = None
        self._context: bytes | None = None
        self._frames: FrameReader | None = None

    def _advance(self) -> ResponseEvent | None:
        if not self._read_head() or self._frames is None or not self._frames.take(self._buffer):
            return self._at_the_end() if self._ended else None
        content = self._frames.content
        assert self._code is not None
        if self._code == ResultCode.SUCCESS:
            return Chunk(self._context or b"", content)
        return ErrorChunk(self._code, content)

    def _read_head(self) -> bool:
        """Result code, context and length, as far as they are there."""
        buffer = self._buffer
        if self._code is None:
            if not buffer:
                return False
            self._code = buffer[0]
            del buffer[:1]
        success = self._code == ResultCode.SUCCESS
        if self._context is None:
            size = _DIGEST_SIZE if success and self._protocol.has_context else 0
            if len(buffer) < size:
                return False
            self._context = bytes(buffer[:size])
            del buffer[:size]
        if self._frames is None:
            prefix = read_varint(buffer)
            if prefix is None:
                return False
            size, taken = prefix
            if success and self._is_error_code(size):
                # Lodestar (1.5) tells that it cannot encode its answer after it began the chunk.
                self._code = size
                del buffer[:taken]
                return self._read_head()
            self._check_size(size, success)
            del buffer[:taken]
            self._frames = FrameReader(size)
        return True

    def _is_error_code(self, size: int) -> bool:
        """Whether what stands for a chunk's length is none, but the code of an error."""
        assert self._context is not None
        least, _ = self._protocol.response_bounds(self._network, self._context)
        errors = (ResultCode.INVALID_REQUEST, ResultCode.SERVER_ERROR)
        return self._protocol.kind is not None and size < least and size in errors

    def _check_size(self, size: int, success: bool) -> None:
        least, most = 0, MAX_ERROR_MESSAGE
        if success:
            assert self._context is not None
            least, most = self._protocol.response_bounds(self._network, self._context)
        if not least <= size <= most:
            what = "a chunk" if success else f"an error message (result {self._code})"
            raise DecodeError(f"{what} of {size} bytes, where {least} to {most} may be")

    def _at_the_end(self) -> ResponseEvent | None:
        if self._ended == "ended":
            if self._code is None and (self._anything or self._protocol.answers_list):
                self.is_finished = True
                return None
            # A bare code without even an empty message still says what it says.
            if self._code and self._frames is None and not self._buffer:
                return ErrorChunk(self._code)
        where = "before it began" if self._code is None else "in the midst of a chunk"
        raise DecodeError(f"the stream {self._ended} {where}")
