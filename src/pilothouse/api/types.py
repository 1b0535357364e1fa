"""The schema of every built-in type: `facts/types.json`, compiled type by type on first use. A custom resource's schema
becomes the same `Type`, so that decoding, ordering, patches and field management have one implementation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Any, Final

from pilothouse.api.scheme import GVK, load_facts

UNTYPED: Final = "untyped"  # the name of a struct that may as well be a list or a scalar


class Shape(Enum):
    STRUCT = "struct"  # a JSON object with the fields of `Type.fields`
    MAP = "map"  # a JSON object of any keys; `Type.element` is the type of the values
    LIST = "list"  # a JSON array of `Type.element`
    SCALAR = "scalar"  # `Type.name`: string bool int32 int64 float64 bytes quantity time microtime duration intOrString
    ANY = "any"  # any JSON: `Type.name`: rawExtension json fieldsV1 any


@dataclass(slots=True, eq=False)
class Field:
    name: str  # in JSON; empty for an inline struct, which only `Type.wire` lists
    type: Type
    proto: int = 0
    wire: str = ""
    inline: bool = False
    omitempty: bool = False
    omitzero: bool = False
    pointer: bool = False
    required: bool = False
    patch_strategy: tuple[str, ...] = ()  # of merge, replace, retainKeys
    patch_merge_key: str = ""
    list_type: str = ""  # atomic, set or map; empty: atomic
    list_map_keys: tuple[str, ...] = ()
    map_type: str = ""  # atomic or granular; empty: the type's own, else granular
    enum: tuple[str, ...] = ()
    default: Any = None
    format: str = ""


class Type:
    """One type. Structs compile their fields when first asked for them."""

    __slots__ = ("_build", "_fields", "_wire", "element", "map_type", "name", "preserve_unknown", "shape")

    def __init__(
        self, name: str, shape: Shape, *, element: Type | None = None, map_type: str = "",
        build: Callable[[], list[Field]] | None = None, preserve_unknown: bool = False,
    ) -> None:  # fmt: skip
        self.name, self.shape, self.element, self.map_type = name, shape, element, map_type
        self.preserve_unknown = preserve_unknown  # keeps fields that it does not list (custom resources)
        self._build = build
        self._fields: dict[str, Field] | None = None
        self._wire: list[Field] | None = None

    def __repr__(self) -> str:
        return f"Type({self.name})"

    @property
    def wire(self) -> list[Field]:
        """The fields as the Go struct has them, inline structs in their place: the order of protobuf."""
        if self._wire is None:
            self._wire = self._build() if self._build else []
        return self._wire

    @property
    def fields(self) -> dict[str, Field]:
        """The fields by JSON name, those of inline structs among them, in the order in which upstream writes them."""
        if self._fields is None:
            found: dict[str, Field] = {}
            for field in self.wire:
                if field.inline:
                    for name, inner in field.type.fields.items():
                        found.setdefault(name, inner)
                else:
                    found[field.name] = field
            self._fields = found
        return self._fields


# Each group version has these as its own (metav1.AddToGroupVersion); clients name them so.
_EVERYWHERE = frozenset(
    {"CreateOptions", "DeleteOptions", "GetOptions", "ListOptions", "PatchOptions", "UpdateOptions", "WatchEvent"}
)
_ANY = frozenset({"rawExtension", "json", "fieldsV1", "any"})


@cache
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = load_facts("types")
    return tables


def _fields(rows: list[dict[str, Any]]) -> list[Field]:
    return [
        Field(
            name=row["name"],
            type=type_named(row["type"]),
            proto=row.get("proto", 0),
            wire=row.get("wire", ""),
            inline=row.get("inline", False),
            omitempty=row.get("omitempty", False),
            omitzero=row.get("omitzero", False),
            pointer=row.get("pointer", False),
            required=row.get("required", False),
            patch_strategy=tuple(s for s in row.get("patchStrategy", "").split(",") if s),
            patch_merge_key=row.get("patchMergeKey", ""),
            list_type=row.get("listType", ""),
            list_map_keys=tuple(row.get("listMapKeys", ())),
            map_type=row.get("mapType", ""),
            enum=tuple(row.get("enum", ())),
            default=row.get("default"),
            format=row.get("format", ""),
        )
        for row in rows
    ]


@cache
def type_named(expression: str) -> Type:
    """The type of an expression of the tables: `string`, `[]T`, `map[string]T`, `#core/v1.Container`."""
    if expression.startswith("[]"):
        return Type(expression, Shape.LIST, element=type_named(expression[2:]))
    if expression.startswith("map["):
        return Type(expression, Shape.MAP, element=type_named(expression.partition("]")[2]))
    if expression.startswith("#"):
        row = _tables()["types"][expression[1:]]
        return Type(expression[1:], Shape.STRUCT, map_type=row.get("mapType", ""), build=lambda: _fields(row["fields"]))
    return Type(expression, Shape.ANY if expression in _ANY else Shape.SCALAR)


@cache
def holds_raw(type_: Type) -> bool:
    """Whether a value of the built-in type can hold a RawExtension, which is compared by its bytes. Compiles nothing."""
    rows, seen, waiting = _tables()["types"], set(), [f"#{type_.name}" if type_.shape is Shape.STRUCT else type_.name]
    while waiting:
        expression = re.sub(r"^(\[\]|map\[[^]]*\])+", "", waiting.pop())
        if expression == "rawExtension":
            return True
        if expression.startswith("#") and expression not in seen:
            seen.add(expression)
            waiting += [field["type"] for field in rows.get(expression[1:], {}).get("fields", ())]
    return False


@cache
def type_of(gvk: GVK) -> Type | None:
    """The type of a built-in kind (lists, options and reviews too); None for one that upstream does not know."""
    kinds = _tables()["kinds"]
    versions = (gvk.api_version, "v1") if gvk.kind in _EVERYWHERE else (gvk.api_version,)
    name = next((kinds[v][gvk.kind] for v in versions if gvk.kind in kinds.get(v, ())), None)
    return type_named("#" + name) if name else None
