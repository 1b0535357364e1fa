"""RawExtensions are kept and compared by the bytes that they were sent in."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from asking import Call
from hypothesis import given
from hypothesis import strategies as st
from memory_store import MemoryStore

from pilothouse.api.codec import rawtext
from pilothouse.api.raw import RawObject, plain, text_of
from pilothouse.api.scheme import GVK
from pilothouse.api.types import holds_raw, type_of
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.server import APIServer
from pilothouse.store.interface import Range

_REVISIONS = "apis/apps/v1/namespaces/default/controllerrevisions"
MERGE = "application/merge-patch+json"


def _revision(data: str, revision: int = 1) -> bytes:
    head = '"apiVersion":"apps/v1","kind":"ControllerRevision","metadata":{"name":"a"}'
    return f'{{{head},"data":{data},"revision":{revision}}}'.encode()


@pytest.mark.parametrize(
    ("sent", "compact"),
    [('{"b": 1,"a":2}', '{"b":1,"a":2}'), ('{"a":"<x>"}', '{"a":"\\u003cx\\u003e"}'), ("{ }", "{}")],
)
async def test_a_patch_writes_it_anew(wire: Call, sent: str, compact: str) -> None:
    assert (await wire("POST", _REVISIONS, _revision(sent))).status == 201
    assert (await wire("PUT", f"{_REVISIONS}/a", _revision(sent, 2))).status == 200
    answer = await wire("PATCH", f"{_REVISIONS}/a", b'{"revision":3}', content_type=MERGE)
    assert answer.status == 422
    assert f"data: Invalid value: {compact}: field is immutable" in json.loads(answer.body)["message"]
    shown = await wire("GET", f"{_REVISIONS}/a")
    assert f'"data":{compact}'.encode() in shown.body


async def test_what_is_compact_can_be_patched(wire: Call) -> None:
    await wire("POST", _REVISIONS, _revision('{"b":1,"a":2}'))
    assert (await wire("PATCH", f"{_REVISIONS}/a", b'{"revision":3}', content_type=MERGE)).status == 200
    strategic = "application/strategic-merge-patch+json"  # this one sorts
    assert (await wire("PATCH", f"{_REVISIONS}/a", b'{"revision":4}', content_type=strategic)).status == 422


async def test_an_apply_that_changes_nothing_keeps_it(wire: Call) -> None:
    await wire("POST", _REVISIONS, _revision('{"a": 1}'))
    apply = "application/apply-patch+yaml"
    applied = await wire("PATCH", f"{_REVISIONS}/a?fieldManager=x", _revision('{"a": 1}'), content_type=apply)
    assert applied.status == 200
    changed = await wire(
        "PATCH", f"{_REVISIONS}/a?fieldManager=x&force=true", _revision('{"a": 1}', 2), content_type=apply
    )
    assert changed.status == 422


async def test_the_store_holds_the_text(wire: Call, store: MemoryStore, server: APIServer) -> None:
    await wire("POST", _REVISIONS, _revision('{"b": [1, 2]}'))
    served = server.core.registry.get("apps", "v1", "controllerrevisions")
    assert served is not None
    key = "/registry/controllerrevisions/default/a"
    value = (await store.range(Range(key.encode()))).kvs[0].value
    assert b'{"b": [1, 2]}' in value
    again = Entry.of_value(served.stored, key, 7, value)
    assert isinstance(again.obj["data"], RawObject) and again.obj["data"].text == b'{"b": [1, 2]}'
    assert b'"data":{"b":[1,2]}' in again.json(served)


def test_which_types_hold_one() -> None:
    held = [holds_raw(t) for kind in ("Pod", "ConfigMap") if (t := type_of(GVK("", "v1", kind))) is not None]
    claims = type_of(GVK("resource.k8s.io", "v1", "ResourceClaim"))
    assert held == [False, False]
    assert claims is not None and holds_raw(claims)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=3), JSON, max_size=3), st.sampled_from([None, 1, "\t"]), st.booleans())
def test_what_was_sent_is_what_is_stored(parameters: Any, indent: Any, ascii_: bool) -> None:
    type_ = type_of(GVK("resource.k8s.io", "v1", "DeviceClass"))
    assert type_ is not None
    value = {"spec": {"config": [{"opaque": {"driver": "d", "parameters": parameters}}], "x": [parameters]}}
    sent = json.dumps(value, indent=indent, ensure_ascii=ascii_).encode()
    found = rawtext.with_texts(type_, orjson.loads(sent), sent)
    stored = rawtext.to_json(found)
    again = rawtext.with_texts(type_, orjson.loads(stored), stored)
    assert plain(found) == plain(again) == value
    text = text_of(found["spec"]["config"][0]["opaque"]["parameters"])
    assert text == text_of(again["spec"]["config"][0]["opaque"]["parameters"])
    assert text in sent


def test_compact_bodies_are_not_searched() -> None:
    type_ = type_of(GVK("apps", "v1", "ControllerRevision"))
    assert type_ is not None
    value = {"data": {"a": 1}}
    assert rawtext.with_texts(type_, value, b'{"data":{"a":1}}') is value
