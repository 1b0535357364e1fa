"""CustomResourceDefinitions as upstream's API server stores them: in v1beta1, where what holds of all versions stands once.

Source: upstream's apiextensions/v1beta1 types and their conversion.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.objects import Obj

_DROPPED: Final = ("version", "validation", "subresources", "additionalPrinterColumns", "selectableFields")


def decode(obj: Obj) -> Obj:
    """A v1beta1 object as v1. May keep parts of its argument."""
    spec: Obj = {name: value for name, value in (obj.get("spec") or {}).items() if name not in _DROPPED}
    given: Obj = obj.get("spec") or {}
    if not spec.get("preserveUnknownFields"):
        spec.pop("preserveUnknownFields", None)
    versions = given.get("versions") or [{"name": given.get("version", ""), "served": True, "storage": True}]
    spec["versions"] = [_version(version, given) for version in versions]
    if given.get("conversion"):
        spec["conversion"] = _conversion(given["conversion"])
    return {**obj, "apiVersion": "apiextensions.k8s.io/v1", "spec": spec}


def _version(version: Obj, spec: Obj) -> Obj:
    out: Obj = {
        name: value
        for name, value in version.items()
        if name in ("name", "served", "storage", "deprecated", "deprecationWarning")
    }
    for name, common in (
        ("schema", "validation"), ("subresources", "subresources"),
        ("additionalPrinterColumns", "additionalPrinterColumns"), ("selectableFields", "selectableFields"),
    ):  # fmt: skip
        found = version.get(name)
        if found is None:
            found = spec.get(common)
        if found is not None:
            out[name] = [_path(c) for c in found] if name in ("additionalPrinterColumns", "selectableFields") else found
    return out


def _path(column: Obj) -> Obj:
    return {"jsonPath" if name == "JSONPath" else name: value for name, value in column.items()}


def _conversion(given: Obj) -> Obj:
    out: Obj = {"strategy": given.get("strategy", "None")}
    webhook: dict[str, Any] = {}
    if given.get("webhookClientConfig") is not None:
        webhook["clientConfig"] = given["webhookClientConfig"]
    if given.get("conversionReviewVersions"):
        webhook["conversionReviewVersions"] = given["conversionReviewVersions"]
    if webhook:
        out["webhook"] = webhook
    return out
