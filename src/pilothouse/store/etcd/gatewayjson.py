"""What Go's protojson refuses in a request and Python's json_format takes or says otherwise."""

from __future__ import annotations

import json
import re
from typing import Any, Final

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_WHOLE: Final = re.compile(r"-?\d+(\.0+)?")
_BITS: Final = {"int32": 32, "int64": 64, "uint32": 32, "uint64": 64}
_KINDS: Final = {
    1: "double",
    2: "float",
    3: "int64",
    4: "uint64",
    5: "int32",
    8: "bool",
    9: "string",
    12: "bytes",
    13: "uint32",
}


def check(text: str, descriptor: Any) -> None:
    """Raises ValueError with protojson's words."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        found = text[error.pos : error.pos + 1]
        if found:
            raise ValueError(f"invalid character '{found}' looking for beginning of value") from None
        raise ValueError("unexpected EOF") from None
    _object(document, descriptor, text)


def _object(document: Any, descriptor: Any, text: str) -> None:
    if not isinstance(document, dict):
        raise ValueError(_unexpected(document, text))
    for name, value in document.items():
        field = descriptor.fields_by_camelcase_name.get(name) or descriptor.fields_by_name.get(name)
        if field is None or value is None:
            continue
        if not field.is_repeated:
            _value(value, field, text)
        elif not isinstance(value, list):
            raise ValueError(_unexpected(value, text))
        else:
            for one in value:
                _value(one, field, text)


def _value(value: Any, field: Any, text: str) -> None:
    if field.message_type is not None:
        _object(value, field.message_type, text)
        return
    kind = _KINDS.get(field.type, "")
    if kind == "bytes":
        good = isinstance(value, str) and _BASE64.fullmatch(value) is not None and len(value.rstrip("=")) % 4 != 1
    elif kind in _BITS:
        said = str(value)
        good = not isinstance(value, bool) and _WHOLE.fullmatch(said) is not None and _fits(said, kind)
    elif kind == "bool":
        good = isinstance(value, bool)
    elif kind == "string":
        good = isinstance(value, str)
    else:
        return
    if not good:
        raise ValueError(
            f"proto: {_place(value, text)}: invalid value for {kind} field {field.camelcase_name}: {json.dumps(value)}"
        )


def _unexpected(value: Any, text: str) -> str:
    said = json.dumps(value)
    return f"proto: syntax error {_place(value, text)}: unexpected token {said[0] if said[0] in '{[' else said}"


def _fits(text: str, kind: str) -> bool:
    number, bits = int(text.partition(".")[0]), _BITS[kind]
    return 0 <= number < 1 << bits if kind[0] == "u" else -(1 << bits - 1) <= number < 1 << bits - 1


def _place(value: Any, text: str) -> str:
    """Where the value stands, as far as its text tells."""
    at = max(0, text.find(json.dumps(value)))
    return f"(line {text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)})"
