"""The types of objects whose schema is known (`api.types.Type`), as expressions see them.

Source: upstream's k8s.io/apiserver/pkg/cel (common/schemas.go, escaping.go): what has no schema is left out of structs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pilothouse.api.cel import types as cel
from pilothouse.api.types import Field, Shape, Type

_SCALARS: Final = {
    "string": cel.STRING, "quantity": cel.STRING, "bool": cel.BOOL, "int32": cel.INT, "int64": cel.INT,
    "float64": cel.DOUBLE, "bytes": cel.BYTES, "time": cel.TIMESTAMP, "microtime": cel.TIMESTAMP,
    "duration": cel.STRING, "intOrString": cel.DYN,
}  # fmt: skip
_RESERVED: Final = frozenset({
    "true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop",
    "package", "namespace", "return", "var", "void", "while",
})  # fmt: skip
_ESCAPES: Final = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}


def escaped(name: str) -> str | None:
    """A field's name in expressions; None for one that none can name."""
    if name in _RESERVED:
        return f"__{name}__"
    if not name or not (name[0].isalpha() or name[0] == "_") or not name.isascii():
        return None
    for plain, written in _ESCAPES.items():
        name = name.replace(plain, written)
    return name if all(c.isalnum() or c == "_" for c in name) else None


class ObjectTypes:
    """Struct types by name: `Deployment`, `Deployment.spec` … Each is taken apart when an expression first names a field."""

    def __init__(self) -> None:
        self._structs: dict[str, Type] = {}
        self._fields: dict[str, dict[str, cel.Type]] = {}

    def of(self, kind: Type, name: str) -> cel.Type | None:
        """None: a value without a schema."""
        if kind.shape is Shape.STRUCT:
            self._structs[name] = kind
            return cel.struct(name)
        if kind.shape is Shape.LIST and kind.element is not None:
            item = self.of(kind.element, f"{name}.@idx")
            return None if item is None else cel.list_of(item)
        if kind.shape is Shape.MAP and kind.element is not None:
            value = self.of(kind.element, f"{name}.@elem")
            return None if value is None else cel.map_of(cel.STRING, value)
        return _SCALARS.get(kind.name) if kind.shape is Shape.SCALAR else None

    def lookup(self, name: str) -> Mapping[str, cel.Type] | None:
        """The fields of a struct: for `Environment.lookup`."""
        if name not in self._structs:
            return None
        if name not in self._fields:
            self._fields[name] = {}
            for field in self._structs[name].fields.values():
                self._add(name, field)
        return self._fields[name]

    def _add(self, struct: str, field: Field) -> None:
        written = escaped(field.name)
        kind = self.of(field.type, f"{struct}.{field.name}") if written else None
        if written and kind is not None:
            self._fields[struct][written] = kind
