"""Paths to fields of a schema, as selectableFields and the fieldPath of rules give them: `.spec.color`, `.spec['a.b']`.

Source: upstream's apiextensions-apiserver/pkg/apiserver/schema/cel/validation.go (ValidFieldPath).
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pilothouse.api.objects import Obj

_TOKEN: Final = re.compile(r"'(?:[^'\\]|\\.)*'|[.\[\]]|[^.\[\]]+")
_ESCAPES: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", "'": "'"}


class Resolved(NamedTuple):
    path: str
    first: str
    schema: Obj | None  # None: of no known type


def resolve(path: str, schema: Obj, *, arrays: bool = True) -> Resolved:
    """`arrays`: whether ['name'] may stand for .name. Raises ValueError with upstream's words."""
    tokens = iter(_TOKEN.findall(path))
    shown, first = "", ""
    here: Obj | None = schema
    for token in tokens:
        if token == "[":
            if not arrays:
                raise ValueError("array notation is not allowed")
            name = _next(tokens)
            if len(name) < 2 or name[0] != "'" or name[-1] != "'":
                raise ValueError(f"expected single quoted string but got {name}")
            name = _unescaped(name[1:-1])
        elif token == ".":
            name = _next(tokens)
        else:
            raise ValueError(f"expected [ or . but got: {token}")
        properties, rest = (here or {}).get("properties"), (here or {}).get("additionalProperties")
        if properties:
            if name not in properties:
                raise ValueError("does not refer to a valid field")
            here = properties[name]
            shown = f"{shown}.{name}" if shown else name
        elif rest is not None:
            here = rest if isinstance(rest, dict) else None
            shown = f"{shown}[{name}]"
        else:
            raise ValueError("does not refer to a valid field")
        first = first or name
        if token == "[" and (closing := _next(tokens)) != "]":
            raise ValueError(f"expected ] but got {closing}")
    return Resolved(shown, first, here)


def _next(tokens: object) -> str:
    found = next(tokens, None)  # type: ignore[call-overload]
    if found is None:
        raise ValueError("unexpected end of JSON path")
    return str(found)


def _unescaped(text: str) -> str:
    out, at = [], 0
    while at < len(text):
        if text[at] != "\\":
            out.append(text[at])
            at += 1
            continue
        if text[at + 1 : at + 2] not in _ESCAPES:
            raise ValueError("invalid string literal: invalid syntax")
        out.append(_ESCAPES[text[at + 1]])
        at += 2
    return "".join(out)
