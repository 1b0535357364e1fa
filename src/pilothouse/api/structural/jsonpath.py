"""JSONPath as printer columns, selectable fields and scale use it.

Source: client-go's util/jsonpath: fields, quoted fields, indices, slices, unions, wildcards, recursive descent and filters.
A missing field is no error.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from pilothouse.api.gotext import go_value

_NUMBER: Final = re.compile(r"[+-]?\d+(?:\.\d+)?")
_FIELD_END: Final = frozenset(" \t\r\n.,[]$@{}")
_SLICE: Final = re.compile(r"(-?\d*)(:-?\d*)?(:-?\d*)?")
_FILTER: Final = re.compile(r"([^!<>=]+)([!<>=]+)(.+)", re.DOTALL)


class Step(NamedTuple):
    """kind: field, all, slice, union, deep, filter, or value (a literal)."""

    kind: str
    value: Any = None


Path = tuple[Step, ...]


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at = text, 0

    def steps(self) -> Path:
        found: list[Step] = []
        while self.at < len(self.text):
            rest = self.text[self.at :]
            c = rest[0]
            if rest.startswith("[?("):
                found.append(self._filter())
            elif rest.startswith(".."):
                if found and found[-1].kind == "deep":
                    raise ValueError("invalid multiple recursive descent")
                self.at += 2
                found.append(Step("deep"))
                if self.text[self.at : self.at + 1].isalnum() or self.text[self.at : self.at + 1] == "_":
                    found.append(self._field())
            elif c in " @$":
                self.at += 1
            elif c == "[":
                found += self._array()
            elif c in "\"'":
                found.append(Step("value", self._quoted()))
            elif c == ".":
                self.at += 1
                found.append(self._field())
            elif match := _NUMBER.match(rest):
                self.at += match.end()
                found.append(Step("value", float(match[0]) if "." in match[0] else int(match[0])))
            elif c.isalnum() or c == "_":
                word = self._word()
                found.append(Step("value", word == "true") if word in ("true", "false") else Step("field", word))
            else:
                raise ValueError(f"unrecognized character in action: {c!r}")
        return tuple(found)

    def _word(self) -> str:
        start = self.at
        while self.at < len(self.text) and self.text[self.at] not in _FIELD_END:
            self.at += 2 if self.text[self.at] == "\\" else 1
        return self.text[start : self.at]

    def _field(self) -> Step:
        name = self._word()
        return Step("all") if name == "*" else Step("field", name.replace("\\", ""))

    def _quoted(self) -> str:
        quote, start = self.text[self.at], self.at + 1
        end = start
        while end < len(self.text) and self.text[end] != quote:
            end += 2 if self.text[end] == "\\" else 1
        if end >= len(self.text):
            raise ValueError("unterminated quoted string")
        self.at = end + 1
        return re.sub(r"\\(.)", r"\1", self.text[start:end])

    def _array(self) -> list[Step]:
        end = self.text.find("]", self.at)
        if end < 0:
            raise ValueError("unterminated array")
        inside = self.text[self.at + 1 : end]
        self.at = end + 1
        if inside == "*":
            inside = ":"
        if "," in inside:
            return [Step("union", tuple(_Reader(f"[{part.strip()}]").steps() for part in inside.split(",")))]
        if len(inside) >= 2 and inside[0] == inside[-1] == "'" and "'" not in inside[1:-1]:
            return list(_Reader(f".{inside[1:-1]}").steps())
        match = _SLICE.fullmatch(inside)
        if match is None:
            raise ValueError(f"invalid array index {inside}")
        first, second, third = match[1], match[2], match[3]
        start = int(first) if first not in ("", "-") else None
        if second is None:
            return [Step("slice", ((start or 0), None, None, True))]
        stop = int(second[1:]) if second[1:] else None
        step = int(third[1:]) if third and third[1:] else None
        return [Step("slice", (start, stop, step, False))]

    def _filter(self) -> Step:
        start = self.at = self.at + 3
        quote = ""
        while self.at < len(self.text):
            c = self.text[self.at]
            if quote:
                quote = "" if c == quote and self.text[self.at - 1] != "\\" else quote
            elif c in "\"'":
                quote = c
            elif c == ")":
                break
            self.at += 1
        if self.text[self.at : self.at + 2] != ")]":
            raise ValueError("unterminated filter" if self.at >= len(self.text) else "unclosed array expect ]")
        text = self.text[start : self.at]
        self.at += 2
        match = _FILTER.fullmatch(text)
        if match is None:
            return Step("filter", (_Reader(text).steps(), "exists", ()))
        return Step("filter", (_Reader(match[1]).steps(), match[2], _Reader(match[3]).steps()))


@lru_cache(maxsize=1024)
def parse(path: str) -> Path:
    """Raises ValueError for a path that is not understood."""
    return _Reader(path).steps()


def find(value: Any, path: str) -> list[Any]:
    """All values there; none for a path that is not understood, or that does not fit the value."""
    try:
        return _walk([value], parse(path))
    except (ValueError, TypeError):
        return []


def _walk(found: list[Any], steps: Path) -> list[Any]:
    for step in steps:
        found = _STEPS[step.kind](found, step.value)
    return found


def _fields(found: list[Any], name: Any) -> list[Any]:
    return [one[name] for one in found if isinstance(one, dict) and name in one]


def _all(found: list[Any], _: Any) -> list[Any]:
    out: list[Any] = []
    for one in found:
        if isinstance(one, dict):
            out += [one[k] for k in sorted(one)]
        elif isinstance(one, list):
            out += one
    return out


def _slices(found: list[Any], value: Any) -> list[Any]:
    start, stop, step, single = value
    out: list[Any] = []
    for one in found:
        if not isinstance(one, list):
            if one is None:
                continue
            raise TypeError("not an array")
        if single:
            at = start + len(one) if start < 0 else start
            if not 0 <= at < len(one):
                raise ValueError("array index out of bounds")
            out.append(one[at])
        else:
            out += one[start:stop:step]
    return out


def _unions(found: list[Any], paths: Any) -> list[Any]:
    return [value for path in paths for value in _walk(found, path)]


def _deep(found: list[Any], _: Any) -> list[Any]:
    out: list[Any] = []
    for one in found:
        out.append(one)
        out += _deep(_all([one], None), None)
    return out


def _filters(found: list[Any], value: Any) -> list[Any]:
    left, operator, right = value
    out: list[Any] = []
    for one in found:
        for item in one if isinstance(one, list) else ():
            a = _walk([item], left)
            if operator == "exists":
                if a:
                    out.append(item)
                continue
            b = _walk([item], right)
            if a and b and _COMPARE[operator](a[0], b[0]):
                out.append(item)
    return out


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def judge(a: Any, b: Any) -> bool:
        numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
        return (numbers or (isinstance(a, str) and isinstance(b, str))) and compare(a, b)

    return judge


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "==": lambda a, b: bool(a == b), "!=": lambda a, b: bool(a != b), "<": _ordered(lambda a, b: a < b),
    "<=": _ordered(lambda a, b: a <= b), ">": _ordered(lambda a, b: a > b), ">=": _ordered(lambda a, b: a >= b),
}  # fmt: skip
_STEPS: Final[dict[str, Callable[[list[Any], Any], list[Any]]]] = {
    "field": _fields, "all": _all, "slice": _slices, "union": _unions, "deep": _deep, "filter": _filters,
    "value": lambda _, value: [value],
}  # fmt: skip


def text_of(value: Any) -> str:
    """A value as a column of strings shows it."""
    if isinstance(value, str):
        return value
    if value is None:
        return "<no value>"
    if isinstance(value, (dict, list)):
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return go_value(value)


def names(path: str) -> list[str]:
    """The fields of a path of plain names, as `.spec.replicas`."""
    return path.removeprefix(".").split(".")
