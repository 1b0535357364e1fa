from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api.kinds import kind_of
from pilothouse.api.objects import Obj

KIND = kind_of("", "Node")
KEPT = 'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'


def node(spec: Obj | None = None, status: Obj | None = None, annotations: Obj | None = None) -> Obj:
    out: Obj = {
        "metadata": {"name": "n", "annotations": annotations or {}}, "spec": spec or {}, "status": status or {},
    }  # fmt: skip
    KIND.default(out)
    return out


def told(errors: Any) -> list[str]:
    return [str(e) for e in errors]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({"podCIDR": "10.0.0.0/24"}, ["10.0.0.0/24"]),
        ({"podCIDRs": ["10.0.0.0/24", "fd::/64"]}, ["10.0.0.0/24", "fd::/64"]),
        ({"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.0.0/24", "fd::/64"]}, ["10.0.1.0/24"]),
    ],
)
def test_both_fields_of_the_pod_network_agree(spec: Obj, wanted: list[str]) -> None:
    found = node(spec)["spec"]
    assert (found["podCIDR"], found["podCIDRs"]) == (wanted[0], wanted)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (node({"taints": [{"key": "a", "effect": "NoSchedule"}]}), []),
        (
            node({"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoSchedule", "value": "b"}]}),
            [
                'metadata.taints[1]: Duplicate value: {"Key":"a","Value":"b","Effect":"NoSchedule","TimeAdded":null}: '
                "taints must be unique by key and effect pair"
            ],
        ),
        (
            node({"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}),
            [
                'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.1.0/24"]: '
                "may specify no more than one CIDR for each IP family"
            ],
        ),
        (
            node(status={"capacity": {"pods": "1500m"}}),
            [
                f"status.{part}.pods: Invalid value: \"1500m\": must be an integer"
                for part in ("capacity", "allocatable")
            ],
        ),
        (
            node(status={"declaredFeatures": ["B", "A", "A", "c"]}),
            [
                'status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically',
                'status.declaredFeatures[2]: Duplicate value: "A"',
                'status.declaredFeatures[3]: Invalid value: "c": invalid feature name "c": must start with an '
                "UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or "
                "MyFeature/mySubFeature), and contain only alphanumeric characters and slashes",
            ],
        ),
        (
            node(annotations={"scheduler.alpha.kubernetes.io/taints": '[{"key":"a"}]'}),
            ["metadata.annotations.scheduler.alpha.kubernetes.io/taints[0].effect: Required value"],
        ),
        (
            node(status={"nodeInfo": {"swap": {"capacity": 0}}}),
            ["metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero"],
        ),
    ],
)  # fmt: skip
def test_a_node_is_judged(given: Obj, wanted: list[str]) -> None:
    assert told(KIND.validate(given)) == wanted


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ({}, {"podCIDR": "10.0.0.0/24", "providerID": "p"}, []),
        ({"podCIDR": "10.0.0.0/24"}, {"podCIDR": "10.0.1.0/24"}, [KEPT]),
        ({"podCIDR": "10.0.0.0/24"}, {}, [KEPT]),
        ({"providerID": "p"}, {"providerID": "q"}, ["spec.providerID: Invalid value: null: field cannot be modified once set"]),
        ({"providerID": "p"}, {}, ["spec.providerID: Invalid value: null: field cannot be cleared once set"]),
        ({"externalID": "a"}, {}, ["spec.externalID: Forbidden: may not be updated"]),
    ],
)  # fmt: skip
def test_a_change_of_a_node_is_judged(before: Obj, after: Obj, wanted: list[str]) -> None:
    assert told(KIND.validate_update(node(after), node(before))) == wanted


def test_an_address_twice_is_an_error_of_updates_only() -> None:
    twice = node(status={"addresses": [{"type": "Hostname", "address": "a"}] * 2})
    assert told(KIND.validate(twice)) == []
    assert told(KIND.validate_status(twice, node())) == [
        'status.addresses[1]: Duplicate value: {"Type":"Hostname","Address":"a"}'
    ]


def test_the_removed_dynamic_configuration_is_dropped_where_nobody_has_it() -> None:
    source = {"configMap": {"namespace": "n", "name": "c", "kubeletConfigKey": "k"}}
    new = node({"configSource": source})
    KIND.prepare_create(new)
    assert "configSource" not in new["spec"]
    changed = node({"configSource": source})
    KIND.prepare_update(changed, node())
    assert "configSource" not in changed["spec"]
    kept = node({"configSource": source})
    KIND.prepare_update(kept, node({"configSource": source}))
    assert "configSource" in kept["spec"]
