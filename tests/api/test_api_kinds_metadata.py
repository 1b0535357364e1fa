"""What kinds do with names and metadata that the general rules do not say."""

from __future__ import annotations

import pytest

from pilothouse.api import metadata
from pilothouse.api.codec.decode import hold
from pilothouse.api.kinds import kind_of
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.objects import copy
from pilothouse.api.types import type_named


@pytest.mark.parametrize(
    ("name", "prefix", "wanted"),
    [
        ("-A-", False, []),
        ("a/b%", False, ["may not contain '/'", "may not contain '%'"]),
        ("..", False, ["may not be '..'"]),
        ("..", True, []),
    ],
)
def test_the_rule_of_every_name(name: str, prefix: bool, wanted: list[str]) -> None:
    assert metadata.path_segment(name, prefix) == wanted


@pytest.mark.parametrize(
    ("group", "kind", "attribute", "wanted"),
    [
        ("", "Event", "own_metadata", False),
        ("policy", "PodDisruptionBudget", "own_metadata", False),
        ("events.k8s.io", "Event", "own_metadata", True),
        ("", "LimitRange", "names_itself", True),
        ("networking.k8s.io", "IPAddress", "random_names", False),
        ("", "Service", "create_on_update", True),
        ("", "Endpoints", "create_on_update", True),
    ],
)
def test_kinds_that_differ(group: str, kind: str, attribute: str, wanted: bool) -> None:
    assert getattr(kind_of(group, kind), attribute) is wanted


def test_the_label_of_a_volume_may_graduate_and_go() -> None:
    def volume(key: str) -> dict[str, object]:
        terms = [{"matchExpressions": [{"key": key, "operator": "In", "values": ["a"]}]}]
        spec = {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/a", "type": ""},
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}}, "volumeMode": "Filesystem",
            "persistentVolumeReclaimPolicy": "Retain",
        }  # fmt: skip
        return {"metadata": {"name": "v"}, "spec": spec}

    judge = kind_of("", "PersistentVolume").validate_update
    beta = volume("failure-domain.beta.kubernetes.io/zone")
    assert judge(volume("topology.kubernetes.io/zone"), beta) == []
    assert "nodeAffinity: Invalid value" in " ".join(map(str, judge(volume("other"), beta)))
    assert not any(e.field == "nodeAffinity" for e in judge(volume(""), volume("other")))


def test_an_empty_struct_is_something_and_an_empty_map_is_none() -> None:
    pod = type_named("#core/v1.Pod")

    def spec(**fields: object) -> object:
        return hold(pod, {"spec": {"containers": [], **fields}}).value["spec"]

    assert same(spec(nodeSelector={}), spec())
    assert same(spec(tolerations=[]), spec())
    assert same(copy(spec(nodeSelector={})), spec())
    assert not same(spec(affinity={}), spec())
    assert not same(spec(nodeSelector={"a": "b"}), spec(nodeSelector={}))


def test_a_job_shares_its_labels_with_its_template() -> None:
    job = {
        "metadata": {"name": "j", "uid": "u"},
        "spec": {"template": {"metadata": {"labels": {"a": "b"}}, "spec": {}}},
    }
    kind = kind_of("batch", "Job")
    kind.default(job)
    kind.prepare_create(job)
    assert job["metadata"]["labels"]["batch.kubernetes.io/job-name"] == "j"  # type: ignore[index]


def test_references_to_secrets_keep_their_name_alone() -> None:
    account = {"metadata": {"name": "a"}, "secrets": [{"name": "s", "kind": "Secret"}, {"kind": "x"}]}
    kind_of("", "ServiceAccount").prepare_create(account)
    assert account["secrets"] == [{"name": "s"}, {}]


@pytest.mark.parametrize(
    ("finalizers", "core", "fields"),
    [
        (["a.example.com/b", "orphan"], True, []),
        (["zz"], True, ["metadata.finalizers[0]"]),
        (["zz"], False, []),
        (["orphan", "foregroundDeletion"], False, ["metadata.finalizers"]),
        (["a b"], False, ["metadata.finalizers"]),
    ],
)
def test_finalizers_are_judged_on_update_too(finalizers: list[str], core: bool, fields: list[str]) -> None:
    found = metadata.validate_update({"name": "a", "finalizers": finalizers}, {"name": "a"}, core=core)
    assert [e.field for e in found] == fields


def test_a_name_to_be_generated_is_judged_again_where_the_kind_says_so() -> None:
    new, old = {"name": "a", "generateName": "A_"}, {"name": "a"}
    assert metadata.validate_update(new, old) == []
    assert [e.field for e in metadata.validate_update(new, old, rule=metadata.subdomain)] == ["metadata.generateName"]
    assert kind_of("", "ConfigMap").names_are_checked_again
    assert not kind_of("apps", "Deployment").names_are_checked_again
