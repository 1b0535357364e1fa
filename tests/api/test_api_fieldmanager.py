from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api.fieldmanager import sets, typed, validation
from pilothouse.api.types import type_named

POD = type_named("#core/v1.Pod")
PLACE = typed.place_of(POD)


def named(*names: str) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": n} for n in names]}}


@pytest.mark.parametrize(
    ("live", "applied", "wanted"),
    [
        ("abc", "x", "abcx"),
        ("abc", "ca", "bca"),
        ("abc", "xb", "axbc"),
        ("abc", "bx", "abcx"),
        ("aab", "a", "ab"),  # what live has twice the applied one takes the place of
        ("", "ba", "ba"),
    ],
)
def test_lists_are_merged_in_order(live: str, applied: str, wanted: str) -> None:
    merged = typed.merge(PLACE, named(*live), named(*applied))
    assert "".join(c["name"] for c in merged["spec"]["containers"]) == wanted


def test_null_applied_takes_nothing_away() -> None:
    live = {"metadata": {"labels": {"a": "b"}}, **named("a")}
    assert typed.merge(PLACE, live, {"metadata": {"labels": None}, "spec": {"containers": None}}) == live


def test_items_given_twice_are_one_leaf() -> None:
    element = 'k:{"name":"a"}'
    twice = typed.compare(PLACE, named("b"), named("b", "a", "a"))
    assert twice.added["f:spec"]["f:containers"][element] == sets.LEAF
    again = typed.compare(PLACE, named("a"), named("a", "a"))
    assert again.added["f:spec"]["f:containers"][element] == sets.LEAF
    assert "f:name" in again.removed["f:spec"]["f:containers"][element]
    once = typed.compare(PLACE, named("a", "a"), named("a"))
    assert sets.SELF in once.removed["f:spec"]["f:containers"][element]
    assert "f:name" in once.added["f:spec"]["f:containers"][element]


def test_a_key_left_out_counts_as_what_the_schema_takes_it_for() -> None:
    found = typed.fields_of(PLACE, {"spec": {"imagePullSecrets": [{}]}})
    assert list(found["f:spec"]["f:imagePullSecrets"]) == ['k:{"name":""}']


def test_paths_are_listed_members_first_and_keys_by_value() -> None:
    port = 'k:{{"containerPort":{},"protocol":"TCP"}}'
    found = sets.of_fields({"f:a": {"f:z": {}}, "f:b": {}, "f:c": {port.format(443): {}, port.format(80): {}}})
    assert [sets.show(p) for p in sets.members(found)] == [
        ".b", ".a.z", '.c[containerPort=80,protocol="TCP"]', '.c[containerPort=443,protocol="TCP"]',
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("configuration", "wanted"),
    [
        ({"spec": {"wat": 1}}, ".spec.wat: field not declared in schema"),
        ({"spec": {"priority": "x"}}, ".spec.priority: expected numeric (int or float), got string"),
        ({"spec": {"hostNetwork": "x"}}, ".spec.hostNetwork: expected boolean, got &{x}"),
        ({"spec": {"nodeName": 5}}, ".spec.nodeName: expected string, got &value.valueUnstructured{Value:5}"),
        ({"spec": {"containers": {}}}, ".spec.containers: expected list, got &{map[]}"),
        ({"spec": [1]}, ".spec: expected map, got &{[1]}"),
        (named("a", "a"), '.spec.containers: duplicate entries for key [name="a"]'),
        (
            {"spec": {"containers": [None]}},
            ".spec.containers: element 0: associative list with keys may not have a null element",
        ),
        ({"spec": {"overhead": {"cpu": "zzz"}}}, None),  # formats are nothing to it
    ],
)
def test_applied_configurations_are_judged_by_their_schema(configuration: dict[str, Any], wanted: str | None) -> None:
    assert validation.faults(POD, configuration) == ([wanted] if wanted else [])


def deployment_place() -> typed.Place:
    return typed.place_of(type_named("#apps/v1.Deployment"))


def test_members_are_taken_out_and_containers_stay() -> None:
    place = deployment_place()
    obj = {"spec": {"replicas": 1, "template": {"spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b"}]}}}}
    containers = ("f:spec", "f:template", "f:spec", "f:containers")
    gone = sets.union(sets.of_path("f:spec", "f:replicas"), sets.of_path(*containers, 'k:{"name":"a"}'))
    assert typed.without(place, obj, gone) == {"spec": {"template": {"spec": {"containers": [{"name": "b"}]}}}}
    gone = sets.union(gone, sets.of_path(*containers, 'k:{"name":"b"}'))
    assert typed.without(place, obj, gone) == {"spec": {"template": {"spec": {"containers": []}}}}
    assert obj["spec"]["replicas"] == 1


def test_fields_of_structs_are_members_where_something_below_them_is() -> None:
    labels = sets.of_path("f:metadata", "f:labels", "f:a")
    found = typed.named(deployment_place(), labels)
    assert sets.to_fields(found) == {"f:metadata": {".": {}, "f:labels": {".": {}, "f:a": {}}}}


def test_unknown_elements_are_left_out() -> None:
    assert sets.of_fields({"x:a": {}, "f:b": {}}) == {"f:b": sets.LEAF}


def test_a_key_that_is_null_is_one() -> None:
    place = typed.place_of(type_named("#core/v1.ServiceAccount")).below("secrets")
    assert typed.element_of(place, {"name": None}) == 'k:{"name":null}'
    with pytest.raises(typed.Unidentified):
        typed.element_of(place, {"namespace": "a"})
