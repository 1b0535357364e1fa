"""Structural schemas: pruning, defaults, validity, rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api import gonumbers
from pilothouse.api.field import Tolerated
from pilothouse.api.objects import Obj, copy
from pilothouse.api.structural import declarations, defaulting, explain, pruning, rules, validity
from pilothouse.api.structural.correlation import Correlated

_SCALARS: st.SearchStrategy[Any] = st.sampled_from(
    [{"type": "string"}, {"type": "integer", "minimum": 2}, {"type": "boolean"}, {"type": "string", "nullable": True},
     {"type": "integer", "default": 3}, {"type": "string", "enum": ["a", "b"]}, {"x-kubernetes-int-or-string": True}]
)  # fmt: skip
_NAMES = st.sampled_from(["a", "b", "c"])
SCHEMAS: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.dictionaries(_NAMES, inner).map(lambda p: {"type": "object", "properties": p}),
        st.dictionaries(_NAMES, inner, min_size=1).map(
            lambda p: {"type": "object", "properties": p, "required": [next(iter(p))], "default": {}}
        ),
        inner.map(lambda s: {"type": "object", "additionalProperties": s}),
        inner.map(lambda s: {"type": "array", "items": s, "maxItems": 2}),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    st.sampled_from(["a", "x", 1, 5, 2.5, True, None]),
    lambda inner: st.one_of(st.dictionaries(st.sampled_from(["a", "b", "c", "d"]), inner), st.lists(inner, max_size=3)),
    max_leaves=8,
)


@given(SCHEMAS, VALUES)
def test_the_fast_judge_and_the_one_that_explains_agree(schema: Obj, value: Any) -> None:
    assert validity.compiled(schema)(value) is (not explain.explain(value, schema))


@given(SCHEMAS, VALUES)
def test_what_was_pruned_has_nothing_left_to_prune(schema: Obj, value: Any) -> None:
    prune = pruning.compiled(schema, root=False)
    prune(value, "", [])
    once = copy(value)
    unknown: list[str] = []
    prune(value, "", unknown)
    assert value == once and not unknown


@given(SCHEMAS, VALUES)
def test_defaults_are_put_in_once_and_replace_nothing(schema: Obj, value: Any) -> None:
    default = defaulting.compiled(schema)
    if default is None:
        return
    before = copy(value)
    default(value)
    once = copy(value)
    default(value)
    assert value == once
    if isinstance(before, dict):
        assert all(name in once for name, held in before.items() if held is not None)


@given(VALUES)
def test_numbers_are_read_and_written_once(value: Any) -> None:
    assert gonumbers.written(gonumbers.read(value)) == value


def test_numbers() -> None:
    found = gonumbers.written(gonumbers.read({"a": [5.0, 1 << 64, True, "5.0"]}))
    assert [type(v) for v in found["a"]] == [int, float, bool, str]


@pytest.mark.parametrize(
    "name,escaped",
    [("a", "a"), ("namespace", "__namespace__"), ("a-b", "a__dash__b"), ("a.b/c", "a__dot__b__slash__c"),
     ("a__b", "a__underscores__b"), ("1a", None), ("a b", None)],
)  # fmt: skip
def test_names_in_rules(name: str, escaped: str | None) -> None:
    assert declarations.escape(name) == escaped


def _rule(schema: Obj, rule: str, **more: Any) -> Obj:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more}]}


_INT: Obj = {"type": "integer"}
_TEXT: Obj = {"type": "string"}
_SET: Obj = {"type": "array", "items": _TEXT, "x-kubernetes-list-type": "set"}


@pytest.mark.parametrize(
    "schema,value,wrong",
    [
        (_rule(_INT, "self < 5"), 5, ["v: Invalid value: 5: failed rule: self < 5"]),
        (_rule(_INT, "self < 5", message="big"), 5, ["v: Invalid value: 5: big"]),
        (_rule(_INT, "self < 5", messageExpression="'got ' + string(self)"), 5, ["v: Invalid value: 5: got 5"]),
        (_rule(_INT, "self < 5", messageExpression="'a\\nb'", message="m"), 5, ["v: Invalid value: 5: m"]),
        (_rule(_INT, "self < 5", reason="FieldValueForbidden"), 5, ["v: Forbidden: failed rule: self < 5"]),
        (_rule(_INT, "10 / self > 1"), 0, ['v: Invalid value: "integer": division by zero evaluating rule: 10 / self > 1']),
        (_rule({"type": "object", "properties": {"a": _INT}}, "self.a == 1", fieldPath=".a"), {"a": 2},
         ["v.a: Invalid value: failed rule: self.a == 1"]),
        (_rule(_SET, 'self == ["b", "a"] && self + ["a"] == self'), ["a", "b"], []),
        (_rule({"type": "string", "format": "duration"}, 'self > duration("1h")'), "2h", []),
        (_rule({"type": "string", "format": "date-time"}, "self.getFullYear() == 2020"), "2020-01-01T00:00:00Z", []),
        (_rule({"type": "object", "properties": {"n": {**_TEXT, "nullable": True}}}, "!has(self.n)"), {"n": None}, []),
        (_rule(_INT, "self >= oldSelf"), 1, []),
        (_rule(_INT, "oldSelf.hasValue() || self == 1", optionalOldSelf=True), 2,
         ["v: Invalid value: 2: failed rule: oldSelf.hasValue() || self == 1"]),
    ],
)  # fmt: skip
def test_rules(schema: Obj, value: Any, wrong: list[str]) -> None:
    judge = rules.compiled({"type": "object", "properties": {"v": schema}})
    assert judge is not None
    assert [str(e) for e in judge({"v": value}, None, None)] == wrong


def test_rules_about_changes_and_those_that_were_broken_before() -> None:
    item = _rule({"type": "object", "properties": {"k": _TEXT, "v": _INT}}, "self.v >= oldSelf.v")
    listed = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    schema = {"type": "object", "properties": {"l": listed, "n": _rule(_INT, "self < 5")}}
    judge = rules.compiled(schema)
    assert judge is not None
    old = {"l": [{"k": "a", "v": 1}, {"k": "b", "v": 5}], "n": 9}
    new = {"l": [{"k": "b", "v": 4}, {"k": "c", "v": 0}, {"k": "a", "v": 1}], "n": 9}
    found = judge(new, old, Correlated(new, old, schema))
    assert [str(e) for e in found if type(e) is not Tolerated] == [
        "l[0]: Invalid value: failed rule: self.v >= oldSelf.v"
    ]
    assert [e.field for e in found if type(e) is Tolerated] == ["n"]


def test_what_rules_may_cost() -> None:
    listed: Obj = {"type": "array", "items": _TEXT}
    schema = _rule({"type": "object", "properties": {"l": listed}}, "self.l.all(x, self.l.all(y, x == y))")
    declared = declarations.declared(schema, resource=False)
    assert declared is not None
    (unbounded,) = rules.compile_rules(schema, declared)
    listed["maxItems"] = 3
    listed["items"] = {**_TEXT, "maxLength": 4}
    declared = declarations.declared(schema, resource=False)
    assert declared is not None
    (bounded,) = rules.compile_rules(schema, declared)
    assert bounded.cost < 1000 < 10_000_000 < unbounded.cost
