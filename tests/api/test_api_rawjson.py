"""Raw JSON in objects: where it is, and what of its text stays."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api import scheme
from pilothouse.api.codec import rawjson
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.objects import RawObject, copy
from pilothouse.api.scheme import split_api_version
from pilothouse.api.types import Shape, Type, type_named

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
CONFIG = rawjson.places("resource.k8s.io", "DeviceClass")


def found_in(type_: Type, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if type_.name == "rawExtension":
        yield ()
    elif type_.shape is Shape.LIST and type_.element is not None:
        yield from (("[]", *rest) for rest in found_in(type_.element, above))
    elif type_.shape is Shape.STRUCT and type_.name not in above:
        for name, field in type_.fields.items():
            yield from ((name, *rest) for rest in found_in(field.type, (*above, type_.name)))


def test_the_places_are_those_of_the_types() -> None:
    for api_version, kinds in scheme.load_facts("types")["kinds"].items():
        group, _ = split_api_version(api_version)
        for kind, type_ in kinds.items():
            if kind.endswith(("List", "Review", "Event")):
                continue  # they are not stored
            assert set(rawjson.places(group, kind)) == set(found_in(type_named(f"#{type_}"))), kind


def device_class(parameters: Any) -> Any:
    return {"spec": {"config": [{"opaque": {"driver": "d", "parameters": parameters}}, {"other": parameters}]}}


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_what_was_sent_is_what_is_stored(parameters: Any, indent: Any, ascii_: bool) -> None:
    source = json.dumps(device_class(parameters), indent=indent, ensure_ascii=ascii_).encode()
    obj = orjson.loads(source)
    rawjson.mark(CONFIG, obj, source)
    assert orjson.loads(orjson.dumps(obj)) == device_class(parameters)  # everybody else sees no difference
    stored = rawjson.to_json(obj)
    again = orjson.loads(stored)
    rawjson.mark(CONFIG, again, stored)
    assert again == obj
    assert rawjson.compact(CONFIG, obj) == device_class(parameters)
    assert rawjson.holds(CONFIG, copy(obj)) == rawjson.holds(CONFIG, obj)


@pytest.mark.parametrize(
    ("first", "second", "equal"), [(b'{"a": 1}', b'{"a": 1}', True), (b'{"a": 1}', b'{"a":1}', False)]
)
def test_texts_are_compared(first: bytes, second: bytes, equal: bool) -> None:
    marked = []
    for text in (first, second):
        source = b'{"data":' + text + b"}"
        obj = orjson.loads(source)
        rawjson.mark((("data",),), obj, source)
        marked.append(obj)
    assert (marked[0] == marked[1]) is (same(*marked)) is equal
    assert isinstance(marked[0]["data"], RawObject)
