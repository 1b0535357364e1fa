"""Kinds that are served only when asked for: groups of pods, workloads, evictions, candidates of leases."""

from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api import gates
from pilothouse.api.kinds import kind_of
from pilothouse.api.objects import Obj, copy

GANG: Any = {"schedulingPolicy": {"gang": {"minCount": 2}}}
TARGET: Any = {"pod": {"name": "p", "uid": "01234567-89ab-cdef-0123-456789abcdef"}}


def _group(**spec: Any) -> Obj:
    obj: Obj = {"metadata": {"name": "a"}, "spec": {**GANG, **spec}}
    kind_of("scheduling.k8s.io", "PodGroup").default(obj)
    return obj


@pytest.mark.parametrize("is_open", [True, False])
def test_gates_rule_what_a_group_may_hold(is_open: bool) -> None:
    kind = kind_of("scheduling.k8s.io", "PodGroup")
    obj = _group(resourceClaims=[{"name": "c", "resourceClaimName": "d"}])
    with gates.opening(frozenset({"DRAWorkloadResourceClaims"} if is_open else ())):
        kind.prepare_create(obj)
    assert ("resourceClaims" in obj["spec"]) is is_open
    assert kind.validate(obj) == []
    assert obj["spec"]["disruptionMode"] == {"single": {}}


@pytest.mark.parametrize(
    ("change", "field", "detail"),
    [
        ({"schedulingPolicy": {"gang": {"minCount": 0}}}, "spec.schedulingPolicy.gang.minCount", ""),
        ({"schedulingPolicy": {"basic": {}}}, "spec.schedulingPolicy.basic", "field is immutable"),
        ({"priorityClassName": "x"}, "spec.priorityClassName", "field is immutable"),
        ({"workloadRef": {"workloadName": "w", "templateName": "t"}}, "spec.workloadRef", "field is immutable"),
    ],
)
def test_what_a_group_may_not_become(change: Any, field: str, detail: str) -> None:
    found = kind_of("scheduling.k8s.io", "PodGroup").validate_update(_group(**change), _group())
    assert (field, detail) in [(e.field, e.detail) for e in found]


def test_the_templates_of_a_workload_stay() -> None:
    old: Obj = {"metadata": {"name": "a"}, "spec": {"podGroupTemplates": [{"name": "t", **GANG}]}}
    new = copy(old)
    new["spec"]["podGroupTemplates"][0]["name"] = "u"
    found = kind_of("scheduling.k8s.io", "Workload").validate_update(new, old)
    assert [(e.field, e.detail) for e in found] == [
        ("spec.podGroupTemplates[0]", "item may not be added"),
        ("spec.podGroupTemplates", "item may not be removed"),
    ]


def test_a_request_for_an_eviction() -> None:
    kind = kind_of("lifecycle.k8s.io", "EvictionRequest")
    spec = {"target": TARGET, "requester": "a.example.com/b", "intent": "Eviction"}
    obj: Obj = {"metadata": {"name": "a"}, "spec": spec, "status": {}}
    kind.prepare_create(obj)
    assert obj["metadata"]["generation"] == 1
    assert kind.validate(obj) == []
    new = copy(obj)
    new["spec"] |= {"requester": "b", "intent": "Foo"}
    found = kind.validate_update(new, obj)
    assert [e.field for e in found] == ["spec.requester", "spec.intent"]
    seen, lower = copy(obj), copy(obj)
    seen["status"], lower["status"] = {"observedGeneration": 2}, {"observedGeneration": 0}
    assert [e.detail for e in kind.validate_status(lower, seen)] == [
        "must be greater than or equal to 1",
        "may not be decreased from 2",
    ]


@pytest.mark.parametrize(
    ("binary", "emulated", "details"),
    [
        ("1.37.0", "1.36.0", []),
        ("1.36.0", "1.37.0", ["must be greater than or equal to `emulationVersion`"]),
        ("1.37.0-alpha.1", "1.37.0", ["must be greater than or equal to `emulationVersion`"]),
        ("v1", "1.0.0", ["must be a valid semantic version", "must be greater than or equal to `emulationVersion`"]),
    ],
)
def test_versions_of_a_candidate(binary: str, emulated: str, details: list[str]) -> None:
    spec = {
        "leaseName": "l",
        "binaryVersion": binary,
        "emulationVersion": emulated,
        "strategy": "OldestEmulationVersion",
    }
    found = kind_of("coordination.k8s.io", "LeaseCandidate").validate({"metadata": {"name": "a"}, "spec": spec})
    assert [e.detail for e in found] == details
