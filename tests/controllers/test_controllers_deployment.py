"""Deployments: rollouts, their history, and what they report."""

import pytest
from fake_cluster import workload

from pilothouse.controllers.deployment import revisions, sizes

NAMES = ("deployment-controller", "replicaset-controller")


def deployment(replicas=3, image="nginx:1", **spec):
    spec.setdefault(
        "strategy", {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}
    )
    spec.setdefault("progressDeadlineSeconds", 600)
    spec.setdefault("revisionHistoryLimit", 10)
    return workload(
        "Deployment", replicas=replicas, template={"containers": [{"name": "main", "image": image}]}, **spec
    )


async def set_image(c, image):
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    await c.patch("deployments", "web", {"spec": {"template": template}})


def condition(obj, kind):
    return next((x for x in obj["status"]["conditions"] if x["type"] == kind), None)


async def sets_by_image(c):
    return {s["spec"]["template"]["spec"]["containers"][0]["image"]: s for s in await c.list("replicasets")}


def test_a_new_deployment_comes_to_be_available(simulate):
    async def story(c):
        c.kubelet(start_s=1)
        await c.create("deployments", deployment())
        await c.settle(0.5)
        (rs,) = await c.list("replicasets")
        digest = rs["metadata"]["labels"]["pod-template-hash"]
        assert rs["metadata"]["name"] == f"web-{digest}"
        assert rs["spec"]["selector"]["matchLabels"] == {"app": "web", "pod-template-hash": digest}
        assert rs["metadata"]["annotations"] == {
            "deployment.kubernetes.io/revision": "1",
            "deployment.kubernetes.io/desired-replicas": "3",
            "deployment.kubernetes.io/max-replicas": "4",
        }
        d = await c.get("deployments", "web")
        progressing = condition(d, "Progressing")
        assert (progressing["status"], progressing["reason"]) == ("True", "ReplicaSetUpdated")
        assert condition(d, "Available")["reason"] == "MinimumReplicasUnavailable"
        await c.settle(10)
        d = await c.get("deployments", "web")
        assert d["metadata"]["annotations"] == {"deployment.kubernetes.io/revision": "1"}
        counts = {k: v for k, v in d["status"].items() if k != "conditions"}
        assert counts == {
            "observedGeneration": 1, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3,
            "terminatingReplicas": 0,
        }  # fmt: skip
        progressing = condition(d, "Progressing")
        assert (progressing["status"], progressing["reason"]) == ("True", "NewReplicaSetAvailable")
        assert progressing["message"] == f'ReplicaSet "web-{digest}" has successfully progressed.'
        available = condition(d, "Available")
        assert (available["status"], available["message"]) == ("True", "Deployment has minimum availability.")
        (event,) = await c.events("ScalingReplicaSet")
        assert event["message"] == f"Scaled up replica set web-{digest} from 0 to 3"
        assert event["source"]["component"] == "deployment-controller"

    simulate(story, *NAMES)


def test_a_rolling_update_keeps_within_its_bounds(simulate):
    async def story(c):
        c.kubelet(start_s=0.2)
        await c.create("deployments", deployment(8))
        await c.settle(10)
        seen = []
        watched = c.of("pods")

        async def watch():
            version = (await watched.list())["metadata"]["resourceVersion"]
            async for _ in watched.watch(resource_version=version):
                active = await c.pods()
                ready = [
                    p
                    for p in active
                    if any(x["type"] == "Ready" and x["status"] == "True" for x in p["status"].get("conditions", []))
                ]
                seen.append((len(active), len(ready)))

        c._tasks.append(__import__("asyncio").create_task(watch()))
        await set_image(c, "nginx:2")
        await c.settle(60)
        assert max(total for total, _ in seen) <= 10
        assert min(ready for _, ready in seen) >= 6
        sets = await sets_by_image(c)
        assert (sets["nginx:1"]["spec"]["replicas"], sets["nginx:2"]["spec"]["replicas"]) == (0, 8)
        assert sets["nginx:2"]["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        d = await c.get("deployments", "web")
        assert d["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2"
        assert condition(d, "Progressing")["reason"] == "NewReplicaSetAvailable"
        assert d["status"]["observedGeneration"] == 2

    simulate(story, *NAMES)


def test_going_back_to_a_template_gives_its_replica_set_a_new_revision(simulate):
    async def story(c):
        c.kubelet()
        await c.create("deployments", deployment(2))
        for image in ("nginx:2", "nginx:1"):
            await c.settle(20)
            await set_image(c, image)
        await c.settle(20)
        sets = await sets_by_image(c)
        assert len(sets) == 2
        annotations = sets["nginx:1"]["metadata"]["annotations"]
        assert annotations["deployment.kubernetes.io/revision"] == "3"
        assert annotations["deployment.kubernetes.io/revision-history"] == "1"
        assert sets["nginx:1"]["spec"]["replicas"] == 2

    simulate(story, *NAMES)


def test_the_older_rollback_annotation_rolls_back(simulate):
    async def story(c):
        c.kubelet()
        obj = deployment(2)
        obj["metadata"]["annotations"] = {"kubernetes.io/change-cause": "first"}
        await c.create("deployments", obj)
        await c.settle(20)
        template = {"spec": {"containers": [{"name": "main", "image": "nginx:2"}]}}
        change = {"metadata": {"annotations": {"kubernetes.io/change-cause": "second"}}, "spec": {"template": template}}
        await c.patch("deployments", "web", change)
        await c.settle(20)
        await c.patch("deployments", "web", {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "0"}}})
        await c.settle(20)
        d = await c.get("deployments", "web")
        assert d["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1"
        assert d["metadata"]["annotations"] == {
            "kubernetes.io/change-cause": "first", "deployment.kubernetes.io/revision": "3",
        }  # fmt: skip
        assert (await c.events("DeploymentRollback"))[0]["message"] == 'Rolled back deployment "web" to revision 1'
        await c.patch("deployments", "web", {"metadata": {"annotations": {"deprecated.deployment.rollback.to": "99"}}})
        await c.settle(5)
        (event,) = await c.events("DeploymentRollbackRevisionNotFound")
        assert event["message"] == "Unable to find the revision to rollback to."

    simulate(story, *NAMES)


def test_recreate_ends_the_old_pods_first(simulate):
    async def story(c):
        c.kubelet(stop_s=3)
        await c.create("deployments", deployment(3, strategy={"type": "Recreate"}))
        await c.settle(20)
        await set_image(c, "nginx:2")
        for _ in range(100):
            await c.settle(0.2)
            images = {p["spec"]["containers"][0]["image"] for p in await c.pods(active=False)}
            assert len(images) <= 1
        await c.settle(20)
        assert images <= {"nginx:1", "nginx:2"}
        assert {p["spec"]["containers"][0]["image"] for p in await c.pods()} == {"nginx:2"}
        assert len(await c.pods()) == 3

    simulate(story, *NAMES)


def test_a_rollout_that_does_not_progress_is_reported_after_its_deadline(simulate):
    async def story(c):
        await c.create("deployments", deployment(1, progressDeadlineSeconds=30))
        await c.settle(25)
        assert condition(await c.get("deployments", "web"), "Progressing")["reason"] == "ReplicaSetUpdated"
        await c.settle(10)
        progressing = condition(await c.get("deployments", "web"), "Progressing")
        (rs,) = await c.names("replicasets")
        assert (progressing["status"], progressing["reason"]) == ("False", "ProgressDeadlineExceeded")
        assert progressing["message"] == f'ReplicaSet "{rs}" has timed out progressing.'
        c.kubelet()
        await c.settle(5)
        assert condition(await c.get("deployments", "web"), "Progressing")["reason"] == "NewReplicaSetAvailable"

    simulate(story, *NAMES)


def test_a_paused_deployment_scales_but_does_not_roll(simulate):
    async def story(c):
        c.kubelet()
        await c.create("deployments", deployment(2))
        await c.settle(10)
        await c.patch("deployments", "web", {"spec": {"paused": True}})
        await set_image(c, "nginx:2")
        await c.scale("deployments", "web", 4)
        await c.settle(10)
        sets = await sets_by_image(c)
        assert list(sets) == ["nginx:1"]
        assert sets["nginx:1"]["spec"]["replicas"] == 4
        progressing = condition(await c.get("deployments", "web"), "Progressing")
        assert (progressing["reason"], progressing["message"]) == ("DeploymentPaused", "Deployment is paused")
        await c.patch("deployments", "web", {"spec": {"paused": False}})
        await c.settle(20)
        sets = await sets_by_image(c)
        assert (sets["nginx:1"]["spec"]["replicas"], sets["nginx:2"]["spec"]["replicas"]) == (0, 4)

    simulate(story, *NAMES)


def test_scaling_during_a_rollout_is_proportional(simulate):
    async def story(c):
        await c.create("deployments", deployment(10, strategy={
            "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2},
        }))  # fmt: skip
        await c.settle(2)
        await c.run_all()
        await c.settle(2)
        await set_image(c, "nginx:broken")
        await c.settle(2)
        sets = await sets_by_image(c)
        assert (sets["nginx:1"]["spec"]["replicas"], sets["nginx:broken"]["spec"]["replicas"]) == (8, 5)
        await c.scale("deployments", "web", 15)
        await c.settle(2)
        sets = await sets_by_image(c)
        assert (sets["nginx:1"]["spec"]["replicas"], sets["nginx:broken"]["spec"]["replicas"]) == (11, 7)

    simulate(story, *NAMES)


def test_history_beyond_the_limit_is_deleted(simulate):
    async def story(c):
        c.kubelet()
        await c.create("deployments", deployment(1, revisionHistoryLimit=2))
        for number in range(2, 7):
            await c.settle(20)
            await set_image(c, f"nginx:{number}")
        await c.settle(20)
        assert sorted(await sets_by_image(c)) == ["nginx:4", "nginx:5", "nginx:6"]

    simulate(story, *NAMES)


def test_a_hash_collision_makes_another_name(simulate):
    async def story(c):
        c.kubelet()
        await c.create("deployments", deployment(1))
        await c.settle(5)
        (name,) = await c.names("replicasets")
        await c.of("deployments").delete("web", "default", propagation="Orphan")
        await c.of("replicasets").delete(name, "default")
        stranger = workload("ReplicaSet", name="stranger", replicas=0)
        stranger["metadata"]["name"] = name
        await c.create("replicasets", stranger)
        await c.patch("deployments", "web", {"metadata": {"finalizers": None}})
        await c.settle(1)
        await c.create("deployments", deployment(1))
        await c.settle(5)
        assert (await c.get("deployments", "web"))["status"]["collisionCount"] == 1
        assert len(await c.list("replicasets")) == 2

    simulate(story, *NAMES)


def test_a_selector_of_everything_is_refused(simulate):
    async def story(c):
        obj = deployment(1)
        obj["spec"]["selector"] = {}
        await c.create("deployments", obj)
        await c.settle()
        (event,) = await c.events("SelectingAll")
        assert event["type"] == "Warning"
        assert await c.list("replicasets") == []

    simulate(story, *NAMES)


def test_the_deployment_follows_its_replica_sets_failure(simulate):
    from pilothouse.api import errors

    async def story(c):
        def refuse(request):
            if request.method == "POST" and request.path.endswith("/pods"):
                return errors.forbidden("", "pods", "x", "no")
            return None

        c.server.faults.append(refuse)
        await c.create("deployments", deployment(1))
        await c.settle(2)
        failure = condition(await c.get("deployments", "web"), "ReplicaFailure")
        assert (failure["status"], failure["reason"]) == ("True", "FailedCreate")

    simulate(story, *NAMES)


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "expected"),
    [("25%", "25%", 3, (1, 0)), ("25%", "25%", 10, (3, 2)), (0, 0, 5, (0, 1)), ("0%", "10%", 5, (0, 1)), (2, "50%", 5, (2, 2)),
     ("nonsense", 1, 5, (0, 0))],
)  # fmt: skip
def test_surge_is_rounded_up_and_unavailability_down(surge, unavailable, replicas, expected):
    rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
    assert sizes.fenceposts({"spec": {"replicas": replicas, "strategy": {"rollingUpdate": rolling}}}) == expected


def test_templates_are_the_same_but_for_the_hash_and_what_is_empty():
    one = {
        "metadata": {"labels": {"a": "b", "pod-template-hash": "x"}},
        "spec": {"containers": [{"name": "c", "env": []}]},
    }
    other = {"metadata": {"labels": {"a": "b"}, "creationTimestamp": None}, "spec": {"containers": [{"name": "c"}]}}
    assert revisions.same_template(one, other)
    assert not revisions.same_template(one, {**other, "spec": {"containers": [{"name": "c", "securityContext": {}}]}})


def test_a_long_history_forgets_its_beginning():
    rs = {
        "metadata": {
            "annotations": {revisions.REVISION: "999", revisions.REVISION_HISTORY: ",".join(map(str, range(100, 600)))}
        }
    }
    assert revisions.annotate_new({"metadata": {}}, rs, 1000, exists=True, desired=1, most=1)
    history = rs["metadata"]["annotations"][revisions.REVISION_HISTORY]
    assert len(history) <= 2000
    assert history.endswith(",599,999")
