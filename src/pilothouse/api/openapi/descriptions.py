"""What upstream says about types and fields, from the docstrings of lightkube-models, which carry upstream's own texts.

The modules are read as text: importing them would make thousands of classes. Their lines are wrapped, and upstream's are not: a
line that ends before it is full ends a paragraph.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Final, NamedTuple

_CLASS: Final = re.compile(r'class \w+\(DictMixin\):\n(?:    (?:r)?"""(.*?)""")?', re.DOTALL)
_WIDTH: Final = 78
_PARAMETER: Final = re.compile(r"^\s*\* \*\*(\w+)\*\* ``[^`]*`` - ", re.MULTILINE)


class Described(NamedTuple):
    text: str
    fields: dict[str, str]


_NOTHING: Final = Described("", {})


@cache
def of_type(name: str) -> Described:
    """`core/v1.Container`; nothing for types that are not described."""
    module, _, kind = name.rpartition(".")
    source = _source(module.replace("/", "_"))
    at = source.find(f"\nclass {kind}(DictMixin):\n")
    found = _CLASS.match(source, at + 1) if at >= 0 else None
    return _described(found[1] or "") if found is not None else _NOTHING


@cache
def _source(module: str) -> str:
    try:
        return files("lightkube.models").joinpath(f"{module}.py").read_text(encoding="utf-8")
    except (FileNotFoundError, ModuleNotFoundError):
        return ""


def _described(doc: str) -> Described:
    text, _, parameters = doc.partition("**parameters**")
    pieces = _PARAMETER.split(parameters)
    fields = {_plain_name(n): _plain(t) for n, t in zip(pieces[1::2], pieces[2::2], strict=False)}
    return Described(_plain(text), fields)


def _plain_name(name: str) -> str:
    return name.rstrip("_")


def _plain(text: str) -> str:
    """Without the indentation and the line breaks of the docstring."""
    lines = [line.strip() for line in text.strip().replace("\\\\", "\\").splitlines()]
    if not lines:
        return ""
    out = [lines[0]]
    for before, line in pairwise(lines):
        full = len(before) + 1 + len(line.partition(" ")[0]) > _WIDTH
        if line:
            out.append(" " if full and before else "\n\n")
            out.append(line)
    return "".join(out)
