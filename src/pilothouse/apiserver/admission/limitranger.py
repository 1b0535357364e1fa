"""LimitRanger: what a namespace's LimitRanges fill in and allow.

Source: upstream's documentation "Limit Ranges", and plugin/pkg/admission/limitranger for the messages.
"""

from __future__ import annotations

from collections.abc import Iterator

from pilothouse.api.objects import Obj, get
from pilothouse.api.podrequests import Amounts, of_pod, parsed
from pilothouse.api.quantity import Quantity
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, PODS, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest

_CLAIMS = ("", "persistentvolumeclaims")
_ANNOTATION = "kubernetes.io/limit-ranger"
_MILLI_MOST = (1 << 63) // 1000 - 1
_ZERO = Quantity.parse("0")


class LimitRanger(Plugin):
    name = "LimitRanger"
    resources = frozenset({PODS, _CLAIMS})
    subresources = frozenset({"", "resize"})
    operations = CREATE_UPDATE

    def _limits(self, request: AdmissionRequest) -> list[Obj]:
        """The items of all LimitRanges that count: a pod is judged at creation and resize, a claim always."""
        resource = (request.gvr.group, request.gvr.resource)
        if resource == PODS and (request.operation == "UPDATE") != (request.subresource == "resize"):
            return []
        if get(request.old, "metadata", "deletionTimestamp"):
            return []
        ranges = self.objects.list("", "limitranges", request.namespace)
        return [item for found in ranges for item in get(found, "spec", "limits", default=[])]

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None or (request.gvr.group, request.gvr.resource) != PODS:
            return
        items = [i for i in self._limits(request) if i.get("type") == "Container"]
        if not items:
            return
        defaults: dict[str, dict[str, str]] = {"requests": {}, "limits": {}}
        for item in items:
            for kind, field in (("requests", "defaultRequest"), ("limits", "default")):
                for name, quantity in (item.get(field) or {}).items():
                    defaults[kind].setdefault(name, quantity)
        said: list[str] = []
        spec = request.obj["spec"]
        for field, what in (("containers", "container"), ("initContainers", "init container")):
            for container in spec.get(field) or ():
                said += _fill(container, what, defaults)
        if said:
            meta = request.obj["metadata"]
            text = "LimitRanger plugin set: " + "; ".join(said)
            meta["annotations"] = {**(meta.get("annotations") or {}), _ANNOTATION: text}

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        items = self._limits(request)
        if not items:
            return
        claim = (request.gvr.group, request.gvr.resource) == _CLAIMS
        problems = [p for item in items for p in (_claim if claim else _pod)(item, request.obj["spec"])]
        if problems:
            raise forbidden(request, problems[0] if len(problems) == 1 else f"[{', '.join(problems)}]")


def _fill(container: Obj, what: str, defaults: dict[str, dict[str, str]]) -> Iterator[str]:
    for kind, word in (("requests", "request"), ("limits", "limit")):
        present = get(container, "resources", kind, default={})
        missing = {name: value for name, value in defaults[kind].items() if name not in present}
        if missing:
            resources = container.get("resources") or {}
            container["resources"] = {**resources, kind: {**present, **missing}}
            yield f"{', '.join(sorted(missing))} {word} for {what} {container.get('name', '')}"


def _claim(item: Obj, spec: Obj) -> Iterator[str]:
    if item.get("type") != "PersistentVolumeClaim":
        return
    requests = parsed(get(spec, "resources", "requests"))
    for name, bound in sorted((item.get("min") or {}).items()):
        yield from _least("PersistentVolumeClaim", name, bound, requests, {})
    for name, bound in sorted((item.get("max") or {}).items()):
        start = f"maximum {name} usage per PersistentVolumeClaim is {Quantity.parse(bound)}"
        if name not in requests:
            yield f"{start}.  No request is specified"
        elif requests[name].amount > Quantity.parse(bound).amount:
            yield f"{start}, but request is {requests[name]}"


def _pod(item: Obj, spec: Obj) -> Iterator[str]:
    kind = item.get("type", "")
    if kind == "Container":
        for field in ("containers", "initContainers"):
            for container in spec.get(field) or ():
                requests, limits = (parsed(get(container, "resources", k)) for k in ("requests", "limits"))
                yield from _bounds(item, kind, requests, limits)
    elif kind == "Pod":
        requests, limits = (of_pod(spec, k, overhead=False) for k in ("requests", "limits"))
        yield from _bounds(item, kind, requests, limits)


def _bounds(item: Obj, kind: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, bound in sorted((item.get("min") or {}).items()):
        yield from _least(kind, name, bound, requests, limits)
    for name, bound in sorted((item.get("max") or {}).items()):
        yield from _most(kind, name, bound, requests, limits)
    for name, bound in sorted((item.get("maxLimitRequestRatio") or {}).items()):
        yield from _ratio(kind, name, bound, requests, limits)


def _comparable(*quantities: Quantity) -> list[int]:
    """In whole units where thousandths would overflow, as upstream compares them."""
    if all(abs(q.value()) <= _MILLI_MOST for q in quantities):
        return [q.milli() for q in quantities]
    return [q.value() for q in quantities]


def _least(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    least, request, limit = Quantity.parse(bound), requests.get(name), limits.get(name)
    start = f"minimum {name} usage per {kind} is {least}"
    if request is None:
        yield f"{start}.  No request is specified"
        return
    asked, most, wanted = _comparable(request, limit or _ZERO, least)
    if asked < wanted:
        yield f"{start}, but request is {request}"
    elif limit is not None and most < wanted:
        yield f"{start}, but limit is {limit}"


def _most(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    most, request, limit = Quantity.parse(bound), requests.get(name), limits.get(name)
    start = f"maximum {name} usage per {kind} is {most}"
    if limit is None:
        yield f"{start}.  No limit is specified"
        return
    asked, allowed, wanted = _comparable(request or _ZERO, limit, most)
    if allowed > wanted:
        yield f"{start}, but limit is {limit}"
    elif request is not None and asked > wanted:
        yield f"{start}, but request is {request}"


def _ratio(kind: str, name: str, bound: str, requests: Amounts, limits: Amounts) -> Iterator[str]:
    most = Quantity.parse(bound)
    asked, allowed = _comparable(requests.get(name, _ZERO), limits.get(name, _ZERO))
    start = f"{name} max limit to request ratio per {kind} is {most}"
    if not asked:
        yield f"{start}, but no request is specified or request is 0"
    elif not allowed:
        yield f"{start}, but no limit is specified or limit is 0"
    elif allowed / asked > float(most.amount):
        yield f"{start}, but provided ratio is {allowed / asked:f}"
