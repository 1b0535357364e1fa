"""Writes: names, managers, dry runs, and what is said of fields that nobody knows."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote

from sidebyside import Side

NS = "/api/v1/namespaces/sides-write"
MAPS = f"{NS}/configmaps"
_PATCHES = (
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/json-patch+json",
    "application/apply-patch+yaml",
)

_RANDOM = re.compile(r"[bcdfghjklmnpqrstvwxz2456789]{5}(?=\W)")
_PATCH = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"c": "3"}}


def _begin(side: Side) -> None:
    side.send(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sides-write"}}
    )
    side.send("DELETE", MAPS)
    side.send("POST", MAPS, {"metadata": {"name": "x"}, "data": {"a": "1"}})
    side.wait(1.1)  # managers are ordered by whole seconds
    side.send(
        "POST", f"{NS}/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
    )


def write_managers(side: Side) -> None:
    _begin(side)
    for manager in (
        "",
        "a",
        "a" * 128,
        "a" * 129,
        "é" * 64,
        "é" * 65,
        "a\nb",
        "\x00",
        "a\x7f",
        "a\u200bb",
        "\u00a0",
        " ",
        "a b",
        "\ufffd",
        "\U000e0001",
        "\ue000",
    ):
        q = f"fieldManager={quote(manager)}&dryRun=All"
        named = f"manager {manager!r}"
        side.ask("POST", f"{MAPS}?{q}", {"metadata": {"name": "y"}}, label=f"create {named}")
        side.ask("PUT", f"{MAPS}/x?{q}", {"metadata": {"name": "x"}, "data": {"b": "2"}}, label=f"update {named}")
        for media_type in _PATCHES:
            body: Any = [] if media_type == "application/json-patch+json" else _PATCH
            side.ask("PATCH", f"{MAPS}/x?{q}", body, content_type=media_type, label=f"{media_type} {named}")
        side.ask("DELETE", f"{MAPS}/x?{q}", label=f"delete {named}")


def write_options(side: Side) -> None:
    _begin(side)
    for q in (
        "dryRun=All",
        "dryRun=",
        "dryRun=x",
        "dryRun=All&dryRun=All",
        "dryRun=All&dryRun=x",
        "dryRun=all",
        "fieldValidation=Strict&dryRun=All",
        "fieldValidation=x",
        "fieldValidation=&dryRun=All",
        "fieldValidation=strict",
        "force=true&dryRun=All",
        "force=false&dryRun=All",
        "force=x&dryRun=All",
        "force=&dryRun=All",
        "dryRun=x&fieldManager=" + "a" * 200 + "&fieldValidation=y&force=true",
        "fieldManager=a&force=true&dryRun=All",
        "pretty=true&dryRun=All",
        "resourceVersion=1&dryRun=All",
        "gracePeriodSeconds=1&dryRun=All",
        "propagationPolicy=x&dryRun=All",
    ):
        side.ask("POST", f"{MAPS}?{q}", {"metadata": {"name": "y"}})
        side.ask("PUT", f"{MAPS}/x?{q}", {"metadata": {"name": "x"}, "data": {"b": "2"}})
        for media_type in _PATCHES:
            body: Any = [] if media_type == "application/json-patch+json" else _PATCH
            side.ask("PATCH", f"{MAPS}/x?{q}", body, content_type=media_type)
    none = {"metadata": {"name": "none"}}
    for path, method, body in (
        ("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "POST", {"spec": {"nonResourceAttributes": {"verb": "get"}}}),
        ("/apis/authentication.k8s.io/v1/selfsubjectreviews", "POST", {}),
        ("/apis/authentication.k8s.io/v1/tokenreviews", "POST", {"spec": {"token": "x"}}),
        (f"{NS}/serviceaccounts/default/token", "POST", {"spec": {"audiences": ["a"]}}),
        ("/apis/authorization.k8s.io/v1/subjectaccessreviews", "POST", {"spec": {"user": "a", "nonResourceAttributes": {}}}),
        (f"{NS}/pods/none/binding", "POST", {"target": {"name": "n"}}), (f"{NS}/pods/none/eviction", "POST", none),
        (f"{NS}/bindings", "POST", {**none, "target": {"name": "n"}}), ("/api/v1/namespaces/none/finalize", "PUT", none),
        ("/apis/apps/v1/namespaces/sides-write/deployments/none/scale", "PUT", {**none, "spec": {"replicas": 1}}),
    ):  # fmt: skip
        for q in (
            "",
            "dryRun=All",
            "dryRun=x",
            "fieldValidation=Strict",
            "fieldValidation=x",
            "fieldManager=" + "a" * 200,
        ):
            side.ask(method, f"{path}?{q}", body)
            side.ask(method, f"{path}?{q}", {**body, "bogus": 1})


def write_names(side: Side) -> None:
    _begin(side)
    for generate in (
        "a-",
        "A-",
        "a" * 63,
        "a" * 64,
        "a" * 248,
        "a" * 249,
        "a" * 300,
        "a.",
        "-",
        "",
        "a_",
        "a" * 57 + ".",
    ):
        made = side.send("POST", f"{MAPS}?dryRun=All", {"metadata": {"generateName": generate}})
        name = made.json.get("metadata", {}).get("name", "")
        text = (
            _RANDOM.sub("RANDM", json.dumps(made.json, indent=1)) if made.status != 201 else f"{len(name)} {name[:-5]}"
        )
        side.records[f"generateName {generate}"] = f"{made.status} {text}"
    for path in (
        "/api/v1/namespaces",
        f"{NS}/services",
        f"{NS}/pods",
        "/apis/apps/v1/namespaces/sides-write/deployments",
    ):
        for generate in ("a" * 70, "A", "a-"):
            spec = {"ports": [{"port": 1}]} if "services" in path else {}
            made = side.send("POST", f"{path}?dryRun=All", {"metadata": {"generateName": generate}, "spec": spec})
            side.records[f"generateName {path} {generate}"] = f"{made.status}"
    for meta in ({}, {"name": ""}, {"name": "x"}, {"name": "y", "generateName": "z"},
    {"name": "y", "namespace": "other"}, {"name": "y", "namespace": "sides-write"}, {"name": "y", "uid": "u"},
    {"name": "y", "resourceVersion": "5"}, {"name": "y", "resourceVersion": ""}, {"name": "y", "resourceVersion": "a"},
    {"name": "y", "selfLink": "/x"}, {"name": "y", "generation": 5},
    {"name": "y", "deletionTimestamp": "2020-01-01T00:00:00Z"},
    {"name": "y", "creationTimestamp": "2020-01-01T00:00:00Z"}, {"name": "y", "ownerReferences": [{}]},
    {"name": "y", "managedFields": [{}]}, {"name": "y", "clusterName": "x"}, {"name": "Y"}, {"name": "y/z"}, {"name": "."},
    {"name": "y%"}):  # fmt: skip
        side.ask("POST", f"{MAPS}?dryRun=All", {"metadata": meta})
        side.ask("PUT", f"{MAPS}/y?dryRun=All", {"metadata": meta})
        side.ask("PUT", f"{MAPS}/x?dryRun=All", {"metadata": {**meta, "name": "x"}})
    # Which kinds an update may create.
    for base in (
        "/api/v1",
        *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in side.send("GET", "/apis").json["groups"]),
    ):
        for resource in side.send("GET", base).json["resources"]:
            if "update" in resource["verbs"] and "/" not in resource["name"]:
                path = (
                    f"{base}/namespaces/sides-write/{resource['name']}"
                    if resource["namespaced"]
                    else f"{base}/{resource['name']}"
                )
                side.ask("PUT", f"{path}/none?dryRun=All", {"metadata": {"name": "none"}})
                patch = {"metadata": {"name": "none"}}
                side.ask("PATCH", f"{path}/none?dryRun=All", patch, content_type="application/merge-patch+json")
                side.ask("PUT", f"{path}/none?dryRun=All", {"metadata": {"name": "other"}})
                side.ask("PUT", f"{path}/none?dryRun=All", {"metadata": {"name": "none", "resourceVersion": "1"}})
                side.ask("PUT", f"{path}/none?dryRun=All", {"metadata": {"name": "none", "uid": "1"}})


_FAULTY: dict[str, tuple[str, ...]] = {
    "application/json": (
        '{"metadata":{"name":"x"},"data":{"a":"1"},"data":{"a":"2"}}',
        '{"metadata":{"name":"x","name":"x"},"bogus":1}',
        '{"metadata":{"name":"x","bogus":{"a":1}},"data":{"a":"1","a":"2"}}',
        '{"metadata":{"name":"x"},"Data":{"a":"1"}}', '{"metadata":{"name":"x"},"bogus":1,"bogus":2}',
        '{"metadata":{"name":"x","labels":{"a":"b","a":"c"}}}',
        '{"metadata":{"name":"x","ownerReferences":[{"bogus":1},{"bogus":2}]}}',
        '{"kind":"ConfigMap","kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"x"}}',
        '{"metadata":{"name":"x"},"immutable":"no","bogus":1}', '{"metadata":{"name":"x"},"spec":{"a":{"b":1}}}',
    ),
    "application/yaml": ("metadata: {name: x}\ndata: {a: '1'}\ndata: {a: '2'}\n",
    "metadata: {name: x, name: x}\nbogus: 1\n", "metadata: {name: x}\ndata: {a: '1', a: '2'}\nbogus: 1\n",
    "metadata: {name: x}\nbogus: 1\nbogus: 2\n", "metadata:\n  name: x\n  labels: {a: b, a: c}\n  bogus: 1\n",
    "kind: ConfigMap\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: x}\n"),
}  # fmt: skip


def write_validation(side: Side) -> None:
    _begin(side)
    for validation in ("", "Ignore", "Warn", "Strict"):
        q = f"dryRun=All&fieldManager=m&fieldValidation={validation}"
        for media_type, bodies in _FAULTY.items():
            for body in bodies:
                made = body.replace('"x"', '"y"').replace("name: x", "name: y")
                side.ask("POST", f"{MAPS}?{q}", made, content_type=media_type)
                side.ask("PUT", f"{MAPS}/x?{q}", body, content_type=media_type)
                if media_type == "application/json":
                    side.ask("PATCH", f"{MAPS}/x?{q}", body, content_type="application/merge-patch+json")
                    side.ask("PATCH", f"{MAPS}/x?{q}", body, content_type="application/strategic-merge-patch+json")
                    applied = body if '"kind"' in body else '{"kind":"ConfigMap","apiVersion":"v1",' + body[1:]
                else:
                    side.ask("PATCH", f"{MAPS}/x?{q}", body, content_type="application/merge-patch+yaml")
                    applied = body if "kind" in body else "kind: ConfigMap\napiVersion: v1\n" + body
                side.ask("PATCH", f"{MAPS}/x?{q}", applied, content_type="application/apply-patch+yaml")
        for ops in (
            [{"op": "add", "path": "/bogus", "value": 1}],
            [{"op": "add", "path": "/metadata/bogus", "value": {"a": 1}}],
            [{"op": "add", "path": "/data", "value": {"a": "1"}, "bogus": 2}], [{"op": "bogus", "path": "/data"}],
            [{"op": "add", "path": "/data/z"}], [{"op": "remove", "path": "/nope"}],
            [{"op": "test", "path": "/data/a", "value": "2"}], [{"op": "add", "path": "data", "value": 1}],
            [{"path": "/data"}], [{}], [5], {}, "x", None,
        ):  # fmt: skip
            side.ask("PATCH", f"{MAPS}/x?{q}", json.dumps(ops), content_type="application/json-patch+json")
        for raw in (
            '[{"op":"add","op":"remove","path":"/data"}]',
            '[{"op":"add","path":"/bogus","value":{"a":1,"a":2}}]',
            "[",
            "",
        ):
            side.ask("PATCH", f"{MAPS}/x?{q}", raw, content_type="application/json-patch+json")
