"""CustomResourceDefinition: defaults, strategy and validation, with upstream's paths and texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pilothouse.api.kinds.apiextensions import conditions
from pilothouse.api.kinds.apiextensions.custom_resource_definition import KIND
from pilothouse.api.objects import Obj, copy

NOW = "2026-01-02T03:04:05Z"


def definition(schema: Obj | None = None, **spec: Any) -> Obj:
    """As it comes to validation: defaulted and prepared; of one version unless `versions` are given."""
    schema = schema or {"type": "object", "properties": {"spec": {"type": "object"}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    made: Obj = {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
            "versions": [version], **spec,
        },
    }  # fmt: skip
    KIND.default(made)
    KIND.prepare_create(made)
    return made


def errors(obj: Obj) -> list[str]:
    return [str(e) for e in KIND.validate(obj)]


def test_names_and_conversion_are_defaulted() -> None:
    made = definition()
    assert made["spec"]["names"] == {
        "plural": "widgets", "kind": "Widget", "singular": "widget", "listKind": "WidgetList",
    }  # fmt: skip
    assert made["spec"]["conversion"] == {"strategy": "None"}
    assert made["status"]["storedVersions"] == ["v1"]
    assert errors(made) == []


AT = "spec.validation.openAPIV3Schema"  # where the schema of a definition of one version stands
ROOT = {"type": "object"}


def within(schema: Obj) -> Obj:
    return {"type": "object", "properties": {"a": schema}}


@pytest.mark.parametrize(
    ("schema", "wanted"),
    [
        ({"properties": {}}, [f"{AT}.type: Required value: must not be empty at the root"]),
        ({"type": "string"}, [f'{AT}.type: Invalid value: "string": must be object at the root']),
        (
            within({"type": "array"}),
            [f"{AT}.properties[a].items: Required value: must be specified"],
        ),
        (
            {"type": "object", "allOf": [{"properties": {"b": {"minimum": 1}}}]},
            [
                f"{AT}.properties[b]: Required value: because it is defined in {AT}.allOf[0].properties[b]"
            ],
        ),
        (
            within({"type": "string", "anyOf": [{"type": "string"}]}),
            [f"{AT}.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (within({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}), []),
        (
            within({"type": "string", "pattern": "("}),
            [
                f'{AT}.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: error '
                "parsing regexp: missing closing ): `(`"
            ],
        ),
        (
            {"type": "object", "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}}},
            [
                f"{AT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, but "
                "metadata is implicitly specified"
            ],
        ),
        ({"type": "object", "properties": {"metadata": {"type": "object", "properties": {"name": {"type": "string"}}}}}, []),
        (
            within({"type": "object", "properties": {"b": {"type": "string"}}, "additionalProperties": {"type": "string"}}),
            [f"{AT}.properties[a].additionalProperties: Forbidden: additionalProperties and properties are mutual exclusive"],
        ),
        (
            within({"type": "integer", "minimum": 5, "default": 3}),
            [f"{AT}.properties[a].default: Invalid value: 3:  in body should be greater than or equal to 5"],
        ),
        (
            within({"type": "object", "default": {"b": 1}}),
            [f'{AT}.properties[a].default: Invalid value: {{"b":1}}: must not have unknown fields'],
        ),
        (
            within({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "set"}),
            [
                f"{AT}.properties[a].items.x-kubernetes-map-type: Invalid value: null: must be atomic as item of a list with "
                "x-kubernetes-list-type=set"
            ],
        ),
        (
            within(
                {
                    "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["n"],
                    "items": {"type": "object", "properties": {"n": {"type": "string"}}},
                }
            ),
            [
                f"{AT}.properties[a].items.properties[n].default: Required value: this property is in "
                "x-kubernetes-list-map-keys, so it must have a default or be a required property"
            ],
        ),
        (
            within({"type": "object", "$ref": "#/x"}),
            [f"{AT}.properties[a].$ref: Forbidden: $ref is not supported"],
        ),
        (
            within({"type": "string", "uniqueItems": True}),
            [
                f"{AT}.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity "
                "becomes quadratic"
            ],
        ),
    ],
)  # fmt: skip
def test_schemas(schema: Obj, wanted: list[str]) -> None:
    assert errors(definition(schema)) == wanted


def _set(path: str, value: Any) -> Callable[[Obj], None]:
    def change(obj: Obj) -> None:
        *above, last = path.split("/")
        for step in above:
            obj = obj[int(step)] if isinstance(obj, list) else obj[step]
        obj[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (
            _set("spec/scope", "Odd"),
            ['spec.scope: Unsupported value: "Odd": supported values: "Cluster", "Namespaced"'],
        ),
        (
            _set("spec/names/listKind", "Widget"),
            ['spec.names.listKind: Invalid value: "Widget": kind and listKind may not be the same'],
        ),
        (
            _set("spec/versions/0/deprecationWarning", "gone"),
            ['spec.versions[0].deprecationWarning: Invalid value: "gone": can only be set for deprecated versions'],
        ),
        (
            _set(
                "spec/versions/0/subresources", {"scale": {"specReplicasPath": ".a", "statusReplicasPath": ".status.b"}}
            ),
            ['spec.subresources.scale.specReplicasPath: Invalid value: ".a": should be a json path under .spec'],
        ),
        (
            _set("spec/versions/0/selectableFields", [{"jsonPath": ".spec"}]),
            [
                'spec.selectableFields[0].jsonPath: Invalid value: ".spec": must point to a field of type string, boolean or '
                "integer. Enum string fields and strings with formats are allowed."
            ],
        ),
        (
            _set("spec/preserveUnknownFields", True),
            [
                "spec.preserveUnknownFields: Invalid value: true: cannot set to true, set "
                "x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
            ],
        ),
        (
            _set("spec/conversion", {"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v2"]}}),
            [
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                'spec.conversion.conversionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
            ],
        ),
        (
            _set("spec/versions/0/additionalPrinterColumns", [{"name": "A", "type": "text", "jsonPath": "spec"}]),
            [
                'spec.additionalPrinterColumns[0].type: Invalid value: "text": must be one of '
                "boolean,date,integer,number,string",
                'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "spec": must be a simple json path starting with .',
            ],
        ),
    ],
)
def test_the_rest_of_the_spec(change: Callable[[Obj], None], wanted: list[str]) -> None:
    made = definition()
    change(made)
    assert errors(made) == wanted


def test_groups_of_the_community_need_approval() -> None:
    made = definition(group="apps.k8s.io")
    made["metadata"]["name"] = "widgets.apps.k8s.io"
    assert errors(made)[0].startswith(
        "metadata.annotations[api-approved.kubernetes.io]: Required value: protected groups"
    )
    made["metadata"]["annotations"] = {"api-approved.kubernetes.io": "unapproved, a test"}
    assert errors(made) == []


def test_what_may_not_change() -> None:
    old = definition()
    old["status"]["conditions"] = [{"type": "Established", "status": "True"}]
    new: Obj = copy(old)
    new["spec"]["scope"] = "Cluster"
    new["spec"]["names"]["kind"] = "Gadget"
    new["spec"]["versions"][0]["name"] = "v2"
    KIND.prepare_update(new, old)
    assert new["status"]["storedVersions"] == ["v1", "v2"]
    assert [str(e) for e in KIND.validate_update(new, old)] == [
        'spec.scope: Invalid value: "Cluster": field is immutable',
        'spec.names.kind: Invalid value: "Gadget": field is immutable',
        'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions; v1 was previously a storage version, and '
        "must remain in spec.versions until a storage migration ensures no data remains persisted in v1 and removes v1 from "
        "status.storedVersions",
    ]


def test_an_unknown_format_is_warned_of_once() -> None:
    odd = definition(within({"type": "string", "format": "colour"}))
    assert KIND.warnings(odd, None) == ['unrecognized format "colour"']
    assert KIND.warnings(odd, odd) == []


def test_names_are_accepted_unless_they_are_taken() -> None:
    first = conditions.with_names(definition(), [], NOW)
    assert first is not None
    assert [(c["type"], c["status"], c["reason"]) for c in first["status"]["conditions"]] == [
        ("NamesAccepted", "True", "NoConflicts"), ("Established", "False", "Installing"),
    ]  # fmt: skip
    assert first["status"]["acceptedNames"] == first["spec"]["names"]
    assert conditions.with_names(first, [], NOW) is None

    second = conditions.with_names(
        definition(names={"plural": "gadgets", "kind": "Widget", "singular": "widget"}), [first], NOW
    )
    assert second is not None
    accepted = conditions.find(second, "NamesAccepted")
    assert accepted is not None
    assert (accepted["reason"], accepted["message"]) == ("ListKindConflict", '"WidgetList" is already in use')
    assert second["status"]["acceptedNames"] == {"plural": "gadgets", "kind": ""}


def test_deletion_marks_and_adds_the_finalizer() -> None:
    marked = conditions.marked_for_deletion(definition(), NOW)
    assert marked["metadata"]["finalizers"] == [conditions.FINALIZER]
    assert marked["metadata"]["deletionTimestamp"] == NOW
    found = conditions.find(marked, "Terminating")
    assert found is not None
    assert found["reason"] == "InstanceDeletionPending"
