"""Eviction: a pod goes, one responder after the other seeing to it. Which changes of the responders' states follow each other is
not judged.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.kinds.common.declarative import each, every, fields, max_items, optional, struct, unique
from pilothouse.api.kinds.lifecycle import targets
from pilothouse.api.objects import Obj
from pilothouse.api.printing import age, human_duration, since
from pilothouse.clock.timestamps import parse_time

_REQUESTERS_MAX: Final = 100
_PROCESSED: Final = ("Canceled", "Interrupted", "Completed")


def _name(item: Any) -> Any:
    return (item or {}).get("name") or ""


_STATUS: Final = fields({
    **targets.OBSERVED,
    "requesters": [
        max_items(_REQUESTERS_MAX), optional, unique(_name), each(struct(targets.REQUESTER), key=_name),
    ],
})  # fmt: skip
_RULES: Final = every(
    targets.NAME, fields({"spec": [struct(fields({"target": targets.TARGET}))], "status": [struct(_STATUS)]})
)


def _row(obj: Obj, now_s: float) -> list[Any]:
    status = obj.get("status") or {}
    responders = status.get("targetResponders") or []
    active = [r for r in responders if r.get("state") == "Active"]
    processed = [r for r in responders if r.get("state") in _PROCESSED]
    last = (active or processed or [None])[-1]
    count = f"({len(active) + len(processed)}/{len(responders)})"
    return [
        *targets.shown(obj), f"{'<unset>' if last is None else _name(last)} {count}", *_responder(status, last, now_s)[:2],
        _requesters(status), age(obj, now_s), *_responder(status, last, now_s)[2:],
    ]  # fmt: skip


def _responder(status: Obj, last: Obj | None, now_s: float) -> list[str]:
    """How far the last responder is, when it expects to be done, its last sign of life and what it says."""
    own = next((r for r in status.get("responders") or () if last is not None and _name(r) == _name(last)), None)
    if last is None or own is None:
        return ["<unset>", "<unknown>", "<unset>", "<unset>"]
    state, expected = last.get("state") or "", "<unknown>"
    shown = state
    if state == "Active" and own.get("startTime"):
        shown = f"Started ({since(own['startTime'], now_s)} ago)"
        if own.get("expectedCompletionTime"):
            left_s = parse_time(own["expectedCompletionTime"]) - now_s
            expected = f"in {human_duration(left_s)}" if left_s > 0 else f"{human_duration(-left_s)} ago"
    elif state in _PROCESSED:
        expected = "-"
        if state == "Completed" and own.get("completionTime"):
            shown = f"Completed ({since(own['completionTime'], now_s)} ago)"
    heartbeat = f"{since(own['heartbeatTime'], now_s)} ago" if own.get("heartbeatTime") else "<unset>"
    return [shown, expected, heartbeat, (own.get("message") or "").strip() or "<unset>"]


def _requesters(status: Obj) -> str:
    every_one = status.get("requesters") or []
    found = sorted(_name(r) for r in every_one if r.get("intent") != "Withdrawn")
    if not found:
        return "<withdrawn>" if every_one else "<none>"
    return found[0] if len(found) == 1 else f"{found[0]} + {len(found) - 1} more..."


KIND = targets.kind(_RULES, _row)
