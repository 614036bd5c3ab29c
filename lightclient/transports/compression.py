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
        self._stream = None if self._encoding in ("", "identity") else self._decompressor()
        self._started = False

    def _decompressor(self, *, raw: bool = False) -> zlib._Decompress:
        if self._encoding == "deflate":
            return zlib.decompressobj(-zlib.MAX_WBITS if raw else zlib.MAX_WBITS)
        return zlib.decompressobj(zlib.MAX_WBITS | 16)

    def feed(self, data: bytes, limit: int) -> bytes:
        """What ``data`` decompresses to, cut after ``limit`` + 1 bytes: one more means too much.

        Raises:
            DecodeError: damaged compressed data.
        """
        if self._stream is None or not data:
            return data[: limit + 1]
        try:
            decoded = self._decompress(data, limit + 1)
        except zlib.error:
            raise DecodeError(f"the {self._encoding} compressed body is damaged") from None
        return decoded

    def _decompress(self, data: bytes, most: int) -> bytes:
        assert self._stream is not None
        out = bytearray()
        while data and len(out) < most:
            try:
                out += self._stream.decompress(data, most - len(out))
            except zlib.error:
                # Some servers send bare deflate data under the name, without its zlib header.
                if self._started or self._encoding != "deflate":
                    raise
                self._stream = self._decompressor(raw=True)
                out += self._stream.decompress(data, most - len(out))
            self._started = True
            data = b""
            if self._stream.eof and self._stream.unused_data:
                # gzip allows several members in a row.
                data = self._stream.unused_data
                self._stream = self._decompressor()
        return bytes(out)

    @property
    def is_complete(self) -> bool:
        """Whether the compressed data ended where it says it does."""
        return self._stream is None or self._stream.eof or not self._started
