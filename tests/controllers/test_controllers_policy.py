"""Disruption budgets, quotas, aggregated roles, the nodes' address ranges and times to keep."""

import pytest

from pilothouse.controllers.nodeipam import Ranges, ip_network


def pod(name, labels=None, owner=None, **spec):
    metadata = {"name": name, "namespace": "default", "labels": labels or {"app": "web"}}
    if owner:
        ref = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "name": owner["metadata"]["name"],
            "uid": owner["metadata"]["uid"],
        }
        metadata["ownerReferences"] = [{**ref, "controller": True}]
    return {"metadata": metadata, "spec": {"containers": [{"name": "a", "image": "i", **spec}]}}


def budget(**spec):
    selector = {"selector": {"matchLabels": {"app": "web"}}}
    return {"metadata": {"name": "web", "namespace": "default", "generation": 1}, "spec": {**selector, **spec}}


@pytest.mark.parametrize(
    ("spec", "desired", "allowed"),
    [
        ({"maxUnavailable": 1}, 3, 0),
        ({"maxUnavailable": "50%"}, 2, 1),
        ({"minAvailable": 1}, 1, 2),
        ({"minAvailable": "25%"}, 1, 2),
    ],
)
def test_a_budget_counts_the_pods_that_there_should_be(simulate, spec, desired, allowed):
    async def story(c):
        replica_set = await c.create(
            "replicasets", {"metadata": {"name": "web", "namespace": "default"}, "spec": {"replicas": 4}}
        )
        await c.create("poddisruptionbudgets", budget(**spec))
        for n in range(3):
            await c.run_pod(await c.create("pods", pod(f"p{n}", owner=replica_set)))
        await c.create("pods", pod("other", labels={"app": "other"}))
        await c.settle()
        status = (await c.get("poddisruptionbudgets", "web"))["status"]
        assert status["currentHealthy"] == 3
        assert status["desiredHealthy"] == desired
        assert status["disruptionsAllowed"] == allowed
        assert status["expectedPods"] == (3 if spec.get("minAvailable") == 1 else 4)
        (condition,) = status["conditions"]
        assert condition["type"] == "DisruptionAllowed"
        assert condition["reason"] == ("SufficientPods" if allowed else "InsufficientPods")

    simulate(story, "disruption-controller")


def test_evictions_count_until_the_pod_is_gone_or_two_minutes_have_passed(simulate):
    async def story(c):
        await c.create("poddisruptionbudgets", budget(minAvailable=1))
        for n in range(3):
            await c.run_pod(await c.create("pods", pod(f"p{n}")))
        await c.settle()
        found = await c.get("poddisruptionbudgets", "web")
        status = {**found["status"], "disruptedPods": {"p0": c.clock.timestamp()}}
        await c.of("poddisruptionbudgets").update({**found, "status": status}, "status")
        await c.settle()
        assert (await c.get("poddisruptionbudgets", "web"))["status"]["currentHealthy"] == 2
        await c.settle(130)
        status = (await c.get("poddisruptionbudgets", "web"))["status"]
        assert status["currentHealthy"] == 3
        assert "disruptedPods" not in status
        assert await c.events("NotDeleted")

    simulate(story, "disruption-controller")


def test_a_target_that_was_not_disrupted_is_none_after_two_minutes(simulate):
    async def story(c):
        made = await c.run_pod(await c.create("pods", pod("p")))
        target = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "x",
            "lastTransitionTime": c.clock.timestamp(),
        }
        conditions = [*made["status"]["conditions"], target]
        await c.of("pods").update({**made, "status": {**made["status"], "conditions": conditions}}, "status")
        await c.settle(125)
        conditions = (await c.get("pods", "p"))["status"]["conditions"]
        assert next(x for x in conditions if x["type"] == "DisruptionTarget")["status"] == "False"

    simulate(story, "disruption-controller")


def test_quotas_are_counted_down_too(simulate):
    async def story(c):
        hard = {"pods": "4", "requests.cpu": "2", "count/configmaps": "10", "count/widgets.example.com": "1"}
        await c.create("resourcequotas", {"metadata": {"name": "q", "namespace": "default"}, "spec": {"hard": hard}})
        for n in range(2):
            made = pod(f"p{n}", resources={"requests": {"cpu": "250m"}})
            await c.create("pods", made)
        await c.create("configmaps", {"metadata": {"name": "m", "namespace": "default"}})
        await c.settle(301)
        status = (await c.get("resourcequotas", "q"))["status"]
        assert status["hard"] == hard
        assert status["used"] == {"pods": "2", "requests.cpu": "500m", "count/configmaps": "1"}
        await c.end_pod(await c.get("pods", "p0"))
        await c.of("configmaps").delete("m", "default")
        await c.settle()
        used = (await c.get("resourcequotas", "q"))["status"]["used"]
        assert used == {"pods": "1", "requests.cpu": "250m", "count/configmaps": "0"}

    simulate(story, "resourcequota-controller")


def test_roles_are_aggregated(simulate):
    async def story(c):
        def role(name, verbs, **labels):
            rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": verbs}]
            return {"metadata": {"name": name, "labels": labels}, "rules": rules}

        await c.create("clusterroles", role("b", ["list"], to="all"))
        await c.create("clusterroles", role("a", ["get"], to="all"))
        await c.create("clusterroles", role("c", ["delete"]))
        selectors = [{"matchLabels": {"to": "all"}}]
        await c.create(
            "clusterroles", {"metadata": {"name": "all"}, "aggregationRule": {"clusterRoleSelectors": selectors}}
        )
        await c.settle()
        assert [r["verbs"] for r in (await c.get("clusterroles", "all", ""))["rules"]] == [["get"], ["list"]]

    simulate(story, "clusterrole-aggregation-controller")


def test_nodes_get_ranges_and_times(simulate):
    async def story(c):
        await c.create("nodes", {"metadata": {"name": "has"}, "spec": {"podCIDR": "10.244.0.0/24"}})
        for name in ("n1", "n2"):
            await c.create("nodes", {"metadata": {"name": name}, "spec": {}})
        await c.settle()
        found = {(await c.get("nodes", n, ""))["spec"]["podCIDR"] for n in ("n1", "n2")}
        assert found == {"10.244.1.0/24", "10.244.2.0/24"}
        assert (await c.get("nodes", "n1", ""))["metadata"]["annotations"] == {"node.alpha.kubernetes.io/ttl": "0"}
        for n in range(100):
            await c.create("nodes", {"metadata": {"name": f"more{n}"}, "spec": {}})
        await c.settle(5)
        assert (await c.get("nodes", "n1", ""))["metadata"]["annotations"] == {"node.alpha.kubernetes.io/ttl": "15"}

    config = {"cluster-cidr": "10.244.0.0/16", "service-cluster-ip-range": "10.96.0.0/16"}
    simulate(story, "node-ipam-controller", "ttl-controller", config=config)


def test_ranges_are_taken_and_given_back():
    ranges = Ranges(ip_network("10.0.0.0/22"), 24)
    ranges.occupy(ip_network("10.0.1.0/25"))
    taken = [ranges.allocate() for _ in range(4)]
    assert [str(t) for t in taken] == ["10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24", "None"]
    ranges.release(ip_network("10.0.2.0/24"))
    assert str(ranges.allocate()) == "10.0.2.0/24"
