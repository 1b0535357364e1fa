"""CEL beside what upstream's own environment (k8s.io/apiserver 0.37.2, base environment of 1.36) answered, in cel_upstream.jsonl:
errors, types, least and most cost, cost and value of an evaluation."""

import json
from pathlib import Path
from typing import Any

import pytest

from pilothouse.api.cel.authorizer import Answer, Authorizer, Question
from pilothouse.api.cel.environment import CompileError, CostLimitExceeded, Environment
from pilothouse.api.cel.types import AUTHORIZER, DYN, INT, RESOURCE_CHECK, STRING, list_of, map_of, struct
from pilothouse.api.cel.values import CelError, Record

ENVIRONMENT = Environment(
    {
        "self": DYN, "x": INT, "l": list_of(STRING), "m": map_of(STRING, INT), "authorizer": AUTHORIZER,
        "authorizer.requestResource": RESOURCE_CHECK,
    }
)  # fmt: skip
VALUES: dict[str, Any] = {
    "self": {"a": [1, 2, 3], "s": "abc", "n": None, "m": {"k": "v"}}, "x": 5, "l": ["a", "b"], "m": {"k": 1},
}  # fmt: skip
CASES = [json.loads(line) for line in (Path(__file__).parent / "cel_upstream.jsonl").read_text().splitlines()]


def answer(expression: str) -> dict[str, Any]:
    found: dict[str, Any] = {"expression": expression}
    try:
        program = ENVIRONMENT.compile(expression)
    except CompileError as e:
        return {**found, "compile": str(e)}
    cost = program.cost()
    found |= {"type": str(program.type), "min": cost.min, "max": cost.max}
    try:
        value, found["cost"] = program.evaluate(VALUES)
    except CelError as e:
        return {**found, "error": str(e)}
    return {**found, "value": value}


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["expression"])[:60])
def test_as_upstream(case: dict[str, Any]) -> None:
    found = answer(case["expression"])
    value, wanted = found.pop("value", None), case.get("value")
    assert {k: v for k, v in found.items() if k != "cost" or "cost" in case} == {
        k: v for k, v in case.items() if k != "value"
    }
    if wanted is not None and isinstance(value, str | int):
        assert (str(value).lower() if isinstance(value, bool) else str(value)) == wanted


def test_what_an_evaluation_may_cost_at_most() -> None:
    program = ENVIRONMENT.compile("lists.range(1000).all(i, i >= 0)")
    assert program.evaluate({})[0] is True
    with pytest.raises(CostLimitExceeded, match="operation cancelled: actual cost limit exceeded"):
        program.evaluate({}, limit=500)


def test_fields_of_structs_and_records() -> None:
    class Pod(Record):
        def get(self, name: str) -> Any:
            return {"name": "a"}[name]

    environment = Environment({"pod": struct("Pod")}, {"Pod": {"name": STRING, "node": STRING}})
    assert environment.compile("pod.name + '!'").evaluate({"pod": Pod()})[0] == "a!"
    assert environment.compile("has(pod.node)").evaluate({"pod": Pod()})[0] is False
    with pytest.raises(CelError, match="no such key: node"):
        environment.compile("pod.node").evaluate({"pod": Pod()})
    with pytest.raises(CompileError, match="undefined field 'nodes'"):
        environment.compile("pod.nodes")


def test_the_size_that_declarations_allow_bounds_the_cost() -> None:
    from pilothouse.api.cel.sizes import Range

    program = Environment({"names": list_of(STRING)}).compile("names.all(n, n.startsWith('a'))")
    sizes = {("names",): Range(0, 10), ("names", "@items"): Range(0, 20)}
    assert program.cost(lambda path, kind: sizes.get(path)) == Range(2, 52)


def test_the_authorizer_is_asked() -> None:
    asked: list[Question] = []

    def ask(question: Question) -> Answer:
        asked.append(question)
        return Answer(question.verb == "get", "because")

    authorizer = Authorizer(ask)
    resource = "group('apps').resource('deployments').namespace('d').name('n')"
    expression = f"authorizer.serviceAccount('ns', 'sa').{resource}.check('{{}}')"
    check = ENVIRONMENT.compile(expression.format("get") + ".allowed()")
    assert check.evaluate({"authorizer": authorizer}) == (True, 350007)
    assert asked == [Question("get", "", "apps", "deployments", "", "d", "n", "", "", ("ns", "sa"))]
    refused = ENVIRONMENT.compile(expression.format("list") + ".reason()")
    assert refused.evaluate({"authorizer": authorizer})[0] == "because"
