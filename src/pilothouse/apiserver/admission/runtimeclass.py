"""RuntimeClass: a pod's runtime brings its overhead and where it can run.

Source: upstream's documentation "Runtime Class" and "Pod Overhead".
"""

from __future__ import annotations

from pilothouse.api.objects import Obj, copy, get
from pilothouse.api.quantity import Quantity
from pilothouse.apiserver.admission.plugin import CREATE, PODS, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest

_MISMATCH = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"


class RuntimeClass(Plugin):
    name = "RuntimeClass"
    resources = frozenset({PODS})
    operations = CREATE

    async def _class(self, request: AdmissionRequest, spec: Obj) -> Obj | None:
        name = spec.get("runtimeClassName")
        if name is None:
            return None
        found = self.objects.get("node.k8s.io", "runtimeclasses", "", name)
        if found is None and name:
            found = await self.objects.get_live("node.k8s.io", "runtimeclasses", "", name)
        if found is None:
            raise forbidden(request, f'pod rejected: RuntimeClass "{name}" not found')
        return found

    async def mutate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        spec = request.obj["spec"]
        found = await self._class(request, spec)
        if found is None:
            return
        if found.get("overhead") is not None:
            overhead = found["overhead"].get("podFixed") or {}
            if spec.get("overhead") and not _equal(overhead, spec["overhead"]):
                raise forbidden(request, _MISMATCH)
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling")
        if scheduling is not None:
            self._schedule(request, spec, scheduling)

    def _schedule(self, request: AdmissionRequest, spec: Obj, scheduling: Obj) -> None:
        wanted, selector = scheduling.get("nodeSelector") or {}, dict(spec.get("nodeSelector") or {})
        for key, value in wanted.items():
            if key in selector and selector[key] != value:
                raise forbidden(
                    request,
                    f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; "
                    f"pod.spec.nodeSelector[{key}] = {selector[key]}",
                )
            selector[key] = value
        if selector:
            spec["nodeSelector"] = selector
        present = spec.get("tolerations") or []
        more = [t for t in scheduling.get("tolerations") or () if t not in present]
        if more:
            spec["tolerations"] = [*present, *copy(more)]

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        spec = request.obj["spec"]
        found = await self._class(request, spec)
        if found is not None and found.get("overhead") is not None:
            if not _equal(get(found, "overhead", "podFixed", default={}), spec.get("overhead") or {}):
                raise forbidden(request, _MISMATCH)
        elif spec.get("overhead") is not None:
            raise forbidden(
                request, "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            )


def _equal(a: Obj, b: Obj) -> bool:
    """Whether two lists of resources say the same amounts."""
    try:
        return a.keys() == b.keys() and all(_amount(a[name]) == _amount(b[name]) for name in a)
    except ValueError:
        return False


def _amount(text: object) -> object:
    return Quantity.parse(str(text)).amount
