"""What tables show of pod templates."""

from __future__ import annotations

from typing import Any

from pilothouse.api.kinds.common import selectors
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age


def replicas(obj: Obj, now_s: float, selector: str) -> list[Any]:
    """The row of what keeps a number of pods, with its selector as text."""
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    return [
        meta(obj).get("name", ""),
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        age(obj, now_s),
        *names_and_images(spec.get("template")),
        selector,
    ]


def names_and_images(template: Obj | None) -> tuple[str, str]:
    containers = ((template or {}).get("spec") or {}).get("containers") or ()
    return ",".join(c.get("name") or "" for c in containers), ",".join(c.get("image") or "" for c in containers)


def label_text(labels: Obj | None) -> str:
    """Labels as tables show them: `a=b,c=d`."""
    return ",".join(f"{k}={v or ''}" for k, v in sorted((labels or {}).items())) or "<none>"


def selector_text(selector: Obj | None) -> str:
    """A selector as labels.Selector writes itself: empty where it chooses all or nothing at all (that one Go calls nothing)."""
    if selector is not None and not selectors.is_usable(selector):
        return "<invalid>"
    text = selectors.show(selector)
    return "" if text == "<none>" else text
