"""Numbers as Go's libraries see and show them."""

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


def go_float(value: float) -> str:
    """fmt's %v of a float64."""
    if not math.isfinite(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    shortest = _shortest(value)
    power = int(shortest.partition("e")[2])
    if not -4 <= power < 6:
        return shortest
    plain = repr(value)
    return plain.removesuffix(".0")


def _shortest(value: float) -> str:
    """Mantissa and exponent of two digits at least: 1e+06, 1.5e-07."""
    return next(t for p in range(18) if float(t := f"{value:.{p}e}") == value or p == 17)
