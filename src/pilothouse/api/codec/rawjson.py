"""Raw JSON within objects: what upstream keeps as the bytes that were sent (runtime.RawExtension).

It stores them with their white space and order, and compares them as bytes; answers and patches write them compactly. So an
object that was created from indented JSON differs from the same object in any patch. What is compact is a plain dict here.

Source: upstream's apimachinery/pkg/runtime (RawExtension, its JSON and protobuf forms).
"""

from __future__ import annotations

import re
from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any, Final, TypeAlias

import orjson

from pilothouse.api.codec import text
from pilothouse.api.objects import Obj, RawObject, copy

Place: TypeAlias = tuple[str, ...]  # names of fields on the way; [] is every item of a list

_CONFIG: Final = ("devices", "config", "[]", "opaque", "parameters")
_PLACES: Final[dict[tuple[str, str], tuple[Place, ...]]] = {
    ("apps", "ControllerRevision"): (("data",),),
    ("resource.k8s.io", "DeviceClass"): (("spec", *_CONFIG[1:]),),
    ("resource.k8s.io", "ResourceClaim"): (
        ("spec", *_CONFIG), ("status", "allocation", *_CONFIG), ("status", "devices", "[]", "data"),
    ),
    ("resource.k8s.io", "ResourceClaimTemplate"): (("spec", "spec", *_CONFIG),),
}  # fmt: skip
_space: Final = re.compile(r"[ \t\n\r]*")
_spaced: Final = re.compile(rb"[{\[:,][ \t\n\r]|[ \t\n\r][}\]:,]")
_skip: Final = JSONDecoder(strict=False).raw_decode


def places(group: str, kind: str) -> tuple[Place, ...]:
    """Where objects of a kind hold raw JSON, in all of its versions."""
    return _PLACES.get((group, kind), ())


def may_hold(value: bytes) -> bool:
    """Whether a JSON text may hold raw JSON that is not compact."""
    return _spaced.search(value) is not None


def holds(where: tuple[Place, ...], obj: Obj) -> bool:
    return any(_any(obj, place) for place in where)


def _any(value: Any, place: Place) -> bool:
    if not place:
        return isinstance(value, RawObject)
    if place[0] == "[]":
        return isinstance(value, list) and any(_any(item, place[1:]) for item in value)
    return isinstance(value, dict) and _any(value.get(place[0]), place[1:])


def mark(where: tuple[Place, ...], obj: Any, source: bytes) -> None:
    """Puts a RawObject wherever raw JSON is not compact. `source`: the JSON that `obj` was read from."""
    if where and isinstance(obj, dict) and may_hold(source):
        whole = source.decode("utf-8", "replace")
        for place in where:
            _walk(whole, _space.match(whole).end(), obj, place)  # type: ignore[union-attr]


def _walk(whole: str, at: int, value: Any, place: Place) -> int:
    """From the beginning of the text of a value on the way to a place; where it ends."""
    if isinstance(value, dict) and whole[at] == "{":
        return _members(whole, at, value, place)
    if isinstance(value, list) and place[0] == "[]":
        return _items(whole, at, value, place)
    return int(_skip(whole, at)[1])


def _after(whole: str, at: int) -> int:
    found = _space.match(whole, at)
    assert found is not None
    return found.end()


def _members(whole: str, at: int, value: Obj, place: Place) -> int:
    at = _after(whole, at + 1)
    while whole[at] != "}":
        name, at = scanstring(whole, at + 1, False)
        at = _after(whole, _after(whole, at) + 1)
        inner = value.get(name)
        if name != place[0]:
            end = int(_skip(whole, at)[1])
        elif len(place) > 1:
            end = _walk(whole, at, inner, place[1:])
        else:
            end = int(_skip(whole, at)[1])
            given = whole[at:end].encode()
            if isinstance(inner, dict) and given != text.to_json(inner):
                value[name] = RawObject(inner, given)
        at = _next(whole, end)
    return at + 1


def _items(whole: str, at: int, value: list[Any], place: Place) -> int:
    at = _after(whole, at + 1)
    for item in value:
        at = _next(whole, _walk(whole, at, item, place[1:]))
    return at + 1


def _next(whole: str, at: int) -> int:
    """Past the comma, if there is one."""
    at = _after(whole, at)
    return _after(whole, at + 1) if whole[at] == "," else at


def compact(where: tuple[Place, ...], obj: Obj) -> Obj:
    """The object without RawObjects, which is what a patch is applied to; `obj` itself where it has none."""
    if not where or not holds(where, obj):
        return obj
    found: Obj = copy(obj)
    for place in where:
        _compact(found, place)
    return found


def _compact(value: Any, place: Place) -> None:
    if place[0] == "[]":
        for item in value if isinstance(value, list) else ():
            _compact(item, place[1:])
    elif isinstance(value, dict) and len(place) > 1:
        _compact(value.get(place[0]), place[1:])
    elif isinstance(value, dict) and isinstance(value.get(place[0]), RawObject):
        value[place[0]] = copy(dict(value[place[0]]))


def to_json(obj: Obj) -> bytes:
    """With the raw JSON as it was sent."""
    return orjson.dumps(obj, default=_written, option=orjson.OPT_PASSTHROUGH_SUBCLASS)


def _written(value: Any) -> Any:
    return orjson.Fragment(value.text) if isinstance(value, RawObject) else dict(value)
