"""Strict decoding of beacon containers from bytes and JSON of unknown origin.

remerkleable signals bad input by bare exceptions of many kinds and lets some bytes pass that are
not the canonical encoding; here both become a :class:`DecodeError`.
"""

from __future__ import annotations

from io import BytesIO

from lightclient.beacon.types import View, ViewType
from lightclient.errors import DecodeError


class _WholeReads(BytesIO):
    """A stream that never gives less than it is asked for.

    remerkleable believes offsets: told by one that a bit list has 4 GiB, it reads on at the end of
    the stream, 32 bytes at a time, for minutes.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        if size is not None and len(found) < size:
            raise EOFError(f"{size} bytes were announced where {len(found)} are left")
        return found


def decode_view(view_type: ViewType, encoded: bytes) -> View:
    """Decode SSZ; the caller bounds the length of ``encoded``.

    Raises:
        DecodeError: not the one canonical encoding of an object of this type.
    """
    try:
        view = view_type.deserialize(_WholeReads(encoded), len(encoded))
        canonical = view.encode_bytes() == encoded
    except Exception as error:
        # A bare Exception is what remerkleable raises for most malformed input.
        raise DecodeError(f"not SSZ of a {view_type.__name__}: {_first_line(error)}") from error
    if not canonical:
        raise DecodeError(f"not the canonical SSZ of a {view_type.__name__}")
    return view


def view_from_json(view_type: ViewType, json_object: object) -> View:
    """An object from its parsed Beacon API JSON: a mapping with numbers as strings and hex bytes.

    Raises:
        DecodeError: a field is missing, unknown or of the wrong kind.
    """
    if not isinstance(json_object, dict):
        raise DecodeError(f"JSON of a {view_type.__name__} must be an object")
    missing = [name for name in view_type.fields() if name not in json_object]
    if missing:
        raise DecodeError(f"JSON of a {view_type.__name__} lacks {', '.join(missing)}")
    try:
        return view_type.from_obj(json_object)
    except Exception as error:
        raise DecodeError(f"not JSON of a {view_type.__name__}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """The start of a message that may contain a whole hostile object."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
