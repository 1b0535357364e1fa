"""Deletions: of one and of many, with options in the query, in the body and in both."""

from __future__ import annotations

import itertools
import json
from typing import Any

from sidebyside import Side

NS = "/api/v1/namespaces/sides-delete"
MAPS = f"{NS}/configmaps"
PODS = f"{NS}/pods"
JOBS = "/apis/batch/v1/namespaces/sides-delete/jobs"


def _begin(side: Side) -> None:
    space: Any = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sides-delete"}}
    side.send("POST", "/api/v1/namespaces", space)
    side.send(
        "POST", f"{NS}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    )


def _make(side: Side, path: str = MAPS, name: str = "x", **meta: Any) -> Any:
    """Anew, whatever is left of an earlier one."""
    obj: Any = {"metadata": {"name": name, **meta}}
    if path == PODS:
        obj["spec"] = {
            "containers": [{"name": "c", "image": "i"}],
            "nodeName": "n1",
            "terminationGracePeriodSeconds": 20,
        }
    if path == JOBS:
        obj["spec"] = {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}}
    side.send(
        "PATCH", f"{path}/{name}", {"metadata": {"finalizers": None}}, content_type="application/merge-patch+json"
    )
    side.send("DELETE", f"{path}/{name}?gracePeriodSeconds=0&propagationPolicy=Background")
    made = side.send("POST", path, obj)
    assert made.status == 201, made.raw
    return made.json["metadata"]


_QUERIES = (
    "", "gracePeriodSeconds=0", "gracePeriodSeconds=5", "gracePeriodSeconds=-1", "gracePeriodSeconds=-5",
    "gracePeriodSeconds=a", "gracePeriodSeconds=", "propagationPolicy=Orphan", "propagationPolicy=Foreground",
    "propagationPolicy=Background", "propagationPolicy=Bogus", "propagationPolicy=", "orphanDependents=true",
    "orphanDependents=false", "orphanDependents=x", "orphanDependents=",
    "orphanDependents=true&propagationPolicy=Orphan",
    "dryRun=All", "dryRun=Bogus", "dryRun=All&dryRun=All", "dryRun=", "dryRun=All&propagationPolicy=Foreground",
    "pretty=true", "ignoreStoreReadErrorWithClusterBreakingPotential=true",
    "ignoreStoreReadErrorWithClusterBreakingPotential=true&dryRun=All", "resourceVersion=1", "fieldManager=x",
    "bogus=1",
)  # fmt: skip
_OPTIONS: tuple[Any, ...] = (
    {}, {"kind": "DeleteOptions", "apiVersion": "v1"}, {"kind": "DeleteOptions", "apiVersion": "apps/v1"},
    {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}, {"kind": "Bogus", "apiVersion": "v1"},
    {"kind": "DeleteOptions", "apiVersion": "bogus/v1"}, {"apiVersion": "v1"}, {"kind": "DeleteOptions"},
    {"gracePeriodSeconds": 3}, {"gracePeriodSeconds": -1}, {"gracePeriodSeconds": "3"}, {"gracePeriodSeconds": 1.5},
    {"propagationPolicy": "Foreground"}, {"propagationPolicy": "x"}, {"propagationPolicy": ""},
    {"orphanDependents": True}, {"orphanDependents": True, "propagationPolicy": "Orphan"}, {"orphanDependents": "a"},
    {"preconditions": {"uid": "nope"}}, {"preconditions": {"resourceVersion": "1"}},
    {"preconditions": {"uid": "nope", "resourceVersion": "1"}}, {"preconditions": {}}, {"preconditions": {"uid": ""}},
    {"preconditions": {"resourceVersion": ""}}, {"preconditions": {"uid": 5}}, {"preconditions": []}, {"dryRun": ["All"]},
    {"dryRun": ["x"]},
    {"dryRun": "All"}, {"dryRun": []}, {"bogus": 1}, {"kind": "ConfigMap", "apiVersion": "v1"},
    {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "x"}}, [], "x", None, 5,
    {"ignoreStoreReadErrorWithClusterBreakingPotential": True}, {"kind": "deleteoptions", "apiVersion": "v1"},
)  # fmt: skip


def delete_one(side: Side) -> None:
    _begin(side)
    for path in (MAPS, PODS, JOBS):
        for query in _QUERIES:
            _make(side, path)
            side.ask("DELETE", f"{path}/x?{query}")
            side.get(f"{path}/x")
        for options in _OPTIONS:
            _make(side, path)
            side.ask("DELETE", f"{path}/x", json.dumps(options))
            side.get(f"{path}/x")
        for query, options in itertools.product(
            (
                "gracePeriodSeconds=7",
                "propagationPolicy=Foreground",
                "dryRun=All",
                "propagationPolicy=Bogus",
                "orphanDependents=true",
            ),
            (
                {},
                {"gracePeriodSeconds": 3},
                {"propagationPolicy": "Orphan"},
                {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]},
            ),
        ):
            _make(side, path)
            side.ask("DELETE", f"{path}/x?{query}", json.dumps(options))
            side.get(f"{path}/x")
        for finalizers, query in itertools.product(
            (["example.com/a"], ["foregroundDeletion"], ["orphan"], ["orphan", "example.com/a"]),
            (
                "",
                "propagationPolicy=Orphan",
                "propagationPolicy=Foreground",
                "propagationPolicy=Background",
                "orphanDependents=false",
                "gracePeriodSeconds=0",
            ),
        ):
            _make(side, path, finalizers=finalizers)
            side.ask("DELETE", f"{path}/x?{query}", label=f"{path} {finalizers} {query}")
            side.ask("DELETE", f"{path}/x?{query}", label=f"{path} {finalizers} {query} again")
            side.ask("DELETE", f"{path}/x?dryRun=All&gracePeriodSeconds=1", label=f"{path} {finalizers} {query} dry")
            for changed in (["example.com/b"], []):
                patch = {"metadata": {"finalizers": changed}}
                label = f"{path} {finalizers} {query} then {changed}"
                side.ask("PATCH", f"{path}/x", patch, label, content_type="application/merge-patch+json")
        meta = _make(side, path)
        for conditions in (
            {"uid": meta["uid"], "resourceVersion": "1"},
            {"uid": "x", "resourceVersion": meta["resourceVersion"]},
            {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]},
        ):
            side.ask("DELETE", f"{path}/x", {"preconditions": conditions}, label=f"{path} preconditions")
        side.ask("DELETE", f"{path}/x")
        side.ask("DELETE", f"{path}/x?dryRun=Bogus")
    for grace in (30, 5, 5, 10, 0):
        if grace == 30:
            _make(side, PODS)
        side.ask("DELETE", f"{PODS}/x?gracePeriodSeconds={grace}", label=f"again {grace}")
    for body, media_type in (
        ("", "application/json"),
        ("gracePeriodSeconds: 3", "application/yaml"),
        ("{", "application/json"),
        ("x", "text/plain"),
        ("{}", "application/vnd.kubernetes.protobuf"),
        ("kind: DeleteOptions\napiVersion: v1\nbogus: 1", "application/yaml"),
        ('{"dryRun":["All"],"dryRun":["x"]}', "application/json"),
        ("null", "application/json"),
        (" ", "application/json"),
        ("{}{}", "application/json"),
    ):
        _make(side)
        side.ask("DELETE", f"{MAPS}/x", body, content_type=media_type)


def delete_many(side: Side) -> None:
    _begin(side)

    def fill() -> None:
        side.send("DELETE", MAPS)
        for i in range(4):
            _make(side, name=f"m{i}", labels={"i": str(i % 2)}, **({"finalizers": ["example.com/a"]} if i == 3 else {}))

    queries = ("labelSelector=i%3D0", "fieldSelector=metadata.name%3Dm1", "limit=1", "limit=2", "dryRun=All",
    "dryRun=x", "resourceVersion=0", "resourceVersion=1", "resourceVersion=a", "continue=x", "labelSelector=!!",
    "fieldSelector=a%3Db", "propagationPolicy=Orphan", "gracePeriodSeconds=-3",
    "orphanDependents=true&propagationPolicy=Orphan", "timeoutSeconds=a", "sendInitialEvents=true",
    "resourceVersionMatch=Exact", "ignoreStoreReadErrorWithClusterBreakingPotential=true", "watch=true", "",
    "pretty=1", "resourceVersion=0&resourceVersionMatch=NotOlderThan", "limit=a")  # fmt: skip
    for query in queries:
        fill()
        side.ask("DELETE", f"{MAPS}?{query}")
        side.get(MAPS, accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    for options in _OPTIONS:
        fill()
        side.ask("DELETE", MAPS, json.dumps(options))
        side.get(MAPS, accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1")
    fill()
    for accept in (
        "application/json;as=Table;g=meta.k8s.io;v=v1",
        "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        "application/yaml",
        "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
    ):
        side.ask("DELETE", f"{MAPS}?dryRun=All", accept=accept)
        side.ask("DELETE", f"{MAPS}/m0?dryRun=All", accept=accept)
    for path in (
        "/api/v1/configmaps",
        "/api/v1/namespaces",
        "/api/v1/nodes",
        "/api/v1/services",
        f"{NS}/services",
        "/api/v1/componentstatuses",
        f"{NS}/bindings",
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        "/api/v1/namespaces/none/configmaps",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions?dryRun=All",
        f"{NS}/events",
        f"{NS}/endpoints?dryRun=All",
        f"{NS}/replicationcontrollers?dryRun=All",
    ):
        side.ask("DELETE", path)
