"""The difference between two values as upstream's messages show it: a unified diff of their indented JSON."""

from __future__ import annotations

import json
from difflib import unified_diff
from typing import Any


def diff(old: Any, new: Any) -> str:
    lines = unified_diff(_lines(old), _lines(new), n=3)
    return "".join(line for i, line in enumerate(lines) if i > 1)  # without the names of files


def _lines(value: Any) -> list[str]:
    text = json.dumps(value, indent=1, ensure_ascii=False)
    for plain, escaped in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(plain, escaped)
    return [f"{line}\n" for line in text.split("\n")]
