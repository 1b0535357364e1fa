"""Validation errors by field, and the paths they name.

Source: upstream's k8s.io/apimachinery/pkg/util/validation/field. A path is a plain string (`spec.containers[0].name`):
build it with f-strings, `child` and `key`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import orjson

from pilothouse.api.gotext import go_value
from pilothouse.api.raw import RawArray, RawObject, compact, escaped


class ErrorType(Enum):
    """The value is a cause's `reason`."""

    NOT_FOUND = "FieldValueNotFound"
    REQUIRED = "FieldValueRequired"
    DUPLICATE = "FieldValueDuplicate"
    INVALID = "FieldValueInvalid"
    NOT_SUPPORTED = "FieldValueNotSupported"
    FORBIDDEN = "FieldValueForbidden"
    TOO_LONG = "FieldValueTooLong"
    TOO_SHORT = "FieldValueTooShort"
    TOO_MANY = "FieldValueTooMany"
    TOO_FEW = "FieldValueTooFew"
    INTERNAL = "InternalError"
    TYPE_INVALID = "FieldValueTypeInvalid"


_TEXT: Final = {
    ErrorType.NOT_FOUND: "Not found",
    ErrorType.REQUIRED: "Required value",
    ErrorType.DUPLICATE: "Duplicate value",
    ErrorType.INVALID: "Invalid value",
    ErrorType.NOT_SUPPORTED: "Unsupported value",
    ErrorType.FORBIDDEN: "Forbidden",
    ErrorType.TOO_LONG: "Too long",
    ErrorType.TOO_SHORT: "Too short",
    ErrorType.TOO_MANY: "Too many",
    ErrorType.TOO_FEW: "Too few",
    ErrorType.INTERNAL: "Internal error",
    ErrorType.TYPE_INVALID: "Invalid value",
}
_BARE: Final = frozenset(
    {ErrorType.REQUIRED, ErrorType.FORBIDDEN, ErrorType.TOO_LONG, ErrorType.TOO_SHORT, ErrorType.INTERNAL}
)


class Verbatim(str):
    """A bad value that the message shows as it is: one that Go has a String() for."""

    __slots__ = ()


OMIT: Final = object()  # a bad value that the message leaves out


@dataclass(slots=True)
class FieldError:
    type: ErrorType
    field: str
    value: Any = OMIT
    detail: str = ""

    def body(self) -> str:
        """The error without its field: a cause's `message`."""
        text = _TEXT[self.type]
        if self.type not in _BARE and self.value is not OMIT:
            text += f": {render(self.value)}"
        return f"{text}: {self.detail}" if self.detail else text

    def __str__(self) -> str:
        return f"{self.field}: {self.body()}"


class Tolerated(FieldError):
    """What was wrong before and has not changed: a warning."""

    __slots__ = ()


ErrorList: TypeAlias = list[FieldError]


def quote(text: str) -> str:
    """Go's %q of a string."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    out = ['"']
    for c in text:
        if c in '"\\':
            out.append("\\" + c)
        elif c.isprintable():
            out.append(c)
        else:
            o = ord(c)
            short = {7: "\\a", 8: "\\b", 9: "\\t", 10: "\\n", 11: "\\v", 12: "\\f", 13: "\\r"}.get(o)
            out.append(short or (f"\\x{o:02x}" if o < 0x80 else f"\\u{o:04x}" if o < 0x10000 else f"\\U{o:08x}"))
    out.append('"')
    return "".join(out)


def render(value: Any) -> str:
    """A bad value as messages show it: quoted strings, plain numbers, and JSON for the rest (in the order given)."""
    if isinstance(value, str):
        return str(value) if isinstance(value, Verbatim) else quote(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return go_value(value)
    if isinstance(value, (RawObject, RawArray)) and value.text is not None:
        return compact(value.text).decode()
    text = orjson.dumps(value)
    if isinstance(value, (dict, list)):  # Go's json.Marshal escapes these
        text = escaped(text)
    return text.decode()


def child(path: str, name: str) -> str:
    """`spec` and `replicas` → `spec.replicas`; an empty path is the root."""
    return f"{path}.{name}" if path else name


def key(path: str, name: str | int) -> str:
    """`spec.ports` and 0 → `spec.ports[0]`; `metadata.labels` and `a` → `metadata.labels[a]`."""
    return f"{path}[{name}]"


def invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(ErrorType.INVALID, field, value, detail)


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError(ErrorType.TYPE_INVALID, field, value, detail)


def required(field: str, detail: str = "") -> FieldError:
    return FieldError(ErrorType.REQUIRED, field, "", detail)


def forbidden(field: str, detail: str) -> FieldError:
    return FieldError(ErrorType.FORBIDDEN, field, "", detail)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError(ErrorType.DUPLICATE, field, value)


def not_found(field: str, value: Any) -> FieldError:
    return FieldError(ErrorType.NOT_FOUND, field, value)


def not_supported(field: str, value: Any, supported: Iterable[str]) -> FieldError:
    """`supported` in the order in which the message lists them (upstream sorts the values of a set)."""
    listed = ", ".join(quote(v) for v in supported)
    return FieldError(ErrorType.NOT_SUPPORTED, field, value, f"supported values: {listed}" if listed else "")


def too_long(field: str, limit_bytes: int) -> FieldError:
    unit = "byte" if limit_bytes == 1 else "bytes"
    return FieldError(ErrorType.TOO_LONG, field, OMIT, f"may not be more than {limit_bytes} {unit}")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    detail = f"must have at most {limit} {'item' if limit == 1 else 'items'}"
    return FieldError(ErrorType.TOO_MANY, field, actual, detail)


def too_few(field: str, actual: int, least: int) -> FieldError:
    detail = f"must have at least {least} {'item' if least == 1 else 'items'}"
    return FieldError(ErrorType.TOO_FEW, field, actual, detail)


def internal(field: str, why: str) -> FieldError:
    return FieldError(ErrorType.INTERNAL, field, OMIT, why)
