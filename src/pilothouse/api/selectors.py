"""Label and field selectors: read from a query or from a LabelSelector object, and matched.

Source: upstream's apimachinery labels/selector.go and fields/selector.go: the grammar, and its words for what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from pilothouse.api import names
from pilothouse.api.field import invalid
from pilothouse.api.objects import Obj

_OPERATORS: Final = {
    "in": "in", "notin": "notin", "=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt",
}  # fmt: skip
_BINARY: Final = "in, notin, =, ==, !=, gt, lt"
_SPECIAL: Final = "=!(),><"
_SYMBOLS: Final = frozenset({")", ",", "!", "==", "=", ">", "<", "!=", "("})
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,40}")


def _is_integer(text: str) -> bool:
    """Of 64 bits."""
    return _INTEGER.fullmatch(text) is not None and -(1 << 63) <= int(text) < 1 << 63


class SelectorError(ValueError):
    """str() is upstream's message."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """operator: in, notin, =, ==, !=, exists, !, gt or lt."""

    key: str
    operator: str
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        if value is None or not _is_integer(value):
            return False
        limit = int(next(iter(self.values)))
        return int(value) > limit if self.operator == "gt" else int(value) < limit

    def __str__(self) -> str:
        values = ",".join(sorted(self.values))
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({values})"
            case "gt" | "lt":
                return f"{self.key}{'>' if self.operator == 'gt' else '<'}{values}"
        return f"{self.key}{self.operator}{values}"


@dataclass(frozen=True, slots=True)
class Selector:
    """All requirements must hold; `nothing` matches no object at all."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False
    _exact: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)  # the common case, taken apart
    _others: tuple[Requirement, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        exact = [r for r in self.requirements if r.operator in ("=", "==", "in") and len(r.values) == 1]
        object.__setattr__(self, "_exact", tuple((r.key, *r.values) for r in exact))
        object.__setattr__(self, "_others", tuple(r for r in self.requirements if r not in exact))

    @property
    def empty(self) -> bool:
        """Matches everything."""
        return not self.nothing and not self.requirements

    @property
    def single(self) -> tuple[str, str] | None:
        """A label and its value, where that is all it asks for."""
        return self._exact[0] if len(self._exact) == 1 and not self._others and not self.nothing else None

    def matches(self, labels: Mapping[str, str]) -> bool:
        for key, value in self._exact:
            if labels.get(key) != value:
                return False
        return not self.nothing and all(r.matches(labels) for r in self._others)

    def __str__(self) -> str:
        return ",".join(str(r) for r in self.requirements)


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(nothing=True)


def of_object(selector: Obj | None) -> Selector:
    """A metav1.LabelSelector, which is valid. One that is absent matches nothing, an empty one everything."""
    if selector is None:
        return NOTHING
    found = [Requirement(k, "in", frozenset((v,))) for k, v in (selector.get("matchLabels") or {}).items()]
    for e in selector.get("matchExpressions") or ():
        operator = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}.get(e["operator"], "in")
        found.append(Requirement(e["key"], operator, frozenset(e.get("values") or ())))
    return Selector(tuple(found))


def of_map(labels: Mapping[str, str] | None) -> Selector:
    """The labels of a Service's or a ReplicationController's selector: all of them, exactly."""
    return Selector(tuple(Requirement(k, "=", frozenset((v,))) for k, v in (labels or {}).items()))


@lru_cache(maxsize=512)
def parse(text: str) -> Selector:
    """A labelSelector of a query. Raises SelectorError."""
    return Selector(tuple(sorted(_Parser(text).parse(), key=lambda r: r.key)))


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0

    def _look(self, *, key_and_operator: bool = False) -> tuple[str, str]:
        """(kind, literal): kind is `id`, `end`, `error`, or the symbol or keyword itself."""
        kind, literal = self._tokens[self._at]
        if not key_and_operator and kind in ("in", "notin"):
            kind = "id"  # a keyword where values stand is a value
        return kind, literal

    def _take(self, *, key_and_operator: bool = False) -> tuple[str, str]:
        found = self._look(key_and_operator=key_and_operator)
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return found

    def parse(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, literal = self._look()
            if kind == "end":
                return found
            if kind not in ("id", "!"):
                raise SelectorError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except SelectorError as error:
                raise SelectorError(f"unable to parse requirement: {error}") from None
            kind, literal = self._take()
            if kind == "end":
                return found
            if kind != ",":
                raise SelectorError(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._look()
            if kind not in ("id", "!"):
                raise SelectorError(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, literal = self._take()
        operator = ""
        if kind == "!":
            operator = "!"
            kind, literal = self._take()
        if kind != "id":
            raise SelectorError(f"found '{literal}', expected: identifier")
        key = literal
        wrong = names.qualified_name(key)
        if wrong:
            raise SelectorError(str(invalid("<nil>", key, "; ".join(wrong))))
        if operator:
            return Requirement(key, "!")
        if self._look()[0] in ("end", ","):
            return Requirement(key, "exists")
        kind, literal = self._take(key_and_operator=True)
        if kind not in _OPERATORS:
            raise SelectorError(f"found '{literal}', expected: {_BINARY}")
        operator = _OPERATORS[kind]
        values = self._values() if operator in ("in", "notin") else self._exact()
        return _checked(key, operator, values)

    def _values(self) -> set[str]:
        kind, literal = self._take()
        if kind != "(":
            raise SelectorError(f"found '{literal}' expected: '('")
        kind, literal = self._look()
        if kind == ")":
            self._take()
            return {""}
        if kind not in ("id", ","):
            raise SelectorError(f"found '{literal}', expected: ',', ')' or identifier")
        found = self._list()
        if self._take()[0] != ")":
            raise SelectorError(f"found '{literal}', expected: ')'")
        return found

    def _list(self) -> set[str]:
        found: set[str] = set()
        while True:
            kind, literal = self._take()
            if kind == "id":
                found.add(literal)
                kind, literal = self._look()
                if kind == ")":
                    return found
                if kind != ",":
                    raise SelectorError(f"found '{literal}', expected: ',' or ')'")
            elif kind == ",":
                if not found:
                    found.add("")
                kind, _ = self._look()
                if kind in (")", ","):
                    found.add("")
                if kind == ")":
                    return found
            else:
                raise SelectorError(f"found '{literal}', expected: ',', or identifier")

    def _exact(self) -> set[str]:
        if self._look()[0] in ("end", ","):
            return {""}
        kind, literal = self._take()
        if kind != "id":
            raise SelectorError(f"found '{literal}', expected: identifier")
        return {literal}


def _checked(key: str, operator: str, values: set[str]) -> Requirement:
    wrong = []
    if operator in ("gt", "lt"):
        wrong += [
            invalid(f"values[{i}]", v, "for 'Gt', 'Lt' operators, the value must be an integer")
            for i, v in enumerate(sorted(values))
            if not _is_integer(v)
        ]
    for i, value in enumerate(sorted(values)):
        details = names.label_value(value)
        if details:
            wrong.append(invalid(f"values[{i}][{key}]", value, "; ".join(details)))
    if len(wrong) == 1:
        raise SelectorError(str(wrong[0]))
    if wrong:
        raise SelectorError(f"[{', '.join(str(e) for e in wrong)}]")
    return Requirement(key, operator, frozenset(values))


def _tokens(text: str) -> Iterable[tuple[str, str]]:
    at, size = 0, len(text)
    while True:
        while at < size and text[at] in " \t\r\n":
            at += 1
        if at >= size or text[at] == "\0":
            yield "end", ""
            return
        start = at
        if text[at] in _SPECIAL:
            symbol = ""
            while at < size and text[at] in _SPECIAL:
                if text[start : at + 1] in _SYMBOLS:
                    symbol = text[start : at + 1]
                elif symbol:
                    break
                at += 1
            if not symbol:
                yield "error", f"error expected: keyword found '{text[start:at]}'"
            else:
                at = start + len(symbol)
                yield symbol, symbol
        else:
            while at < size and text[at] not in _SPECIAL and text[at] not in " \t\r\n\0":
                at += 1
            word = text[start:at]
            yield (word, word) if word in ("in", "notin") else ("id", word)


# Field selectors


@dataclass(frozen=True, slots=True)
class FieldTerm:
    name: str
    value: str
    equal: bool


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold. A field that an object does not have is empty."""

    terms: tuple[FieldTerm, ...] = ()

    def matches(self, values: Mapping[str, str]) -> bool:
        return all((values.get(t.name, "") == t.value) == t.equal for t in self.terms)

    def exact(self, name: str) -> str | None:
        """The value that the field must have; None where the selector leaves it open."""
        return next((t.value for t in self.terms if t.name == name and t.equal), None)


@lru_cache(maxsize=512)
def parse_fields(text: str) -> FieldSelector:
    """A fieldSelector of a query. Raises SelectorError."""
    terms = []
    for part in sorted(_split(text)):
        if not part:
            continue
        at = next((i for i in range(len(part)) if part[i] in "=!" and (part[i] == "=" or part[i : i + 2] == "!=")), -1)
        if at < 0:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
        operator = next(o for o in ("!=", "==", "=") if part.startswith(o, at))
        term = FieldTerm(part[:at], _unescape(part[at + len(operator) :]), operator != "!=")
        if term.name or term.value:
            terms.append(term)
    return FieldSelector(tuple(terms))


def _split(text: str) -> list[str]:
    found, start, escaped = [], 0, False
    for i, c in enumerate(text):
        if escaped:
            escaped = False
        elif c == "\\":
            escaped = True
        elif c == ",":
            found.append(text[start:i])
            start = i + 1
    return [*found, text[start:]]


def _unescape(text: str) -> str:
    out, escaped = [], False
    for c in text:
        if escaped:
            if c not in "\\,=":
                raise SelectorError(f"invalid field selector: invalid escape sequence: \\{c}")
            out.append(c)
            escaped = False
        elif c == "\\":
            escaped = True
        elif c in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {ord(c)}")
        else:
            out.append(c)
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(out)
