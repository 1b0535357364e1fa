"""Numbers as Go's libraries see them."""

from __future__ import annotations

import math
import struct
from functools import cache
from typing import Final

_SAFE: Final = (1 << 53) - 1
_EPSILON: Final = 1e-9


@cache
def single_precision_max() -> float:
    found: float = struct.unpack(">f", bytes.fromhex("7f7fffff"))[0]
    return found


def is_json_integer(value: float) -> bool:
    """swag.IsFloat64AJSONInteger: an integer that JavaScript has too, or one within a billionth."""
    if isinstance(value, int):
        return -_SAFE - 1 <= value <= _SAFE
    if not math.isfinite(value) or not -_SAFE - 1 <= value <= _SAFE:
        return False
    nearest = math.floor(abs(value) + 0.5)
    if abs(value) == nearest:
        return True
    return nearest != 0 and abs(abs(value) - nearest) / (abs(value) + nearest) < _EPSILON
