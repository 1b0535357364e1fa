"""The `authorizer` variable: asks, step by step, whether the request's user may do something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from pilothouse.api import names
from pilothouse.api.cel.library import implements
from pilothouse.api.cel.values import CelError


@dataclass(frozen=True, slots=True)
class Question:
    """Of a path where there is one, of a resource otherwise. `service_account`: (namespace, name) of who it is asked for in
    place of the user."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    field_selector: str = ""
    label_selector: str = ""
    service_account: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    allowed: bool
    reason: str = ""
    error: str = ""


Ask = Callable[[Question], Answer]


@dataclass(frozen=True, slots=True)
class Authorizer:
    ask: Ask
    question: Question = Question()
    cel_kind = "Authorizer"
    kind = "kubernetes.authorization.Authorizer"


class _Check(Authorizer):
    __slots__ = ()


class PathCheck(_Check):
    cel_kind = "PathCheck"
    kind = "kubernetes.authorization.PathCheck"


class GroupCheck(_Check):
    cel_kind = "GroupCheck"
    kind = "kubernetes.authorization.GroupCheck"


class ResourceCheck(_Check):
    cel_kind = "ResourceCheck"
    kind = "kubernetes.authorization.ResourceCheck"


@dataclass(frozen=True, slots=True)
class Decision:
    answer: Answer
    cel_kind = "Decision"
    kind = "kubernetes.authorization.Decision"


@implements("path", "Authorizer", "string")
def _path(a: Authorizer, path: str) -> PathCheck:
    if not path.strip():
        raise CelError("path must not be empty")
    return PathCheck(a.ask, replace(a.question, path=path))


@implements("group", "Authorizer", "string")
def _group(a: Authorizer, group: str) -> GroupCheck:
    return GroupCheck(a.ask, replace(a.question, group=group))


@implements("serviceAccount", "Authorizer", "string", "string")
def _service_account(a: Authorizer, namespace: str, name: str) -> Authorizer:
    if names.dns1123_subdomain(name):
        raise CelError("Invalid service account name")
    if names.dns1123_label(namespace):
        raise CelError("Invalid service account namespace")
    return Authorizer(a.ask, replace(a.question, service_account=(namespace, name)))


@implements("resource", "GroupCheck", "string")
def _resource(a: GroupCheck, resource: str) -> ResourceCheck:
    if not resource.strip():
        raise CelError("resource must not be empty")
    return ResourceCheck(a.ask, replace(a.question, resource=resource))


_FIELDS: Final = {
    "subresource": "subresource", "namespace": "namespace", "name": "name", "fieldSelector": "field_selector",
    "labelSelector": "label_selector",
}  # fmt: skip


def _narrow(field: str) -> Callable[[ResourceCheck, str], ResourceCheck]:
    def narrowed(a: ResourceCheck, value: str) -> ResourceCheck:
        narrower: dict[str, Any] = {field: value}
        return ResourceCheck(a.ask, replace(a.question, **narrower))

    return narrowed


for _function, _field in _FIELDS.items():
    implements(_function, "ResourceCheck", "string")(_narrow(_field))


@implements("check", "PathCheck|ResourceCheck", "string")
def _check(a: _Check, verb: str) -> Decision:
    return Decision(a.ask(replace(a.question, verb=verb)))


implements("allowed", "Decision")(lambda d: d.answer.allowed)
implements("reason", "Decision")(lambda d: d.answer.reason)
implements("errored", "Decision")(lambda d: bool(d.answer.error))
implements("error", "Decision")(lambda d: d.answer.error)
