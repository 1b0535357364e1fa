"""The CEL expressions of webhooks and policies: what they can name, judged when they are written and compiled when they run.

Source: upstream's k8s.io/apiserver/pkg/admission/plugin/cel/compile.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from pilothouse.api import field
from pilothouse.api.cel.environment import CompileError, Environment, InstantiationError, Program
from pilothouse.api.cel.signatures import JSON_PATCH, read
from pilothouse.api.cel.types import (
    AUTHORIZER,
    BOOL,
    DYN,
    INT,
    NULL,
    RESOURCE_CHECK,
    STRING,
    TIMESTAMP,
    Type,
    list_of,
    map_of,
    struct,
)
from pilothouse.api.field import ErrorList

_STRINGS: Final = map_of(STRING, STRING)
_KIND: Final = {"group": STRING, "version": STRING, "kind": STRING}
_RESOURCE: Final = {"group": STRING, "version": STRING, "resource": STRING}
_STRUCTS: Final[Mapping[str, Mapping[str, Type]]] = {
    "kubernetes.GroupVersionKind": _KIND,
    "kubernetes.GroupVersionResource": _RESOURCE,
    "kubernetes.UserInfo": {
        "username": STRING, "uid": STRING, "groups": list_of(STRING), "extra": map_of(STRING, list_of(STRING)),
    },
    "kubernetes.AdmissionRequest": {
        "kind": struct("kubernetes.GroupVersionKind"), "resource": struct("kubernetes.GroupVersionResource"),
        "subResource": STRING, "requestKind": struct("kubernetes.GroupVersionKind"),
        "requestResource": struct("kubernetes.GroupVersionResource"), "requestSubResource": STRING, "name": STRING,
        "namespace": STRING, "operation": STRING, "userInfo": struct("kubernetes.UserInfo"), "dryRun": BOOL,
        "options": DYN,
    },
    "kubernetes.NamespaceSpec": {"finalizers": list_of(STRING)},
    "kubernetes.NamespaceCondition": {
        "status": STRING, "type": STRING, "lastTransitionTime": TIMESTAMP, "message": STRING, "reason": STRING,
    },
    "kubernetes.NamespaceStatus": {"conditions": list_of(struct("kubernetes.NamespaceCondition")), "phase": STRING},
    "kubernetes.NamespaceMetadata": {
        "name": STRING, "generateName": STRING, "namespace": STRING, "labels": _STRINGS, "annotations": _STRINGS,
        "UID": STRING, "creationTimestamp": TIMESTAMP, "deletionGracePeriodSeconds": INT, "deletionTimestamp": TIMESTAMP,
        "generation": INT, "resourceVersion": STRING, "finalizers": list_of(STRING),
    },
    "kubernetes.Namespace": {
        "metadata": struct("kubernetes.NamespaceMetadata"), "spec": struct("kubernetes.NamespaceSpec"),
        "status": struct("kubernetes.NamespaceStatus"),
    },
}  # fmt: skip
VARIABLES: Final = "kubernetes.variables"
_JSON_PATCH_FIELDS: Final = {"op": STRING, "path": STRING, "from": STRING, "value": DYN}
OBJECT: Final = struct("Object")
JSON_PATCHES: Final = list_of(struct("JSONPatch"))
_RETURNS: Final = {"bool": BOOL, "string": STRING, "null_type": NULL, "Object": OBJECT, "list(JSONPatch)": JSON_PATCHES}


class _Anything(Mapping[str, Type]):
    """The fields of `Object` and what is in it: known when it runs."""

    def __getitem__(self, name: str) -> Type:
        return DYN

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def _patch_types(name: str) -> Mapping[str, Type] | None:
    if name == "JSONPatch":
        return _JSON_PATCH_FIELDS
    return _Anything() if name == "Object" or name.startswith("Object.") else None


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression can name. `variables`: those of the policy with their types, None where it has none at all.
    `patches`: the types that mutations are made of."""

    params: bool = False
    authorizer: bool = True
    variables: tuple[tuple[str, Type], ...] | None = None
    patches: bool = False

    def with_variable(self, name: str, kind: Type) -> Scope:
        return replace(self, variables=(*(self.variables or ()), (name, kind)))


@lru_cache(maxsize=256)
def environment(scope: Scope) -> Environment:
    named = {
        "object": DYN, "oldObject": DYN, "namespaceObject": struct("kubernetes.Namespace"),
        "request": struct("kubernetes.AdmissionRequest"),
    }  # fmt: skip
    structs = _STRUCTS
    if scope.params:
        named["params"] = DYN
    if scope.authorizer:
        named |= {"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK}
    if scope.variables is not None:
        named["variables"] = struct(VARIABLES)
        structs = {**structs, VARIABLES: dict(scope.variables)}
    if scope.patches:
        return Environment(named, structs, _patch_types, read(JSON_PATCH))
    return Environment(named, structs)


@lru_cache(maxsize=2048)
def compiled(expression: str, scope: Scope) -> tuple[Program | None, str]:
    """(the expression, what upstream says is wrong with it)."""
    try:
        return environment(scope).compile(expression), ""
    except InstantiationError as e:
        return None, f"program instantiation failed: {e}"
    except CompileError as e:
        return None, f"compilation failed: {e}"


def checked(expression: str, scope: Scope, *returns: str) -> tuple[Program | None, str]:
    """The same for an expression that must be of one of these types: `bool`, `string`, `null_type`, `Object` …"""
    program, wrong = compiled(expression, scope)
    if program is None or program.type in [_RETURNS[r] for r in returns]:
        return program, wrong
    got = _go_name(program.type)
    if len(returns) == 1:
        return None, f"must evaluate to {returns[0]} but got {got}"
    return None, f"must evaluate to one of [{' '.join(returns)}] but got {got}"


def _go_name(kind: Type) -> str:
    return f"{kind.name}({', '.join(map(_go_name, kind.params))})" if kind.params else kind.name


def check(expression: str, path: str, scope: Scope, *returns: str, shown: str | None = None) -> ErrorList:
    """`shown`: the bad value, where it is not the expression itself."""
    _, wrong = checked(expression, scope, *returns)
    if not wrong:
        return []
    if wrong.startswith("program instantiation failed"):
        return [field.internal(path, wrong)]
    return [field.invalid(path, expression if shown is None else shown, wrong)]


def with_variables(variables: list[dict[str, str]] | None, scope: Scope) -> Scope:
    """The scope of what follows a policy's variables; one that does not compile is of any type."""
    for variable in variables or ():
        program, _ = compiled(variable.get("expression") or "", scope)
        scope = scope.with_variable(variable.get("name") or "", program.type if program else DYN)
    return scope
