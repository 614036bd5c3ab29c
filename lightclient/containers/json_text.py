"""JSON text to Python values, with every surprise of the format turned into a DecodeError.

NaN and infinities, deep nesting, numbers of thousands of digits, byte order marks and junk are all
either read as JSON says or refused in one sentence.
"""

from __future__ import annotations

import json
from typing import NoReturn

from lightclient.errors import DecodeError
from lightclient.ssz import Json


def _refuse_constant(text: str) -> NoReturn:
    raise DecodeError(f"{text} is not a number in JSON")


def parse_json(text: bytes | str) -> Json:
    """The value of ``text``.

    Raises:
        DecodeError: not JSON, or JSON that no beacon node writes.
    """
    try:
        decoded = text.decode("utf-8-sig") if isinstance(text, bytes) else text
        return json.loads(decoded, parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise DecodeError("neither JSON nor text: not UTF-8") from None
    except RecursionError:
        raise DecodeError("JSON is nested too deeply") from None
    except json.JSONDecodeError as error:
        raise DecodeError(
            f"not JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from None
    except DecodeError:
        raise
    except ValueError:  # an integer of more digits than Python converts
        raise DecodeError("JSON holds a number with thousands of digits") from None
