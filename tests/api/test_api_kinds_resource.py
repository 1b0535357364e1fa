"""resource.k8s.io and apiregistration.k8s.io: upstream's rules, a change of a valid object a case."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from pilothouse.api.cel.frames import CostLimitExceeded
from pilothouse.api.kinds import kind_of
from pilothouse.api.kinds.resource import conversion, expressions, resource_claim

CLAIM: dict[str, Any] = {
    "metadata": {"name": "c", "namespace": "n"},
    "spec": {"devices": {
        "requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}}],
        "constraints": [{"requests": ["gpu"], "matchAttribute": "gpu.example.com/numa"}],
    }},
}  # fmt: skip
SLICE: dict[str, Any] = {
    "metadata": {"name": "s"},
    "spec": {
        "driver": "gpu.example.com", "nodeName": "n1",
        "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
        "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "a"}}, "capacity": {"memory": {"value": "8Gi"}}}],
    },
}  # fmt: skip
SERVICE: dict[str, Any] = {
    "metadata": {"name": "v1.agg.example.com"},
    "spec": {
        "group": "agg.example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 15,
        "service": {"namespace": "n", "name": "s", "port": 443},
    },
}  # fmt: skip


def judged(group: str, kind: str, obj: dict[str, Any], change: Callable[[dict[str, Any]], object]) -> list[str]:
    changed = copy.deepcopy(obj)
    change(changed)
    return [str(e) for e in kind_of(group, kind).validate(changed)]


def request(change: Callable[[dict[str, Any]], object]) -> Callable[[dict[str, Any]], object]:
    return lambda claim: change(claim["spec"]["devices"]["requests"][0])


REFERENCE = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda c: None, []),
        (request(lambda r: r.update(exactly=None)), [
            "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required"]),
        (request(lambda r: r["exactly"].update(deviceClassName="")), [
            "spec.devices.requests[0].exactly.deviceClassName: Required value"]),
        (request(lambda r: r["exactly"].update(allocationMode="Some")), [
            'spec.devices.requests[0].exactly.allocationMode: Unsupported value: "Some": supported values: "All", "ExactCount"']),
        (request(lambda r: r["exactly"].update(allocationMode="All")), [
            "spec.devices.requests[0].exactly.count: Invalid value: 1: must not be specified when allocationMode is 'All'"]),
        (request(lambda r: r["exactly"].update(count=-1)), [
            "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"]),
        (request(lambda r: r["exactly"].update(selectors=[{}])), [
            "spec.devices.requests[0].exactly.selectors[0].cel: Required value"]),
        (request(lambda r: r["exactly"].update(selectors=[{"cel": {"expression": "1"}}])), [
            'spec.devices.requests[0].exactly.selectors[0].cel.expression: Invalid value: "1": '
            "must evaluate to bool or the unknown type, not int"]),
        (request(lambda r: r["exactly"].update(selectors=[{"cel": {"expression": "lists.range(2000000).all(i, i > 0)"}}])), [
            "spec.devices.requests[0].exactly.selectors[0].cel.expression: Forbidden: too complex, exceeds cost limit"]),
        (request(lambda r: r["exactly"].update(tolerations=[{"operator": "Exists", "value": "v"}])), [
            "spec.devices.requests[0].exactly.tolerations[0].value: Invalid value: \"v\": must be empty for operator `Exists`"]),
        (lambda c: c["spec"]["devices"]["constraints"][0].update(requests=["other"]), [
            f'spec.devices.constraints[0].requests[0]: Invalid value: "other": {REFERENCE}']),
        (lambda c: c["spec"]["devices"].update(config=[{"opaque": {"driver": "a.b", "parameters": 1}}]), [
            'spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": must be a valid JSON object']),
    ],
)  # fmt: skip
def test_claims(change: Callable[[dict[str, Any]], object], wanted: list[str]) -> None:
    assert judged("resource.k8s.io", "ResourceClaim", CLAIM, change) == wanted


def device(**fields: Any) -> Callable[[dict[str, Any]], object]:
    return lambda s: s["spec"]["devices"][0].update(fields)


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda s: None, []),
        (lambda s: s["spec"].update(nodeName=None), [
            "spec: Required value: exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"]),
        (lambda s: s["spec"].update(allNodes=True), [
            'spec: Invalid value: "{`nodeName`, `allNodes`}": exactly one of `nodeName`, `nodeSelector`, `allNodes`, '
            "`perDeviceNodeSelection` is required, but multiple fields are set"]),
        (lambda s: s["spec"]["devices"].append({"name": "gpu-0"}), ['spec.devices[1]: Duplicate value: "gpu-0"']),
        (device(attributes={"a": {}}), [
            'spec.devices[0].attributes[a]: Invalid value: "": must specify one of: `int`, `bool`, `string`, `version`, `ints`, '
            "`bools`, `strings`, `versions`"]),
        (device(attributes={"a": {"version": "1.0"}}), [
            'spec.devices[0].attributes[a].version: Invalid value: "1.0": '
            "must be a string compatible with semver.org spec 2.0.0"]),
        (device(taints=[{"key": "k", "effect": "No"}]), [
            'spec.devices[0].taints[0].effect: Unsupported value: "No": supported values: "NoExecute", "NoSchedule", "None"']),
        (device(nodeName="n"), [
            "spec.devices[0]: Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only be set if "
            "`perDeviceNodeSelection` is set to true in the ResourceSlice spec"]),
        (device(bindingConditions=["a"]), [
            "spec.devices[0].bindingFailureConditions: Invalid value: null: bindingFailureConditions are required to use "
            "bindingConditions"]),
        (device(capacity={"m": {"value": "8", "requestPolicy": {}}}), [
            "spec.devices[0].capacity[m].requestPolicy: Forbidden: allowMultipleAllocations must be true"]),
        (device(allowMultipleAllocations=True, capacity={"m": {"value": "8", "requestPolicy": {
            "default": "3", "validRange": {"min": "1", "step": "3"}}}}), [
            'spec.devices[0].capacity[m].requestPolicy.validRange.step: Invalid value: "3": value is not a multiple of a '
            "given step (3) from (1)"]),
    ],
)  # fmt: skip
def test_slices(change: Callable[[dict[str, Any]], object], wanted: list[str]) -> None:
    assert judged("resource.k8s.io", "ResourceSlice", SLICE, change) == wanted


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        (lambda s: None, []),
        (lambda s: s["spec"].update(groupPriorityMinimum=0), [
            "spec.groupPriorityMinimum: Invalid value: 0: must be positive and less than 20000"]),
        (lambda s: s["spec"].update(service=None, insecureSkipTLSVerify=True), [
            "spec.insecureSkipTLSVerify: Invalid value: true: local APIServices may not have insecureSkipTLSVerify"]),
        (lambda s: s["metadata"].update(name="v2.agg.example.com"), [
            'metadata.name: Invalid value: "v2.agg.example.com": must be `spec.version+"."+spec.group`: "v1.agg.example.com"']),
    ],
)  # fmt: skip
def test_api_services(change: Callable[[dict[str, Any]], object], wanted: list[str]) -> None:
    assert judged("apiregistration.k8s.io", "APIService", SERVICE, change) == wanted


def test_what_a_claim_that_says_little_asks_for() -> None:
    claim = {
        "spec": {"devices": {"requests": [{"name": "a", "exactly": {"deviceClassName": "c", "tolerations": [{}]}}]}}
    }
    kind_of("resource.k8s.io", "ResourceClaim").default(claim)
    exactly = claim["spec"]["devices"]["requests"][0]["exactly"]
    assert (exactly["allocationMode"], exactly["count"]) == ("ExactCount", 1)


def test_deallocation_takes_the_devices_status_away() -> None:
    result = {"request": "gpu", "driver": "d", "pool": "p", "device": "a"}
    old = {"status": {"allocation": {"devices": {"results": [result]}}, "devices": [dict(result)]}}
    new = {"status": {"devices": [dict(result)]}}
    prepare = kind_of("resource.k8s.io", "ResourceClaim").prepare_status
    assert prepare is not None
    prepare(new, old)
    assert new["status"] == {}


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ("device.driver == 'gpu.example.com'", True),
        ("device.attributes['gpu.example.com'].model == 'a'", True),
        ("device.attributes['other.example.com'].?model.orValue('none') == 'none'", True),
        ("device.capacity['gpu.example.com'].memory.compareTo(quantity('8Gi')) == 0", True),
        ("cel.bind(a, device.attributes['gpu.example.com'], a.model == 'b')", False),
    ],
)
def test_selectors(expression: str, matches: bool) -> None:
    assert expressions.matches(expression, SLICE["spec"]["devices"][0], "gpu.example.com") is matches


def test_selectors_are_limited() -> None:
    with pytest.raises(CostLimitExceeded):
        expressions.matches("lists.range(900000).all(i, i >= 0)", SLICE["spec"]["devices"][0], "gpu.example.com")


EXACT = {"deviceClassName": "c", "selectors": [], "allocationMode": "ExactCount", "count": 1}
CHOICE = [{"name": "s", "deviceClassName": "c"}]


@pytest.mark.parametrize(
    ("v1beta1", "v1"),
    [
        ({"name": "r", **EXACT}, {"name": "r", "exactly": EXACT}),
        ({"name": "r", "deviceClassName": "", "firstAvailable": CHOICE}, {"name": "r", "firstAvailable": CHOICE}),
        ({"name": "r", "deviceClassName": ""}, {"name": "r"}),
        (
            {"name": "r", "deviceClassName": "", "adminAccess": False},
            {"name": "r", "exactly": {"deviceClassName": "", "adminAccess": False}},
        ),
    ],
)
def test_requests_have_another_form_in_v1beta1(v1beta1, v1):
    def claim(version, request):
        spec = {"devices": {"requests": [request]}}
        return {
            "apiVersion": f"resource.k8s.io/{version}",
            "kind": "ResourceClaim",
            "metadata": {"name": "a"},
            "spec": spec,
        }

    assert conversion.claim_from(claim("v1beta1", v1beta1)) == claim("v1", v1)
    assert conversion.claim_to(claim("v1", v1)) == claim("v1beta1", v1beta1)


@pytest.mark.parametrize(
    ("request_", "defaulted"),
    [
        ({"deviceClassName": "c"}, {"deviceClassName": "c", "allocationMode": "ExactCount", "count": 1}),
        ({"deviceClassName": "c", "allocationMode": "All"}, {"deviceClassName": "c", "allocationMode": "All"}),
        (
            {"firstAvailable": [{"name": "s"}]},
            {"firstAvailable": [{"name": "s", "allocationMode": "ExactCount", "count": 1}]},
        ),
        ({"tolerations": [{"key": "k"}]}, {"tolerations": [{"key": "k", "operator": "Equal"}]}),
    ],
)
def test_requests_of_v1beta1_have_their_defaults(request_, defaulted):
    obj = {"apiVersion": "resource.k8s.io/v1beta1", "spec": {"devices": {"requests": [request_]}}}
    resource_claim.KIND.default(obj)
    assert obj["spec"]["devices"]["requests"] == [defaulted]


def test_devices_have_another_form_in_v1beta1():
    def of(version, **spec):
        return {"apiVersion": f"resource.k8s.io/{version}", "kind": "ResourceSlice", "spec": spec}

    attributes = {"attributes": {"a": {"int": 1}}}
    old = of(
        "v1beta1",
        nodeName="n",
        allNodes=False,
        devices=[{"name": "d", "basic": attributes}, {"name": "e", "basic": {}}],
    )
    new = of("v1", nodeName="n", devices=[{"name": "d", **attributes}, {"name": "e"}])
    assert conversion.slice_from(old) == new
    assert conversion.slice_to(new) == {**old, "spec": {k: v for k, v in old["spec"].items() if k != "allNodes"}}
