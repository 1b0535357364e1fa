"""What upstream's server said of rules in a definition, in rules_upstream.jsonl: refusals of all kinds, in its words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pilothouse.api.kinds import kind_of
from pilothouse.api.objects import Obj, copy

CASES = [json.loads(line) for line in (Path(__file__).parent / "rules_upstream.jsonl").read_text().splitlines()]
TEXT = {"type": "string", "maxLength": 40}
_PROPERTIES: dict[str, Any] = {
    "s": TEXT, "i": {"type": "integer"}, "d": {"type": "number"}, "b": {"type": "boolean"},
    "l": {"type": "array", "maxItems": 5, "items": {"type": "integer"}},
    "ld": {"type": "array", "maxItems": 5, "items": {"type": "number"}},
    "ls": {"type": "array", "maxItems": 5, "items": TEXT},
    "m": {"type": "object", "maxProperties": 5, "additionalProperties": TEXT},
    "mo": {
        "type": "object", "maxProperties": 5,
        "additionalProperties": {"type": "object", "properties": {"x": {"type": "integer"}}},
    },
    "o": {"type": "object", "properties": {"x": {"type": "integer"}, "y": TEXT}},
    "t": {**TEXT, "format": "date-time"}, "dur": {**TEXT, "format": "duration"}, "bytes": {**TEXT, "format": "byte"},
    "ios": {"x-kubernetes-int-or-string": True, "maxLength": 40},
    "set": {"type": "array", "maxItems": 5, "items": TEXT, "x-kubernetes-list-type": "set"},
    "lm": {
        "type": "array", "maxItems": 5, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
        "items": {"type": "object", "required": ["k"], "properties": {"k": TEXT, "v": {"type": "integer"}}},
    },
    "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, "nul": {**TEXT, "nullable": True},
    **dict.fromkeys(("namespace_x", "namespace", "x-dash-y", "x-dash", "y", "if", "self"), TEXT),
}  # fmt: skip


def _definition(rule: str) -> Obj:
    spec = {"type": "object", "properties": _PROPERTIES, "x-kubernetes-validations": [{"rule": rule, "message": "x"}]}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}
    found: Obj = copy({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "bads.a.example"},
        "spec": {
            "group": "a.example", "scope": "Namespaced", "names": {"plural": "bads", "singular": "bad", "kind": "Bad"},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    })  # fmt: skip
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: repr(case["rule"])[:60])
def test_as_upstream(case: dict[str, Any]) -> None:
    kind = kind_of("apiextensions.k8s.io", "CustomResourceDefinition")
    definition = _definition(case["rule"])
    kind.default(definition)
    kind.prepare_create(definition)
    found = [e for e in kind.validate(definition) if "x-kubernetes-validations" in e.field]
    told = [re.sub(r'^Invalid value: \{.*?"OptionalOldSelf":null\}: ', "", e.body(), flags=re.DOTALL) for e in found]
    assert told == case["errors"]
