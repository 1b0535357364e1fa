"""Regular expressions of schemas: Go's syntax and semantics, in linear time.

Source: Go's regexp/syntax. RE2 has the same syntax; its names of errors are not Go's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final

_GO_ERRORS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid repetition size": "invalid repeat count",
    "no argument for repetition operator": "missing argument to repetition operator",
    "trailing \\": "trailing backslash at end of expression",
    "invalid named capture group": "invalid named capture",
}


@lru_cache(maxsize=1024)
def searcher(pattern: str) -> Callable[[str], object]:
    """Finds the pattern anywhere in a text. Raises ValueError with Go's words."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        search = re2.compile(pattern, options).search
    except re2.error as e:
        what = e.args[0]
        text = what.decode("utf-8", "replace") if isinstance(what, bytes) else str(what)
        kind, _, where = text.partition(": ")
        raise ValueError(f"error parsing regexp: {_GO_ERRORS.get(kind, kind)}: `{where}`") from None
    found: Callable[[str], object] = search
    return found


def error_of(pattern: str) -> str:
    """What is wrong with a pattern, or nothing."""
    try:
        searcher(pattern)
    except ValueError as e:
        return str(e)
    return ""
