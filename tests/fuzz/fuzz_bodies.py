"""Bodies for every type: plausible ones made from the type tables, and what can be broken about them."""

from __future__ import annotations

import random
from typing import Any

import orjson

from pilothouse.api.types import Field, Shape, Type

_NAMES = ("a", "web", "kube-system", "x-1", "node-1")
_STRINGS = (
    *_NAMES, "", "A", "_", "a/b", "a.b.c", "*", "-1", "1", "true", "10m", "1Gi", "10.0.0.1", "::1", "10.0.0.0/8", "http",
    "2026-01-02T03:04:05Z", "example.com/x", "https://example.com/", "self.x == 1", "{.spec.x}", "%s%n", "\x00", "é", "a" * 300,
)  # fmt: skip
_SCALARS: dict[str, tuple[Any, ...]] = {
    "bool": (True, False),
    "int32": (0, 1, 2, 80, -1, 65536, 2**31 - 1),
    "int64": (0, 1, 30, -1, 2**63 - 1),
    "float64": (0.0, 0.5, -1.5, 1e308),
    "bytes": ("", "YQ==", "not base64"),
    "quantity": ("1", "100m", "1Gi", 0, "1e3", "-1", "1.5Ei"),
    "time": ("2026-01-02T03:04:05Z", None),
    "microtime": ("2026-01-02T03:04:05.000001Z", None),
    "duration": ("1s", "5m0s", "-1h"),
    "intOrString": (1, "25%", "http", 0, -1, "x"),
}
_JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 2**31, 2**63, -(2**63), 10**30, 1e308, "",
    "x", "\x00", "\U0001f4a5", "a" * 5000, [], [None], {}, {"": None},
    {"a": {"b": [None, {}]}}, [[]], [1, "a", None, {}], "1e9999999", "9" * 400, "0x10", "1Ki" * 50, "2026-13-45T99:99:99Z",
)  # fmt: skip


def again(obj: Any) -> Any:
    """A copy that shares nothing with it."""
    if isinstance(obj, dict):
        return {k: again(v) for k, v in obj.items()}
    return [again(v) for v in obj] if isinstance(obj, list) else obj


def junk(rng: random.Random) -> Any:
    return again(rng.choice(_JUNK))


def body(rng: random.Random, type_: Type, depth: int = 0) -> Any:
    """A value of `type_`, of a size that fits a request."""
    if type_.shape is Shape.STRUCT:
        fields = list(type_.fields.values())
        if depth > 7:
            fields = [f for f in fields if f.required]
        wanted = [f for f in fields if f.required or rng.random() < (0.7 if depth < 2 else 4 / (4 + len(fields)))]
        return {f.name: _field(rng, f, depth) for f in wanted}
    if type_.shape is Shape.LIST and type_.element is not None:
        return [body(rng, type_.element, depth + 1) for _ in range(rng.choice((0, 1, 1, 1, 2, 3)))]
    if type_.shape is Shape.MAP and type_.element is not None:
        return {rng.choice(_STRINGS): body(rng, type_.element, depth + 1) for _ in range(rng.choice((0, 1, 1, 2)))}
    if type_.shape is Shape.ANY:
        return junk(rng)
    return rng.choice(_SCALARS.get(type_.name, _STRINGS))


def _field(rng: random.Random, field: Field, depth: int) -> Any:
    if field.enum and rng.random() < 0.9:
        return rng.choice(field.enum)
    return body(rng, field.type, depth + 1)


def mix(rng: random.Random, into: Any, made: Any, key: Any) -> None:
    """Takes a part of `made` over, deep down most often."""
    if isinstance(into.get(key), dict) and isinstance(made[key], dict) and made[key] and rng.random() < 0.9:
        mix(rng, into[key], made[key], rng.choice(list(made[key])))
    else:
        into[key] = made[key]


def places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value within."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        container = todo.pop()
        pairs = container.items() if isinstance(container, dict) else enumerate(container)
        for key, inner in pairs:
            found.append((container, key))
            if isinstance(inner, dict | list):
                todo.append(inner)
    return found


def break_object(rng: random.Random, value: Any) -> Any:
    """`value`, changed in place at a few places."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 5))):
        found = places(value)
        if not found:
            return junk(rng)
        container, key = rng.choice(found)
        how = rng.random()
        if how < 0.6:
            container[key] = junk(rng)
        elif how < 0.7:
            del container[key]
        elif how < 0.8 and isinstance(container, list):
            container.append(again(container[key]))
        elif how < 0.9 and isinstance(container, dict):
            container["unknown" if rng.random() < 0.5 else str(key).upper()] = again(container[key])
        else:
            container[key] = nested(rng.choice((3, 50, 200)))
    return value


def nested(depth: int) -> Any:
    value: Any = 1
    for i in range(depth):
        value = [value] if i % 2 else {"a": value}
    return value


def encode(value: Any) -> bytes:
    """JSON, of integers of any size too."""
    try:
        return orjson.dumps(value)
    except (orjson.JSONEncodeError, TypeError):
        import json

        return json.dumps(value).encode()


def break_bytes(rng: random.Random, data: bytes) -> bytes:
    """Bytes that no encoder makes."""
    if not data:
        return data
    at = rng.randrange(len(data))
    how = rng.randrange(7)
    if how == 0:
        return data[:at]
    if how == 1:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
    if how == 2:
        return (
            data[:at] + rng.choice((b"\xff\xfe", b"\xed\xa0\x80", b"\x00", b"null", b'"', b"}", b"1e99999")) + data[at:]
        )
    if how == 3:
        return data.replace(b'"name"', b'"name":"dup","name"', 1)
    if how == 4:
        return b"[" * rng.choice((10, 20_000)) + data
    if how == 5:
        return data + data
    return rng.randbytes(rng.choice((1, 20, 300)))
