"""Undo an HTTP content encoding within a bound, however well the bytes compress.

gzip and deflate only: they are what is asked for. Decompression never makes more than the bound in
memory, which rules out compression bombs.
"""

from __future__ import annotations

import zlib
from typing import Final

from lightclient.errors import DecodeError

ACCEPT_ENCODING: Final = "gzip, deflate"


class Inflater:
    """Decompresses a body that arrives in pieces.

    Args:
        encoding: value of ``Content-Encoding``; empty or ``identity`` passes the bytes through.

    Raises:
        DecodeError: an encoding that was not asked for.
    """

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise DecodeError("compressed in a way that was not asked for (Content-Encoding)")
        self._passes_through = self._encoding in ("", "identity")
        self._stream: zlib._Decompress | None = None
        self._start = b""

    def feed(self, data: bytes, limit: int) -> bytes:
        """What ``data`` decompresses to, cut after ``limit`` + 1 bytes: one more means too much.

        Raises:
            DecodeError: damaged compressed data.
        """
        if self._passes_through:
            return data[: limit + 1]
        try:
            return self._decompress(self._start + data, limit + 1)
        except zlib.error:
            raise DecodeError(f"damaged in its {self._encoding} compression") from None

    def _decompress(self, data: bytes, most: int) -> bytes:
        out = bytearray()
        while data and len(out) < most:
            if self._stream is None:
                # The kind of stream shows in its first two bytes.
                self._start, data = (data, b"") if len(data) < 2 else (b"", data)
                if not data:
                    break
                self._stream = self._decompressor(data[:2])
            out += self._stream.decompress(data, most - len(out))
            data = b""
            if self._stream.eof and self._stream.unused_data:
                # gzip allows several members in a row.
                data, self._stream = self._stream.unused_data, None
        return bytes(out)

    def _decompressor(self, start: bytes) -> zlib._Decompress:
        if self._encoding != "deflate":
            return zlib.decompressobj(zlib.MAX_WBITS | 16)
        # Some servers send bare deflate data under the name, without its zlib header (RFC 1950).
        has_header = start[0] & 0x0F == 8 and int.from_bytes(start, "big") % 31 == 0
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)

    @property
    def is_complete(self) -> bool:
        """Whether the compressed data ended where it says it does."""
        if self._stream is None:
            return not self._start
        return self._stream.eof
