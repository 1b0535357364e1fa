"""The table of a custom resource: its definition's additionalPrinterColumns.

Source: upstream's apiextensions-apiserver/pkg/registry/customresource/tableconvertor.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pilothouse.api import printing
from pilothouse.api.objects import Obj, meta
from pilothouse.api.structural import jsonpath
from pilothouse.apiserver.registry.resources import Column

_NAME: Final = Column("Name", "string", "name", 0, "=meta/v1.ObjectMeta.name")
_AGE: Final[Obj] = {
    "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
    "description": "=meta/v1.ObjectMeta.creationTimestamp",
}  # fmt: skip

Row = Callable[[Obj, float], list[Any]]


def of_version(version: Obj) -> tuple[tuple[Column, ...], Row]:
    """A column whose path is not understood leaves only the name, as upstream has it."""
    given = list(version.get("additionalPrinterColumns") or ()) or [_AGE]
    try:
        for column in given:
            jsonpath.parse(column["jsonPath"])
    except ValueError:
        given = []
    return (_NAME, *map(_column, given)), _row(given)


def _column(given: Obj) -> Column:
    described = f"Custom resource definition column (in JSONPath format): {given['jsonPath']}"
    return Column(
        given["name"], given["type"], given.get("format") or "", given.get("priority") or 0,
        given.get("description") or described,
    )  # fmt: skip


def _row(columns: list[Obj]) -> Row:
    def row(obj: Obj, now_s: float) -> list[Any]:
        cells: list[Any] = [meta(obj).get("name", "")]
        for column in columns:
            found = jsonpath.find(obj, column["jsonPath"])
            cells.append(_cell(found[0], column["type"], now_s) if found else None)
        return cells

    return row


def _cell(value: Any, kind: str, now_s: float) -> Any:
    if kind == "string":
        return jsonpath.text_of(value)
    if kind == "date":
        return printing.since(value, now_s) if isinstance(value, str) else None
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if kind == "integer" else value
