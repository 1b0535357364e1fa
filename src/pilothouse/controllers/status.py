"""Conditions in a status, and writing a status only where it changed."""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.client import ResourceClient

_RETRIES: Final = 1


def find(conditions: list[Obj], kind: str) -> Obj | None:
    return next((c for c in conditions if c.get("type") == kind), None)


def put(conditions: list[Obj], new: Obj) -> list[Obj]:
    """The conditions with `new` in place of the one of its type (last); the same list where status and reason are as before.
    `lastTransitionTime` stays while the status does."""
    old = find(conditions, new["type"])
    if old is not None:
        if old.get("status") == new["status"] and old.get("reason", "") == new.get("reason", ""):
            return conditions
        if old.get("status") == new["status"] and "lastTransitionTime" in old:
            new = {**new, "lastTransitionTime": old["lastTransitionTime"]}
    return [*without(conditions, new["type"]), new]


def without(conditions: list[Obj], kind: str) -> list[Obj]:
    return [c for c in conditions if c.get("type") != kind]


async def write(resource: ResourceClient, obj: Obj, status: Obj) -> Obj:
    """Writes the status of `obj`; once more upon the fresh object where that fails, as upstream does."""
    metadata = obj["metadata"]
    for retry in range(_RETRIES + 1):
        try:
            return await resource.update({**obj, "status": status}, "status")
        except StatusError as error:
            if retry == _RETRIES or error.code == 404:
                raise
        obj = await resource.get(metadata["name"], metadata.get("namespace", ""))
        if obj["metadata"]["uid"] != metadata["uid"]:
            return obj
    raise AssertionError("unreachable")
