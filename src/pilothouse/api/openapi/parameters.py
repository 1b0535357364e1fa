"""The parameters of requests: the options in their queries, and the variables of their paths, in the OpenAPI 3 form."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK
from pilothouse.api.types import Shape, type_of

_TYPES: Final = {"bool": "boolean", "int32": "integer", "int64": "integer"}
_QUERY: Final[dict[str, tuple[str, str]]] = {
    "allowWatchBookmarks": ("boolean", "allowWatchBookmarks asks a watch for events of type BOOKMARK."),
    "continue": ("string", "continue is the token of the page before, and asks for the next one."),
    "dryRun": ("string", "dryRun is All where nothing shall be stored."),
    "fieldManager": ("string", "fieldManager names who changes the object, in up to 128 printable characters."),
    "fieldSelector": ("string", "fieldSelector restricts the objects by their fields."),
    "fieldValidation": (
        "string",
        "fieldValidation says what unknown and duplicate fields of the body are: Ignore: nothing, Warn (the default): "
        "warnings, Strict: an error.",
    ),
    "force": ("boolean", "force takes over fields that other managers own, in an apply."),
    "gracePeriodSeconds": ("integer", "gracePeriodSeconds is how long the object may take to end; 0 deletes it at once."),
    "ignoreStoreReadErrorWithClusterBreakingPotential": (
        "boolean", "ignoreStoreReadErrorWithClusterBreakingPotential deletes an object that cannot be read.",
    ),
    "labelSelector": ("string", "labelSelector restricts the objects by their labels."),
    "limit": ("integer", "limit is how many objects a page has at most."),
    "orphanDependents": ("boolean", "orphanDependents is deprecated: use propagationPolicy."),
    "pretty": ("string", "pretty is true where the answer shall be written for people."),
    "propagationPolicy": (
        "string", "propagationPolicy says what becomes of dependents: Orphan, Background or Foreground.",
    ),
    "resourceVersion": ("string", "resourceVersion says how new the answer must be."),
    "resourceVersionMatch": ("string", "resourceVersionMatch says how resourceVersion is meant: Exact or NotOlderThan."),
    "sendInitialEvents": ("boolean", "sendInitialEvents makes a watch begin with the objects that there are."),
    "shardSelector": ("string", "shardSelector restricts the objects to a range of hashes."),
    "timeoutSeconds": ("integer", "timeoutSeconds is how long a list or watch lasts at most."),
    "watch": ("boolean", "watch asks for the changes as they come, in place of a list."),
}  # fmt: skip
# What an apply says of its manager differs from what other writes say.
_APPLIER: Final = "fieldManager names who changes the object, and must be given in an apply."
_PATH: Final = {
    "namespace": "object name and auth scope, such as for teams and projects",
    "path": "path to the resource",
}

LIST: Final = (
    "allowWatchBookmarks", "continue", "fieldSelector", "labelSelector", "limit", "resourceVersion", "resourceVersionMatch",
    "sendInitialEvents", "shardSelector", "timeoutSeconds", "watch",
)  # fmt: skip
WRITE: Final = ("dryRun", "fieldManager", "fieldValidation")
PATCH: Final = (*WRITE, "force")
DELETE: Final = (
    "dryRun", "gracePeriodSeconds", "ignoreStoreReadErrorWithClusterBreakingPotential", "orphanDependents",
    "propagationPolicy",
)  # fmt: skip
DELETE_COLLECTION: Final = (*(p for p in LIST if p not in ("allowWatchBookmarks", "watch")), *DELETE)


def queries(names: Iterable[str], *, apply: bool = False) -> list[Obj]:
    return [_query(name, apply and name == "fieldManager") for name in names]


@cache
def _query(name: str, applier: bool = False) -> Obj:
    kind, text = _QUERY[name]
    return _parameter(name, "query", _APPLIER if applier else text, kind)


def _parameter(name: str, where: str, text: str, kind: str) -> Obj:
    out: Obj = {"name": name, "in": where}
    if text:
        out["description"] = text
    if where == "path":
        out["required"] = True
    out["schema"] = {"type": kind, "uniqueItems": True}
    return out


@cache
def path(name: str) -> Obj:
    return _parameter(name, "path", _PATH[name], "string")


def name_of(kind: str) -> Obj:
    return _parameter("name", "path", f"name of the {kind}", "string")


def of_options(gvk: GVK) -> list[Obj]:
    """The fields of an options kind (PodExecOptions, PodLogOptions …) as parameters."""
    type_ = type_of(gvk)
    assert type_ is not None
    out = []
    for name, field in type_.fields.items():
        element = field.type.element if field.type.shape is Shape.LIST else field.type
        if name in ("kind", "apiVersion") or element is None or element.name not in ("string", *_TYPES):
            continue
        kind = _TYPES.get(element.name, "string")
        out.append(_parameter(name, "query", f"{name} of {gvk.kind}", kind))
    return out
