"""A CustomResourceDefinition as the resources that the registry serves.

Source: upstream's apiextensions-apiserver/pkg/apiserver/customresource_handler.go and registry/customresource.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final

from pilothouse.api import printing
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.scheme import GVK, GVR, Resource, Subresource
from pilothouse.api.structural import jsonpath, schema
from pilothouse.api.types import Field, Shape, Type, type_named
from pilothouse.apiserver.contracts import SubresourceStrategy
from pilothouse.apiserver.endpoints import scale
from pilothouse.apiserver.registry.resources import Column, ServedResource, Stored

_VERBS: Final = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
_SCALE: Final = GVK("autoscaling", "v1", "Scale")
_AGE: Final = Column("Age", "date", "", 0)
_NAME: Final = Column("Name", "string", "name", 0)


@cache
def _type() -> Type:
    """What all custom objects have in common; the rest stays as it is."""
    fields = [
        Field("kind", type_named("string"), omitempty=True),
        Field("apiVersion", type_named("string"), omitempty=True),
        Field("metadata", type_named("#meta/v1.ObjectMeta"), omitempty=True),
    ]
    return Type("CustomResource", Shape.STRUCT, build=lambda: fields, preserve_unknown=True)


def of_definition(definition: Obj) -> list[ServedResource]:
    """Every served version."""
    spec = definition["spec"]
    group, given, versions = spec["group"], spec["names"], spec["versions"]
    storage = next(v for v in versions if v.get("storage"))
    home = GVK(group, storage["name"], given["kind"])
    decoders = {f"{group}/{v['name']}": _rename(home.api_version) for v in versions if v["name"] != storage["name"]}
    namespaced = spec["scope"] == "Namespaced"
    stored = Stored(
        group, given["plural"], f"/registry/{group}/{given['plural']}/", namespaced, home, _type(), _kind(storage),
        home.api_version, decoders, custom=True,
    )  # fmt: skip
    return [_served(spec, version, stored) for version in versions if version.get("served")]


def _rename(api_version: str) -> Callable[[Obj], Obj]:
    return lambda obj: {**obj, "apiVersion": api_version}


def _served(spec: Obj, version: Obj, stored: Stored) -> ServedResource:
    given, name = spec["names"], version["name"]
    gvr = GVR(spec["group"], name, given["plural"])
    gvk = GVK(spec["group"], name, given["kind"])
    subresources: dict[str, Subresource] = {}
    strategies: dict[str, SubresourceStrategy] = {}
    wanted = version.get("subresources") or {}
    if "status" in wanted:
        subresources["status"] = Subresource("status", gvk, ("get", "patch", "update"))
    if wanted.get("scale"):
        subresources["scale"] = Subresource("scale", _SCALE, ("get", "patch", "update"))
        strategies["scale"] = _scale(wanted["scale"])
    resource = Resource(
        gvr, given["kind"], given.get("singular") or given["kind"].lower(), stored.namespaced, _VERBS,
        tuple(given.get("shortNames") or ()), tuple(given.get("categories") or ()), subresources,
    )  # fmt: skip
    decode = encode = None
    if gvk != stored.gvk:
        decode, encode = _rename(stored.gvk.api_version), _rename(gvk.api_version)
    columns = tuple(version.get("additionalPrinterColumns") or ())
    warning = ""
    if version.get("deprecated"):
        warning = version.get("deprecationWarning") or f"{gvk.api_version} {gvk.kind} is deprecated"
    return ServedResource(
        resource, _type(), stored, _kind(version), _columns(columns), decode, encode, _row(columns), strategies, warning,
        (version.get("schema") or {}).get("openAPIV3Schema"),
    )  # fmt: skip


def _kind(version: Obj) -> Kind:
    """What is particular to the objects of one version."""
    structural: Obj = (version.get("schema") or {}).get("openAPIV3Schema") or {}
    has_status = "status" in (version.get("subresources") or {})

    def default(obj: Obj) -> None:
        schema.prune(obj, structural, root=True)
        schema.default(obj, structural)

    def prepare_create(obj: Obj) -> None:
        if has_status:
            obj.pop("status", None)
        obj["metadata"]["generation"] = 1

    def prepare_update(new: Obj, old: Obj) -> None:
        if has_status:
            new.pop("status", None)
            if "status" in old:
                new["status"] = old["status"]
        if _content(new, has_status) != _content(old, has_status):
            new["metadata"]["generation"] = int(meta(old).get("generation") or 0) + 1

    def validate(obj: Obj) -> ErrorList:
        return schema.validate(obj, structural)

    return Kind(
        default=default,
        prepare_create=prepare_create,
        prepare_update=prepare_update,
        validate=validate,
        validate_update=lambda new, _: validate(new),
        validate_status=lambda new, _: validate(new),
        fields=_selectable(version),
        field_names=frozenset(f["jsonPath"][1:] for f in version.get("selectableFields") or ()),
        unconditional_update=False,
        reset_fields=frozenset({"status"}) if has_status else frozenset(),
    )


def _content(obj: Obj, has_status: bool) -> Obj:
    return {k: v for k, v in obj.items() if k not in ("metadata", "apiVersion") and not (has_status and k == "status")}


def _selectable(version: Obj) -> Callable[[Obj], dict[str, str]]:
    paths = [f["jsonPath"] for f in version.get("selectableFields") or ()]

    def fields(obj: Obj) -> dict[str, str]:
        found = {}
        for path in paths:
            values = jsonpath.find(obj, path)
            found[path[1:]] = _text(values[0]) if values else ""
        return found

    return fields


def _columns(given: tuple[Obj, ...]) -> tuple[Column, ...]:
    if not given:
        return (_NAME, _AGE)
    return (
        _NAME,
        *(
            Column(c["name"], c["type"], c.get("format") or "", c.get("priority") or 0, c.get("description") or "")
            for c in given
        ),
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _row(columns: tuple[Obj, ...]) -> Callable[[Obj, float], list[Any]]:
    def row(obj: Obj, now_s: float) -> list[Any]:
        cells: list[Any] = [meta(obj).get("name", "")]
        if not columns:
            return [*cells, printing.age(obj, now_s)]
        for column in columns:
            found = jsonpath.find(obj, column["jsonPath"])
            cells.append(_cell(found, column["type"], now_s))
        return cells

    return row


def _cell(found: list[Any], kind: str, now_s: float) -> Any:
    if not found or found[0] is None:
        return None if kind in ("integer", "number", "boolean") else ("<unknown>" if kind == "date" else "")
    value = found[0]
    if kind == "date":
        return printing.since(value, now_s) if isinstance(value, str) else "<invalid>"
    if kind in ("integer", "number", "boolean"):
        return value if isinstance(value, (int, float)) else None
    return " ".join(_text(v) for v in found)


def _scale(paths: Obj) -> SubresourceStrategy:
    def read(obj: Obj) -> Obj:
        wanted = jsonpath.find(obj, paths["specReplicasPath"])
        there = jsonpath.find(obj, paths["statusReplicasPath"])
        chosen = jsonpath.find(obj, paths["labelSelectorPath"]) if paths.get("labelSelectorPath") else []
        shown = {
            "metadata": obj["metadata"], "spec": {"replicas": wanted[0] if wanted else 0},
            "status": {"replicas": there[0] if there else 0},
        }  # fmt: skip
        return scale.make(shown, str(chosen[0]) if chosen else "")

    def write(obj: Obj, sent: Obj) -> None:
        jsonpath.put(obj, paths["specReplicasPath"], scale.wanted(sent))

    return SubresourceStrategy(read=read, write=write)
