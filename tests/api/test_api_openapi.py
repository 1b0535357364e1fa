"""OpenAPI documents: of built-in kinds, of custom resources, in both versions and as protobuf."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from pilothouse.api.openapi import custom, descriptions, gnostic, v2, v3
from pilothouse.api.scheme import GVK, GVR, Resource, Subresource, resources

OBJECT_META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


def document(api_version: str) -> dict[str, Any]:
    return v3.document(
        api_version, [(r, False) for r in resources().values() if r.gvr.api_version == api_version], "1.37"
    )


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@pytest.mark.parametrize("api_version", ["v1", "apps/v1", "apiextensions.k8s.io/v1", "autoscaling/v2", "policy/v1"])
def test_references_resolve(api_version: str) -> None:
    found = document(api_version)
    known = {f"#/components/schemas/{name}" for name in found["components"]["schemas"]}
    assert set(references(found)) <= known
    ids = [o["operationId"] for item in found["paths"].values() for m, o in item.items() if m != "parameters"]
    assert len(ids) == len(set(ids))


def test_schema_of_a_kind() -> None:
    schemas = document("apps/v1")["components"]["schemas"]
    spec = schemas["io.k8s.api.apps.v1.DeploymentSpec"]
    assert spec["required"] == ["selector", "template"]
    assert spec["properties"]["replicas"] == {
        "description": "Number of desired pods. This is a pointer to distinguish between explicit zero and not specified. "
        "Defaults to 1.",
        "type": "integer",
        "format": "int32",
    }
    assert spec["properties"]["strategy"]["x-kubernetes-patch-strategy"] == "retainKeys"
    assert spec["properties"]["template"]["default"] == {}
    ephemeral = schemas["io.k8s.api.core.v1.EphemeralContainer"]["properties"]
    assert ephemeral["ports"]["x-kubernetes-list-map-keys"] == ["containerPort", "protocol"]
    policy = ephemeral["imagePullPolicy"]
    assert policy["enum"] == ["Always", "IfNotPresent", "Never"]
    assert policy["description"].endswith('Possible enum values:\n - `"Always"`\n - `"IfNotPresent"`\n - `"Never"`')
    kinds = schemas["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]["x-kubernetes-group-version-kind"]
    assert [k["group"] for k in kinds] == ["", "apps"]


def test_operations() -> None:
    paths = document("v1")["paths"]
    pod = paths["/api/v1/namespaces/{namespace}/pods/{name}"]
    assert [p["name"] for p in pod["parameters"]] == ["name", "namespace", "pretty"]
    assert pod["patch"]["operationId"] == "patchCoreV1NamespacedPod"
    assert set(pod["patch"]["responses"]) == {"200", "201", "401"}
    assert "required" not in pod["delete"]["requestBody"]
    exec_ = paths["/api/v1/namespaces/{namespace}/pods/{name}/exec"]
    assert [p["name"] for p in exec_["parameters"]] == [
        "command", "container", "name", "namespace", "stderr", "stdin", "stdout", "tty",
    ]  # fmt: skip
    assert exec_["post"]["operationId"] == "connectCoreV1PostNamespacedPodExec"
    proxy = paths["/api/v1/nodes/{name}/proxy/{path}"]
    assert set(proxy) == {"get", "put", "post", "delete", "options", "head", "patch", "parameters"}
    watch = paths["/api/v1/watch/namespaces/{namespace}/pods"]["get"]
    assert watch["operationId"] == "watchCoreV1NamespacedPodList"
    assert watch["x-kubernetes-action"] == "watchlist"
    token = paths["/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"]["post"]
    assert token["x-kubernetes-group-version-kind"] == {
        "group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wrapped", "told"),
    [
        ("one line", "one line"),
        (f"{'a ' * 38}b\nnextword is here", f"{'a ' * 38}b nextword is here"),
        ("A paragraph.\nAnother one.", "A paragraph.\n\nAnother one."),
        ("A paragraph.\n\nAnother one.", "A paragraph.\n\nAnother one."),
    ],
)
def test_descriptions_are_unwrapped(wrapped: str, told: str) -> None:
    assert descriptions._plain(wrapped) == told


def test_version_2() -> None:
    joined = orjson.loads(v2.join([v2.encoded(v2.fragment(document("apps/v1")))], "1.37"))
    assert joined["swagger"] == "2.0"
    assert joined["info"]["version"] == "1.37"
    assert set(references(joined)) <= {
        *(f"#/definitions/{n}" for n in joined["definitions"]), *(f"#/parameters/{n}" for n in joined["parameters"]),
    }  # fmt: skip
    spec = joined["definitions"]["io.k8s.api.apps.v1.DeploymentSpec"]["properties"]
    assert spec["template"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodTemplateSpec"
    assert "default" not in spec["template"]
    assert joined["definitions"]["io.k8s.apimachinery.pkg.api.resource.Quantity"]["type"] == "string"
    one = joined["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    assert one["consumes"][0] == "application/json-patch+json"
    named = [p.get("name") or p["$ref"].partition("-")[0] for p in one["parameters"]]
    assert named == [
        "#/parameters/body",
        "dryRun",
        "#/parameters/fieldManager",
        "fieldValidation",
        "#/parameters/force",
    ]
    get = joined["paths"]["/apis/apps/v1/"]["get"]
    assert get["consumes"] == ["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"]


def gadgets(schema: dict[str, Any] | None) -> custom.Custom:
    gvk = GVK("example.com", "v1", "Gadget")
    status = {"status": Subresource("status", gvk, ("get", "patch", "update"))}
    resource = Resource(GVR("example.com", "v1", "gadgets"), "Gadget", "gadget", True, VERBS, (), (), status)
    return custom.Custom(resource, "GadgetList", schema, ("spec.color",))


def published(part: dict[str, Any], *, version_2: bool) -> dict[str, Any]:
    """What becomes of a schema below `spec`."""
    schema = {"type": "object", "properties": {"spec": part}}
    found = custom.document("example.com/v1", [gadgets(schema)], version_2=version_2)
    if version_2:
        return v2.fragment(found).definitions["com.example.v1.Gadget"]["properties"]["spec"]  # type: ignore[no-any-return]
    return found["components"]["schemas"]["com.example.v1.Gadget"]["properties"]["spec"]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("part", "in_3", "in_2"),
    [
        (
            {"type": "string", "default": "a", "nullable": True},
            {"type": "string", "default": "a", "nullable": True},
            {},
        ),
        (
            {"x-kubernetes-int-or-string": True},
            {"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]},
            {"x-kubernetes-int-or-string": True},
        ),
        (
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "string"}}},
            {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "string"}}},
            {"x-kubernetes-preserve-unknown-fields": True},
        ),
        (
            {
                "type": "object",
                "required": ["a", "b"],
                "properties": {"a": {"type": "string", "nullable": True}, "b": {}},
            },
            {
                "type": "object",
                "required": ["a", "b"],
                "properties": {"a": {"type": "string", "nullable": True}, "b": {}},
            },
            {"type": "object", "required": ["b"], "properties": {"a": {}, "b": {}}},
        ),
        (
            {"type": "string", "allOf": [{"pattern": "a"}], "not": {"enum": ["x"]}, "maxLength": 3},
            {"type": "string", "allOf": [{"pattern": "a"}], "not": {"enum": ["x"]}, "maxLength": 3},
            {"type": "string", "maxLength": 3},
        ),
        ({"type": "array"}, {"type": "array"}, {}),
    ],
)
def test_custom_schema(part: dict[str, Any], in_3: dict[str, Any], in_2: dict[str, Any]) -> None:
    assert published(part, version_2=False) == in_3
    assert published(part, version_2=True) == in_2


def test_embedded_object() -> None:
    part = {
        "type": "object",
        "x-kubernetes-embedded-resource": True,
        "required": ["c"],
        "properties": {"c": {"type": "string"}},
    }
    found = published(part, version_2=True)
    assert found["required"] == ["c", "kind", "apiVersion"]
    assert found["properties"]["metadata"]["$ref"] == f"#/definitions/{OBJECT_META}"


@pytest.mark.parametrize("schema", [None, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}])
def test_custom_kind_of_any_fields(schema: dict[str, Any] | None) -> None:
    found = v2.fragment(custom.document("example.com/v1", [gadgets(schema)], version_2=True)).definitions
    assert found["com.example.v1.Gadget"] == {
        "type": "object",
        "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Gadget"}],
        "x-kubernetes-selectable-fields": [{"fieldPath": "spec.color"}],
    }
    assert OBJECT_META in found


def test_custom_operations() -> None:
    paths = custom.document("example.com/v1", [gadgets({"type": "object"})])["paths"]
    assert set(paths) == {
        "/apis/example.com/v1/gadgets",
        "/apis/example.com/v1/namespaces/{namespace}/gadgets",
        "/apis/example.com/v1/namespaces/{namespace}/gadgets/{name}",
        "/apis/example.com/v1/namespaces/{namespace}/gadgets/{name}/status",
    }
    patch = paths["/apis/example.com/v1/namespaces/{namespace}/gadgets/{name}"]["patch"]
    assert patch["operationId"] == "patchExampleComV1NamespacedGadget"
    assert next(iter(patch["requestBody"]["content"])) == "application/apply-patch+yaml"
    assert set(patch["responses"]) == {"200", "401"}


def fields(message: bytes) -> dict[int, list[Any]]:
    """A protobuf message, field by field."""
    found: dict[int, list[Any]] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        value: Any
        if key & 7 == 0:
            value = varint()
        elif key & 7 == 1:
            (value,) = struct.unpack_from("<d", message, at)
            at += 8
        else:
            size = varint()
            value, at = message[at : at + size], at + size
        found.setdefault(key >> 3, []).append(value)
    return found


def named(message: bytes, inner: int = 1) -> dict[str, bytes]:
    return {f[1][0].decode(): f[2][0] for f in map(fields, fields(message)[inner])}


def test_protobuf_3() -> None:
    found = fields(gnostic.document_3(document("apps/v1")))
    assert found[1] == [b"3.0.0"]
    schemas = named(fields(found[5][0])[1][0])
    spec = fields(fields(schemas["io.k8s.api.apps.v1.DeploymentSpec"])[1][0])
    assert spec[23] == [b"selector", b"template"]
    properties = named(spec[31][0])
    assert fields(fields(properties["replicas"])[1][0])[25] == [b"integer"]
    paths = named(found[4][0])
    item = fields(paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"])
    assert fields(item[10][0])[5] == [b"patchAppsV1NamespacedDeployment"]


def test_protobuf_2() -> None:
    found = v2.fragment(document("apps/v1"))
    schema = fields(gnostic.schema_2(found.definitions["io.k8s.api.apps.v1.Deployment"]))
    assert fields(schema[22][0])[1] == [b"object"]
    extension = fields(schema[31][0])
    assert extension[1] == [b"x-kubernetes-group-version-kind"]
    assert orjson.loads(fields(extension[2][0])[2][0]) == [{"group": "apps", "version": "v1", "kind": "Deployment"}]
    assert fields(named(schema[25][0])["spec"])[1] == [b"#/definitions/io.k8s.api.apps.v1.DeploymentSpec"]
    item = fields(gnostic.path_item_2(found.paths["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]))
    assert fields(item[8][0])[5] == [b"patchAppsV1NamespacedDeployment"]
