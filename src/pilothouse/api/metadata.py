"""Validation of ObjectMeta, which every kind has.

Source: upstream's apimachinery/pkg/api/validation/objectmeta.go: its checks, texts and order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import split_api_version

ANNOTATIONS_MAX_BYTES: Final = 256 * 1024
_STANDARD_FINALIZERS: Final = frozenset({"kubernetes", "orphan", "foregroundDeletion"})
_UNQUALIFIED: Final = "name is neither a standard finalizer name nor is it fully qualified"

NameRule = Callable[[str, bool], list[str]]


def subdomain(name: str, prefix: bool) -> list[str]:
    """The rule of kinds without one of their own. A prefix may end with a dash: more follows."""
    return names.dns1123_subdomain(masked(name) if prefix else name)


def path_segment(name: str, prefix: bool) -> list[str]:
    """The rule that holds of every kind. More may follow a prefix."""
    return [why for why in names.path_segment(name) if not (prefix and why.startswith("may not be"))]


def masked(name: str) -> str:
    """A prefix of names, judged as a name: what stands for its end hides the character before the dash too, as upstream's."""
    return name[:-2] + "a" if len(name) > 1 and name.endswith("-") else name


def validate(meta: Obj, namespaced: bool, rule: NameRule | None, *, core: bool = True) -> ErrorList:
    """Of an object to create. `core`: finalizers of kinds that are not of extensions have standard or qualified names."""
    rule = rule or subdomain
    found: ErrorList = []
    generate, name, namespace = meta.get("generateName"), meta.get("name"), meta.get("namespace")
    if generate:
        found += [field.invalid("metadata.generateName", generate, why) for why in rule(generate, True)]
    if not name:
        found.append(field.required("metadata.name", "name or generateName is required"))
    else:
        found += [field.invalid("metadata.name", name, why) for why in rule(name, False)]
    if namespaced:
        if not namespace:
            found.append(field.required("metadata.namespace"))
        else:
            found += [field.invalid("metadata.namespace", namespace, why) for why in names.dns1123_label(namespace)]
    elif namespace:
        found.append(field.forbidden("metadata.namespace", "not allowed on this type"))
    return found + _common(meta, core)


def _common(meta: Obj, core: bool) -> ErrorList:
    found: ErrorList = []
    if (meta.get("generation") or 0) < 0:
        found.append(field.invalid("metadata.generation", meta["generation"], "must be greater than or equal to 0"))
    found += labels(meta.get("labels") or {}, "metadata.labels")
    found += check_annotations(meta.get("annotations") or {}, "metadata.annotations")
    found += owners(meta.get("ownerReferences") or [], "metadata.ownerReferences")
    path, given = "metadata.finalizers", meta.get("finalizers") or []
    return found + finalizers(given, path) + (bare_finalizers(given, path) if core else [])


def labels(given: dict[str, str], path: str) -> ErrorList:
    found: ErrorList = []
    for key, value in given.items():
        found += [field.invalid(path, key, why) for why in names.qualified_name(key)]
        found += [field.invalid(path, value, why) for why in names.label_value(value)]
    return found


def check_annotations(given: dict[str, str], path: str) -> ErrorList:
    found: ErrorList = []
    size = 0
    for key, value in given.items():
        found += [field.invalid(path, key, why) for why in names.qualified_name(key.lower())]
        size += len(key.encode("utf-8", "surrogatepass")) + len(value.encode("utf-8", "surrogatepass"))
    if size > ANNOTATIONS_MAX_BYTES:
        found.append(field.too_long(path, ANNOTATIONS_MAX_BYTES))
    return found


def owners(given: list[Any], path: str) -> ErrorList:
    found: ErrorList = []
    controller = ""
    for i, owner in enumerate(given):
        at = f"{path}[{i}]"
        api_version = owner.get("apiVersion") or ""
        group, version = split_api_version(api_version)
        if not api_version:
            found.append(field.required(f"{at}.apiVersion", "must not be empty"))
        elif not version or "/" in group:
            found.append(field.invalid(f"{at}.apiVersion", api_version, "must be <group>/<version> or <version>"))
        for name in ("kind", "name", "uid"):
            if not owner.get(name):
                found.append(field.required(f"{at}.{name}", "must not be empty"))
        if (group, version, owner.get("kind")) == ("", "v1", "Event"):
            found.append(field.invalid(at, owner, "/v1, Kind=Event is disallowed from being an owner"))
        if owner.get("controller"):
            this = f"{owner.get('kind') or ''}/{owner.get('name') or ''}"
            if controller:
                why = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {this}'
                )
                found.append(field.invalid(path, given, why))
            controller = controller or this
    return found


def finalizers(given: list[str], path: str) -> ErrorList:
    found: ErrorList = []
    for one in given:
        found += [field.invalid(path, one, why) for why in names.qualified_name(one)]
    if "orphan" in given and "foregroundDeletion" in given:
        found.append(field.invalid(path, given, "finalizer orphan and foregroundDeletion cannot be both set"))
    return found


def bare_finalizers(given: list[str], path: str) -> ErrorList:
    """Those of no domain that are no standard ones."""
    bare = [(i, one) for i, one in enumerate(given) if "/" not in one and one not in _STANDARD_FINALIZERS]
    return [field.invalid(f"{path}[{i}]", one, _UNQUALIFIED) for i, one in bare]


def validate_update(new: Obj, old: Obj, *, core: bool = True, rule: NameRule | None = None) -> ErrorList:
    """Of an update: what must hold always, then what may not change. `core`: as in `validate`. `rule`: what generateName must be
    like still, which most kinds do not ask again."""
    path, finalizers_now = "metadata.finalizers", new.get("finalizers") or []
    found = labels(new.get("labels") or {}, "metadata.labels")
    found += check_annotations(new.get("annotations") or {}, "metadata.annotations")
    found += owners(new.get("ownerReferences") or [], "metadata.ownerReferences")
    found += finalizers(finalizers_now, path)
    if old.get("deletionTimestamp"):
        added = [f for f in finalizers_now if f not in (old.get("finalizers") or ())]
        if added:
            shown = ", ".join(field.quote(f) for f in added)
            why = f"no new finalizers can be added if the object is being deleted, found new finalizers []string{{{shown}}}"
            found.append(field.forbidden(path, why))
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        found.append(field.invalid("metadata.generation", new.get("generation") or 0, "must not be decremented"))
    for name in ("name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"):
        if new.get(name) != old.get(name):
            found.append(field.invalid(f"metadata.{name}", new.get(name), "field is immutable"))
    if core:
        found += bare_finalizers(finalizers_now, path)
    if rule is not None and new.get("generateName"):
        found += [
            field.invalid("metadata.generateName", new["generateName"], d) for d in rule(new["generateName"], True)
        ]
    return found
