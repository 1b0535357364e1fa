"""Evaluates the expressions of policies and webhooks on a request.

Source: upstream's admission/plugin/cel (activation.go, condition.go, composition.go). An authorizer that has to be waited for
interrupts the evaluation, which is done again once the answer is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pilothouse.api.cel.authorizer import Answer, Authorizer, Question, ResourceCheck
from pilothouse.api.cel.costs import BUDGET, MATCH_CONDITIONS_BUDGET, PER_CALL_LIMIT
from pilothouse.api.cel.environment import Program
from pilothouse.api.cel.frames import CostLimitExceeded
from pilothouse.api.cel.values import CelError, Record, Timestamp
from pilothouse.api.exchange import UserInfo
from pilothouse.api.kinds.admissionregistration import expressions
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.objects import Obj
from pilothouse.apiserver.admission import criteria
from pilothouse.apiserver.admission.criteria import Match
from pilothouse.apiserver.admission.plugin import Cluster
from pilothouse.apiserver.contracts import AdmissionRequest, Attributes

_OUT_OF_BUDGET: Final = "validation failed due to running out of cost budget, no further validation rules will be run"
_NAMESPACE_METADATA: Final = (
    "name", "generateName", "namespace", "labels", "annotations", "uid", "creationTimestamp", "deletionGracePeriodSeconds",
    "deletionTimestamp", "generation", "resourceVersion", "finalizers",
)  # fmt: skip


class Failed(Exception):
    """An expression that has no value; str() is upstream's text."""


class OutOfBudget(Failed):
    def __init__(self) -> None:
        super().__init__(_OUT_OF_BUDGET)


class _Ask(BaseException):
    """Nothing in an expression may catch it: the evaluation waits for this answer."""

    def __init__(self, question: Question) -> None:
        self.question = question


class Evaluation:
    """One policy binding or webhook on one request. `remaining`: what the expressions may still cost together."""

    def __init__(
        self, cluster: Cluster, request: AdmissionRequest, matched: Match, *, scope: Scope, param: Obj | None = None,
        variables: list[Obj] | None = None, answers: dict[Question, Answer] | None = None,
    ) -> None:  # fmt: skip
        self._cluster, self._request = cluster, request
        self._answers = {} if answers is None else answers
        self.scope = scope
        self.remaining = BUDGET
        authorizer = Authorizer(self._ask)
        gvr = request.gvr
        check = Question(
            group=gvr.group, resource=gvr.resource, subresource=request.subresource, namespace=request.namespace,
            name=request.name,
        )  # fmt: skip
        self._variables = _Variables(self, variables or [])
        self.values: dict[str, Any] = {
            "object": matched.shown(request.obj),
            "oldObject": matched.shown(request.old),
            "params": param,
            "request": criteria.of_request(request, matched),
            "namespaceObject": None,
            "authorizer": authorizer,
            "authorizer.requestResource": ResourceCheck(self._ask, check),
            "variables": self._variables,
        }

    def _ask(self, question: Question) -> Answer:
        known = self._answers.get(question)
        if known is None:
            raise _Ask(question)
        return known

    async def _answer(self, question: Question) -> None:
        user = self._request.user
        if question.service_account is not None:
            namespace, name = question.service_account
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            user = UserInfo(f"system:serviceaccount:{namespace}:{name}", groups=groups)
        if question.path:
            attributes = Attributes(user, question.verb, question.path)
        else:
            attributes = Attributes(
                user, question.verb, "", True, question.group, "*", question.resource, question.subresource,
                question.namespace, question.name, question.field_selector,
            )  # fmt: skip
        decision = await self._cluster.authorizer.authorize(attributes)
        self._answers[question] = Answer(decision.allowed is True, decision.reason)

    def see_namespace(self, found: Obj) -> None:
        metadata = {k: v for k, v in found["metadata"].items() if k in _NAMESPACE_METADATA}
        for name in ("creationTimestamp", "deletionTimestamp"):
            if metadata.get(name):
                metadata[name] = Timestamp.parse(metadata[name])
        self.values["namespaceObject"] = {
            "metadata": metadata, "spec": found.get("spec") or {}, "status": found.get("status") or {},
        }  # fmt: skip

    async def value(self, expression: str, *, scope: Scope | None = None) -> Any:
        """Raises Failed, and OutOfBudget after which nothing more is to be evaluated."""
        program, wrong = expressions.compiled(expression, scope or self.scope)
        if program is None:
            raise Failed(f"compilation error: {wrong}")
        while True:
            try:
                value, error, cost = program.run(self.values, PER_CALL_LIMIT)
            except _Ask as ask:
                self._variables.cost = 0
                await self._answer(ask.question)
                continue
            break
        self.spend(self._variables.take_cost() + cost)
        if error is not None:
            raise Failed(f"expression '{expression}' resulted in error: {error}")
        return value

    def spend(self, cost: int) -> None:
        if cost > self.remaining:
            raise OutOfBudget
        self.remaining -= cost

    async def conditions_hold(self, conditions: list[Obj] | None) -> bool:
        """Of matchConditions, which have a budget of their own. Raises Failed where none is false and one has no value."""
        if not conditions:
            return True
        kept, self.remaining = self.remaining, MATCH_CONDITIONS_BUDGET
        failures: list[str] = []
        holds = True
        try:
            for condition in conditions:
                try:
                    value = await self.value(condition.get("expression") or "")
                except OutOfBudget:
                    raise
                except Failed as e:
                    failures.append(str(e))
                    continue
                if value is False:
                    holds = False
                    break
        finally:
            self.remaining = kept
        if holds and failures:
            raise Failed(failures[0] if len(failures) == 1 else f"[{', '.join(failures)}]")
        return holds


class _Variables(Record):
    """The policy's variables, each evaluated when it is first named. What that costs is counted apart."""

    __slots__ = ("_evaluation", "_known", "_scopes", "cost")
    kind = "kubernetes.variables"

    def __init__(self, evaluation: Evaluation, variables: list[Obj]) -> None:
        self._evaluation = evaluation
        self._known: dict[str, Callable[[], Any]] = {}
        self._scopes: dict[str, tuple[str, Scope]] = {}
        self.cost = 0
        scope = Scope(params=evaluation.scope.params, variables=())
        for variable in variables:
            name, expression = variable.get("name") or "", variable.get("expression") or ""
            self._scopes[name] = expression, scope
            scope = expressions.with_variables([variable], scope)

    def take_cost(self) -> int:
        cost, self.cost = self.cost, 0
        return cost

    def get(self, name: str) -> Any:
        if name not in self._known:
            self._known[name] = self._evaluated(name)
        return self._known[name]()

    def _evaluated(self, name: str) -> Callable[[], Any]:
        expression, scope = self._scopes[name]
        program, wrong = expressions.compiled(expression, scope)
        if program is None:
            return _raises(CelError(f'composited variable "{name}" fails to compile: {wrong}'))
        value, error = self._run(program)
        if error is not None:
            return _raises(CelError(f'composited variable "{name}" fails to evaluate: {error}'))
        return lambda: value

    def _run(self, program: Program) -> tuple[Any, CelError | CostLimitExceeded | None]:
        value, error, cost = program.run(self._evaluation.values, PER_CALL_LIMIT)
        self.cost += cost
        return value, error

    def has(self, name: str) -> bool:
        return name in self._scopes


def _raises(error: CelError) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail
