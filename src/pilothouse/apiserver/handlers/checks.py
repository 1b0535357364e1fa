"""Validation of what a write would store, and its last form."""

from __future__ import annotations

from pilothouse.api import errors, gonumbers, metadata
from pilothouse.api.codec.decode import DecodeError
from pilothouse.api.errors import StatusError
from pilothouse.api.field import ErrorList, Tolerated
from pilothouse.api.objects import Obj
from pilothouse.apiserver import endpoints
from pilothouse.apiserver.contracts import Attributes, JudgeContext
from pilothouse.apiserver.handlers import bodies
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.objects import StoredObjects

# Groups of programs of their own that upstream links in: their metadata has the rules that all programs share, and no others.
_EXTENSIONS = frozenset({"apiextensions.k8s.io", "apiregistration.k8s.io"})


def create(scope: Scope, obj: Obj) -> ErrorList:
    kind, stored = scope.served.kind, scope.served.stored
    if not kind.own_metadata:
        return kind.validate(obj) or metadata.validate(obj["metadata"], stored.namespaced, metadata.path_segment)
    return metadata.validate(obj["metadata"], stored.namespaced, kind.name, core=_is_core(scope)) + kind.validate(obj)


def _is_core(scope: Scope) -> bool:
    return not scope.served.stored.custom and scope.served.stored.group not in _EXTENSIONS


def update(scope: Scope, new: Obj, old: Obj) -> ErrorList:
    kind = scope.served.kind
    if scope.strategy is not None and scope.strategy.validate is not None:
        own = scope.strategy.validate(new, old)
    else:
        own = kind.validate_update(new, old)
    core = _is_core(scope) and kind.own_metadata
    rule = (kind.name or metadata.subdomain) if kind.names_are_checked_again else None
    found = metadata.validate_update(new["metadata"], old["metadata"], core=core, rule=rule) + own
    for error in found:
        if type(error) is Tolerated:
            scope.warn(str(error))
    return [e for e in found if type(e) is not Tolerated]


async def judged(scope: Scope, new: Obj, old: Obj | None, found: ErrorList) -> ErrorList:
    """With what the rules find that must ask others."""
    info, stored = scope.info, scope.served.stored
    judge = None if stored.custom else endpoints.judge(stored.group, stored.resource, info.subresource)
    if judge is None:
        return found
    core = scope.core
    attributes = Attributes(
        scope.user, info.verb, info.path, True, info.group, info.version, info.resource, info.subresource,
        info.namespace, info.name,
    )  # fmt: skip
    return await judge(JudgeContext(core.clock, core.authorizer, StoredObjects(core)), attributes, new, old, found)


def invalid(scope: Scope, name: str, errs: ErrorList) -> StatusError:
    gvk = scope.served.stored.gvk
    return errors.invalid(gvk.group, gvk.kind, name, errs)


def still_defined(scope: Scope) -> None:
    """Raises 403 where an object would be created whose definition is being deleted."""
    if scope.served.terminating:
        why = "create not allowed while custom resource definition is terminating"
        raise errors.forbidden(*scope.qualified, scope.info.name, why)


def canonical(scope: Scope, obj: Obj) -> Obj:
    """The object as upstream would write it: fields in order, nothing empty that is left out."""
    scope.served.kind.canonicalize(obj)
    type_ = scope.served.stored.type
    if scope.served.stored.custom or type_ is None:
        out: Obj = gonumbers.written(obj)
        return out
    try:
        return bodies.canonical(type_, obj)
    except DecodeError as error:
        raise errors.bad_request(str(error)) from None
