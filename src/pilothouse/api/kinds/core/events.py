"""Event, of the core group and of events.k8s.io: one object under two names of its fields.

Source: the API references of both, KEP-383 and upstream's pkg/apis/core/validation/events.go. In memory and in the store an
event has the form of the core group.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import since

_LIMIT: Final = 128
_NOTE_LIMIT: Final = 1024
# field of the core group ↔ field of events.k8s.io
_RENAMED: Final = {
    "involvedObject": "regarding",
    "message": "note",
    "source": "deprecatedSource",
    "firstTimestamp": "deprecatedFirstTimestamp",
    "lastTimestamp": "deprecatedLastTimestamp",
    "count": "deprecatedCount",
    "reportingComponent": "reportingController",
}
_FROM_NEW: Final = {new: core for core, new in _RENAMED.items()}
_ALWAYS_CORE: Final[dict[str, Any]] = {"involvedObject": {}, "source": {}, "firstTimestamp": None, "lastTimestamp": None,
                       "eventTime": None, "reportingComponent": "", "reportingInstance": ""}  # fmt: skip
_ALWAYS_NEW: Final[dict[str, Any]] = {"regarding": {}, "deprecatedSource": {}, "deprecatedFirstTimestamp": None,
                      "deprecatedLastTimestamp": None, "eventTime": None}  # fmt: skip


def from_new(obj: Obj) -> Obj:
    """An event of events.k8s.io as one of the core group."""
    out = {_FROM_NEW.get(k, k): v for k, v in obj.items()}
    out["apiVersion"] = "v1"
    for name, value in _ALWAYS_CORE.items():
        out.setdefault(name, value)
    return out


def to_new(obj: Obj) -> Obj:
    """An event of the core group as one of events.k8s.io."""
    out = {_RENAMED.get(k, k): v for k, v in obj.items()}
    out["apiVersion"] = "events.k8s.io/v1"
    for name in ("reportingController", "reportingInstance"):
        if out.get(name) == "":
            del out[name]
    for name, value in _ALWAYS_NEW.items():
        out.setdefault(name, value)
    return out


def common(event: Obj, reporting: str) -> ErrorList:
    """The rules of both groups; `reporting`: how the asked one calls the reporting component."""
    involved = (event.get("involvedObject") or {}).get("namespace") or ""
    namespace = meta(event).get("namespace") or ""
    mismatch = field.invalid("involvedObject.namespace", involved, "does not match event.namespace")
    if not event.get("eventTime"):
        if involved:
            return [] if involved == namespace else [mismatch]
        return [] if namespace in ("", "default") else [mismatch]
    found: ErrorList = []
    if not involved and namespace not in ("default", "kube-system"):
        found.append(mismatch)
    component = event.get("reportingComponent") or ""
    if not component:
        found.append(field.required(reporting))
    found += [field.invalid(reporting, component, d) for d in names.qualified_name(component)]
    for name in ("reportingInstance", "action", "reason"):
        text = event.get(name) or ""
        if not text:
            found.append(field.required(name))
        if len(text.encode()) > _LIMIT:
            found.append(field.invalid(name, "", f"can have at most {_LIMIT} characters"))
    if len((event.get("message") or "").encode()) > _NOTE_LIMIT:
        found.append(field.invalid("message", "", f"can have at most {_NOTE_LIMIT} characters"))
    return found


def _series(event: Obj) -> ErrorList:
    found: ErrorList = []
    series = event.get("series")
    if series is None:
        return found
    if (series.get("count") or 0) < 2:
        found.append(field.invalid("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        found.append(field.required("series.lastObservedTime"))
    return found


def strict(event: Obj) -> ErrorList:
    """What events.k8s.io asks of a new event."""
    found = common(event, "reportingController") + _series(event)
    if not event.get("eventTime"):
        found.append(field.required("eventTime"))
    kind = event.get("type") or ""
    if kind not in ("Normal", "Warning"):
        found.append(field.invalid("type", "", f"has invalid value: {kind}"))
    for name in ("firstTimestamp", "lastTimestamp", "count"):
        if event.get(name):
            found.append(field.invalid(name, "", "needs to be unset"))
    source = event.get("source") or {}
    if source.get("component") or source.get("host"):
        found.append(field.invalid("source", "", "needs to be unset"))
    return found


def strict_update(new: Obj, old: Obj) -> ErrorList:
    """What events.k8s.io asks of a changed event: nothing but its series may change."""
    found = common(new, "reportingController")
    if not same(new.get("series"), old.get("series")):
        found += _series(new)
    for name, shown, structure in (
        ("involvedObject", "involvedObject", "core/v1.ObjectReference"),
        ("reason", "reason", ""),
        ("message", "message", ""),
        ("source", "source", "core/v1.EventSource"),
        ("firstTimestamp", "firstTimestamp", "time"),
        ("lastTimestamp", "lastTimestamp", "time"),
        ("count", "count", "int"),
        ("reason", "reason", ""),
        ("type", "type", ""),
        ("eventTime", "eventTime", "time"),
        ("action", "action", ""),
        ("related", "related", "core/v1.ObjectReference"),
        ("reportingComponent", "reportingController", ""),
        ("reportingInstance", "reportingInstance", ""),
    ):
        value = new.get(name)
        if name == "related" and (value is None) != (old.get(name) is None):
            pass
        elif same(value or None, old.get(name) or None):
            continue
        if structure.startswith("core/"):
            value = internal(structure, value) if value is not None or name != "related" else None
        elif structure == "int":
            value = value or 0
        elif not structure:
            value = value or ""
        found.append(field.invalid(shown, value, "field is immutable"))
    return found


def row(event: Obj, now_s: float) -> list[Any]:
    first = since(event.get("firstTimestamp") or event.get("eventTime"), now_s)
    last = since(event["lastTimestamp"], now_s) if event.get("lastTimestamp") else first
    count = event.get("count") or 0
    series = event.get("series")
    if series is not None:
        last, count = since(series.get("lastObservedTime"), now_s), series.get("count") or 0
    elif not count:
        count = 1
    involved, source = event.get("involvedObject") or {}, event.get("source") or {}
    target = (involved.get("kind") or "").lower()
    if involved.get("name"):
        target += f"/{involved['name']}"
    component = source.get("component") or event.get("reportingComponent") or ""
    instance = source.get("host") or event.get("reportingInstance") or ""
    return [
        last,
        event.get("type") or "",
        event.get("reason") or "",
        target,
        involved.get("fieldPath") or "",
        f"{component}, {instance}" if instance else component,
        (event.get("message") or "").strip(),
        first,
        count,
        meta(event).get("name", ""),
    ]


_INVOLVED: Final = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def selectable(event: Obj) -> dict[str, str]:
    involved = event.get("involvedObject") or {}
    component = event.get("reportingComponent") or ""
    out = {f"involvedObject.{k}": involved.get(k) or "" for k in _INVOLVED}
    return out | {
        "reason": event.get("reason") or "",
        "reportingComponent": component,
        "source": (event.get("source") or {}).get("component") or component,
        "type": event.get("type") or "",
    }


def selectable_new(event: Obj) -> dict[str, str]:
    """The same under the names of events.k8s.io."""
    old = selectable(event)
    out = {f"regarding.{k}": old[f"involvedObject.{k}"] for k in _INVOLVED}
    return out | {
        "reason": old["reason"],
        "reportingController": old["reportingComponent"],
        "type": old["type"],
    }
