"""`as=Table` and `as=PartialObjectMetadata`: objects and lists in the forms that kubectl and metadata clients ask for.

Source: upstream's endpoints/handlers/response and registry/rest/table; the columns are facts, the rows the kinds' own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson

from pilothouse.api import errors, printing
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.apiserver import slices
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.pacing import Pace
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.resources import Column, ServedResource


def of_list(scope: Scope, entries: Sequence[Entry], meta: Obj, pace: Pace) -> Iterator[bytes]:
    """A list so transformed, as JSON in slices."""
    if scope.output.transform == "Table":
        served, version = scope.served, scope.output.version
        cells, wanted = _Cells(served, scope.core.clock.now()), include_object(scope)
        head = b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":' % version.encode()

        def row(entry: Entry) -> bytes:
            if wanted == "Metadata":
                return b'{"cells":%b,"object":%b%b}}' % (cells.of(entry), head, _metadata_json(served, entry))
            shown = entry.json(served) if wanted == "Object" else b"null"
            return b'{"cells":%b,"object":%b}' % (cells.of(entry), shown)

        bare = table(scope, (), meta)
        del bare["rows"]
        return slices.rows(entries, row, bare, pace)
    empty = transform(scope, (), meta)
    del empty["items"]
    head = b'{"kind":"PartialObjectMetadata","apiVersion":"%b","metadata":' % empty["apiVersion"].encode()
    return slices.partial(entries, empty, lambda entry: b"%b%b}" % (head, _metadata_json(scope.served, entry)), pace)


class _Cells:
    """The cells of entries' rows and what is said of the row, which an entry keeps for as long as they hold."""

    def __init__(self, served: ServedResource, now_s: float) -> None:
        self._served, self._now_s = served, now_s
        self._row_of = served.row or served.kind.row

    def of(self, entry: Entry) -> bytes:
        kept, served = entry.row, self._served
        if kept is not None and kept[0] is served and self._now_s < kept[1]:
            return kept[2]
        now = printing.Now(self._now_s)
        shown = entry.of(served) if served.stored.custom else entry.obj
        cells = orjson.dumps(_cells(self._row_of, shown, served.columns, now))
        conditions = _conditions(served, entry.obj)
        if conditions:
            cells += b',"conditions":' + orjson.dumps(conditions)
        entry.row = (served, now.until, cells)
        return cells


def transform(scope: Scope, entries: Sequence[Entry], list_meta: Obj | None) -> Obj:
    """list_meta None: one object was asked for, and `entries` is it."""
    what, version = scope.output.transform, scope.output.version
    api_version = f"meta.k8s.io/{version}"
    if what == "Table":
        return table(scope, entries, list_meta)
    if what == "PartialObjectMetadata":
        if list_meta is not None:
            kind = _go_type(scope, scope.served.resource.list_kind)
            raise _not_acceptable(f"you requested PartialObjectMetadata, but the requested object is a list ({kind})")
        return partial(scope, entries[0].obj, api_version)
    if list_meta is None:
        kind = _go_type(scope, scope.served.resource.kind)
        raise _not_acceptable(
            f"you requested PartialObjectMetadataList, but the requested object is not a list ({kind})"
        )
    items = [partial(scope, e.obj, api_version) for e in entries]
    head: Obj = {"kind": "PartialObjectMetadataList", "apiVersion": api_version, "metadata": list_meta}
    return {**head, "items": items or None}


def _go_type(scope: Scope, kind: str) -> str:
    """What upstream's messages call a kind."""
    stored = scope.served.stored
    if stored.custom:
        return "*unstructured.UnstructuredList" if kind.endswith("List") else "*unstructured.Unstructured"
    return f"*{stored.group.partition('.')[0] or 'core'}.{kind}"


def _not_acceptable(message: str) -> StatusError:
    return StatusError(406, "NotAcceptable", message)


def partial(scope: Scope, obj: Obj, api_version: str) -> Obj:
    """Of an object in memory."""
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": _metadata(scope.served, obj)}


def _metadata(served: ServedResource, obj: Obj) -> Obj:
    """Without what only the conversion to the served version wrote into it."""
    meta: Obj = obj["metadata"]
    converted = served.kind.converted_annotations
    if not converted or not meta.get("annotations"):
        return meta
    left = {k: v for k, v in meta["annotations"].items() if k not in converted}
    return {k: v for k, v in meta.items() if k != "annotations"} | ({"annotations": left} if left else {})


def _metadata_json(served: ServedResource, entry: Entry) -> bytes:
    return orjson.dumps(_metadata(served, entry.obj)) if served.kind.converted_annotations else entry.metadata()


def include_object(scope: Scope) -> str:
    """The query's includeObject. Raises 400 for an unknown one."""
    wanted = scope.request.first("includeObject")
    if wanted not in ("", "Metadata", "None", "Object"):
        from pilothouse.api.field import invalid

        error = invalid("includeObject", wanted, "must be 'Metadata', 'Object', 'None', or empty")
        raise errors.bad_request(f"Unable to convert to Table as requested: {error}")
    return wanted or "Metadata"


def table(scope: Scope, entries: Sequence[Entry], list_meta: Obj | None, *, headers: bool = True) -> Obj:
    served = scope.served
    wanted = include_object(scope)
    now_s = scope.core.clock.now()
    api_version = f"meta.k8s.io/{scope.output.version}"
    row_of = served.row or served.kind.row
    rows: list[Obj] = []
    for entry in entries:
        obj = entry.of(served)
        shown = obj if served.stored.custom else entry.obj
        row: Obj = {"cells": _cells(row_of, shown, served.columns, now_s)}
        conditions = _conditions(served, entry.obj)
        if conditions:
            row["conditions"] = conditions
        if wanted == "Object":
            row["object"] = obj
        elif wanted == "Metadata":
            row["object"] = partial(scope, entry.obj, api_version)
        else:
            row["object"] = None
        rows.append(row)
    if list_meta is None:
        revision = entries[0].obj["metadata"].get("resourceVersion") if entries else None
        list_meta = {"resourceVersion": revision} if revision else {}
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": list_meta,
        "columnDefinitions": [_definition(column) for column in served.columns] if headers else None,
        "rows": rows,
    }


def _described(text: str) -> str:
    if not text.startswith("="):
        return text
    from pilothouse.api.openapi import descriptions

    type_, _, name = text[1:].rpartition(".")
    return descriptions.of_type(type_).fields.get(name, text)  # a custom resource's may just begin so


def _definition(column: Column) -> Obj:
    return {
        "name": column.name,
        "type": column.type,
        "format": column.format,
        "description": _described(column.description),
        "priority": column.priority,
    }


def _cells(
    row_of: Callable[[Obj, float], list[Any]] | None, obj: Obj, columns: Sequence[Column], now_s: float
) -> list[Any]:
    if row_of is None:
        return default_row(obj, columns, now_s)
    try:
        return row_of(obj, now_s)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        # An object that is hardly one: a bookmark's, or one that an older server stored.
        return default_row(obj, columns, now_s)


def _conditions(served: ServedResource, obj: Obj) -> list[Obj]:
    conditions_of = served.kind.row_conditions
    return conditions_of(obj) if conditions_of is not None else []


def default_row(obj: Obj, columns: Sequence[Column], now_s: float) -> list[Any]:
    """The cells of a kind that has no rows of its own: what its columns are called says what is in them."""
    return [_cell(obj, column.name, now_s) for column in columns]


def _cell(obj: Obj, column: str, now_s: float) -> Any:
    meta = obj["metadata"]
    if column == "Name":
        return meta.get("name", "")
    if column == "Age":
        return printing.age(obj, now_s)
    if column == "Created At":
        return meta.get("creationTimestamp")
    return ""
