from __future__ import annotations

from typing import Any

import pytest
from kinds_samples import less, template, workload

from pilothouse.api.kinds import kind_of
from pilothouse.api.kinds.batch import indexes
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, copy

NOW_S = 1_767_229_200.0  # 2026-01-01T01:00:00Z
ROLLING = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}}


def job_template() -> Obj:
    out = template()
    out["spec"] |= {"restartPolicy": "Never"}
    return out


def job_spec() -> Obj:
    return {
        "selector": None,
        "template": job_template(),
        "completions": 4,
        "parallelism": 2,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 1,
        "maxFailedIndexes": 2,
        "managedBy": "example.com/me",
        "podFailurePolicy": {
            "rules": [
                {"action": "FailJob", "onExitCodes": {"operator": "In", "containerName": "main", "values": [1, 2]}},
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        },
        "successPolicy": {"rules": [{"succeededIndexes": "0-1,3", "succeededCount": 1}]},
    }


def samples() -> dict[tuple[str, str], Obj]:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    job_status = {
        "active": 1, "ready": 1, "completedIndexes": "0", "failedIndexes": "1", "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:30:00Z", "uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["b"]},
        "conditions": [{"type": "Complete", "status": "True"}, {"type": "SuccessCriteriaMet", "status": "True"}],
    }  # fmt: skip
    controller = workload("v1", "ReplicationController", {"replicas": 2})
    controller["spec"]["selector"] = {"app": "x"}
    cron_job = workload(
        "batch/v1", "CronJob", {}, {"active": [{"name": "j"}], "lastScheduleTime": "2026-01-01T00:00:00Z"}
    )
    cron_job["spec"] = {"schedule": "*/5 * * * *", "timeZone": "Europe/Berlin", "jobTemplate": {"spec": job_spec()}}
    revision = {"metadata": {"name": "r", "ownerReferences": [{"kind": "DaemonSet", "name": "d", "controller": True}]}}
    found = {
        ("apps", "Deployment"): workload("apps/v1", "Deployment", {"strategy": copy(ROLLING), "replicas": 3}),
        ("apps", "ReplicaSet"): workload("apps/v1", "ReplicaSet", {"replicas": 3}),
        ("apps", "DaemonSet"): workload("apps/v1", "DaemonSet", {"updateStrategy": copy(ROLLING)}),
        ("apps", "StatefulSet"): workload(
            "apps/v1", "StatefulSet", {"serviceName": "s", "volumeClaimTemplates": [claim], "ordinals": {"start": 1}}
        ),
        ("apps", "ControllerRevision"): {**revision, "data": {"a": 1}, "revision": 3},
        ("batch", "Job"): workload("batch/v1", "Job", job_spec(), job_status),
        ("batch", "CronJob"): cron_job,
        ("", "PodTemplate"): {"metadata": {"name": "t"}, "template": template()},
        ("", "ReplicationController"): controller,
    }
    for kind in ("Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"):
        found["apps", kind]["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    return found


KINDS = sorted(samples())


def sample(kind: str) -> tuple[Kind, Obj]:
    key = next(k for k in KINDS if k[1] == kind)
    return kind_of(*key), samples()[key]


def made(kind: Kind, obj: Obj) -> Obj:
    obj = copy(obj)
    kind.default(obj)
    kind.prepare_create(obj)
    return obj


def texts(errors: list[Any]) -> list[str]:
    return [str(e) for e in errors]


@pytest.mark.parametrize("key", KINDS)
def test_whole_objects_are_valid(key: tuple[str, str]) -> None:
    kind = kind_of(*key)
    obj = made(kind, samples()[key])
    assert texts(kind.validate(obj)) == []
    assert texts(kind.validate_update(copy(obj), obj)) == []
    assert obj.get("status") in (None, {})
    if key[1] != "ControllerRevision":
        assert obj["metadata"]["generation"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("key", KINDS)
def test_nothing_raises_where_parts_are_missing(key: tuple[str, str]) -> None:
    kind, whole = kind_of(*key), samples()[key]
    stored = made(kind, whole)
    assert kind.row is not None
    for i, sent in enumerate(less(whole)):
        if i % (2 if key[1] in ("Job", "StatefulSet") else 7):
            continue  # the pod's spec is the same in all
        sent["metadata"] = sent.get("metadata") or {}  # the server has seen to it
        obj = made(kind, sent)
        kind.validate(obj)
        kind.warnings(obj, None)
        kind.row(sent, NOW_S)
        kind.fields(sent)
        for new, old in ((obj, stored), (stored, obj)):
            change = copy(new)
            kind.prepare_update(change, old)
            kind.validate_update(change, old)
            kind.warnings(change, old)
        status = copy(sent)
        if kind.prepare_status is not None:
            kind.prepare_status(status, stored)
        kind.validate_status(status, stored)
        kind.validate_status(whole, sent)


@pytest.mark.parametrize("name", ["Deployment", "ReplicaSet", "DaemonSet", "StatefulSet"])
def test_selectors_do_not_change(name: str) -> None:
    kind, obj = sample(name)
    old = made(kind, obj)
    new = copy(old)
    new["spec"]["selector"] = {"matchLabels": {"app": "y"}}
    found = texts(kind.validate_update(new, old))
    assert 'spec.selector: Invalid value: {"matchLabels":{"app":"y"}}: field is immutable' in found
    mismatch = "`selector` does not match template `labels`"
    assert f'spec.template.metadata.labels: Invalid value: {{"app":"x"}}: {mismatch}' in found


def test_a_deployments_annotations_count_and_come_with_its_status() -> None:
    kind, obj = sample("Deployment")
    old = made(kind, obj)
    new = copy(old)
    new["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2"}
    kind.prepare_update(new, old)
    assert new["metadata"]["generation"] == 2
    new = copy(old)
    new["metadata"] |= {"annotations": {"deployment.kubernetes.io/revision": "2"}, "labels": {"other": "x"}}
    new["status"] = {"replicas": 1}
    assert kind.prepare_status is not None
    kind.prepare_status(new, old)
    assert new["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "2"}
    assert new["metadata"]["labels"] == old["metadata"]["labels"]
    assert new["status"] == {"replicas": 1}


def test_defaults_of_deployments() -> None:
    obj: Obj = {"spec": {}}
    kind_of("apps", "Deployment").default(obj)
    del obj["spec"]["template"]
    assert obj["spec"] == {
        "replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
    }  # fmt: skip


def test_the_generation_of_a_daemon_sets_template() -> None:
    kind, obj = sample("DaemonSet")
    old = made(kind, obj)
    key = "deprecated.daemonset.template.generation"
    assert old["metadata"]["annotations"][key] == "1"
    new = copy(old)
    new["metadata"]["annotations"] = {key: "7"}
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "other"
    kind.prepare_update(new, old)
    assert new["metadata"]["annotations"] == {key: "2"}
    assert new["metadata"]["generation"] == 2
    new["spec"]["minReadySeconds"] = 5
    later = copy(new)
    later["spec"]["minReadySeconds"] = 6
    kind.prepare_update(later, new)
    assert later["metadata"]["annotations"] == {key: "2"}
    assert later["metadata"]["generation"] == 3


def test_a_jobs_selector_is_made_and_checked() -> None:
    kind, obj = sample("Job")
    job = made(kind, obj)
    assert job["spec"]["selector"] == {"matchLabels": {"batch.kubernetes.io/controller-uid": "u"}}
    assert job["spec"]["template"]["metadata"]["labels"] == {
        "app": "x", "job-name": "w", "batch.kubernetes.io/job-name": "w", "controller-uid": "u",
        "batch.kubernetes.io/controller-uid": "u",
    }  # fmt: skip
    obj["spec"]["template"]["metadata"]["labels"]["job-name"] = "other"
    assert any("must be 'w'" in e for e in texts(kind.validate(made(kind, obj))))


def test_a_suspended_job_may_move_its_pods() -> None:
    kind, obj = sample("Job")
    obj["spec"]["suspend"] = True
    old = made(kind, obj)
    new = copy(old)
    new["spec"]["template"]["spec"]["nodeSelector"] = {"a": "b"}
    new["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "500m"
    assert texts(kind.validate_update(new, old)) == []
    old["status"] = {"startTime": "2026-01-01T00:00:00Z"}
    (error,) = texts(kind.validate_update(new, old))
    assert error.startswith("spec.template: Invalid value: {")
    assert error.endswith(": field is immutable")


def test_a_jobs_end_is_final() -> None:
    kind, obj = sample("Job")
    old = made(kind, obj)
    old["status"] = {
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "FailureTarget", "status": "True"}, {"type": "Failed", "status": "True"}],
    }
    new = copy(old)
    new["status"] = {"startTime": "2026-01-01T00:00:00Z", "conditions": []}
    assert texts(kind.validate_status(new, old)) == [
        "status.conditions: Invalid value: cannot disable the terminal Failed=True condition",
        "status.conditions: Invalid value: cannot disable the terminal FailureTarget=True condition",
    ]
    new["status"] = {"conditions": [{"type": "Complete", "status": "True"}], "active": 1}
    assert "status.completionTime: Required value: completionTime is required for Complete jobs" in texts(
        kind.validate_status(new, made(kind, obj))
    )


@pytest.mark.parametrize(
    ("text", "total"), [("", 0), ("0", 1), ("0-2,5", 4)]
)  # fmt: skip
def test_indexes_are_counted(text: str, total: int) -> None:
    assert indexes.count(text, 10) == total


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a", 'cannot convert string to integer for index: "a"'),
        ("10", 'too large index: "10"'),
        (
            "1-2-3",
            'the fragment "1-2-3" violates the requirement that an index interval can have at most two parts '
            "separated by '-'",
        ),
        ("3-1", "non-increasing order, previous: 3, current: 1"),
        ("1,1", "non-increasing order, previous: 1, current: 1"),
    ],
)  # fmt: skip
def test_bad_indexes_are_told(text: str, why: str) -> None:
    with pytest.raises(indexes.IndexesError) as caught:
        indexes.count(text, 10)
    assert str(caught.value) == why


def test_overlapping_indexes() -> None:
    assert indexes.overlap("0-3,7", "4-6", 10) is None
    assert indexes.overlap("0-3,7", "2,7", 10) == 2


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ({"schedule": ""}, "spec.schedule: Required value"),
        ({"schedule": "a"}, 'spec.schedule: Invalid value: "a": expected exactly 5 fields, found 1: [a]'),
        (
            {"schedule": "TZ=UTC 0 * * * *"},
            'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead',
        ),
        ({"timeZone": "Mars/Base"}, 'spec.timeZone: Invalid value: "Mars/Base": unknown time zone Mars/Base'),
        ({"timeZone": ""}, 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'),
        (
            {"concurrencyPolicy": "Maybe"},
            'spec.concurrencyPolicy: Unsupported value: "Maybe": supported values: "Allow", "Forbid", "Replace"',
        ),
    ],
)
def test_schedules(spec: Obj, error: str) -> None:
    kind, obj = sample("CronJob")
    obj["spec"] |= spec
    assert texts(kind.validate(made(kind, obj))) == [error]


def test_rows() -> None:
    found: dict[str, list[Any]] = {}
    for key in KINDS:
        obj = samples()[key]
        kind = kind_of(*key)
        obj["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
        assert kind.row is not None
        found[key[1]] = kind.row(obj, NOW_S)
    assert found == {
        "Deployment": ["w", "2/3", 0, 1, "60m", "main,side", "example.com/app:1,b", "app=x,app in (x)"],
        "ReplicaSet": ["w", 3, 3, 2, "60m", "main,side", "example.com/app:1,b", "app=x,app in (x)"],
        "DaemonSet": ["w", 0, 0, 0, 0, 0, "disk=ssd", "60m", "main,side", "example.com/app:1,b", "app=x,app in (x)"],
        "StatefulSet": ["w", "2/0", "60m", "main,side", "example.com/app:1,b"],
        "ControllerRevision": ["r", "daemonset/d", 3, "60m"],
        "Job": ["w", "Complete", "0/4", "30m", "60m", "main,side", "example.com/app:1,b", "<none>"],
        "CronJob": [
            "w", "*/5 * * * *", "Europe/Berlin", "<unset>", 1, "60m", "60m", "main,side", "example.com/app:1,b", "<none>",
        ],
        "PodTemplate": ["t", "main,side", "example.com/app:1,b", "app=x"],
        "ReplicationController": ["w", 2, 3, 2, "60m", "main,side", "example.com/app:1,b", "app=x"],
    }  # fmt: skip
