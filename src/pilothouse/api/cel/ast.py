"""The parts of an expression. `id` is unique in its expression; `at` is where it stands, in code points."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias


@dataclass(slots=True)
class _Part:
    id: int
    at: int


@dataclass(slots=True)
class Literal(_Part):
    value: Any  # of pilothouse.api.cel.values


@dataclass(slots=True)
class Ident(_Part):
    name: str


@dataclass(slots=True)
class Select(_Part):
    operand: Node
    field: str
    test_only: bool = False


@dataclass(slots=True)
class Call(_Part):
    function: str
    target: Node | None
    args: list[Node]


@dataclass(slots=True)
class ListLiteral(_Part):
    elements: list[Node]
    optional: frozenset[int] = frozenset()  # indices


@dataclass(slots=True)
class Entry(_Part):
    key: Node | str  # str: the field of a struct
    value: Node
    optional: bool = False


@dataclass(slots=True)
class MapLiteral(_Part):
    entries: list[Entry]


@dataclass(slots=True)
class StructLiteral(_Part):
    name: str
    entries: list[Entry]


@dataclass(slots=True)
class Comprehension(_Part):
    iter_var: str
    iter_var2: str
    iter_range: Node
    accu_var: str
    accu_init: Node
    loop_condition: Node
    loop_step: Node
    result: Node


Node: TypeAlias = "Literal | Ident | Select | Call | ListLiteral | MapLiteral | StructLiteral | Comprehension"


@dataclass(slots=True)
class Source:
    """An expression's text, and how errors in it are shown."""

    text: str
    errors: list[tuple[int, str]] = field(default_factory=list)

    def error(self, at: int, message: str) -> None:
        self.errors.append((at, message))

    def shown(self) -> str:
        """All errors in order, as cel-go shows them."""
        return "\n".join(self._shown(at, message) for at, message in sorted(self.errors, key=lambda e: e[0]))

    def _shown(self, at: int, message: str) -> str:
        line = self.text.count("\n", 0, at)
        start = self.text.rfind("\n", 0, at) + 1
        end = self.text.find("\n", start)
        written = self.text[start : len(self.text) if end < 0 else end].replace("\t", " ")
        before = "".join("．" if _is_wide(c) else "." for c in written[: at - start])
        mark = "＾" if _is_wide(written[at - start : at - start + 1] or " ") else "^"
        return f"ERROR: <input>:{line + 1}:{at - start + 1}: {message}\n | {written}\n | {before}{mark}"


def _is_wide(char: str) -> bool:
    return len(char.encode()) > 1
