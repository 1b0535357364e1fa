"""Priority: the class of a pod or of a group of pods becomes a number.

Source: upstream's documentation "Pod Priority and Preemption".
"""

from __future__ import annotations

from pilothouse.api import gates
from pilothouse.api.objects import Obj
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, PODS, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest

_GROUP = "scheduling.k8s.io"
_CLASSES = (_GROUP, "priorityclasses")
_GROUPS = (_GROUP, "podgroups")


class Priority(Plugin):
    name = "Priority"
    resources = frozenset({PODS, _GROUPS, _CLASSES})
    operations = CREATE_UPDATE

    async def mutate(self, request: AdmissionRequest) -> None:
        resource = (request.gvr.group, request.gvr.resource)
        if resource == _GROUPS and request.obj is not None and request.operation == "CREATE":
            self._group(request, request.obj.setdefault("spec", {}))
        if resource != PODS or request.obj is None:
            return
        spec = request.obj["spec"]
        if request.operation == "UPDATE":
            old = (request.old or {}).get("spec") or {}
            for field in ("priority", "preemptionPolicy"):
                if spec.get(field) is None and old.get(field) is not None:
                    spec[field] = old[field]
            return
        name, value, policy = self._resolve(request, spec)
        if name:
            spec["priorityClassName"] = name
        given = spec.get("priority")
        if given is not None and given != value:
            raise forbidden(
                request,
                f"the integer value of priority ({given}) must not be provided in pod spec; "
                f"priority admission controller computed {value} from the given PriorityClass name",
            )
        spec["priority"] = value
        _set_policy(request, spec, policy, "pod")

    def _group(self, request: AdmissionRequest, spec: Obj) -> None:
        name, value, policy = self._resolve(request, spec)
        given = spec.get("priority")
        if given is not None and given != value:
            raise forbidden(
                request,
                f"priority set in the pod group ({given}) must match the priority computed ({value}) based on the "
                "priority class set in the spec",
            )
        spec["priority"] = value
        if name:
            spec["priorityClassName"] = name
        if gates.is_open("PodGroupPreemptionPolicy"):
            _set_policy(request, spec, policy, "pod group")

    def _resolve(self, request: AdmissionRequest, spec: Obj) -> tuple[str, int, str]:
        name = spec.get("priorityClassName")
        if name:
            found = self.objects.get(*_CLASSES, "", name)
            if found is None:
                raise forbidden(request, f"no PriorityClass with name {name} was found")
        else:
            found = self._default()
            if found is None:
                return "", 0, "PreemptLowerPriority"
        return found["metadata"]["name"], found.get("value", 0), found.get("preemptionPolicy", "")

    def _default(self) -> Obj | None:
        classes = [c for c in self.objects.list(*_CLASSES) if c.get("globalDefault")]
        return min(classes, key=lambda c: c.get("value", 0), default=None)

    async def validate(self, request: AdmissionRequest) -> None:
        obj = request.obj
        if (request.gvr.group, request.gvr.resource) != _CLASSES or obj is None or not obj.get("globalDefault"):
            return
        default = self._default()
        if default is None:
            return
        name = default["metadata"]["name"]
        if request.operation == "CREATE" or name != obj["metadata"].get("name"):
            raise forbidden(request, f"PriorityClass {name} is already marked as default. Only one default can exist")


def _set_policy(request: AdmissionRequest, spec: Obj, policy: str, of: str) -> None:
    given = spec.get("preemptionPolicy")
    if policy and given is not None and given != policy:
        raise forbidden(
            request,
            f"the string value of PreemptionPolicy ({given}) must not be provided in {of} spec; "
            f"priority admission controller computed {policy} from the given PriorityClass name",
        )
    if policy:
        spec["preemptionPolicy"] = policy
