"""How many pods a rolling update may touch at a time."""

from __future__ import annotations

import re
from typing import Any

_percent = re.compile("([0-9]{1,18})%", re.ASCII)


def amount(value: Any) -> int:
    """The number of a number or a percentage; a text that is neither counts as Go reads it: not at all."""
    if isinstance(value, str):
        match = _percent.fullmatch(value)
        return int(match[1]) if match else _number(value)
    return int(value)


def _number(text: str) -> int:
    return int(text) if re.fullmatch("[+-]?[0-9]{1,18}", text, re.ASCII) else 0
