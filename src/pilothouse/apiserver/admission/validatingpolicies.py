"""ValidatingAdmissionPolicy: expressions that say which writes are allowed.

Source: the documentation's page "Validating Admission Policy" and upstream's admission/plugin/policy/validating.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pilothouse.api.cel.authorizer import Answer, Question
from pilothouse.api.errors import StatusError
from pilothouse.api.kinds.admissionregistration import expressions
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.objects import Obj
from pilothouse.apiserver.admission import criteria, params
from pilothouse.apiserver.admission.criteria import Match
from pilothouse.apiserver.admission.evaluation import Evaluation, Failed, OutOfBudget
from pilothouse.apiserver.admission.plugin import Cluster, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest

_MESSAGE_MAX_BYTES: Final = 5 * 1024
_ANNOTATION_MAX: Final = 10 * 1024
_FAILURES_MAX: Final = 50
_CODES: Final = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413}


@dataclass(slots=True)
class _Denial:
    policy: Obj
    binding: Obj | None
    message: str
    reason: str = ""


@dataclass(slots=True)
class _Decision:
    """None for `message`: admitted."""

    message: str | None
    reason: str = ""


async def judge(cluster: Cluster, request: AdmissionRequest, hooks: list[tuple[Obj, list[Obj]]]) -> None:
    """`hooks`: policies with their bindings. Raises StatusError where they refuse the request."""
    found = _Findings(cluster, request)
    for policy, bindings in hooks:
        await found.judge(policy, bindings)
    found.refuse()


class _Findings:
    """What the policies say of one request."""

    def __init__(self, cluster: Cluster, request: AdmissionRequest) -> None:
        self._cluster, self._request = cluster, request
        self._denials: list[_Denial] = []
        self._failures: list[Obj] = []  # for the audit
        self._answers: dict[Question, Answer] = {}

    async def judge(self, policy: Obj, bindings: list[Obj]) -> None:
        spec, cluster = policy["spec"], self._cluster
        try:
            constraints = spec.get("matchConstraints") or {}
            matched = criteria.match(cluster, self._request, constraints, "resourceRules", "excludeResourceRules")
            if matched is None:
                return
            served = params.served_kind(cluster, spec.get("paramKind"))
        except (StatusError, params.Misconfigured) as e:
            self._misconfigured(policy, None, e)
            return
        collected: dict[str, list[str]] = {}
        for binding in bindings:
            try:
                resources = binding["spec"].get("matchResources")
                if resources and not self._is_bound(resources):
                    continue
                given = params.collect(cluster, self._request, served, binding["spec"].get("paramRef"))
            except (StatusError, params.Misconfigured) as e:
                self._misconfigured(policy, binding, e)
                continue
            for param in given:
                await self._evaluate(policy, binding, matched, param, collected)
        for key, values in collected.items():
            self._request.annotations[f"{policy['metadata']['name']}/{key}"] = ", ".join(values)

    def _is_bound(self, resources: Obj) -> bool:
        return (
            criteria.match(self._cluster, self._request, resources, "resourceRules", "excludeResourceRules") is not None
        )

    def _misconfigured(self, policy: Obj, binding: Obj | None, error: Exception) -> None:
        if policy["spec"].get("failurePolicy") == "Ignore":
            return
        what = "policy" if binding is None else "binding"
        self._denials.append(_Denial(policy, binding, f"failed to configure {what}: {error}"))

    async def _evaluate(
        self, policy: Obj, binding: Obj, matched: Match, param: Obj | None, collected: dict[str, list[str]]
    ) -> None:
        spec = policy["spec"]
        ignores = spec.get("failurePolicy") == "Ignore"
        scope = Scope(params=spec.get("paramKind") is not None)
        evaluation = Evaluation(
            self._cluster, self._request, matched, scope=scope, param=param, variables=spec.get("variables"),
            answers=self._answers,
        )  # fmt: skip
        try:
            if not await evaluation.conditions_hold(spec.get("matchConditions")):
                return
            if spec.get("variables"):
                evaluation.scope = expressions.with_variables(spec["variables"], scope)
            self._show_namespace(evaluation)
            decisions = await self._decisions(spec, evaluation, ignores)
        except Failed as e:
            decisions = [_Decision(None if ignores else str(e))]
        for index, decision in enumerate(decisions):
            if decision.message is not None:
                self._act(policy, binding, index, decision)
        await self._annotate(policy, binding, evaluation, ignores, collected)

    def _show_namespace(self, evaluation: Evaluation) -> None:
        request = self._request
        if request.namespace and request.gvk != ("", "v1", "Namespace"):
            evaluation.see_namespace(criteria.namespace(self._cluster, request))

    async def _decisions(self, spec: Obj, evaluation: Evaluation, ignores: bool) -> list[_Decision]:
        """All validations first, then the messages of those that failed. Raises OutOfBudget."""
        results: list[tuple[Obj, Any]] = []
        for validation in spec.get("validations") or ():
            try:
                results.append((validation, await evaluation.value(validation.get("expression") or "")))
            except OutOfBudget:
                raise
            except Failed as e:
                results.append((validation, e))
        decisions: list[_Decision] = []
        for validation, value in results:
            if isinstance(value, Failed):
                decisions.append(_Decision(None if ignores else str(value)))
            elif value is True:
                decisions.append(_Decision(None))
            else:
                decisions.append(await self._denied(validation, evaluation, ignores))
        return decisions

    async def _denied(self, validation: Obj, evaluation: Evaluation, ignores: bool) -> _Decision:
        reason = validation.get("reason") or "Invalid"
        message = ""
        told = validation.get("messageExpression") or ""
        if told:
            scope = Scope(params=evaluation.scope.params, authorizer=False, variables=evaluation.scope.variables)
            try:
                value = await evaluation.value(told, scope=scope)
            except OutOfBudget as e:
                return _Decision(None if ignores else f"failed messageExpression: {e}")
            except Failed:
                value = ""
            message = value.strip() if isinstance(value, str) else ""
            if len(message.encode()) > _MESSAGE_MAX_BYTES or "\n" in message:
                message = ""
        message = message or (validation.get("message") or "").strip()
        return _Decision(message or f"failed expression: {(validation.get('expression') or '').strip()}", reason)

    def _act(self, policy: Obj, binding: Obj, index: int, decision: _Decision) -> None:
        assert decision.message is not None
        name, bound = policy["metadata"]["name"], binding["metadata"]["name"]
        actions = binding["spec"].get("validationActions") or []
        for action in actions:
            if action == "Deny":
                self._denials.append(_Denial(policy, binding, decision.message, decision.reason))
            elif action == "Audit":
                self._failures.append({
                    "message": decision.message, "policy": name, "binding": bound, "expressionIndex": index,
                    "validationActions": actions,
                })  # fmt: skip
            elif action == "Warn":
                told = f"Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{bound}': {decision.message}"
                if told not in self._request.warnings:
                    self._request.warnings.append(told)

    async def _annotate(
        self, policy: Obj, binding: Obj, evaluation: Evaluation, ignores: bool, collected: dict[str, list[str]]
    ) -> None:
        for annotation in policy["spec"].get("auditAnnotations") or ():
            try:
                value = await evaluation.value((annotation.get("valueExpression") or "").strip())
            except Failed as e:
                if not ignores:
                    self._denials.append(_Denial(policy, binding, str(e)))
                continue
            text = value.strip()[:_ANNOTATION_MAX] if isinstance(value, str) else ""
            values = collected.setdefault(annotation.get("key") or "", []) if text else []
            if text and text not in values:
                values.append(text)

    def refuse(self) -> None:
        if self._failures:
            import orjson

            told = orjson.dumps(self._failures[:_FAILURES_MAX]).decode()
            self._request.annotations["validation.policy.admission.k8s.io/validation_failure"] = told
        if not self._denials:
            return
        denial = self._denials[0]
        name = denial.policy["metadata"]["name"]
        bound = "" if denial.binding is None else f" with binding '{denial.binding['metadata']['name']}'"
        message = f"ValidatingAdmissionPolicy '{name}'{bound} denied request: {denial.message}"
        error = forbidden(self._request, message)
        error.reason = denial.reason or "Invalid"
        error.code = _CODES.get(error.reason, 422)
        error.details = {**(error.details or {}), "causes": [{"message": message}]}
        raise error
