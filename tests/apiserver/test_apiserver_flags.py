"""`--runtime-config` and `--feature-gates`. The errors are kube-apiserver's."""

from __future__ import annotations

import pytest

from pilothouse.apiserver import features, runtimeconfig
from pilothouse.apiserver.features import BadFlag
from pilothouse.apiserver.registry.resources import built_in

NOT_BOOL = 'strconv.ParseBool: parsing "maybe": invalid syntax'
CONFLICT = "--runtime-config=api/all=false conflicts with --enable-priority-and-fairness=true"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ""),
        ("GenericWorkload=true,,AllBeta=1", ""),
        ("AllAlpha=true,AllBeta=true", ""),
        ("Foo=true", "unrecognized feature gate: Foo"),
        ("GenericWorkload", "missing bool value for GenericWorkload"),
        ("GenericWorkload=maybe", f"invalid value of GenericWorkload=maybe, err: {NOT_BOOL}"),
        ("NodeSwap=true", ""),
        ("NodeSwap=false", "cannot set feature gate NodeSwap to false, feature is locked to true"),
        (
            "CompositePodGroup=true",
            "CompositePodGroup is enabled, but depends on features that are disabled: "
            "[GenericWorkload TopologyAwareWorkloadScheduling]",
        ),
    ],
)
def test_feature_gates(text: str, error: str) -> None:
    assert _error(features.parse, text) == error


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", ""),
        ("api/legacy=false", ""),
        ("apps/v1/foo=true", ""),
        ("apps/v1beta1=true", ""),
        ("foo=bar", "runtime-config invalid key foo"),
        ("api/foo=true,g.example.com/v1/x=true", "unknown api groups api/foo,g.example.com/v1"),
        ("apps/v9=true", "group version apps/v9 that has not been registered"),
        (
            "apps/v1/Deployments=true",
            "invalid key apps/v1/Deployments: group/version/resource and resource is always lowercase plural, "
            'not "Deployments"',
        ),
        ("apps/v1/deployments=maybe", f"invalid value of apps/v1/deployments: maybe, err: {NOT_BOOL}"),
        ("api/all=maybe", "invalid value api/all=maybe"),
        ("api/beta=", "invalid value api/beta="),
        ("api/all=false", f"[{CONFLICT}, invalid runtime-config with only api/all=false]"),
        ("api/all=false,apps/v1=true", CONFLICT),
        ("api/all=false,flowcontrol.apiserver.k8s.io/v1=true", ""),
    ],
)
def test_runtime_config(text: str, error: str) -> None:
    assert _error(runtimeconfig.parse, text) == error


def _error(parse, text: str) -> str:
    try:
        parse(text)
    except BadFlag as found:
        return str(found)
    return ""


def served(runtime_config: str = "", feature_gates: str = "") -> set[str]:
    settings = runtimeconfig.parse(runtime_config), features.parse(feature_gates)
    return {f"{one.gvr.api_version}/{one.gvr.resource}" for one in built_in(*settings)}


@pytest.mark.parametrize(
    ("runtime_config", "feature_gates", "name", "expected"),
    [
        ("", "", "apps/v1/deployments", True),
        ("apps/v1/deployments=false", "", "apps/v1/deployments", False),
        ("apps/v1=false", "", "apps/v1/deployments", False),
        ("apps/v1=false,apps/v1/deployments=true", "", "apps/v1/deployments", True),
        ("v1=false", "", "v1/pods", False),
        ("", "", "certificates.k8s.io/v1beta1/clustertrustbundles", False),
        (
            "certificates.k8s.io/v1beta1/clustertrustbundles=true",
            "",
            "certificates.k8s.io/v1beta1/clustertrustbundles",
            True,
        ),
        (
            "certificates.k8s.io/v1beta1/clustertrustbundles",
            "",
            "certificates.k8s.io/v1beta1/clustertrustbundles",
            True,
        ),
        ("api/beta=true", "", "resource.k8s.io/v1beta1/resourceclaims", True),
        ("api/all=true,api/beta=false", "", "resource.k8s.io/v1beta1/resourceclaims", False),
        ("api/all=true", "", "resource.k8s.io/v1alpha3/devicetaintrules", True),
        ("api/all=true", "", "scheduling.k8s.io/v1beta1/workloads", False),
        ("api/all=true", "GenericWorkload=true", "scheduling.k8s.io/v1beta1/workloads", True),
        ("", "GenericWorkload=true", "scheduling.k8s.io/v1beta1/workloads", False),
        ("api/all=true", "GenericWorkload=true", "scheduling.k8s.io/v1alpha3/compositepodgroups", False),
        ("api/all=true", "AllAlpha=true,AllBeta=true", "lifecycle.k8s.io/v1alpha1/evictions", True),
    ],
)
def test_what_is_served(runtime_config: str, feature_gates: str, name: str, expected: bool) -> None:
    assert (name in served(runtime_config, feature_gates)) is expected
