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


def test_a_range_of_addresses_goes_when_no_service_needs_it(simulate):
    async def story(c):
        await c.create("servicecidrs", {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.97.0.0/24"]}})
        labels = {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}
        await c.create("ipaddresses", {"metadata": {"name": "10.97.0.7", "labels": labels}})
        await c.settle()
        found = await c.get("servicecidrs", "more", "")
        assert found["metadata"]["finalizers"] == ["networking.k8s.io/service-cidr-finalizer"]
        assert found["status"]["conditions"][0]["message"] == "Kubernetes Service CIDR is ready"
        await c.of("servicecidrs").delete("more")
        await c.settle(20)
        (condition,) = (await c.get("servicecidrs", "more", ""))["status"]["conditions"]
        assert (condition["status"], condition["reason"]) == ("False", "Terminating")
        await c.of("ipaddresses").delete("10.97.0.7")
        await c.settle()
        assert await c.find("servicecidrs", "more", "") is None

    simulate(story, "service-cidr-controller")
