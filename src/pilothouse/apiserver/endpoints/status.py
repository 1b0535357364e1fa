"""`status`, for every resource that has it: the kind's own rules, or the general ones."""

from __future__ import annotations

from functools import cache

from pilothouse.api.objects import Obj
from pilothouse.apiserver import endpoints
from pilothouse.apiserver.contracts import SubresourceStrategy
from pilothouse.apiserver.registry.resources import ServedResource, Stored


def strategy(served: ServedResource, group: str, resource: str, subresource: str) -> SubresourceStrategy | None:
    """How a subresource that is written as its object is differs from it."""
    if not served.stored.custom:
        found = endpoints.strategy(group, resource, subresource)
        if found is not None:
            return found
    own = served.strategies.get(subresource)
    if own is not None:
        return own
    return _of_status(served.stored) if subresource == "status" else None


@cache
def _of_status(stored: Stored) -> SubresourceStrategy:
    kind = stored.kind
    return SubresourceStrategy(
        prepare=kind.prepare_status or keep_all_but_status,
        validate=kind.validate_status,
        warnings=kind.status_warnings,
        reset_fields=kind.status_reset_fields,
    )


def keep_all_but_status(new: Obj, old: Obj) -> None:
    """Everything of the old object but status, and who manages what."""
    sent, managed = new.get("status"), new["metadata"].get("managedFields")
    meta = {k: v for k, v in old["metadata"].items() if k != "managedFields"}
    if managed:
        meta["managedFields"] = managed
    if "resourceVersion" in new["metadata"]:
        meta["resourceVersion"] = new["metadata"]["resourceVersion"]
    new.clear()
    new.update(old)
    new["metadata"] = meta
    new.pop("status", None)
    if sent is not None:
        new["status"] = sent
