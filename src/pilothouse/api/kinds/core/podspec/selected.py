"""Selectors of kinds with a pod template, which their own pods must match."""

from __future__ import annotations

from typing import Any

from pilothouse.api import field
from pilothouse.api.field import ErrorList, FieldError
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import is_usable, same
from pilothouse.api.objects import Obj, meta
from pilothouse.api.selectors import of_object


def is_empty(selector: Obj | None) -> bool:
    return selector is not None and not selector.get("matchLabels") and not selector.get("matchExpressions")


def shown(value: Obj | None) -> Any:
    """A selector as a bad value."""
    return None if value is None else internal("meta/v1.LabelSelector", value)


def template_labels(selector: Obj | None, template: Obj | None, path: str) -> ErrorList:
    """The template's labels match a selector that can be evaluated; a missing selector matches nothing."""
    if not is_usable(selector) or of_object(selector).matches(meta(template or {}).get("labels") or {}):
        return []
    return [mismatch(template, path)]


def mismatch(template: Obj | None, path: str) -> FieldError:
    labels = meta(template or {}).get("labels")
    value = None if labels is None else dict(sorted(labels.items()))
    return field.invalid(f"{path}.metadata.labels", value, "`selector` does not match template `labels`")


def immutable_selector(new: Obj | None, old: Obj | None, path: str) -> ErrorList:
    return [] if same(new, old) else [field.invalid(path, shown(new), "field is immutable")]
