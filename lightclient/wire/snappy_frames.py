"""The snappy frame format, read one whole frame at a time and never past what was declared.

Stream decoders of the libraries accept missing stream identifiers, truncation and any length. Here
each frame's header is judged before its body is awaited, its declared length before it is
decompressed, and the checksum (CRC-32C, by the library) before its content counts.
"""

from __future__ import annotations

from typing import Final

import cramjam

from lightclient.errors import DecodeError
from lightclient.wire.snappy_block import declared_length, max_compressed_len

STREAM_IDENTIFIER: Final = b"\xff\x06\x00\x00sNaPpY"
MAX_FRAME_CONTENT: Final = 65536
"""Uncompressed bytes in a frame, by the format."""
_CHECKSUM_SIZE: Final = 4
_HEADER_SIZE: Final = 4
_FEW_FRAMES: Final = 16
_LEAST_MEAN_CONTENT: Final = 1024
MAX_FRAME_BODY: Final = max_compressed_len(MAX_FRAME_CONTENT) + _CHECKSUM_SIZE
"""What a frame's length field may say: 76,490 + 4."""

_COMPRESSED: Final = 0x00
_UNCOMPRESSED: Final = 0x01
_FIRST_SKIPPABLE: Final = 0x80
_IDENTIFIER: Final = 0xFF


class FrameReader:
    """Takes frames from a buffer until they held ``size`` bytes, the length declared before them.

    At most ``max_compressed_len(size)`` bytes are taken, frame headers included, in at most one
    frame a KiB and a few. At most one frame is ever waited for, so a buffer that is fed piecewise
    stays below 77 KB.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._content = bytearray()
        self._budget = max_compressed_len(size)
        # Writers fill frames of 64 KiB; a million frames of one byte would only cost time.
        self._frames_left = _FEW_FRAMES + size // _LEAST_MEAN_CONTENT
        self._identified = False

    @property
    def is_complete(self) -> bool:
        """Whether all declared bytes are there."""
        return len(self._content) == self._size

    @property
    def content(self) -> bytes:
        """What the frames held so far."""
        return bytes(self._content)

    def take(self, buffer: bytearray) -> bool:
        """Take whole frames off the front of ``buffer``; tells whether the content is complete.

        What follows the last frame that is needed stays in the buffer.

        Raises:
            DecodeError: the frames break the format or a bound.
        """
        while not self.is_complete:
            if len(buffer) < _HEADER_SIZE:
                return False
            kind, length = buffer[0], int.from_bytes(buffer[1:_HEADER_SIZE], "little")
            self._check_header(kind, length)
            end = _HEADER_SIZE + length
            if len(buffer) < end:
                return False
            frame = bytes(buffer[:end])
            del buffer[:end]
            self._budget -= end
            self._frames_left -= 1
            self._read(kind, frame)
        return True

    def _check_header(self, kind: int, length: int) -> None:
        if not self._identified and kind != _IDENTIFIER:
            raise DecodeError("snappy frames without their stream identifier")
        if length > MAX_FRAME_BODY:
            raise DecodeError(f"a snappy frame of {length} bytes, where {MAX_FRAME_BODY} may be")
        if length + _HEADER_SIZE > self._budget:
            raise DecodeError(
                f"more than {max_compressed_len(self._size)} bytes of snappy frames for"
                f" {self._size} bytes"
            )
        if not self._frames_left:
            raise DecodeError(f"too many snappy frames for {self._size} bytes")
        if kind == _IDENTIFIER and length != len(STREAM_IDENTIFIER) - _HEADER_SIZE:
            raise DecodeError("a snappy stream identifier of another length")
        if kind in (_COMPRESSED, _UNCOMPRESSED) and length < _CHECKSUM_SIZE:
            raise DecodeError("a snappy frame too short for its checksum")
        if _UNCOMPRESSED < kind < _FIRST_SKIPPABLE:
            raise DecodeError(f"a snappy frame of the reserved kind {kind:#04x}")

    def _read(self, kind: int, frame: bytes) -> None:
        if kind == _IDENTIFIER:
            if frame != STREAM_IDENTIFIER:
                raise DecodeError("another stream identifier than snappy's")
            self._identified = True
            return
        if kind >= _FIRST_SKIPPABLE:  # padding and kinds that a reader may pass over
            return
        body = frame[_HEADER_SIZE + _CHECKSUM_SIZE :]
        length = len(body) if kind == _UNCOMPRESSED else declared_length(body)[0]
        if length > MAX_FRAME_CONTENT:
            raise DecodeError(f"a snappy frame declares {length} bytes")
        if length > self._size - len(self._content):
            raise DecodeError(f"snappy frames hold more than the {self._size} bytes declared")
        try:
            content = bytes(cramjam.snappy.decompress(STREAM_IDENTIFIER + frame))
        except cramjam.DecompressionError as error:
            raise DecodeError(f"damaged snappy frame: {str(error)[:120]}") from None
        if len(content) != length:
            raise DecodeError(f"a snappy frame declares {length} bytes and holds {len(content)}")
        self._content += content


def frame(content: bytes) -> bytes:
    """``content`` as snappy frames with their stream identifier; nothing for nothing."""
    return bytes(cramjam.snappy.compress(content)) if content else b""
