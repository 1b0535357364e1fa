"""The hash of a pod template, exactly upstream's, so that ReplicaSets of both control planes have the same names.

Upstream hashes (FNV-1a, 32 bits) the text in which a Go library prints the struct: every field by its Go name and type, the
absent ones too. `podtemplate.json` has these names, read from upstream's types by reflection: struct → [Go name, JSON name
(empty: an embedded struct), type]. A hash is thus one of 1.37's types; a template that was decoded from protobuf, as
upstream's controllers have it, has no empty lists and maps, only absent ones.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any, Final

import orjson

from pilothouse.api.objects import Obj

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"
_ZERO_TIME: Final = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}"
_QUANTITY: Final = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+)|([numkKMGTPE]i?)?)")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY: Final = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_INT64: Final = 1 << 63


@cache
def _structs() -> dict[str, list[tuple[str, str, str]]]:
    table: dict[str, Any] = orjson.loads(files("pilothouse.controllers").joinpath("podtemplate.json").read_bytes())
    return {name: [(go, json, expression) for go, json, expression in rows] for name, rows in table.items()}


def fnv32a(data: bytes, start: int = 0x811C9DC5) -> int:
    value = start
    for byte in data:
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def safe_encode(text: str) -> str:
    """The text in the letters and digits of generated names."""
    return "".join(_ALPHABET[ord(c) % len(_ALPHABET)] for c in text)


def template_hash(template: Obj, collisions: int | None = None) -> str:
    """The value of `pod-template-hash`; `collisions` is the owner's `status.collisionCount`."""
    data = ("(v1.PodTemplateSpec)" + _dump("v1.PodTemplateSpec", template)).encode("utf-8", "surrogateescape")
    if collisions is not None:
        data += (collisions & 0xFFFFFFFF).to_bytes(8, "little")
    return safe_encode(str(fnv32a(data)))


def _shown(expression: str) -> str:
    """A type as Go prints it: `v1.Protocol=string` is `v1.Protocol`."""
    if expression.startswith("v1.ResourceList"):
        return "v1.ResourceList"
    return re.sub(r"=\w+", "", expression)


def _field(expression: str, value: Any) -> str:
    """A struct's field: its type and its value."""
    if expression.startswith("*"):
        shown = _shown(expression)
        return f"({shown})<nil>" if value is None else f"({shown}){_dump(expression[1:], value)}"
    return f"({_shown(expression)}){_dump(expression, value)}"


def _dump(expression: str, value: Any) -> str:
    """A value without its type."""
    if expression.startswith("*"):
        return "<nil>" if value is None else _dump(expression[1:], value)
    if expression.startswith("[]"):
        if not value:
            return "<nil>"
        return "[" + " ".join(_dump(expression[2:], item) for item in value) + "]"
    if "map[" in expression:
        if not value:
            return "<nil>"
        element = expression.partition("]")[2]
        return "map[" + " ".join(f"{k}:{_dump(element, v)}" for k, v in sorted(value.items())) + "]"
    named, _, basic = expression.partition("=")
    if basic == "string":
        return str(value or "")
    if basic == "bool":
        return "true" if value else "false"
    if basic:
        return str(int(value or 0))
    if named == "resource.Quantity":
        return _quantity("0" if value is None else str(value))
    if named == "intstr.IntOrString":
        kind, number, text = (1, 0, value) if isinstance(value, str) else (0, int(value or 0), "")
        return f"{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"
    if named == "v1.Time":
        return _ZERO_TIME  # what else it prints depends on the machine's time zone
    fields = value if isinstance(value, dict) else {}
    parts = [f"{go}:{_field(inner, fields.get(json) if json else fields)}" for go, json, inner in _structs()[named]]
    return "{" + " ".join(parts) + "}"


def _quantity(text: str) -> str:
    """The parts of a parsed resource.Quantity: a 64-bit number with a decimal scale where it fits, else a big one; the text
    is kept where it is canonical."""
    match = _QUANTITY.fullmatch(text)
    if match is None:
        return f"{{{text}}}"
    sign, whole, fraction, exponent_text, suffix = match.groups()
    whole, fraction, suffix = whole.lstrip("0") or "0", fraction or "", suffix or ""
    binary = suffix in _BINARY
    shape = "DecimalExponent" if exponent_text is not None else "BinarySI" if binary else "DecimalSI"
    exponent = int(exponent_text) if exponent_text is not None else _BINARY[suffix] if binary else _DECIMAL[suffix]
    if binary:
        scale, factor = 0, 1 << exponent
        precision = -1 if fraction else 15 - len(whole) - exponent * 3 // 10 - 1
    else:
        scale, factor = exponent, 1
        precision = 18 - len(whole) - len(fraction)
    scale -= len(fraction)
    digits = whole + fraction
    value = int(digits) * factor
    if precision >= 0 and scale >= -9 and value < _INT64:
        if binary:
            kept = exponent % 10 == 0 and int(digits) & 7 != 0
        else:
            kept = (scale % 3 == 0 and not digits.endswith("000") and digits[0] != "0") or text == "0"
        number = -value if sign == "-" else value
        return (
            f"{{i:(resource.int64Amount){{value:(int64){number} scale:(resource.Scale){scale}}} "
            f"d:(resource.infDecAmount){{Dec:(*inf.Dec)<nil>}} s:(string){text if kept else ''} "
            f"Format:(resource.Format){shape}}}"
        )
    places = len(fraction) - (0 if binary else exponent)
    if value:  # rounded up to billionths, and shown in them
        value = value * 10 ** (9 - places) if places <= 9 else -(-value // 10 ** (places - 9))
        places = 9
    words = []
    while value:
        words.append(str(value & 0xFFFFFFFFFFFFFFFF))
        value >>= 64
    magnitude = "[" + " ".join(words) + "]" if words else "<nil>"
    return (
        "{i:(resource.int64Amount){value:(int64)0 scale:(resource.Scale)0} d:(resource.infDecAmount){Dec:(*inf.Dec)"
        f"{{unscaled:(big.Int){{neg:(bool){'true' if sign == '-' else 'false'} abs:(big.nat){magnitude}}} "
        f"scale:(inf.Scale){places}}}}} s:(string) Format:(resource.Format){shape}}}"
    )
