"""The simple JSONPaths of printer columns and scale: `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

_STEP: Final = re.compile(
    r"""\.(?P<name>[\w-]+)|\['(?P<quoted>[^']+)'\]|\[(?P<index>-?\d+)\]|\[(?P<all>\*)\]|"""
    r"""\[\?\(@\.(?P<key>[\w.-]+)\s*==\s*(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)')\)\]"""
)
Step = tuple[str, str, str]  # (what, name or key, value)


@lru_cache(maxsize=512)
def parse(path: str) -> tuple[Step, ...]:
    """Raises ValueError for a path that is not understood."""
    path = path.replace("\\.", "\0").strip("{}")
    steps: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(f"invalid JSONPath {path!r}")
        if match["name"] or match["quoted"]:
            steps.append(("name", (match["name"] or match["quoted"]).replace("\0", "."), ""))
        elif match["index"]:
            steps.append(("index", match["index"], ""))
        elif match["all"]:
            steps.append(("all", "", ""))
        else:
            steps.append(("filter", match["key"], match["double"] or match["single"] or ""))
        at = match.end()
    return tuple(steps)


def find(value: Any, path: str) -> list[Any]:
    """All values there; none for a path that is not understood."""
    try:
        steps = parse(path)
    except ValueError:
        return []
    found = [value]
    for what, name, wanted in steps:
        deeper: list[Any] = []
        for one in found:
            if what == "name" and isinstance(one, dict) and name in one:
                deeper.append(one[name])
            elif isinstance(one, list):
                if what == "index" and -len(one) <= int(name) < len(one):
                    deeper.append(one[int(name)])
                elif what == "all":
                    deeper += one
                elif what == "filter":
                    deeper += [item for item in one if isinstance(item, dict) and str(item.get(name)) == wanted]
        found = deeper
    return found


def put(obj: dict[str, Any], path: str, value: Any) -> None:
    """Sets the value at a path of plain names, making what is missing."""
    *above, last = [name for _, name, _ in parse(path)]
    for name in above:
        inner = obj.get(name)
        if not isinstance(inner, dict):
            inner = obj[name] = {}
        obj = inner
    obj[last] = value
