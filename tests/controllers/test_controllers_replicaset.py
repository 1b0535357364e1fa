"""ReplicaSets: how many pods, which go first, whose they are."""

from fake_cluster import workload

from pilothouse.api import errors
from pilothouse.controllers.pods import deletion_order

NAME = "replicaset-controller"


def test_as_many_pods_as_asked_for(simulate):
    async def story(c):
        await c.create("replicasets", workload("ReplicaSet", replicas=5))
        await c.settle()
        pods = await c.pods()
        assert len(pods) == 5
        assert {p["metadata"]["ownerReferences"][0]["name"] for p in pods} == {"web"}
        assert all(p["metadata"]["name"].startswith("web-") and p["metadata"]["labels"] == {"app": "web"} for p in pods)
        status = (await c.get("replicasets", "web"))["status"]
        assert status == {"replicas": 5, "fullyLabeledReplicas": 5, "terminatingReplicas": 0, "observedGeneration": 1}
        await c.run_all()
        await c.settle()
        status = (await c.get("replicasets", "web"))["status"]
        assert (status["readyReplicas"], status["availableReplicas"]) == (5, 5)
        created = await c.events("SuccessfulCreate")
        assert len(created) == 5
        assert created[0]["message"].startswith("Created pod: web-")
        assert created[0]["source"] == {"component": NAME}

    simulate(story, NAME)


def test_scaling_down_deletes_the_pods_that_matter_least(simulate):
    async def story(c):
        await c.create("replicasets", workload("ReplicaSet", replicas=4))
        await c.settle()
        first, second, *_ = await c.pods()
        await c.run_pod(first)
        await c.run_pod(second)
        await c.settle()
        await c.scale("replicasets", "web", 2)
        await c.settle()
        assert {p["metadata"]["name"] for p in await c.pods()} == {
            first["metadata"]["name"],
            second["metadata"]["name"],
        }
        assert len(await c.events("SuccessfulDelete")) == 2

    simulate(story, NAME)


def test_a_failed_or_deleted_pod_is_replaced(simulate):
    async def story(c):
        await c.create("replicasets", workload("ReplicaSet", replicas=2))
        await c.settle()
        await c.run_all()
        one, two = await c.pods()
        await c.end_pod(one, "Failed", 1)
        await c.of("pods").delete(two["metadata"]["name"], "default")
        await c.settle()
        pods = await c.pods()
        assert len([p for p in pods if p["status"]["phase"] == "Pending"]) == 2
        status = (await c.get("replicasets", "web"))["status"]
        assert status["terminatingReplicas"] == 1

    simulate(story, NAME)


def test_orphans_are_adopted_and_strangers_released(simulate):
    async def story(c):
        orphan = {
            "metadata": {"name": "orphan", "namespace": "default", "labels": {"app": "web"}},
            "spec": {"containers": []},
        }
        await c.create("pods", orphan)
        await c.create("replicasets", workload("ReplicaSet", replicas=2))
        await c.settle()
        assert len(await c.pods()) == 2
        adopted = await c.get("pods", "orphan")
        owner = await c.get("replicasets", "web")
        assert adopted["metadata"]["ownerReferences"] == [{
            "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": owner["metadata"]["uid"],
            "controller": True, "blockOwnerDeletion": True,
        }]  # fmt: skip
        await c.patch("pods", "orphan", {"metadata": {"labels": {"app": "other"}}})
        await c.settle()
        assert not (await c.get("pods", "orphan"))["metadata"].get("ownerReferences")
        assert len(await c.pods()) == 3

    simulate(story, NAME)


def test_where_nothing_can_be_made_the_server_is_not_flooded(simulate):
    async def story(c):
        posts = []

        def refuse(request):
            if request.method == "POST" and request.path.endswith("/pods"):
                posts.append(c.clock.now())
                return errors.forbidden("", "pods", "web-1", "exceeded quota")
            return None

        c.server.faults.append(refuse)
        await c.create("replicasets", workload("ReplicaSet", replicas=100))
        await c.settle(0.004)
        assert len(posts) <= 3
        await c.settle(10)
        assert len(posts) < 20
        (condition,) = (await c.get("replicasets", "web"))["status"]["conditions"]
        assert (condition["type"], condition["status"], condition["reason"]) == (
            "ReplicaFailure",
            "True",
            "FailedCreate",
        )
        assert condition["message"] == 'pods "web-1" is forbidden: exceeded quota'
        event = (await c.events("FailedCreate"))[0]
        assert event["message"] == 'Error creating: pods "web-1" is forbidden: exceeded quota'
        assert event["count"] > 1
        c.server.faults.clear()
        await c.settle(400)
        assert len(await c.pods()) == 100
        assert "conditions" not in (await c.get("replicasets", "web"))["status"]

    simulate(story, NAME)


def test_a_pod_is_available_after_min_ready_seconds(simulate):
    async def story(c):
        await c.create("replicasets", workload("ReplicaSet", replicas=1, minReadySeconds=30))
        await c.settle()
        await c.run_all()
        await c.settle(20)
        status = (await c.get("replicasets", "web"))["status"]
        assert (status["readyReplicas"], status.get("availableReplicas", 0)) == (1, 0)
        await c.settle(12)
        assert (await c.get("replicasets", "web"))["status"]["availableReplicas"] == 1

    simulate(story, NAME)


def test_replication_controllers_are_the_same_with_a_plain_selector(simulate):
    async def story(c):
        obj = workload("ReplicationController", api_version="v1", replicas=3)
        obj["spec"]["selector"] = {"app": "web"}
        await c.create("replicationcontrollers", obj)
        await c.settle()
        assert len(await c.pods()) == 3
        assert "terminatingReplicas" not in (await c.get("replicationcontrollers", "web"))["status"]
        assert (await c.events("SuccessfulCreate"))[0]["source"] == {"component": "replication-controller"}

    simulate(story, "replicationcontroller-controller")


def pod(name, node="n", phase="Running", ready=None, created="2026-01-01T00:00:00Z", cost=None, restarts=0):
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    return {
        "metadata": {
            "name": name, "uid": name, "creationTimestamp": created,
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": cost} if cost else {},
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, "conditions": conditions, "containerStatuses": [{"restartCount": restarts}]},
    }  # fmt: skip


def test_the_order_of_deletion():
    ready = "2026-01-01T01:00:00Z"
    pods = [
        pod("old", ready="2026-01-01T00:00:01Z"),
        pod("young", ready="2026-01-03T05:00:00Z"),
        pod("crowded", node="full", ready=ready),
        pod("dear", ready=ready, cost="100"),
        pod("cheap", ready=ready, cost="-100"),
        pod("restarted", ready=ready, restarts=3),
        pod("unready"),
        pod("pending", phase="Pending"),
        pod("unassigned", node="", phase="Pending"),
    ]
    neighbours = [pod(f"x{i}", node="full") for i in range(3)]
    now = 1_767_420_000.0  # 2026-01-03T06:00:00Z
    order = [p["metadata"]["name"] for p in deletion_order(pods, neighbours, now)]
    assert order[:6] == ["unassigned", "pending", "unready", "cheap", "crowded", "young"]
    assert order[-1] == "dear"


def test_ages_of_the_same_power_of_two_go_by_uid():
    pods = [pod("b", ready="2026-01-01T00:00:00Z"), pod("a", ready="2026-01-01T01:00:00Z")]
    assert [p["metadata"]["name"] for p in deletion_order(pods, [], 1_767_420_000.0)] == ["a", "b"]
