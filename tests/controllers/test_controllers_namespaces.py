"""What every namespace has, and how one ends."""

from pilothouse.api.scheme import GVR
from pilothouse.controllers.namespace.conditions import Findings

NOW = "2026-01-02T03:00:00Z"


async def namespace(c, name="team", **metadata):
    made = {
        "metadata": {"name": name, **metadata},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }
    return await c.create("namespaces", made)


def test_a_namespace_gets_its_account_and_certificate(simulate):
    async def story(c):
        await namespace(c)
        await c.settle()
        assert await c.names("serviceaccounts", "team") == ["default"]
        config_map = await c.get("configmaps", "kube-root-ca.crt", "team")
        assert config_map["data"] == {"ca.crt": ""}
        assert config_map["metadata"]["annotations"]["kubernetes.io/description"].startswith("Contains a CA bundle")
        await c.of("serviceaccounts").delete("default", "team")
        await c.of("configmaps").delete("kube-root-ca.crt", "team")
        await c.settle()
        assert await c.names("serviceaccounts", "team") == ["default"]
        await c.patch("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": "other"}}, namespace="team")
        await c.settle()
        assert (await c.get("configmaps", "kube-root-ca.crt", "team"))["data"] == {"ca.crt": ""}

    simulate(story, "serviceaccount-controller", "root-ca-certificate-publisher-controller")


def test_conditions_name_what_remains():
    findings = Findings()
    findings.remaining[GVR("", "v1", "configmaps")] = 2
    findings.finalizers["example.com/wait"] = 2
    conditions = findings.conditions([], NOW)
    by_type = {c["type"]: (c["status"], c["reason"], c["message"]) for c in conditions}
    assert by_type["NamespaceContentRemaining"] == (
        "True", "SomeResourcesRemain", "Some resources are remaining: configmaps. has 2 resource instances",
    )  # fmt: skip
    assert by_type["NamespaceFinalizersRemaining"] == (
        "True", "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: example.com/wait in 2 resource instances",
    )  # fmt: skip
    assert by_type["NamespaceDeletionContentFailure"][0] == "False"
    assert findings.conditions(conditions, "later") is conditions
