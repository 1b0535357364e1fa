from __future__ import annotations

import json
from typing import Any

import pytest

from pilothouse.api.objects import copy
from pilothouse.api.patch import REFUSED, PatchError, jsonpatch
from pilothouse.api.patch.jsonpatch import json_patch
from pilothouse.api.patch.merge import merge_patch
from pilothouse.api.patch.strategic import strategic_merge
from pilothouse.api.types import type_named

DOCUMENT = {"kind": "K", "metadata": {"name": "n", "labels": {"a": "1"}}, "list": [1, 2, 3]}
POD = type_named("#core/v1.Pod")


def op(kind: str, path: str, **rest: Any) -> dict[str, Any]:
    return {"op": kind, "path": path, **rest}


@pytest.mark.parametrize(
    ("operation", "at", "wanted"),
    [
        (op("replace", "/absent", value=False), ("absent",), False),  # a key may be replaced that is not there
        (op("add", "/list/-", value=4), ("list",), [1, 2, 3, 4]),
        (op("add", "/list/-1", value=9), ("list",), [1, 2, 3, 9]),
        (op("remove", "/list/-1"), ("list",), [1, 2]),
        (op("move", "/list/0", **{"from": "/list/2"}), ("list",), [3, 1, 2]),
        (op("copy", "/copied", **{"from": "/metadata/labels"}), ("copied",), {"a": "1"}),
        (
            op("add", "whatever/list/0", value=0),
            ("list",),
            [0, 1, 2, 3],
        ),  # what is before the first slash is not looked at
        (op("test", "/absent", value=None), ("kind",), "K"),
    ],
)
def test_json_patch_takes_upstreams_liberties(operation: dict[str, Any], at: tuple[str, ...], wanted: Any) -> None:
    before = copy(DOCUMENT)
    found = json_patch(DOCUMENT, [operation])
    for key in at:
        found = found[key]
    assert found == wanted
    assert before == DOCUMENT


@pytest.mark.parametrize(
    "operation",
    [
        op("remove", "/absent"),
        op("remove", ""),
        op("add", "/absent/x", value=1),
        op("replace", "/list/7", value=1),
        op("replace", "/list/x", value=1),
        op("replace", "", value=1),
        op("test", "/kind", value="L"),
        op("test", "/list/0", value=True),
        op("nothing", "/kind"),
        {"op": "add", "value": 1},
        op("copy", "/x"),
    ],
)
def test_json_patch_refuses_in_one_sentence(operation: dict[str, Any]) -> None:
    with pytest.raises(PatchError) as caught:
        json_patch(DOCUMENT, [operation])
    assert (str(caught.value), caught.value.code) == (REFUSED, 422)


def test_copies_of_copies_are_limited() -> None:
    doubling = [op("copy", "/x/-", **{"from": "/x"})] * 40
    with pytest.raises(PatchError):
        json_patch({"x": ["a" * 100]}, doubling)


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        ({}, "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
        (
            [{"op": 1}],
            "error decoding patch: json: cannot unmarshal number into Go struct field jsonPatchOp.op of type string",
        ),
    ],
)
def test_what_is_no_json_patch_is_told(patch: Any, wanted: str) -> None:
    with pytest.raises(PatchError, match="error decoding patch") as caught:
        jsonpatch.read(patch, None)
    assert str(caught.value) == wanted


def test_json_patch_notes_what_it_does_not_know() -> None:
    assert jsonpatch.read([{"op": "add", "path": "/a", "wat": 1}], None) == ['json patch unknown field "[0].wat"']
    twice = b'[{"op":"add","path":"/a","value":{"b":1,"b":2}}]'
    assert jsonpatch.read(json.loads(twice), twice) == ['json patch duplicate field "[0].value.b"']


@pytest.mark.parametrize(("patch", "wanted"), [
    ({}, "json: cannot unmarshal object into Go value of type jsonpatch.Patch"),
    ([5], "json: cannot unmarshal number into Go value of type jsonpatch.Operation"),
])  # fmt: skip
def test_what_is_no_json_patch_where_nothing_is_judged(patch: Any, wanted: str) -> None:
    with pytest.raises(PatchError) as caught:
        jsonpatch.read(patch, b"", judge=False)
    assert str(caught.value) == wanted
    assert jsonpatch.read([{"op": "add", "path": "/a", "wat": 1}], b"", judge=False) == []


@pytest.mark.parametrize("patched", [json_patch(DOCUMENT, [op("add", "/metadata/labels/z", value="2")]),
                                     merge_patch(DOCUMENT, {"metadata": {"labels": {"z": "2"}}})])  # fmt: skip
def test_what_a_patch_goes_through_is_written_as_go_writes_maps(patched: Any) -> None:
    assert list(patched) == ["kind", "list", "metadata"]
    assert list(patched["metadata"]) == ["labels", "name"]


def test_merge_patch_drops_nulls_of_new_values_only() -> None:
    assert merge_patch({"a": 1}, {"b": {"c": None, "d": [{"e": None}, None]}}) == {"a": 1, "b": {"d": [{}, None]}}
    assert merge_patch({"a": {"x": 1}}, {"a": [{"e": None}]}) == {"a": [{"e": None}]}


def pod(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": n, "image": n} for n in names]}}


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        ([{"name": "x"}], ["x", "a", "b", "c"]),  # new ones come first
        ([{"name": "c"}, {"name": "a"}], ["b", "c", "a"]),
        ([{"name": "b"}, {"name": "x"}], ["a", "b", "x", "c"]),
        ([{"name": "b", "$patch": "delete"}], ["a", "c"]),
        ([{"name": "z"}, {"$patch": "replace"}], ["z"]),
    ],
)
def test_items_of_a_strategic_patch_find_their_place(patch: list[Any], wanted: list[str]) -> None:
    found = strategic_merge(pod("a", "b", "c"), {"spec": {"containers": patch}}, POD)
    assert [c["name"] for c in found["spec"]["containers"]] == wanted


def test_set_element_order_orders() -> None:
    patch = {"$setElementOrder/containers": [{"name": "c"}, {"name": "a"}], "containers": [{"name": "a", "image": "i"}]}
    found = strategic_merge(pod("a", "b", "c"), {"spec": patch}, POD)
    assert [(c["name"], c["image"]) for c in found["spec"]["containers"]] == [("b", "b"), ("c", "c"), ("a", "i")]


@pytest.mark.parametrize(
    ("patch", "wanted"),
    [
        ({"$patch": "wat"}, "unknown patch type: wat in map: map[$patch:wat]"),
        (
            {"spec": {"containers": [{"image": "i"}]}},
            "map: map[image:i] does not contain declared merge key: name",
        ),
        ({"metadata": {"$deleteFromPrimitiveList": ["a"]}}, "invalid patch format of primitive list"),
        ({"spec": {"$retainKeys": ["x"], "y": 1}}, "invalid patch format of retainKeys"),
        (
            {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}},
            "The order in patch list:\n[map[name:b]]\n doesn't match $setElementOrder list:\n[map[name:a]]\n",
        ),
        (
            {"spec": {"containers": [{"name": "a"}, 1]}},
            "list element types are not identical: [[map[image:a name:a]] [map[name:a] 1]]",
        ),
    ],
)
def test_strategic_patches_that_make_no_sense(patch: dict[str, Any], wanted: str) -> None:
    with pytest.raises(PatchError) as caught:
        strategic_merge({"metadata": {}, **pod("a")}, patch, POD)
    assert str(caught.value) == wanted


@pytest.mark.parametrize(("literal", "passes"), [(True, False), (False, True)])
def test_a_test_compares_texts(literal: bool, passes: bool) -> None:
    patch = [{"op": "test", "path": "/a", "value": {"b": "x > 1"}}]
    if passes:
        assert json_patch({"a": {"b": "x > 1"}}, patch, literal=literal) == {"a": {"b": "x > 1"}}
    else:
        with pytest.raises(PatchError):
            json_patch({"a": {"b": "x > 1"}}, patch, literal=literal)
    plain = [{"op": "test", "path": "/a", "value": 1}]
    assert json_patch({"a": 1}, plain, literal=literal) == {"a": 1}
