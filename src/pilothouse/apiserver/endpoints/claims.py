"""What ResourceClaims ask of their namespace and of the authorizer.

Source: upstream's pkg/registry/resource (KEP-5018, admin access; KEP-4817, status of devices).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from pilothouse.api import field, gates, names
from pilothouse.api.exchange import UserInfo
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.authority import refusal
from pilothouse.apiserver.contracts import Attributes, JudgeContext

_LABEL: Final = "resource.kubernetes.io/admin-access"
_GRANULAR: Final = "DRAResourceClaimGranularStatusAuthorization"
_NODE_NAME: Final = "authentication.kubernetes.io/node-name"


async def claim(
    context: JudgeContext, attributes: Attributes, new: Obj, old: Obj | None, found: ErrorList
) -> ErrorList:
    if old is not None:  # the spec is immutable
        return found
    return await _spec(context, attributes.namespace, get(new, "spec", "devices", "requests"), found)


async def template(
    context: JudgeContext, attributes: Attributes, new: Obj, old: Obj | None, found: ErrorList
) -> ErrorList:
    if old is not None:
        return found
    return await _spec(context, attributes.namespace, get(new, "spec", "spec", "devices", "requests"), found)


async def status(
    context: JudgeContext, attributes: Attributes, new: Obj, old: Obj | None, found: ErrorList
) -> ErrorList:
    before, now = ((obj or {}).get("status") or {} for obj in (old, new))
    errs: ErrorList = []
    granted, asked = (_granted(s) for s in (before, now))
    if granted is None and asked is not None:
        path = f"status.allocation.devices.results[{asked}].adminAccess"
        errs += await _admin(context, attributes.namespace, path)
    if not gates.is_open(_GRANULAR):
        return errs + found
    if not (
        same(now.get("allocation"), before.get("allocation"))
        and same(now.get("reservedFor"), before.get("reservedFor"))
    ):
        errs += await _binding(context, attributes)
    if now.get("allocation") is not None and gates.is_open("DRAResourceClaimDeviceStatus"):
        errs += await _devices(context, attributes, now, before)
    return errs + found


async def _spec(context: JudgeContext, namespace: str, requests: list[Obj] | None, found: ErrorList) -> ErrorList:
    for i, request in enumerate(requests or ()):
        if (request.get("exactly") or {}).get("adminAccess"):
            return await _admin(context, namespace, f"spec.devices.requests[{i}].adminAccess") + found
    return found


def _granted(status: Obj) -> int | None:
    """Which result of an allocation has admin access."""
    results = get(status, "allocation", "devices", "results", default=[])
    return next((i for i, result in enumerate(results) if result.get("adminAccess")), None)


async def _admin(context: JudgeContext, namespace: str, path: str) -> ErrorList:
    found = await context.objects.get_live("", "namespaces", "", namespace)
    if found is None:
        why = f'namespaces "{namespace}" not found'
        return [field.internal(path, f"could not retrieve namespace to verify admin access: {why}")]
    if (get(found, "metadata", "labels") or {}).get(_LABEL) == "true":
        return []
    detail = f"admin access to devices requires the `{_LABEL}: true` label on the containing namespace"
    return [field.forbidden(path, detail)]


async def _binding(context: JudgeContext, attributes: Attributes) -> ErrorList:
    ask = replace(attributes, subresource="binding", namespace="", name="")
    refused = await _refusal(context, ask)
    if refused is None:
        return []
    needs = f'resource="resourceclaims/binding", verb="{ask.verb}" permission: {refused}'
    return [field.forbidden("status.allocation", f"changing status.allocation or status.reservedFor requires {needs}")]


async def _devices(context: JudgeContext, attributes: Attributes, now: Obj, before: Obj) -> ErrorList:
    """Only a driver says how its devices are: of its own node, or of any."""
    verbs = [f"arbitrary-node:{attributes.verb}"]
    if _is_of_node(attributes.user, _node(now["allocation"])):
        verbs.insert(0, f"associated-node:{attributes.verb}")
    errs: ErrorList = []
    for driver in sorted(_changed(now.get("devices") or (), before.get("devices") or ())):
        first: str | None = None
        for verb in verbs:
            ask = replace(attributes, verb=verb, subresource="driver", name=driver)
            refused = await _refusal(context, ask)
            if refused is None:
                break
            first = first or refused
        else:
            needs = f'resource="resourceclaims/driver", verb="[{" ".join(verbs)}]" permission: {first}'
            errs.append(field.forbidden("status.devices", f"changing status.devices requires {needs}"))
    return errs


async def _refusal(context: JudgeContext, ask: Attributes) -> str | None:
    decision = await context.authorizer.authorize(ask)
    return None if decision.allowed else refusal(ask, decision.reason).message


def _changed(now: Iterable[Obj], before: Iterable[Obj]) -> set[str]:
    """The drivers of devices that came, went or changed."""
    old = {_identity(device): device for device in before}
    found = {d.get("driver") or "" for d in now if not same(d, old.pop(_identity(d), None))}
    return found | {d.get("driver") or "" for d in old.values()}


def _identity(device: Obj) -> tuple[Any, ...]:
    return tuple(device.get(name) or "" for name in ("driver", "pool", "device", "shareID"))


def _node(allocation: Obj) -> str:
    """The one node of an allocation; empty where it is for several."""
    terms = get(allocation, "nodeSelector", "nodeSelectorTerms", default=[])
    if len(terms) != 1 or terms[0].get("matchExpressions"):
        return ""
    match terms[0].get("matchFields"):
        case [{"key": "metadata.name", "operator": "In", "values": [str() as name]}]:
            return name
    return ""


def _is_of_node(user: UserInfo, node: str) -> bool:
    if not node or user.name.count(":") != 3 or not user.name.startswith("system:serviceaccount:"):
        return False
    nodes = list((user.extra or {}).get(_NODE_NAME) or ())
    return nodes == [node] and not names.dns1123_subdomain(node)
