"""What the authors of ValidatingAdmissionPolicies are told about the types of their expressions."""

import pytest

from pilothouse.api.scheme import GVK
from pilothouse.api.types import type_of
from pilothouse.controllers import policytypes

DEPLOYMENT = policytypes._Checked(GVK("apps", "v1", "Deployment"), type_of(GVK("apps", "v1", "Deployment")))
NO_OVERLOAD = (
    "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n"
    " | object.spec.replicas > '1'\n"
    " | .....................^\n"
)
UNDEFINED = (
    "apps/v1, Kind=Deployment: ERROR: <input>:1:12: undefined field 'maxRetries'\n"
    " | object.spec.maxRetries > 10\n"
    " | ...........^\n"
)


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("object.spec.replicas > 1", ""),
        ("object.spec.replicas > '1'", NO_OVERLOAD),
        ("object.spec.maxRetries > 10", UNDEFINED),
        ("object.spec.template.spec.containers.all(c, c.image.startsWith('r/'))", ""),
        (
            "object.metadata.labels['a'] == 'b' && oldObject.metadata.creationTimestamp < timestamp('2026-01-01T00:00:00Z')",
            "",
        ),
        ("variables.many == true", ""),
        ("object.spec.__namespace__ == ''", "undefined field '__namespace__'"),
        ("params.data.a == 'b'", "undeclared reference to 'params'"),
    ],
)
def test_an_expression_is_held_against_the_types_of_the_kind(expression, complaint):
    spec = {"variables": [{"name": "many", "expression": "object.spec.replicas > 5"}]}
    told = policytypes._complaint(expression, spec, DEPLOYMENT, None)
    assert told == complaint if not complaint or "\n" in complaint else complaint in told


def test_parameters_have_their_own_type():
    params = policytypes._Checked(GVK("", "v1", "ConfigMap"), type_of(GVK("", "v1", "ConfigMap")))
    assert policytypes._complaint("params.data.a == 'b'", {}, DEPLOYMENT, params) == ""
    assert "undefined field 'spec'" in policytypes._complaint("params.spec.a == 'b'", {}, DEPLOYMENT, params)


def test_the_status_tells_of_the_generation_and_its_warnings(simulate):
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["deployments"]}

    async def story(c):
        validations = [{"expression": "object.spec.replicas > '1'"}]
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
        await c.create("validatingadmissionpolicies", {"metadata": {"name": "p", "generation": 1}, "spec": spec})
        await c.settle()
        status = (await c.get("validatingadmissionpolicies", "p", ""))["status"]
        assert status["observedGeneration"] == 1
        (warning,) = status["typeChecking"]["expressionWarnings"]
        assert warning == {"fieldRef": "spec.validations[0].expression", "warning": NO_OVERLOAD}

    simulate(story, "validatingadmissionpolicy-status-controller")
