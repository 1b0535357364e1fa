"""MutatingAdmissionPolicy: expressions that say how objects are changed on their way.

Source: the documentation's page "Mutating Admission Policy" and upstream's admission/plugin/policy/mutating.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pilothouse.api.cel.authorizer import Answer, Question
from pilothouse.api.cel.values import Duration, Made, Timestamp
from pilothouse.api.codec.rawtext import reencoded
from pilothouse.api.errors import StatusError
from pilothouse.api.fieldmanager import typed
from pilothouse.api.fieldmanager.typed import Place
from pilothouse.api.kinds.admissionregistration import expressions
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.objects import Obj, copy
from pilothouse.api.patch import PatchError
from pilothouse.api.patch.jsonpatch import json_patch
from pilothouse.apiserver.admission import criteria, params
from pilothouse.apiserver.admission.criteria import Match
from pilothouse.apiserver.admission.evaluation import Evaluation, Failed
from pilothouse.apiserver.admission.plugin import Cluster, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest
from pilothouse.apiserver.registry.resources import ServedResource


@dataclass(slots=True)
class _Denial:
    policy: Obj
    binding: Obj | None
    message: str
    reason: str = ""

    def __str__(self) -> str:
        name = self.policy["metadata"]["name"]
        if self.binding is None:
            return f"policy '{name}' denied request: {self.message}"
        return f"policy '{name}' with binding '{self.binding['metadata']['name']}' denied request: {self.message}"


async def change(cluster: Cluster, request: AdmissionRequest, hooks: list[tuple[Obj, list[Obj]]]) -> None:
    """`hooks`: policies with their bindings. Raises StatusError where they refuse the request."""
    run = _Run(cluster, request)
    invocations = [i for policy, bindings in hooks for i in run.collect(policy, bindings)]
    for invocation in invocations:
        await run.invoke(*invocation)
    run.refuse()


class _Run:
    """The policies on one request."""

    def __init__(self, cluster: Cluster, request: AdmissionRequest) -> None:
        self._cluster, self._request = cluster, request
        self._denials: list[_Denial] = []
        self._answers: dict[Question, Answer] = {}

    def collect(self, policy: Obj, bindings: list[Obj]) -> list[tuple[Obj, Obj, Match, Obj | None]]:
        spec = policy["spec"]
        try:
            constraints = spec.get("matchConstraints") or {}
            matched = criteria.match(self._cluster, self._request, constraints, "resourceRules", "excludeResourceRules")
            if matched is None:
                return []
            served = params.served_kind(self._cluster, spec.get("paramKind"))
        except (StatusError, params.Misconfigured) as e:
            self._deny(policy, None, f"failed to configure policy: {e}")
            return []
        found = []
        for binding in bindings:
            try:
                given = self._bound(binding, served)
            except (StatusError, params.Misconfigured) as e:
                self._deny(policy, binding, f"failed to configure binding: {e}")
                continue
            found += [(policy, binding, matched, param) for param in given]
        return found

    def _bound(self, binding: Obj, served: ServedResource | None) -> list[Obj | None]:
        resources = binding["spec"].get("matchResources")
        if resources and not criteria.match(
            self._cluster, self._request, resources, "resourceRules", "excludeResourceRules"
        ):
            return []
        return params.collect(self._cluster, self._request, served, binding["spec"].get("paramRef"))

    def _deny(self, policy: Obj, binding: Obj | None, message: str, reason: str = "") -> None:
        if policy["spec"].get("failurePolicy") != "Ignore":
            self._denials.append(_Denial(policy, binding, message, reason))

    async def invoke(self, policy: Obj, binding: Obj, matched: Match, param: Obj | None) -> None:
        spec, request = policy["spec"], self._request
        key = f"{policy['metadata']['name']}/{binding['metadata']['name']}/{(param or {}).get('metadata', {}).get('name')}"
        scope = Scope(params=spec.get("paramKind") is not None)
        try:
            evaluation = self._evaluation(spec, matched, param, scope)
            if not await evaluation.conditions_hold(spec.get("matchConditions")):
                return
        except Failed as e:
            self._deny(policy, binding, str(e), "Invalid")
            return
        if request.reinvoked and key not in request.asked:
            return
        scope = expressions.with_variables(spec.get("variables"), replace(scope, variables=()))
        for mutation in spec.get("mutations") or ():
            if request.obj is None:
                continue
            evaluation = self._evaluation(spec, matched, param, replace(scope, patches=True))
            if request.namespace and request.gvk != ("", "v1", "Namespace"):
                evaluation.see_namespace(criteria.namespace(self._cluster, request))
            before = copy(request.obj)
            try:
                criteria.put_back(request, matched, await self._mutated(mutation, matched, evaluation))
            except Failed as e:
                self._deny(policy, binding, str(e), "Invalid")
                continue
            request.reinvoke = request.reinvoke or before != request.obj
        if spec.get("reinvocationPolicy") == "IfNeeded":
            request.asked.add(key)

    def _evaluation(self, spec: Obj, matched: Match, param: Obj | None, scope: Scope) -> Evaluation:
        return Evaluation(
            self._cluster, self._request, matched, scope=scope, param=param, variables=spec.get("variables"),
            answers=self._answers,
        )  # fmt: skip

    async def _mutated(self, mutation: Obj, matched: Match, evaluation: Evaluation) -> Obj:
        shown = matched.shown(self._request.obj)
        assert shown is not None
        if mutation.get("patchType") == "JSONPatch":
            expression = (mutation.get("jsonPatch") or {}).get("expression") or ""
            return _patched(shown, await evaluation.value(expression.strip()))
        expression = (mutation.get("applyConfiguration") or {}).get("expression") or ""
        value = await evaluation.value(expression.strip())
        return _applied(shown, value, matched.served)

    def refuse(self) -> None:
        if not self._denials:
            return
        messages = [str(d) for d in self._denials]
        error = forbidden(self._request, "admission request denied by policy")
        error.message = messages[0]
        error.reason = self._denials[0].reason or error.reason
        error.details = {**(error.details or {}), "causes": [{"message": m} for m in messages]}
        raise error


def _patched(obj: Obj, operations: Any) -> Obj:
    patch: list[Obj] = []
    for operation in operations if isinstance(operations, list) else ():
        if not isinstance(operation, Made) or operation.kind != "JSONPatch":
            raise Failed("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
        made = {name: operation.fields.get(name) or "" for name in ("op", "path")}
        if operation.fields.get("from"):
            made["from"] = operation.fields["from"]
        if "value" in operation.fields:
            made["value"] = _plain(operation.fields["value"], "")
        patch.append(made)
    try:
        return criteria.as_object(json_patch(reencoded(obj, in_maps=False), patch))
    except PatchError as e:
        if any(o["op"] == "test" for o in patch):  # what was tested for is not there: nothing is to be done
            unchanged: Obj = copy(obj)
            return unchanged
        raise Failed(f"JSON Patch: {e}") from None


def _applied(obj: Obj, value: Any, served: ServedResource | None) -> Obj:
    if not isinstance(value, Made):
        raise Failed("unsupported return type from ApplyConfiguration expression")
    configuration: Obj = _plain(value, "Object")
    place = typed.place_of(None if served is None or served.stored.custom else served.type)
    atomics = _atomics(place, configuration, "")
    if atomics:
        listed = ", ".join(atomics)
        raise Failed(
            f"error applying patch: invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {listed}"
        )
    merged: Obj = typed.merge(place, copy(obj), configuration)
    return merged


def _plain(value: Any, path: str) -> Any:
    """A value as JSON has it. `path`: the name that an object's type must have, empty for any. Raises Failed."""
    if isinstance(value, Made):
        if path and value.kind != path:
            raise Failed(
                f'type mismatch: unexpected type name "{value.kind}", expected "{path}", which matches field name path '
                "from root Object type"
            )
        prefix = value.kind
        return {name: _plain(v, f"{prefix}.{name}") for name, v in value.fields.items()}
    if isinstance(value, list):
        return [_plain(v, path) for v in value]
    if isinstance(value, dict):
        return {str(k): _plain(v, "") for k, v in value.items()}
    if isinstance(value, Timestamp | Duration):
        return str(value)
    return value


def _atomics(place: Place, value: Any, path: str) -> list[str]:
    """Where the configuration holds what can only be replaced as a whole."""
    if isinstance(value, dict):
        own = [path] if place.kind == "leaf" else []
        if place.kind not in ("struct", "map"):
            return own
        return own + [p for k, v in value.items() for p in _atomics(place.below(k), v, f"{path}.{k}")]
    if isinstance(value, list):
        if place.kind not in ("keyed", "set"):
            return [path]
        inner = typed.place_of(place.type)
        return [p for i, v in enumerate(value) if isinstance(v, dict) for p in _atomics(inner, v, f"{path}[{i}]")]
    return []
