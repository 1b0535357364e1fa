"""The scale subresource of custom resources.

Source: upstream's apiextensions-apiserver/pkg/registry/customresource (ScaleREST, ValidateScaleSpec, ValidateScaleStatus).
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import errors, field
from pilothouse.api.field import ErrorList
from pilothouse.api.gotext import go_type, go_value
from pilothouse.api.objects import Obj
from pilothouse.api.structural import jsonpath
from pilothouse.apiserver.contracts import SubresourceStrategy
from pilothouse.apiserver.endpoints import scale

_INT32_MAX: Final = (1 << 31) - 1
_NOT_SET: Final = -(1 << 31)  # what a scale says of replicas that are nowhere, as upstream


class _Odd(Exception):
    """A field is not of the type that scale needs; str() says so as upstream does."""


def _nested(obj: Obj, path: str, wanted: type) -> Any:
    """The value at a path; None where it is not there. Raises _Odd."""
    names = jsonpath.names(path)
    value: Any = obj
    for i, name in enumerate(names):
        if value is None:
            return None
        if not isinstance(value, dict):
            raise _Odd(_accessor(names[: i + 1], value, "map[string]interface{}"))
        if name not in value:
            return None
        value = value[name]
    if isinstance(value, bool) or not isinstance(value, wanted):
        raise _Odd(_accessor(names, value, "int64" if wanted is int else "string"))
    return value


def _accessor(names: list[str], value: Any, wanted: str) -> str:
    at, kind = "." + ".".join(names), "<nil>" if value is None else go_type(value)
    return f"{at} accessor error: {go_value(value)} is of the type {kind}, expected {wanted}"


def validate_spec(obj: Obj, paths: Obj) -> ErrorList:
    return _replicas(obj, paths["specReplicasPath"])


def validate_status(obj: Obj, paths: Obj) -> ErrorList:
    found = _replicas(obj, paths["statusReplicasPath"])
    selector = paths.get("labelSelectorPath")
    if selector:
        try:
            _nested(obj, selector, str)
        except _Odd as e:
            found.append(field.invalid(selector, "", str(e)))
    return found


def _replicas(obj: Obj, path: str) -> ErrorList:
    try:
        replicas = _nested(obj, path, int) or 0
    except _Odd as e:
        return [field.invalid(path, 0, str(e))]
    if replicas < 0:
        return [field.invalid(path, replicas, "should be a non-negative integer")]
    if replicas > _INT32_MAX:
        return [field.invalid(path, replicas, f"should be less than or equal to {_INT32_MAX}")]
    return []


def strategy(paths: Obj) -> SubresourceStrategy:
    spec_path, status_path, selector_path = (
        paths["specReplicasPath"], paths["statusReplicasPath"], paths.get("labelSelectorPath") or "",
    )  # fmt: skip

    def read(obj: Obj) -> Obj:
        try:
            wanted = _nested(obj, spec_path, int)
            there = _nested(obj, status_path, int) or 0
            selector = (_nested(obj, selector_path, str) or "") if selector_path else ""
        except _Odd as e:
            raise errors.internal(str(e)) from None
        replicas = _NOT_SET if wanted is None else wanted
        parts = {"metadata": obj["metadata"], "spec": {"replicas": replicas}, "status": {"replicas": there}}
        return scale.make(parts, selector)

    def check(obj: Obj) -> None:
        if (read(obj).get("spec") or {}).get("replicas") == _NOT_SET:
            raise errors.internal(f'the spec replicas field "{spec_path}" does not exist')

    def write(obj: Obj, sent: Obj) -> None:
        replicas = int((sent.get("spec") or {}).get("replicas") or 0)  # judged with the object
        if replicas == _NOT_SET:
            raise errors.bad_request(f'the spec replicas field "{spec_path}" cannot be empty')
        *above, last = jsonpath.names(spec_path)
        at = obj
        for name in above:
            inner = at.get(name)
            at[name] = at = dict(inner) if isinstance(inner, dict) else {}
        at[last] = replicas
        if sent["metadata"].get("resourceVersion"):
            obj["metadata"]["resourceVersion"] = sent["metadata"]["resourceVersion"]

    moved = ("spec.replicas", ".".join(jsonpath.names(spec_path)))
    return SubresourceStrategy(read=read, check=check, write=write, moved_fields=moved)
