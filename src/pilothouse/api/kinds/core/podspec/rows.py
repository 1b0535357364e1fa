"""What tables show of pod templates."""

from __future__ import annotations

from pilothouse.api.kinds.common import selectors
from pilothouse.api.objects import Obj


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
