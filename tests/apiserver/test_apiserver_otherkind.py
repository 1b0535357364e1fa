"""scale: who manages the replicas, told in the terms of either kind."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pilothouse.apiserver.negotiation import APPLY_PATCH, MERGE_PATCH

Call = Callable[..., Awaitable[Any]]
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DEPLOYMENT = {
    "metadata": {"name": "d"},
    "spec": {
        "replicas": 1,
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
    },
}


def scale(replicas: Any) -> dict[str, Any]:
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "d"}, "spec": {"replicas": replicas}}


def replicas_of(obj: Any) -> dict[tuple[str, str], bool]:
    """(manager, subresource) → whether it has the replicas, for all managers."""
    return {
        (e["manager"], e.get("subresource", "")): "f:replicas" in e["fieldsV1"].get("f:spec", {})
        for e in obj["metadata"]["managedFields"]
    }


@pytest.mark.parametrize(
    ("method", "content_type", "query"),
    [
        ("PUT", "application/json", "fieldManager=b"),
        ("PATCH", MERGE_PATCH, "fieldManager=b"),
        ("PATCH", APPLY_PATCH, "fieldManager=b&force=true"),
    ],
)
async def test_who_scales_takes_the_replicas(call: Call, method: str, content_type: str, query: str) -> None:
    await call("POST", f"{DEPLOYMENTS}?fieldManager=a", DEPLOYMENT)
    answer = await call(method, f"{DEPLOYMENTS}/d/scale?{query}", scale(4), content_type=content_type)
    assert (answer.status, answer.object["spec"]["replicas"]) == (200, 4)
    assert "managedFields" not in answer.object["metadata"]
    found = (await call("GET", f"{DEPLOYMENTS}/d")).object
    assert found["spec"]["replicas"] == 4
    assert replicas_of(found) == {("a", ""): False, ("b", "scale"): True}
    mine = next(e for e in found["metadata"]["managedFields"] if e["manager"] == "b")
    assert mine["apiVersion"] == "apps/v1"
    assert "time" not in mine  # upstream writes none down for who comes in by scale


async def test_an_apply_of_scale_conflicts(call: Call) -> None:
    await call("POST", f"{DEPLOYMENTS}?fieldManager=a", DEPLOYMENT)
    answer = await call("PATCH", f"{DEPLOYMENTS}/d/scale?fieldManager=b", scale(4), content_type=APPLY_PATCH)
    told = 'Apply failed with 1 conflict: conflict with "a" using autoscaling/v1: .spec.replicas'
    assert (answer.status, answer.object["message"]) == (409, told)
    assert (await call("GET", f"{DEPLOYMENTS}/d")).object["spec"]["replicas"] == 1


async def test_a_scale_in_vain_gives_the_replicas_an_entry_of_their_own(call: Call) -> None:
    await call("POST", f"{DEPLOYMENTS}?fieldManager=a", DEPLOYMENT)
    await call("PUT", f"{DEPLOYMENTS}/d/scale?fieldManager=b", scale(1))
    entries = (await call("GET", f"{DEPLOYMENTS}/d")).object["metadata"]["managedFields"]
    found = [(e["manager"], e["apiVersion"], "f:replicas" in e["fieldsV1"]["f:spec"]) for e in entries]
    assert sorted(found) == [("a", "apps/v1", False), ("a", "apps/v1", True)]
