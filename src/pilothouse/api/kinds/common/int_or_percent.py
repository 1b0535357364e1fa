"""Numbers and percentages: what budgets and rolling updates count in."""

from __future__ import annotations

import re
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList

_PERCENT: Final = "[0-9]+%"
_is_percent = re.compile(_PERCENT).fullmatch


def int_or_percent(value: Any, path: str) -> ErrorList:
    """Not negative, or a percentage."""
    if isinstance(value, str):
        if _is_percent(value):
            return []
        message = "a valid percent string must be a numeric string followed by an ending '%'"
        return [field.invalid(path, value, names.pattern(message, _PERCENT, "1%", "93%"))]
    if value < 0:
        return [field.invalid(path, value, "must be greater than or equal to 0")]
    return []


def at_most_all(value: Any, path: str) -> ErrorList:
    """A percentage of no more than a hundred."""
    if isinstance(value, str) and _is_percent(value) and (len(value) > 19 or int(value[:-1]) > 100):
        return [field.invalid(path, value, "must not be greater than 100%")]
    return []
