"""Requests and their flow schemas."""

from __future__ import annotations

from typing import Any

import pytest
from security_fakes import FakeObjects

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver.bootstrap.desired import fixed
from pilothouse.apiserver.classification import Classifier
from pilothouse.apiserver.contracts import Attributes

GROUP = "flowcontrol.apiserver.k8s.io"


@pytest.fixture
def objects() -> FakeObjects:
    found = FakeObjects()
    for desired in fixed():
        obj = desired.obj
        if obj["apiVersion"].startswith(GROUP):
            resource = {"FlowSchema": "flowschemas"}.get(obj["kind"], "prioritylevelconfigurations")
            found.put(
                GROUP, resource, {**obj, "metadata": {**obj["metadata"], "uid": f"uid of {obj['metadata']['name']}"}}
            )
    return found


def attributes(user: str, *groups: str, **about: Any) -> Attributes:
    return Attributes(UserInfo(user, "", groups), **{"verb": "get", "path": "/", "resource_request": False, **about})


PODS = {"resource_request": True, "resource": "pods", "namespace": "default"}


@pytest.mark.parametrize(
    ("asked", "schema", "level"),
    [
        (attributes("admin", "system:masters", "system:authenticated", **PODS), "exempt", "exempt"),
        (attributes("", "system:unauthenticated", path="/healthz"), "probes", "exempt"),
        (attributes("jane", "system:authenticated", path="/version"), "global-default", "global-default"),
        (attributes("jane", "system:authenticated", **PODS), "global-default", "global-default"),
        (attributes("system:node:a", "system:nodes", "system:authenticated", **PODS), "system-nodes", "system"),
        (
            attributes("system:serviceaccount:kube-system:x", "system:serviceaccounts:kube-system", **PODS),
            "kube-system-service-accounts", "workload-high",
        ),
    ],
)  # fmt: skip
def test_of_the_suggested_schemas(objects: FakeObjects, asked: Attributes, schema: str, level: str) -> None:
    assert Classifier(objects).flow(asked) == (f"uid of {schema}", f"uid of {level}")


def test_a_new_schema_counts_at_once_and_one_without_a_level_never(objects: FakeObjects) -> None:
    classifier, asked = Classifier(objects), attributes("jane", "system:authenticated", **PODS)
    before = classifier.flow(asked)
    subjects = [{"kind": "User", "user": {"name": "jane"}}]
    rule = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["pods"], "namespaces": ["default"]}
    spec = {"matchingPrecedence": 5, "rules": [{"subjects": subjects, "resourceRules": [rule]}]}
    new = {"metadata": {"name": "a", "uid": "a"}, "spec": {**spec, "priorityLevelConfiguration": {"name": "none"}}}
    objects.put(GROUP, "flowschemas", new)
    assert classifier.flow(asked) == before
    new["spec"]["priorityLevelConfiguration"] = {"name": "workload-low"}
    objects.put(GROUP, "flowschemas", new)
    assert classifier.flow(asked) == ("a", "uid of workload-low")
    assert classifier.flow(attributes("jane", "system:authenticated", **{**PODS, "namespace": "b"})) == before
