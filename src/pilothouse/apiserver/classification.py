"""Which FlowSchema and which priority level a request belongs to: what upstream says in two headers of every answer.

Source: upstream's apiserver/pkg/util/flowcontrol (rule.go, apf_controller.go) and KEP-1040: the first schema, by precedence and
name, of which a rule matches; schemas without their priority level do not count.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import Obj
from pilothouse.apiserver.contracts import Attributes, Objects

FLOW_SCHEMA: Final = "X-Kubernetes-Pf-Flowschema-Uid"
PRIORITY_LEVEL: Final = "X-Kubernetes-Pf-Prioritylevel-Uid"
_GROUP: Final = "flowcontrol.apiserver.k8s.io"
_KNOWN_MOST: Final = 4096  # kinds of requests whose class is remembered


class Flow(NamedTuple):
    """uids"""

    schema: str
    level: str


class Classifier:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._at = (-1, -1)
        self._schemas: list[tuple[Flow, Obj]] = []
        self._known: dict[tuple[Any, ...], Flow | None] = {}

    def flow(self, a: Attributes) -> Flow | None:
        """None before there are any schemas."""
        objects = self._objects
        now = (
            objects.changed_at(_GROUP, "flowschemas"),
            objects.changed_at(_GROUP, "prioritylevelconfigurations"),
        )
        if now != self._at:
            self._read(now)
        about = (a.group, a.resource, a.subresource, a.namespace) if a.resource_request else (a.path,)
        key = (a.user.name, a.user.groups, a.verb, *about)
        if key not in self._known:
            if len(self._known) >= _KNOWN_MOST:
                self._known.clear()
            self._known[key] = next((flow for flow, schema in self._schemas if _matches(schema, a)), None)
        return self._known[key]

    def _read(self, now: tuple[int, int]) -> None:
        self._at = now
        self._known.clear()
        levels = {p["metadata"]["name"]: p for p in self._objects.list(_GROUP, "prioritylevelconfigurations")}
        found = [
            (schema["spec"].get("matchingPrecedence") or 0, schema["metadata"]["name"], schema, level)
            for schema in self._objects.list(_GROUP, "flowschemas")
            if (level := levels.get(schema["spec"]["priorityLevelConfiguration"]["name"])) is not None
        ]
        found.sort(key=lambda one: one[:2])
        self._schemas = [(Flow(s["metadata"]["uid"], p["metadata"]["uid"]), s) for _, _, s, p in found]


def _matches(schema: Obj, a: Attributes) -> bool:
    return any(
        any(_is_subject(s, a.user) for s in rule.get("subjects") or ())
        and (
            any(_is_resource(r, a) for r in rule.get("resourceRules") or ())
            if a.resource_request
            else any(_is_path(r, a) for r in rule.get("nonResourceRules") or ())
        )
        for rule in schema["spec"].get("rules") or ()
    )


def _is_subject(subject: Obj, user: UserInfo) -> bool:
    match subject.get("kind"):
        case "User":
            return subject["user"]["name"] in ("*", user.name)
        case "Group":
            name = subject["group"]["name"]
            return name == "*" or name in user.groups
        case "ServiceAccount":
            account = subject["serviceAccount"]
            start = f"system:serviceaccount:{account['namespace']}:"
            return user.name.startswith(start) if account["name"] == "*" else user.name == start + account["name"]
    return False


def _in(value: str, listed: list[str] | None) -> bool:
    return bool(listed) and ("*" in listed or value in listed)  # type: ignore[operator]


def _is_resource(rule: Obj, a: Attributes) -> bool:
    resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
    return (
        _in(a.verb, rule.get("verbs"))
        and _in(a.group, rule.get("apiGroups"))
        and _in(resource, rule.get("resources"))
        and (_in(a.namespace, rule.get("namespaces")) if a.namespace else bool(rule.get("clusterScope")))
    )


def _is_path(rule: Obj, a: Attributes) -> bool:
    return _in(a.verb, rule.get("verbs")) and any(
        url == a.path or url == "*" or (url.endswith("*") and a.path.startswith(url[:-1]))
        for url in rule.get("nonResourceURLs") or ()
    )
