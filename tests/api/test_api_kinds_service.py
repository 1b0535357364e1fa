from __future__ import annotations

from typing import Any

import pytest

from pilothouse.api.kinds import kind_of
from pilothouse.api.objects import Obj, copy

KIND = kind_of("", "Service")


def service(**spec: Any) -> Obj:
    out: Obj = {
        "metadata": {"name": "s", "namespace": "n"},
        "spec": {
            "ports": [{"port": 80}],
            "clusterIP": "10.0.0.1",
            "clusterIPs": ["10.0.0.1"],
            "ipFamilies": ["IPv4"],
            "ipFamilyPolicy": "SingleStack",
            **spec,
        },
    }
    out["spec"] = {k: v for k, v in out["spec"].items() if v is not None}
    KIND.default(out)
    return out


def told(errors: Any) -> list[str]:
    return [str(e) for e in errors]


BALANCED = {"type": "LoadBalancer", "externalTrafficPolicy": "Cluster"}


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ({}, []),
        (
            {"ports": [{"name": "a", "port": 80, "nodePort": 30000}]},
            ["spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'"],
        ),
        (
            {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 80}]},
            [
                'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,'
                '"TargetPort":0,"NodePort":0}'
            ],
        ),
        ({"ports": None}, ["spec.ports: Required value"]),
        (
            {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 0}}},
            [
                "spec.sessionAffinityConfig.clientIP.timeoutSeconds: Invalid value: 0: "
                "must be greater than 0 and less than 86400"
            ],
        ),
        (
            {"loadBalancerSourceRanges": [" 10.0.0.0/8 "]},
            ["spec.LoadBalancerSourceRanges: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        ({**BALANCED, "loadBalancerSourceRanges": [" 10.0.0.0/8 "]}, []),
        (
            {"loadBalancerClass": "a/b"},
            ["spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"],
        ),
        (
            {"healthCheckNodePort": 30000},
            [
                "spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` is 'LoadBalancer' "
                "and `externalTrafficPolicy` is 'Local'"
            ],
        ),
        ({**BALANCED, "externalTrafficPolicy": "Local"}, ["spec.healthCheckNodePort: Required value"]),
        ({"externalIPs": ["1.2.3.4"], "externalTrafficPolicy": "Local"}, []),
        (
            {"externalTrafficPolicy": "Local"},
            ['spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services'],
        ),
        (
            {"type": "NodePort", "clusterIP": "None", "clusterIPs": ["None"]},
            ["spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"],
        ),
        (
            {"type": "ExternalName", "externalName": "a."},
            [
                f"spec.{name}: Forbidden: may not be set for ExternalName services"
                for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
            ],
        ),
        (
            {"clusterIPs": ["10.0.0.2"]},
            ['spec.clusterIPs: Invalid value: ["10.0.0.2"]: first value must match `clusterIP`'],
        ),
    ],
)
def test_a_service_is_judged(spec: dict[str, Any], wanted: list[str]) -> None:
    assert told(KIND.validate(service(**spec))) == wanted


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (
            {},
            {"clusterIP": "10.0.0.2", "clusterIPs": ["10.0.0.2"]},
            ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set'],
        ),
        (
            {},
            {"clusterIP": None, "clusterIPs": None},
            ["spec.clusterIPs[0]: Invalid value: null: primary clusterIP can not be unset"],
        ),
        (
            {"clusterIPs": ["10.0.0.1", "fd::1"], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "PreferDualStack"},
            {"ipFamilyPolicy": "PreferDualStack"},
            [
                'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": '
                "must be set to 'SingleStack' when releasing the secondary clusterIP",
                'spec.ipFamilyPolicy: Invalid value: "PreferDualStack": '
                "must be set to 'SingleStack' when releasing the secondary ipFamily",
            ],
        ),
        (
            {**BALANCED, "loadBalancerClass": "a/b"},
            {**BALANCED, "loadBalancerClass": "a/c"},
            ['spec.loadBalancerClass: Invalid value: "a/c": may not change once set'],
        ),
        (
            {**BALANCED, "externalTrafficPolicy": "Local", "healthCheckNodePort": 30000},
            {**BALANCED, "externalTrafficPolicy": "Local", "healthCheckNodePort": 30001},
            ["spec.healthCheckNodePort: Forbidden: field is immutable"],
        ),
        ({"externalIPs": ["01.2.3.4"]}, {"externalIPs": ["01.2.3.4"]}, []),  # what was accepted once may stay
    ],
)
def test_a_change_of_a_service_is_judged(before: dict[str, Any], after: dict[str, Any], wanted: list[str]) -> None:
    assert told(KIND.validate_update(service(**after), service(**before))) == wanted


def test_what_only_the_former_type_had_goes_with_it() -> None:
    old = service(**BALANCED, loadBalancerClass="a/b", ports=[{"port": 80, "nodePort": 30000}])
    old["status"] = {"loadBalancer": {"ingress": [{"ip": "1.2.3.4", "ipMode": "VIP"}]}}
    new = copy(old)
    new["spec"]["type"] = "ClusterIP"
    KIND.prepare_update(new, old)
    assert {"allocateLoadBalancerNodePorts", "loadBalancerClass", "externalTrafficPolicy"}.isdisjoint(new["spec"])
    assert "nodePort" not in new["spec"]["ports"][0]
    assert new["status"] == {"loadBalancer": {}}
    external = copy(old)
    external["spec"] |= {"type": "ExternalName", "externalName": "a.b"}
    KIND.prepare_update(external, old)
    assert {"clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"}.isdisjoint(external["spec"])


@pytest.mark.parametrize(
    ("ingress", "wanted"),
    [
        (
            {"ip": "x", "ipMode": "VIP"},
            '.ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        ),
        ({"ip": "1.2.3.4"}, ".ipMode: Required value: must be specified when `ip` is set"),
        ({"ipMode": "VIP"}, ".ipMode: Forbidden: may not be specified when `ip` is not set"),
        ({"hostname": "1.2.3.4"}, '.hostname: Invalid value: "1.2.3.4": must be a DNS name, not an IP address'),
    ],
)  # fmt: skip
def test_the_status_of_a_balancer_is_judged(ingress: Obj, wanted: str) -> None:
    old = service(**BALANCED)
    new = {**old, "status": {"loadBalancer": {"ingress": [ingress]}}}
    assert told(KIND.validate_status(new, old)) == [f"status.loadBalancer.ingress[0]{wanted}"]


def test_warnings() -> None:
    found = KIND.warnings(service(externalIPs=["1.2.3.04"], trafficDistribution="PreferClose"), None)
    assert found == [
        'spec.externalIPs[0]: non-standard IP address "1.2.3.04" is invalid: use "1.2.3.4"',
        "spec.externalIPs is deprecated and may no longer be implemented in some clusters",
        'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"',
    ]


def test_rows_of_services_and_endpoints() -> None:
    from pilothouse.api.kinds.core import endpoints, service

    hosts = [{"hostname": "b"}, {"hostname": "a"}, {"ip": "1.2.3.4"}, {"hostname": "b"}]
    balanced = {"metadata": {}, "spec": {"type": "LoadBalancer"}, "status": {"loadBalancer": {"ingress": hosts}}}
    assert service.KIND.row is not None
    assert "1.2.3.4,a,b" in service.KIND.row(balanced, 0.0)
    assert endpoints.KIND.row is not None
    both = {"addresses": [{"ip": "1.1.1.1"}, {"ip": "fd00::1"}], "ports": [{"port": 80}, {"port": 81}]}
    for subsets, shown in (
        ([both], "1.1.1.1:80,[fd00::1]:80,1.1.1.1:81 + 1 more..."),
        ([{"addresses": [{"ip": "1.1.1.1"}]}], "1.1.1.1"),
        ([{"notReadyAddresses": [{"ip": "1.1.1.1"}]}], ""),
        ([], "<none>"),
    ):
        assert endpoints.KIND.row({"metadata": {}, "subsets": subsets}, 0.0)[1] == shown
