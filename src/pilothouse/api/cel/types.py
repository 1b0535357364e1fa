"""The types of CEL, and which may stand for which (specification: "Gradual Type Checking")."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

_TAKES_ALL: Final = frozenset({"any", "dyn", "error"})
_NULLABLE: Final = frozenset({"opaque", "struct", "any", "duration", "timestamp"})


@dataclass(frozen=True, slots=True)
class Type:
    """`kind` is one of the names below, `struct`, `opaque`, `param`, `list`, `map`, `type` or `error`."""

    kind: str
    name: str
    params: tuple[Type, ...] = ()

    def __str__(self) -> str:
        if self.kind == "error":
            return "!error!"
        if self.kind == "null_type":
            return "null"
        if self.kind in ("any", "duration", "timestamp"):
            return self.kind
        return f"{self.name}({', '.join(map(str, self.params))})" if self.params else self.name


BOOL: Final = Type("bool", "bool")
INT: Final = Type("int", "int")
UINT: Final = Type("uint", "uint")
DOUBLE: Final = Type("double", "double")
STRING: Final = Type("string", "string")
BYTES: Final = Type("bytes", "bytes")
NULL: Final = Type("null_type", "null_type")
DURATION: Final = Type("duration", "google.protobuf.Duration")
TIMESTAMP: Final = Type("timestamp", "google.protobuf.Timestamp")
DYN: Final = Type("dyn", "dyn")
ANY: Final = Type("any", "google.protobuf.Any")
ERROR: Final = Type("error", "!error!")
TYPE: Final = Type("type", "type")


def list_of(element: Type) -> Type:
    return Type("list", "list", (element,))


def map_of(key: Type, value: Type) -> Type:
    return Type("map", "map", (key, value))


def optional_of(value: Type) -> Type:
    return Type("opaque", "optional_type", (value,))


def struct(name: str) -> Type:
    """An object whose fields the environment knows by this name."""
    return Type("struct", name)


def opaque(name: str) -> Type:
    return Type("opaque", name)


def param(name: str) -> Type:
    return Type("param", name)


def type_of(held: Type) -> Type:
    return Type("type", "type", (held,))


QUANTITY: Final = struct("kubernetes.Quantity")
URL: Final = struct("kubernetes.URL")
SEMVER: Final = struct("kubernetes.Semver")
FORMAT: Final = struct("kubernetes.NamedFormat")
IP: Final = opaque("net.IP")
CIDR: Final = opaque("net.CIDR")
AUTHORIZER: Final = struct("kubernetes.authorization.Authorizer")
PATH_CHECK: Final = struct("kubernetes.authorization.PathCheck")
GROUP_CHECK: Final = struct("kubernetes.authorization.GroupCheck")
RESOURCE_CHECK: Final = struct("kubernetes.authorization.ResourceCheck")
DECISION: Final = struct("kubernetes.authorization.Decision")

NAMED: Final[Mapping[str, Type]] = {
    "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES, "null": NULL, "dyn": DYN,
    "duration": DURATION, "timestamp": TIMESTAMP, "type": TYPE, "Quantity": QUANTITY, "URL": URL, "Semver": SEMVER,
    "Format": FORMAT, "IP": IP, "CIDR": CIDR, "Authorizer": AUTHORIZER, "PathCheck": PATH_CHECK,
    "GroupCheck": GROUP_CHECK, "ResourceCheck": RESOURCE_CHECK, "Decision": DECISION,
}  # fmt: skip
"""How the tables of functions name types."""

Bindings: TypeAlias = dict[str, Type]
"""What type parameters stand for, by name."""


def is_dyn(t: Type) -> bool:
    return t.kind in ("any", "dyn")


def unwrap_optional(t: Type) -> tuple[Type, bool]:
    if t.kind == "opaque" and t.name == "optional_type":
        return t.params[0], True
    return t, False


def substitute(bindings: Bindings, t: Type, free_to_dyn: bool = False) -> Type:
    """`t` with its parameters replaced; those that stand for nothing become dyn if wanted."""
    if t.kind == "param":
        bound = bindings.get(t.name)
        if bound is not None:
            return substitute(bindings, bound, free_to_dyn)
        return DYN if free_to_dyn else t
    if not t.params:
        return t
    return Type(t.kind, t.name, tuple(substitute(bindings, p, free_to_dyn) for p in t.params))


def assignable(bindings: Bindings, pairs: list[tuple[Type, Type]]) -> Bindings | None:
    """The bindings under which each first type can take each second one; None if there are none."""
    made = dict(bindings)
    return made if all(_assign(made, a, b) for a, b in pairs) else None


def most_general(a: Type, b: Type) -> Type:
    return a if _covers(a, b) else b


def _covers(a: Type, b: Type) -> bool:
    if a.kind in ("any", "dyn", "param"):
        return True
    if b.kind in ("any", "dyn", "param") or a.kind != b.kind:
        return False
    if a.kind in ("opaque", "list", "map"):
        same = a.name == b.name and len(a.params) == len(b.params)
        return same and all(_covers(x, y) for x, y in zip(a.params, b.params, strict=True))
    return a.kind == "type" or a == b


def _assign(bindings: Bindings, a: Type, b: Type) -> bool:
    if b.kind == "param":
        fits, bound = _bind(bindings, a, b)
        if fits or bound:
            return fits
    if a.kind == "param":
        return _bind(bindings, b, a)[0]
    if a.kind in _TAKES_ALL or b.kind in _TAKES_ALL:
        return True
    if a.kind == "null_type" or b.kind == "null_type":
        other = b if a.kind == "null_type" else a
        return other.kind in _NULLABLE or other.kind == "null_type"
    if a.kind == "type":
        return b.kind == "type"
    if a.kind != b.kind or a.name != b.name or len(a.params) != len(b.params):
        return False
    return all(_assign(bindings, x, y) for x, y in zip(a.params, b.params, strict=True))


def _bind(bindings: Bindings, to: Type, parameter: Type) -> tuple[bool, bool]:
    """(whether the parameter can stand for the type, whether it stood for something before)."""
    if to == parameter:
        return True, True
    bound = bindings.get(parameter.name)
    if bound is not None:
        if to == bound:
            return True, True
        if _assign(bindings, to, bound):
            wider = most_general(to, bound)
            if _free_of(bindings, parameter, wider):
                bindings[parameter.name] = wider
            return True, True
        return False, True
    if _free_of(bindings, parameter, to):
        bindings[parameter.name] = to
        return True, False
    return False, False


def _free_of(bindings: Bindings, parameter: Type, within: Type) -> bool:
    if within == parameter:
        return False
    if within.kind == "param":
        bound = bindings.get(within.name)
        return bound is None or _free_of(bindings, parameter, bound)
    return all(_free_of(bindings, parameter, p) for p in within.params)
