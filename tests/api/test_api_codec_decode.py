"""Typed decoding: what comes out, and upstream's words for what is wrong."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api.codec import text
from pilothouse.api.codec.decode import DecodeError, decode, hold
from pilothouse.api.objects import copy
from pilothouse.api.scheme import GVK
from pilothouse.api.types import Type, type_named, type_of


def kind(name: str, group: str = "", version: str = "v1") -> Type:
    found = type_of(GVK(group, version, name))
    assert found is not None
    return found


POD, CONFIG_MAP, DEPLOYMENT = kind("Pod"), kind("ConfigMap"), kind("Deployment", "apps")


def said(type_: Type, value: Any, raw: bytes | None = None) -> str:
    with pytest.raises(DecodeError) as caught:
        decode(type_, value, raw=raw)
    return str(caught.value)


def test_fields_come_in_order_and_structs_are_always_there() -> None:
    sent = {"spec": {"template": {}, "selector": {}}, "metadata": {"labels": {"b": "2", "a": "1"}, "name": "x"}}
    found, strict = decode(DEPLOYMENT, sent, strict=True)
    assert orjson.dumps(found) == (
        b'{"metadata":{"name":"x","labels":{"a":"1","b":"2"}},'
        b'"spec":{"selector":{},"template":{"metadata":{},"spec":{"containers":null}},"strategy":{}},"status":{}}'
    )
    assert strict == []


def test_nulls_and_zeros() -> None:
    found, _ = decode(
        CONFIG_MAP,
        {
            "metadata": {"name": "x", "creationTimestamp": None, "finalizers": [None], "generation": 0},
            "data": {"a": None},
            "binaryData": {"b": None},
            "immutable": False,
        },
    )
    assert found == {
        "metadata": {"name": "x", "finalizers": [""]}, "immutable": False, "data": {"a": ""}, "binaryData": {"b": ""},
    }  # fmt: skip


def test_an_empty_list_that_is_always_written_is_null_but_where_json_is_stored() -> None:
    role = kind("Role", "rbac.authorization.k8s.io")
    assert decode(role, {"rules": []})[0]["rules"] == []
    assert decode(role, {"rules": []}, stored=True)[0]["rules"] is None
    crd = kind("CustomResourceDefinition", "apiextensions.k8s.io")
    names = decode(crd, {"spec": {"versions": []}}, stored=True)[0]
    assert names["spec"]["versions"] == []


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [("1000m", "1"), ("0.5", "500m"), (2, "2"), (0.1, "100m"), ("1024Mi", "1Gi"), ("1.500", "1.500"), (" 1 ", "1")],
)
def test_quantities(sent: Any, canonical: str) -> None:
    spec = {"containers": [{"name": "c", "resources": {"limits": {"cpu": sent}}}]}
    found, _ = decode(POD, {"spec": spec})
    assert found["spec"]["containers"][0]["resources"]["limits"]["cpu"] == canonical


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("2020-01-01T02:00:00+02:00", "2020-01-01T00:00:00Z"),
        ("2020-01-01T00:00:00.999Z", "2020-01-01T00:00:00Z"),
        ("0001-01-01T00:00:00Z", None),
    ],
)
def test_times(sent: str, written: str | None) -> None:
    found, _ = decode(CONFIG_MAP, {"metadata": {"creationTimestamp": sent}})
    assert found["metadata"].get("creationTimestamp") == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"spec":{"replicas":"3"}}', "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"),
        ('{"spec":{"replicas":1e1}}',
            "cannot unmarshal number 1e1 into Go struct field DeploymentSpec.spec.replicas of type int32"),
        (
            '{"spec":{"replicas":2147483648}}',
            "cannot unmarshal number 2147483648 into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        ('{"metadata":[]}', "cannot unmarshal array into Go struct field Deployment.metadata of type v1.ObjectMeta"),
        (
            '{"metadata":{"creationTimestamp":5}}',
            "cannot unmarshal number into Go struct field ObjectMeta.metadata.creationTimestamp of type string",
        ),
        (
            '{"spec":{"template":{"spec":{"volumes":[{"configMap":{"name":1}}]}}}}',
            "cannot unmarshal number into Go struct field ConfigMapVolumeSource.spec.template.spec.volumes.VolumeSource."
            "configMap.LocalObjectReference.name of type string",
        ),
        (
            '{"spec":{"template":{"spec":{"restartPolicy":1}}}}',
            "cannot unmarshal number into Go struct field PodSpec.spec.template.spec.restartPolicy of type v1.RestartPolicy",
        ),
        (
            '{"spec":{"strategy":{"rollingUpdate":{"maxSurge":true}}}}',
            "cannot unmarshal bool into Go struct field RollingUpdateDeployment.spec.strategy.rollingUpdate.maxSurge "
            "of type int32",
        ),
    ],
)  # fmt: skip
def test_wrong_types(text: str, message: str) -> None:
    raw = text.encode()
    assert said(DEPLOYMENT, orjson.loads(raw), raw) == f"json: {message}"


def test_a_reader_of_its_own_comes_before_what_is_remembered() -> None:
    text = b'{"spec":{"replicas":"3","template":{"spec":{"containers":[{"resources":{"limits":{"cpu":"x"}}}]}}}}'
    assert said(DEPLOYMENT, orjson.loads(text), text).startswith("quantities must match")


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        ("-a-", 'parsing time "-a-" as "2006-01-02T15:04:05Z07:00": cannot parse "-a-" as "2006"'),
        ("2020-01-01", 'parsing time "2020-01-01" as "2006-01-02T15:04:05Z07:00": cannot parse "" as "T"'),
        ("2020-02-30T00:00:00Z", 'parsing time "2020-02-30T00:00:00Z": day out of range'),
        ("2020-01-01T25:00:00Z", 'parsing time "2020-01-01T25:00:00Z": hour out of range'),
        ("2020-01-01T00:00:00Zz", 'parsing time "2020-01-01T00:00:00Zz": extra text: "z"'),
    ],
)
def test_wrong_times(sent: str, message: str) -> None:
    assert said(CONFIG_MAP, {"metadata": {"creationTimestamp": sent}}) == message


@pytest.mark.parametrize(
    ("sent", "at"), [("***", 0), ("YQ", 0), ("YQ===", 4), ("Not_A", 3), ("YWJj\nZ", 5), ("YQ=a", 2)]
)
def test_wrong_base64(sent: str, at: int) -> None:
    assert said(CONFIG_MAP, {"binaryData": {"a": sent}}) == f"illegal base64 data at input byte {at}"


def test_strict_errors_come_in_the_order_of_the_text_and_once() -> None:
    raw = b'{"nope":1,"metadata":{"name":"x","name":"y"},"data":{"a":"1","a":"2","a":"3"},"nope":2}'
    _, strict = decode(CONFIG_MAP, orjson.loads(raw), strict=True, raw=raw)
    assert strict == ['unknown field "nope"', 'duplicate field "metadata.name"', 'duplicate field "data.a"']
    assert decode(CONFIG_MAP, orjson.loads(raw), raw=raw)[1] == []
    _, strict = decode(POD, {"spec": {"containers": [{"name": "c"}, {"x": 1}]}}, strict=True)
    assert strict == ['unknown field "spec.containers[1].x"']


def containers(first: str, second: str) -> Any:
    """Of a pod whose text gives them twice."""
    raw = b'{"spec":{"containers":%b,"containers":%b}}' % (first.encode(), second.encode())
    return decode(POD, text.from_json(raw), raw=raw)[0]["spec"]["containers"]


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ('[{"name":"a","args":["x"]},{"name":"b"}]', '[{"image":"i"}]', [{"name": "a", "image": "i", "args": ["x"]}]),
        ('[{"name":"a"},{"name":"b"}]', '[null,{"image":"i"}]', [{"name": "a"}, {"name": "b", "image": "i"}]),
        ('[{"name":"a","args":["x"]}]', '[{"name":null,"args":null}]', [{"name": "a"}]),
        ('[{"name":"a","tty":true}]', '[{"name":"b\\ud800"},{}]', [{"name": "b\ufffd", "tty": True}, {"name": ""}]),
        ('[{"name":"a"}]', "null", None),
    ],
)
def test_lists_given_twice_are_read_into_each_other(first: str, second: str, merged: Any) -> None:
    found = containers(first, second)
    assert [{k: v for k, v in c.items() if k != "resources"} for c in found or ()] == (merged or [])


def test_maps_and_structs_given_twice_are_merged() -> None:
    raw = b'{"metadata":{"name":"x"},"metadata":{"labels":{"a":"b"},"name":null},"data":{"a":"1","b":"2"},"data":{"b":"3"}}'
    found, _ = decode(CONFIG_MAP, orjson.loads(raw), raw=raw)
    assert found == {"metadata": {"name": "x", "labels": {"a": "b"}}, "data": {"a": "1", "b": "3"}}
    limits = '[{"name":"a","resources":{"limits":{"%s":"1"}}}]'
    assert containers(limits % "cpu", limits % "memory")[0]["resources"] == {"limits": {"cpu": "1", "memory": "1"}}
    probe = '[{"name":"a","livenessProbe":{"httpGet":{%s}}}]'
    assert containers(probe % '"port":80', probe % '"port":null,"path":"/"')[0]["livenessProbe"] == {
        "httpGet": {"path": "/", "port": 80}
    }


def test_what_was_given_first_is_of_its_type_too() -> None:
    raw = b'{"metadata":{"name":1},"metadata":{"name":"x"}}'
    message = "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string"
    assert said(CONFIG_MAP, orjson.loads(raw), raw) == message


def test_schemas_that_may_be_something_else() -> None:
    crd = kind("CustomResourceDefinition", "apiextensions.k8s.io")

    def schema(**properties: Any) -> Any:
        sent = {"spec": {"versions": [{"name": "v1", "schema": {"openAPIV3Schema": properties}}]}}
        return decode(crd, sent)[0]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]

    assert schema(additionalProperties=True) == {"additionalProperties": True}
    assert schema(additionalProperties={"type": "string"}) == {"additionalProperties": {"type": "string"}}
    assert schema(items={"type": "string"}) == {"items": {"type": "string"}}
    assert schema(default={"b": None, "a": 1}) == {"default": {"b": None, "a": 1}}
    assert schema(default=None) == {}
    with pytest.raises(DecodeError, match="boolean or JSON schema expected"):
        schema(additionalProperties=1)


def test_a_schema_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object"}
    for _ in range(5000):
        schema = {"properties": {"a": schema}}
    sent = {"spec": {"versions": [{"schema": {"openAPIV3Schema": schema}}]}}
    assert said(kind("CustomResourceDefinition", "apiextensions.k8s.io"), sent) == "exceeded max depth"


def test_the_caller_keeps_what_they_gave() -> None:
    sent = {"kind": "ControllerRevision", "data": {"a": [1]}, "metadata": {"labels": {"a": "b"}}, "revision": 1}
    before = copy(sent)
    found, _ = decode(kind("ControllerRevision", "apps"), sent)
    found["data"]["a"].append(2)
    found["metadata"]["labels"]["c"] = "d"
    assert sent == before


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(
        ["metadata", "spec", "name", "labels", "containers", "resources", "limits", "cpu", "volumes", "env", "template",
         "replicas", "selector", "matchLabels", "creationTimestamp", "x"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@given(ANYTHING, st.sampled_from([POD, DEPLOYMENT, CONFIG_MAP]))
def test_anything_decodes_to_a_fixed_point_or_is_refused(value: Any, type_: Type) -> None:
    try:
        found, _ = decode(type_, value, strict=True)
    except DecodeError as error:
        assert str(error)
        return
    again, strict = decode(type_, found, strict=True)
    assert orjson.dumps(again) == orjson.dumps(found)
    assert strict == []


@given(st.binary(max_size=12))
def test_base64_is_written_as_it_was_meant(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    found, _ = decode(CONFIG_MAP, {"binaryData": {"a": text}})
    assert found["binaryData"]["a"] == text


def test_empty_lists_and_maps_are_held_until_the_object_is_stored() -> None:
    sent = {"metadata": {"labels": {}}, "spec": {"containers": [], "tolerations": []}}
    held = hold(POD, sent)
    assert held.empties
    assert held.value["metadata"] == {"labels": {}}
    assert held.value["spec"] == {"containers": [], "tolerations": []}
    assert decode(POD, held.value)[0]["spec"] == {"containers": []}
    assert decode(POD, held.value, stored=True)[0]["spec"] == {"containers": None}
    assert not hold(POD, {"spec": {"containers": []}}).empties


@pytest.mark.parametrize(
    ("direct", "place"), [(False, "spec.devices[0].attributes.a.zz"), (True, "spec.devices[0].attributes.zz")]
)
def test_paths_through_maps(direct: bool, place: str) -> None:
    type_ = type_named("#resource/v1.ResourceSlice")
    value = {"spec": {"devices": [{"name": "d", "attributes": {"a": {"zz": 1}}}]}}
    assert hold(type_, value, strict=True, direct=direct).faults == [f'unknown field "{place}"']
