"""pods/binding: the scheduler's decision, made once.

Source: upstream's registry/core/pod/storage (BindingREST).
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import errors
from pilothouse.api.exchange import Request
from pilothouse.api.field import ErrorList, not_supported, required
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK
from pilothouse.apiserver.contracts import EndpointContext
from pilothouse.apiserver.endpoints.posted import admit, is_dry_run
from pilothouse.apiserver.requestinfo import RequestInfo

_BINDING: Final = GVK("", "v1", "Binding")
# Annotations of long ago that pods lose when they are bound.
_INIT_CONTAINERS: Final = tuple(
    f"pod.{stage}.kubernetes.io/init-container{what}" for stage in ("alpha", "beta") for what in ("s", "-statuses")
)


async def create(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    binding = await context.decode(info, request, _BINDING)
    if binding["metadata"].get("name") != info.name:
        raise errors.bad_request("name in URL does not match name in Binding object")
    return await _bind(context, info, request, binding, info.name)


async def create_binding(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    """The address of before pods/binding."""
    binding = await context.decode(info, request, _BINDING)
    return await _bind(context, info, request, binding, binding["metadata"].get("name") or "")


async def _bind(context: EndpointContext, info: RequestInfo, request: Request, binding: Obj, name: str) -> Obj:
    meta = binding["metadata"]
    if meta.get("namespace") and meta["namespace"] != info.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    meta["namespace"] = info.namespace
    await admit(context, info, request, binding, _BINDING)
    target = binding.get("target") or {}
    found = _errors(target)
    if found:
        # Upstream lets these escape as a 500; nothing a client sends should look like the server's fault.
        raise errors.invalid("", "Binding", name, found)

    def assign(pod: Obj) -> Obj:
        _check_preconditions(pod, meta)
        why = _refusal(pod)
        if why:
            raise errors.conflict("", "pods/binding", name, why)
        spec, own = pod["spec"], pod["metadata"]
        spec["nodeName"] = target["name"]
        annotations = {**(own.get("annotations") or {}), **(meta.get("annotations") or {})}
        for key in _INIT_CONTAINERS:
            annotations.pop(key, None)
        if annotations:
            own["annotations"] = annotations
        if meta.get("labels"):
            own["labels"] = {**(own.get("labels") or {}), **meta["labels"]}
        status = pod.setdefault("status", {})
        status.pop("nominatedNodeName", None)
        set_condition(status, {"type": "PodScheduled", "status": "True"}, context.clock.timestamp())
        return pod

    await context.change("", "pods", info.namespace, name, assign, dry_run=is_dry_run(request))
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _errors(target: Obj) -> ErrorList:
    found: ErrorList = []
    if target.get("kind") not in (None, "", "Node"):
        found.append(not_supported("target.kind", target["kind"], ["Node", "<empty>"]))
    if not target.get("name"):
        found.append(required("target.name"))
    return found


def _check_preconditions(pod: Obj, wanted: Obj) -> None:
    own = pod["metadata"]
    for field, text in (("uid", "UID"), ("resourceVersion", "ResourceVersion")):
        if wanted.get(field) and wanted[field] != own.get(field):
            why = f"{text} in precondition: {wanted[field]}, {text} in object meta: {own.get(field)}"
            key = f"Key: /pods/{own['namespace']}/{own['name']}, ResourceVersion: 0"
            detail = f"StorageError: invalid object, Code: 4, {key}, AdditionalErrorMsg: Precondition failed: {why}"
            raise errors.conflict("", "pods", own["name"], detail)


def _refusal(pod: Obj) -> str:
    """Why the pod cannot be bound; empty where it can."""
    own = pod["metadata"]
    if own.get("deletionTimestamp"):
        return f"pod {own['name']} is being deleted, cannot be assigned to a host"
    on = pod["spec"].get("nodeName")
    if on:
        return f'pod {own["name"]} is already assigned to node "{on}"'
    if pod["spec"].get("schedulingGates"):
        return f"pod {own['name']} has non-empty .spec.schedulingGates"
    return ""


def set_condition(status: Obj, condition: Obj, now: str) -> None:
    """Sets a pod's condition (upstream's UpdatePodCondition): its time moves only where its status does."""
    conditions = status.get("conditions") or []
    present = next((c for c in conditions if c.get("type") == condition["type"]), None)
    changed = present is None or present.get("status") != condition["status"]
    since = now if present is None or changed else present.get("lastTransitionTime", now)
    new = {
        "type": condition["type"], "status": condition["status"], "lastProbeTime": None, "lastTransitionTime": since,
        **{k: v for k, v in condition.items() if k in ("reason", "message")},
    }  # fmt: skip
    if "observedGeneration" in condition:
        new = {"type": new.pop("type"), "observedGeneration": condition["observedGeneration"], **new}
    status["conditions"] = [new if c is present else c for c in conditions] if present else [*conditions, new]
