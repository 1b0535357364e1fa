"""Fields and rules behind feature gates."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import pilothouse
from pilothouse.api import gates
from pilothouse.api.kinds import kind_of
from pilothouse.api.kinds.common.gated import Gated, drop, fields
from pilothouse.api.objects import Obj, copy
from pilothouse.api.scheme import load_facts

_TABLE = (
    Gated("AtomicWriteVolumeUserFields", fields("items.*.shape", "only")),
    Gated("EmptyDirVolumeMode", fields("items.*.mode")),
)


def test_paths_go_through_lists_and_maps() -> None:
    obj = {"items": [{"a": {"mode": 1, "shape": 2}, "b": {"mode": 3}, "c": 4}, 5], "only": 6, "rest": 7}
    with gates.opening(frozenset()):
        drop(_TABLE, obj, None)
    assert obj == {"items": [{"a": {}, "b": {}, "c": 4}, 5], "rest": 7}


@pytest.mark.parametrize(
    ("opened", "old", "left"),
    [
        ({"EmptyDirVolumeMode"}, None, {"items": {"a": {"mode": 1}}}),
        (set(), {"items": {"z": {"mode": 9}}}, {"items": {"a": {"mode": 1}}}),
        (set(), {"only": 1}, {"only": 6, "items": {"a": {"shape": 2}}}),
        (
            {"EmptyDirVolumeMode", "AtomicWriteVolumeUserFields"},
            None,
            {"only": 6, "items": {"a": {"mode": 1, "shape": 2}}},
        ),
    ],
)
def test_what_is_in_use_or_open_stays(opened: set[str], old: Obj | None, left: Obj) -> None:
    obj = {"only": 6, "items": {"a": {"mode": 1, "shape": 2}}}
    with gates.opening(frozenset(opened)):
        drop(_TABLE, obj, old)
    assert obj == left


def test_every_gate_that_is_asked_for_is_one_of_upstreams() -> None:
    known = load_facts("features")
    for path in Path(pilothouse.__file__).parent.rglob("*.py"):
        for name in re.findall(r'(?:is_open|Gated)\("(\w+)"', path.read_text()):
            assert name in known, (path, name)


def prepared(group: str, kind: str, obj: Obj, old: Obj | None = None, *, closed: str = "", opened: str = "") -> Obj:
    """An object as a server with these gates creates or updates it."""
    judge, obj = kind_of(group, kind), copy(obj)
    with gates.opening((gates.opened() | set(opened.split())) - set(closed.split())):
        judge.default(obj)
        if old is None:
            judge.prepare_create(obj)
        else:
            judge.prepare_update(obj, old)
    return obj


def container(**fields: Any) -> Obj:
    return {"name": "c", "image": "i", **fields}


def pod(init: list[Obj] | None = None, **fields: Any) -> Obj:
    spec = {"containers": [container(**fields.pop("container", {}))], **fields}
    return {"metadata": {"name": "x"}, "spec": spec | ({"initContainers": init} if init else {})}


def test_pods_lose_what_stands_behind_closed_gates() -> None:
    rules = [{"action": "Restart"}]
    sent = pod(
        resources={"limits": {"cpu": "1"}}, container={"restartPolicy": "Never", "restartPolicyRules": rules},
        init=[container(restartPolicy="Always", restartPolicyRules=rules)],
    )  # fmt: skip
    kept = prepared("", "Pod", sent)["spec"]
    assert kept["resources"]["requests"] == {"cpu": "1"}
    assert kept["containers"][0]["restartPolicy"] == "Never"
    gone = prepared("", "Pod", sent, closed="PodLevelResources ContainerRestartRules")["spec"]
    assert "resources" not in gone
    assert [{"restartPolicy", "restartPolicyRules"} & set(c) for c in gone["containers"]] == [set()]
    assert "restartPolicyRules" not in gone["initContainers"][0]
    assert gone["initContainers"][0]["restartPolicy"] == "Always"


def test_an_update_keeps_what_the_stored_pod_uses() -> None:
    old = prepared("", "Pod", pod(resources={"limits": {"cpu": "1"}}))
    new = prepared("", "Pod", pod(resources={"limits": {"cpu": "2"}}), old, closed="PodLevelResources")
    assert new["spec"]["resources"]["limits"] == {"cpu": "2"}


def test_pods_keep_what_stands_behind_opened_gates() -> None:
    sent = pod(container={"lifecycle": {"stopSignal": "SIGTERM"}}, volumes=[{"name": "v", "emptyDir": {"mode": 511}}])
    gone = prepared("", "Pod", sent)["spec"]
    assert "lifecycle" not in gone["containers"][0]
    assert gone["volumes"][0]["emptyDir"] == {}
    kept = prepared("", "Pod", sent, opened="ContainerStopSignals EmptyDirVolumeMode")["spec"]
    assert kept["containers"][0]["lifecycle"] == {"stopSignal": "SIGTERM"}
    assert kept["volumes"][0]["emptyDir"] == {"mode": 511}


def test_defaults_that_a_gate_brings() -> None:
    sent = {"metadata": {"name": "x"}, "spec": {"template": {"spec": {"containers": []}}}}
    rolling = prepared("apps", "StatefulSet", sent)["spec"]["updateStrategy"]["rollingUpdate"]
    assert rolling == {"partition": 0, "maxUnavailable": 1}
    closed = prepared("apps", "StatefulSet", sent, closed="MaxUnavailableStatefulSet")
    assert closed["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}
    driver = prepared("storage.k8s.io", "CSIDriver", {"spec": {}}, closed="VolumeLimitScaling")
    assert "preventPodSchedulingIfMissing" not in driver["spec"]


@pytest.mark.parametrize(
    ("gate", "group", "kind", "obj", "message"),
    [
        (
            "HPAScaleToZero", "autoscaling", "HorizontalPodAutoscaler",
            {"spec": {"minReplicas": 0, "maxReplicas": 1, "scaleTargetRef": {"kind": "A", "name": "a", "apiVersion": "a/v1"},
                      "metrics": [{"type": "External", "external": {
                          "metric": {"name": "m"}, "target": {"type": "Value", "value": "1"}}}]}},
            "spec.minReplicas: Invalid value: 0: must be greater than or equal to 1",
        ),
        (
            "RestartAllContainersOnContainerExits", "", "Pod",
            pod(restartPolicy="Never", container={"restartPolicy": "Never", "restartPolicyRules": [
                {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}}]}),
            'spec.containers[0].restartPolicyRules[0].action: Unsupported value: "RestartAllContainers": '
            'supported values: "Restart"',
        ),
        (
            "StrictIPCIDRValidation", "", "Service",
            {"spec": {"ports": [{"port": 80}], "externalIPs": ["010.0.0.1"]}},
            'spec.externalIPs[0]: Invalid value: "010.0.0.1": must not have leading 0s',
        ),
    ],
)  # fmt: skip
def test_rules_that_a_gate_switches(gate: str, group: str, kind: str, obj: Obj, message: str) -> None:
    judge = kind_of(group, kind)
    obj = {"metadata": {"name": "x"}, **copy(obj)}
    judge.default(obj)
    told = []
    for closed in (False, True):
        with gates.opening(gates.opened() - ({gate} if closed else set())):
            told.append([str(error) for error in judge.validate(obj)])
    assert set(told[0]) ^ set(told[1]) == {message}
