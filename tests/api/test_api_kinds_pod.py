from __future__ import annotations

from typing import Any

import pytest
from kinds_samples import less, pod

from pilothouse.api.kinds import kind_of
from pilothouse.api.kinds.core import pod_changes
from pilothouse.api.kinds.core.podspec.images import pull_policy
from pilothouse.api.kinds.core.podspec.qos import qos_class
from pilothouse.api.objects import Obj, copy

POD = kind_of("", "Pod")
NOW_S = 1_767_229_200.0  # 2026-01-01T01:00:00Z


def made(obj: Obj) -> Obj:
    obj = copy(obj)
    POD.default(obj)
    POD.prepare_create(obj)
    POD.stamp(obj, None, "2026-01-01T00:00:00Z")
    return obj


def simple(**spec: Any) -> Obj:
    return made({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "i"}], **spec}})


def running(**status: Any) -> Obj:
    obj = simple(nodeName="n1")
    obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    obj["status"] = {"phase": "Running", "conditions": [], **status}
    return obj


def texts(errors: list[Any]) -> list[str]:
    return [str(e) for e in errors]


def test_defaults_are_upstreams() -> None:
    spec = simple(hostNetwork=True)["spec"]
    assert spec == {
        "containers": [
            {
                "name": "c", "image": "i", "imagePullPolicy": "Always", "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
            }
        ],
        "hostNetwork": True, "enableServiceLinks": True, "dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
        "schedulerName": "default-scheduler", "terminationGracePeriodSeconds": 30, "securityContext": {},
    }  # fmt: skip


def test_requests_default_to_limits_and_ports_of_the_node_to_the_containers() -> None:
    container = {"name": "c", "image": "i", "ports": [{"containerPort": 80}], "resources": {"limits": {"cpu": "1"}}}
    spec = simple(hostNetwork=True, containers=[container])["spec"]
    assert spec["containers"][0]["resources"]["requests"] == {"cpu": "1"}
    assert spec["containers"][0]["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1", "IfNotPresent"), ("host:5000/a", "Always"),
        ("host:5000/a:1", "IfNotPresent"), ("a@sha256:" + "0" * 64, "IfNotPresent"), ("UPPER", "IfNotPresent"),
        ("", "IfNotPresent"), ("a" * 64, "IfNotPresent"), ("Host/a", "Always"),
    ],
)  # fmt: skip
def test_only_the_latest_image_is_always_pulled(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_create_resets_the_status() -> None:
    obj = simple(schedulingGates=[{"name": "example.com/g"}])
    assert obj["metadata"]["generation"] == 1
    assert obj["status"]["phase"] == "Pending"
    assert obj["status"]["qosClass"] == "BestEffort"
    assert obj["status"]["conditions"][0]["reason"] == "SchedulingGated"
    assert obj["status"]["conditions"][0]["lastTransitionTime"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("resources", "quality"),
    [
        ({}, "BestEffort"),
        ({"requests": {"cpu": "1"}}, "Burstable"),
        ({"requests": {"cpu": "1", "memory": "1"}, "limits": {"cpu": "1000m", "memory": "1"}}, "Guaranteed"),
        ({"requests": {"example.com/gpu": "1"}, "limits": {"example.com/gpu": "1"}}, "BestEffort"),
    ],
)
def test_quality_of_service(resources: Obj, quality: str) -> None:
    assert qos_class({"containers": [{"resources": resources}]}) == quality


def test_features_that_are_off_are_dropped_unless_stored() -> None:
    container = {"name": "c", "image": "i", "lifecycle": {"stopSignal": "SIGTERM"}}
    obj = simple(containers=[container], os={"name": "linux"})
    assert "lifecycle" not in obj["spec"]["containers"][0]
    stored = copy(obj)
    stored["spec"]["containers"][0]["lifecycle"] = {"stopSignal": "SIGTERM"}
    new = copy(stored)
    POD.prepare_update(new, stored)
    assert new["spec"]["containers"][0]["lifecycle"] == {"stopSignal": "SIGTERM"}


@pytest.mark.parametrize(
    ("obj", "wanted", "seconds"),
    [
        (simple(), None, 0),
        (simple(nodeName="n"), None, 30),
        (simple(nodeName="n"), 5, 5),
        (simple(nodeName="n"), -1, 1),
        ({**simple(nodeName="n"), "status": {"phase": "Succeeded"}}, 5, 0),
    ],
)
def test_grace_period(obj: Obj, wanted: int | None, seconds: int) -> None:
    assert POD.grace_period_s is not None
    assert POD.grace_period_s(obj, wanted) == seconds


def test_an_update_of_the_status_keeps_what_it_may_not_change() -> None:
    old = running(qosClass="Burstable", observedGeneration=3)
    old["metadata"]["ownerReferences"] = [{"uid": "o"}]
    new = copy(old)
    new["spec"] = {}
    new["status"] = {"phase": "Failed"}
    new["metadata"]["ownerReferences"] = []
    assert POD.prepare_status is not None
    POD.prepare_status(new, old)
    assert new["spec"] == old["spec"]
    assert new["metadata"]["ownerReferences"] == [{"uid": "o"}]
    assert new["status"] == {"phase": "Failed", "qosClass": "Burstable", "observedGeneration": 3}


def test_a_whole_pod_is_valid() -> None:
    assert texts(POD.validate(made(pod()))) == []


def test_errors_come_in_upstreams_order() -> None:
    obj = simple(containers=[{"name": "A_", "ports": [{"containerPort": 0}]}], restartPolicy="Sometimes", nodeName="N")
    label = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
        "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
    )
    assert texts(POD.validate(obj))[:4] == [
        f'spec.containers[0].name: Invalid value: "A_": {label}',
        "spec.containers[0].image: Required value",
        "spec.containers[0].ports[0].containerPort: Required value",
        'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ]


def updated(old: Obj, new: Obj) -> list[str]:
    new = copy(new)
    POD.prepare_update(new, old)
    return texts(POD.validate_update(new, old))


def test_an_image_may_change_and_counts() -> None:
    old = simple()
    new = copy(old)
    new["spec"]["containers"][0]["image"] = "other"
    assert updated(old, new) == []
    POD.prepare_update(new, old)
    assert new["metadata"]["generation"] == 2


def test_other_changes_are_told_as_a_diff() -> None:
    old = simple()
    new = copy(old)
    new["spec"]["hostname"] = "h"
    (error,) = updated(old, new)
    assert error.startswith("spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,")
    assert '\n- "Hostname": "",\n+ "Hostname": "h",\n' in error


def test_a_gated_pod_may_narrow_down_its_nodes() -> None:
    old = simple(schedulingGates=[{"name": "example.com/g"}], nodeSelector={"a": "b"})
    new = copy(old)
    new["spec"]["nodeSelector"]["c"] = "d"
    assert updated(old, new) == []
    new["spec"]["nodeSelector"] = {}
    assert "only additions to spec.nodeSelector are allowed" in updated(old, new)[0]


def test_a_deadline_may_only_become_shorter() -> None:
    old = simple(activeDeadlineSeconds=10)
    new = copy(old)
    new["spec"]["activeDeadlineSeconds"] = 20
    assert updated(old, new) == [
        "spec.activeDeadlineSeconds: Invalid value: 20: must be less than or equal to previous value"
    ]
    del new["spec"]["activeDeadlineSeconds"]
    assert updated(old, new) == [
        "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value"
    ]


def test_a_container_that_ended_for_good_does_not_run_again() -> None:
    old = running(containerStatuses=[{"name": "c", "state": {"terminated": {"exitCode": 0}}}])
    new = copy(old)
    new["status"]["containerStatuses"][0]["state"] = {"running": {}}
    assert texts(POD.validate_status(new, old)) == []
    for side in (old, new):
        side["spec"]["restartPolicy"] = "OnFailure"
    assert texts(POD.validate_status(new, old)) == [
        "status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state"
    ]


@pytest.mark.parametrize(
    ("status", "cells"),
    [
        ({}, ["0/1", "Running", "0"]),
        ({"containerStatuses": [{"name": "c", "ready": True, "state": {"running": {}}}]}, ["1/1", "Running", "0"]),
        (
            {
                "containerStatuses": [
                    {
                        "name": "c", "restartCount": 3, "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                        "lastState": {"terminated": {"finishedAt": "2026-01-01T00:55:00Z"}},
                    }
                ]
            },
            ["0/1", "CrashLoopBackOff", "3 (5m ago)"],
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"waiting": {"reason": "PodInitializing"}}}]},
            ["0/1", "Init:0/0", "0"],
        ),
        (
            {"phase": "Pending", "initContainerStatuses": [{"name": "i", "state": {"terminated": {"exitCode": 2}}}]},
            ["0/1", "Init:ExitCode:2", "0"],
        ),
        (
            {"containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}]},
            ["0/1", "Completed", "0"],
        ),
        ({"reason": "Evicted", "phase": "Failed"}, ["0/1", "Evicted", "0"]),
    ],
)  # fmt: skip
def test_rows(status: Obj, cells: list[str]) -> None:
    assert POD.row is not None
    assert POD.row(running(**status), NOW_S) == ["a", *cells, "60m", "<none>", "n1", "<none>", "<none>"]


def test_a_pod_that_is_deleted_terminates() -> None:
    obj = running()
    obj["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert POD.row is not None
    assert POD.row(obj, NOW_S)[2] == "Terminating"
    obj["status"]["reason"] = "NodeLost"
    assert POD.row(obj, NOW_S)[2] == "Unknown"


def test_selectable_fields() -> None:
    fields = POD.fields(running(podIPs=[{"ip": "10.0.0.1"}]))
    assert fields["spec.nodeName"] == "n1"
    assert fields["status.phase"] == "Running"
    assert fields["status.podIP"] == "10.0.0.1"
    assert fields["spec.hostNetwork"] == "false"
    assert set(fields) == POD.field_names


def test_warnings() -> None:
    port = {"containerPort": 80}
    obj = simple(
        containers=[{"name": "c", "image": "i", "ports": [port, port]}], nodeSelector={"beta.kubernetes.io/os": "x"}
    )
    assert POD.warnings(obj, None) == [
        'spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead',
        "spec.containers[0].ports[1]: duplicate port definition with spec.containers[0].ports[0]",
    ]


def test_ephemeral_containers_only_come() -> None:
    old = simple(nodeName="n")
    new = copy(old)
    debugger = {
        "name": "d", "image": "i", "imagePullPolicy": "Always", "terminationMessagePolicy": "File",
        "terminationMessagePath": "/l", "resources": {},
    }  # fmt: skip
    new["spec"] = {"ephemeralContainers": [debugger]}
    pod_changes.prepare_ephemeral_containers(new, old)
    assert new["metadata"]["generation"] == 2
    assert texts(pod_changes.validate_ephemeral_containers(new, old)) == []
    assert texts(pod_changes.validate_ephemeral_containers(old, new)) == [
        'spec.ephemeralContainers: Forbidden: existing ephemeral containers "d" may not be removed\n'
    ]
    debugger["resources"] = {"limits": {}}  # which was sent
    assert texts(pod_changes.validate_ephemeral_containers(new, old)) == [
        "spec.ephemeralContainers[0].resources: Forbidden: cannot be set for an Ephemeral Container"
    ]


def test_a_resize_changes_resources_only() -> None:
    resources = {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}
    old = simple(nodeName="n", containers=[{"name": "c", "image": "i", "resources": resources}])
    new = copy(old)
    new["spec"]["containers"][0] |= {"image": "other", "resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "2"}}}
    pod_changes.prepare_resize(new, old)
    assert new["spec"]["containers"][0]["image"] == "i"
    assert texts(pod_changes.validate_resize(new, old)) == []
    new["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "2"}}
    assert texts(pod_changes.validate_resize(new, old)) == [
        "spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"
    ]


@pytest.mark.slow
def test_nothing_raises_where_parts_are_missing() -> None:
    whole = pod()
    stored = made(whole)
    assert POD.row is not None
    assert POD.prepare_status is not None
    for sent in less(whole):
        sent["metadata"] = sent.get("metadata") or {}  # the server has seen to it
        obj = made(sent)
        POD.validate(obj)
        POD.warnings(obj, None)
        POD.row(sent, NOW_S)
        POD.fields(sent)
        for new, old in ((obj, stored), (stored, obj)):
            change = copy(new)
            POD.prepare_update(change, old)
            POD.validate_update(change, old)
        status = copy(sent)
        POD.prepare_status(status, stored)
        POD.validate_status(status, stored)
        POD.validate_status(stored, sent)
        resized = copy(obj)
        pod_changes.prepare_resize(resized, stored)
        pod_changes.validate_resize(resized, stored)
        pod_changes.prepare_ephemeral_containers(resized, stored)
        pod_changes.validate_ephemeral_containers(resized, stored)
