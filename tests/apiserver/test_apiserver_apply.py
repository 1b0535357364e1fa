"""Server-side apply: what appliers give up goes, who owns replicas, objects of client-side apply, versions."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from asking import Call

from pilothouse.api.objects import Obj

CM = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
LAST = "kubectl.kubernetes.io/last-applied-configuration"


def config_map(data: Any = None, **meta: Any) -> Obj:
    found: Obj = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **meta}}
    return found if data is None else {**found, "data": data}


def deployment(spec: Obj, **more: Any) -> Obj:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec, **more}


def spec(*containers: str, **more: Any) -> Obj:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [{"name": name, "image": f"image-{name}"} for name in containers]},
    }
    return {"selector": {"matchLabels": {"a": "b"}}, "template": template, **more}


async def apply(call: Call, address: str, manager: str, obj: Any, *, force: bool = False) -> Obj:
    asked = f"{address}?fieldManager={manager}{'&force=true' if force else ''}"
    answer = await call("PATCH", asked, obj, content_type=APPLY)
    found: Obj = answer.object
    return found


def managed(obj: Obj) -> dict[tuple[str, str, str], Obj]:
    """(manager, operation, subresource) → its fields."""
    return {
        (e["manager"], e["operation"], e.get("subresource", "")): e["fieldsV1"]
        for e in obj["metadata"]["managedFields"]
    }


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}, "/v1, Kind=Secret"),
        ({"kind": "ConfigMap", "metadata": {"name": "a"}}, "/, Kind=ConfigMap"),
        ({"apiVersion": "apps/v2", "kind": "ConfigMap"}, "apps/v2, Kind=ConfigMap"),
        ({"apiVersion": True, "kind": "ConfigMap"}, "/, Kind=ConfigMap"),
        ({"apiVersion": "v1", "kind": 1}, "/v1, Kind="),
        ({"apiVersion": "a/b/c", "kind": "ConfigMap"}, "/, Kind="),
    ],
)
async def test_other_kinds_are_refused(call: Call, body: Obj, what: str) -> None:
    assert (await apply(call, f"{CM}/a", "m", body))["message"] == f"invalid object type: {what}"


async def test_what_is_no_longer_applied_goes(call: Call) -> None:
    address = f"{DEPLOYMENTS}/d"
    await apply(call, address, "m1", deployment(spec("one", replicas=1)))
    both = await apply(
        call, address, "m2", deployment({"template": {"spec": {"containers": [{"name": "two", "image": "x"}]}}})
    )
    assert [c["name"] for c in both["spec"]["template"]["spec"]["containers"]] == ["one", "two"]
    # Container two goes with all that was defaulted in it.
    left = await apply(call, address, "m2", deployment({"template": {"spec": {}}}))
    assert [c["name"] for c in left["spec"]["template"]["spec"]["containers"]] == ["one"]
    assert managed(left)[("m2", "Apply", "")] == {"f:spec": {"f:template": {"f:spec": {}}}}
    # What others own stays.
    await apply(call, address, "m3", deployment({"replicas": 1}))
    kept = await apply(call, address, "m1", deployment(spec("one")))
    assert kept["spec"]["replicas"] == 1
    assert managed(kept)[("m3", "Apply", "")] == {"f:spec": {"f:replicas": {}}}


async def test_metadata_is_left_when_all_of_it_is_given_up(call: Call) -> None:
    await apply(call, f"{CM}/a", "m", config_map({}, labels={"l": "1"}))
    left = await apply(call, f"{CM}/a", "m", config_map())
    assert left["metadata"]["name"] == "a"
    assert "labels" not in left["metadata"]
    assert "managedFields" not in left["metadata"]


async def test_fields_from_before_the_first_apply(call: Call) -> None:
    await call("POST", CM, config_map({"k": "v"}))
    await call("PATCH", f"{CM}/a", {"metadata": {"managedFields": [{}]}}, content_type=MERGE)
    found = await apply(call, f"{CM}/a", "m", config_map({"n": "1"}))
    assert managed(found) == {
        ("before-first-apply", "Update", ""): {"f:data": {".": {}, "f:k": {}}}, ("m", "Apply", ""): {"f:data": {"f:n": {}}},
    }  # fmt: skip


@pytest.mark.parametrize(
    "entry",
    [
        {"operation": "Foo", "fieldsType": "FieldsV1", "fieldsV1": {}},
        {"operation": "Update", "fieldsType": "Foo", "fieldsV1": {}},
        {"operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": []}},
    ],
)
async def test_managers_that_cannot_be_read_change_nothing(call: Call, entry: Obj) -> None:
    before = await apply(call, f"{CM}/a", "m", config_map({"k": "v"}))
    sent = {"metadata": {"managedFields": [{"manager": "z", "apiVersion": "v1", **entry}]}}
    after = (await call("PATCH", f"{CM}/a", sent, content_type=MERGE)).object
    assert after["metadata"]["managedFields"] == before["metadata"]["managedFields"]


async def test_nobody_manages_in_a_version_that_is_gone(call: Call) -> None:
    await apply(call, f"{CM}/a", "m", config_map({"k": "v"}))
    entry = {"manager": "z", "operation": "Update", "apiVersion": "nope/v9", "fieldsType": "FieldsV1"}
    sent = {"metadata": {"managedFields": [{**entry, "fieldsV1": {"f:data": {"f:k": {}}}}]}}
    after = (await call("PATCH", f"{CM}/a", sent, content_type=MERGE)).object
    assert "managedFields" not in after["metadata"]


async def test_replicas_belong_to_who_scales(call: Call) -> None:
    address = f"{DEPLOYMENTS}/d"
    await apply(call, address, "m1", deployment(spec("one", replicas=1)))
    scale = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d"}, "spec": {"replicas": 7}}
    refused = await apply(call, f"{address}/scale", "s", scale)
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "m1": .spec.replicas'
    forced = await apply(call, f"{address}/scale", "s", scale, force=True)
    assert forced["spec"]["replicas"] == 7
    found = (await call("GET", address)).object
    entries = {e["manager"]: e for e in found["metadata"]["managedFields"]}
    assert "f:replicas" not in entries["m1"]["fieldsV1"]["f:spec"]
    assert entries["s"] == {
        "manager": "s", "operation": "Apply", "apiVersion": "apps/v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:spec": {"f:replicas": {}}}, "subresource": "scale",
    }  # fmt: skip
    await call("PATCH", f"{address}/scale?fieldManager=u", {"spec": {"replicas": 8}}, content_type=MERGE)
    found = (await call("GET", address)).object
    assert managed(found)[("u", "Update", "scale")] == {"f:spec": {"f:replicas": {}}}
    assert ("s", "Apply", "scale") not in managed(found)


async def test_a_subresource_leaves_alone_what_it_resets(call: Call) -> None:
    address = f"{DEPLOYMENTS}/d"
    await apply(call, address, "m1", deployment(spec("one", replicas=1)))
    found = await apply(call, f"{address}/status", "m2", deployment({"replicas": 44}, status={"replicas": 3}))
    assert (found["spec"]["replicas"], found["status"]["replicas"]) == (1, 3)
    assert managed(found)[("m2", "Apply", "status")] == {"f:status": {"f:replicas": {}}}


def client_side(obj: Obj) -> Obj:
    return {**obj, "metadata": {**obj["metadata"], "annotations": {LAST: orjson.dumps(obj).decode()}}}


async def test_kubectl_takes_over_from_client_side_apply(call: Call) -> None:
    await call("POST", f"{CM}?fieldManager=kubectl-client-side-apply", client_side(config_map({"k": "v", "n": "1"})))
    assert (await apply(call, f"{CM}/a", "other", config_map({"k": "w"})))["reason"] == "Conflict"
    found = await apply(call, f"{CM}/a", "kubectl", config_map({"k": "w"}))
    assert found["data"] == {"k": "w", "n": "1"}
    assert found["metadata"]["annotations"][LAST] == (
        '{"apiVersion":"v1","data":{"k":"w"},"kind":"ConfigMap","metadata":{"name":"a"}}\n'
    )
    # What changed since the last client-side apply is somebody else's.
    await call("PATCH", f"{CM}/a?fieldManager=edit", {"data": {"n": "2"}}, content_type=MERGE)
    refused = await apply(call, f"{CM}/a", "kubectl", config_map({"n": "3"}))
    assert refused["message"] == 'Apply failed with 1 conflict: conflict with "edit" using v1: .data.n'


async def test_appliers_move_between_versions(call: Call) -> None:
    def scaler(version: str, **more: Any) -> Obj:
        target = {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}
        head: Obj = {
            "apiVersion": f"autoscaling/{version}",
            "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "h"},
        }
        return {**head, "spec": {"scaleTargetRef": target, "maxReplicas": 5, **more}}

    def address(version: str) -> str:
        return f"/apis/autoscaling/{version}/namespaces/default/horizontalpodautoscalers/h"

    first = await apply(call, address("v1"), "m", scaler("v1", targetCPUUtilizationPercentage=50))
    assert "f:targetCPUUtilizationPercentage" in managed(first)[("m", "Apply", "")]["f:spec"]
    second = await apply(call, address("v2"), "m", scaler("v2"))
    assert "f:targetCPUUtilizationPercentage" not in managed(second)[("m", "Apply", "")]["f:spec"]
    assert [e["apiVersion"] for e in second["metadata"]["managedFields"]] == ["autoscaling/v2"]
