"""Over every schema inside a schema, structural or not. Source: upstream's SchemaHas, whose order it keeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pilothouse.api.objects import Obj


def schemas(schema: Any) -> Iterator[Obj]:
    """The schema and all below it."""
    if not isinstance(schema, dict):
        return
    yield schema
    items = schema.get("items")
    for below in items if isinstance(items, list) else [items]:
        yield from schemas(below)
    for name in ("allOf", "anyOf", "oneOf"):
        for below in schema.get(name) or ():
            yield from schemas(below)
    yield from schemas(schema.get("not"))
    for name in (
        "properties",
        "additionalProperties",
        "patternProperties",
        "additionalItems",
        "definitions",
        "dependencies",
    ):
        below = schema.get(name)
        if name.startswith("additional"):
            yield from schemas(below)
        else:
            for _, inner in sorted((below or {}).items()):
                yield from schemas(inner)


def has(schema: Any, wanted: Callable[[Obj], bool]) -> bool:
    return any(wanted(below) for below in schemas(schema))


def of_versions(spec: Obj) -> Iterator[Obj]:
    """The schemas of a definition's versions."""
    for version in spec.get("versions") or ():
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is not None:
            yield schema
