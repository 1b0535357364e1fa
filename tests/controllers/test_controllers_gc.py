"""The garbage collector, and the controllers that delete pods and jobs of which nobody takes care."""

import pytest
from fake_cluster import workload
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.api.errors import StatusError
from pilothouse.controllers.garbagecollector.graph import FOREGROUND, Graph, Identity

GC = "garbage-collector-controller"


def config_map(name, *owners, block=False, **metadata):
    refs = [
        {
            "apiVersion": o["apiVersion"], "kind": o["kind"], "name": o["metadata"]["name"], "uid": o["metadata"]["uid"],
            **({"blockOwnerDeletion": True} if block else {}),
        }
        for o in owners
    ]  # fmt: skip
    metadata = {"name": name, "namespace": "default", **metadata}
    if refs:
        metadata["ownerReferences"] = refs
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata}


async def delete(c, name, propagation, resource="configmaps"):
    await c.of(resource).delete(name, "default", propagation=propagation)


def test_dependents_follow_their_owner(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        b = await c.create("configmaps", config_map("b", a))
        await c.create("configmaps", config_map("c", b))
        await c.create("configmaps", config_map("bystander"))
        await c.settle()
        await delete(c, "a", "Background")
        await c.settle()
        assert await c.names("configmaps") == ["bystander"]

    simulate(story, GC)


def test_an_object_lives_while_one_owner_does(simulate):
    async def story(c):
        a, b = await c.create("configmaps", config_map("a")), await c.create("configmaps", config_map("b"))
        await c.create("configmaps", config_map("both", a, b))
        await delete(c, "a", "Background")
        await c.settle()
        both = await c.get("configmaps", "both")
        assert [r["name"] for r in both["metadata"]["ownerReferences"]] == ["b"]
        await delete(c, "b", "Background")
        await c.settle()
        assert await c.names("configmaps") == []

    simulate(story, GC)


def test_an_object_whose_owner_never_was_is_deleted(simulate):
    async def story(c):
        ghost = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ghost", "uid": "no-such-uid"}}
        await c.create("configmaps", config_map("a", ghost))
        other = await c.create("configmaps", config_map("other"))
        impostor = {**other, "metadata": {**other["metadata"], "uid": "another-uid"}}
        await c.create("configmaps", config_map("b", impostor))
        await c.settle()
        assert await c.names("configmaps") == ["other"]

    simulate(story, GC)


def test_an_owner_of_an_unknown_kind_is_left_in_doubt(simulate):
    async def story(c):
        ghost = {"apiVersion": "example.com/v1", "kind": "Ghost", "metadata": {"name": "ghost", "uid": "u"}}
        await c.create("configmaps", config_map("a", ghost))
        await c.settle(100)
        assert await c.names("configmaps") == ["a"]

    simulate(story, GC)


def test_foreground_deletion_ends_with_the_owner(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        b = await c.create("configmaps", config_map("b", a, block=True, finalizers=["example.com/wait"]))
        await c.create("configmaps", config_map("free", a))
        await c.settle()
        await delete(c, "a", "Foreground")
        await c.settle()
        assert await c.names("configmaps") == ["a", "b"]
        assert (await c.get("configmaps", "a"))["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert (await c.get("configmaps", "b"))["metadata"]["deletionTimestamp"]
        await c.patch("configmaps", "b", {"metadata": {"finalizers": None}})
        await c.settle()
        assert await c.names("configmaps") == []
        assert b

    simulate(story, GC)


def test_foreground_deletion_goes_down_the_whole_tree(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        b = await c.create("configmaps", config_map("b", a, block=True))
        await c.create("configmaps", config_map("c", b, block=True, finalizers=["example.com/wait"]))
        await c.settle()
        await delete(c, "a", "Foreground")
        await c.settle()
        assert await c.names("configmaps") == ["a", "b", "c"]
        await c.patch("configmaps", "c", {"metadata": {"finalizers": None}})
        await c.settle()
        assert await c.names("configmaps") == []

    simulate(story, GC)


def test_a_circle_of_blocking_owners_ends(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        b = await c.create("configmaps", config_map("b", a, block=True))
        refs = config_map("x", b, block=True)["metadata"]["ownerReferences"]
        await c.patch("configmaps", "a", {"metadata": {"ownerReferences": refs}})
        await c.settle()
        await delete(c, "a", "Foreground")
        await c.settle(5)
        assert await c.names("configmaps") == []

    simulate(story, GC)


def test_orphans_lose_the_reference_and_stay(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        await c.create("configmaps", config_map("b", a))
        await c.settle()
        await delete(c, "a", "Orphan")
        await c.settle()
        assert await c.names("configmaps") == ["b"]
        assert not (await c.get("configmaps", "b"))["metadata"].get("ownerReferences")

    simulate(story, GC)


def test_an_owner_of_another_namespace_is_no_owner(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        stranger = config_map("stranger", a)
        stranger["metadata"]["namespace"] = "other"
        await c.create("configmaps", stranger)
        await c.settle()
        assert await c.names("configmaps", "other") == []
        (event,) = [e for e in await c.list("events", "other") if e["reason"] == "OwnerRefInvalidNamespace"]
        assert event["message"].endswith('does not exist in namespace "other"')
        assert await c.names("configmaps") == ["a"]

    simulate(story, GC)


def test_a_cluster_scoped_object_of_a_namespaced_owner_stays(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        role = {"metadata": {"name": "r", "ownerReferences": config_map("x", a)["metadata"]["ownerReferences"]}}
        await c.create("clusterroles", role)
        await delete(c, "a", "Background")
        await c.settle(5)
        assert await c.find("clusterroles", "r", "")

    simulate(story, GC)


def test_deleting_a_deployment_deletes_its_pods(simulate):
    async def story(c):
        c.kubelet()
        await c.create("deployments", workload("Deployment"))
        await c.settle(10)
        assert len(await c.pods()) == 3
        await delete(c, "web", "Background", "deployments")
        await c.settle(10)
        assert await c.pods(active=False) == []
        assert await c.list("replicasets") == []

    simulate(story, GC, "deployment-controller", "replicaset-controller")


def test_conflicts_do_not_stop_it(simulate):
    async def story(c):
        a = await c.create("configmaps", config_map("a"))
        await c.create("configmaps", config_map("b", a))
        await c.settle()
        left = [3]

        def conflict(request):
            if request.method == "DELETE" and request.path.endswith("/b") and left[0]:
                left[0] -= 1
                return StatusError(409, "Conflict", "changed")
            return None

        c.server.faults.append(conflict)
        await delete(c, "a", "Background")
        await c.settle(5)
        assert await c.names("configmaps") == []

    simulate(story, GC)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_graph_is_the_same_whatever_the_order_of_events(data):
    count = data.draw(st.integers(1, 6))
    owners = {n: data.draw(st.sets(st.integers(0, 7), max_size=3)) - {n} for n in range(count)}

    def ref(n):
        return {"apiVersion": "v1", "kind": "ConfigMap", "name": f"o{n}", "uid": f"u{n}"}

    def identity(n):
        return Identity("ConfigMap", "v1", "default", f"o{n}", f"u{n}")

    def obj(n):
        return {
            "metadata": {
                "name": f"o{n}",
                "namespace": "default",
                "uid": f"u{n}",
                "ownerReferences": [ref(o) for o in sorted(owners[n])],
            }
        }

    shapes = set()
    for order in (list(range(count)), data.draw(st.permutations(range(count)))):
        graph = Graph(lambda _: None, lambda _: None, lambda _: None, lambda *_: None)
        for n in order:
            graph.observe(identity(n), None, obj(n))
        shapes.add(frozenset((uid, node.virtual, frozenset(node.dependents)) for uid, node in graph.nodes.items()))
        for n in order:
            graph.forget(identity(n))
        assert not any(not node.virtual for node in graph.nodes.values())
        assert graph.nodes == {}
    assert len(shapes) == 1


def test_foreground_is_noticed_on_the_first_sight():
    looked = []
    graph = Graph(looked.append, looked.append, looked.append, lambda *_: None)
    obj = {
        "metadata": {"name": "a", "uid": "u", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [FOREGROUND]}
    }
    graph.observe(Identity("ConfigMap", "v1", "", "a", "u"), None, obj)
    assert looked == ["u"]
    assert graph.nodes["u"].deleting_dependents


# Pods


def pod(name, node="", **status):
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "containers": []},
        "status": status,
    }


def test_pods_of_a_node_that_is_gone_are_deleted(simulate):
    async def story(c):
        await c.create("nodes", {"metadata": {"name": "n1"}, "spec": {}})
        for name, node in (("on-n1", "n1"), ("on-n2", "n2"), ("waiting", "")):
            await c.create("pods", pod(name, node))
        await c.settle(30)
        assert await c.names("pods") == ["on-n1", "on-n2", "waiting"]
        await c.settle(60)
        assert await c.names("pods") == ["on-n1", "waiting"]
        last = [e for e in c.server.events if e[2] == "DELETED"][-1][3]
        assert last["status"]["phase"] == "Failed"
        (condition,) = last["status"]["conditions"]
        assert (condition["type"], condition["reason"]) == ("DisruptionTarget", "DeletionByPodGC")
        assert condition["message"] == "PodGC: node no longer exists"

    simulate(story, "pod-garbage-collector-controller")


def test_too_many_finished_pods_are_deleted_the_evicted_and_the_oldest_first(simulate):
    async def story(c):
        for n in range(6):
            await c.create("pods", pod(f"p{n}", phase="Succeeded"))
            await c.settle(1)
        await c.create("pods", pod("evicted", phase="Failed", reason="Evicted"))
        await c.create("pods", pod("running", phase="Running"))
        await c.settle(40)
        assert await c.names("pods") == ["p3", "p4", "p5", "running"]

    simulate(story, "pod-garbage-collector-controller", config={"terminated-pod-gc-threshold": 3})


def test_a_pod_deleted_before_it_had_a_node_goes_at_once(simulate):
    async def story(c):
        made = await c.create("pods", pod("p"))
        at = (("", "pods"), "default", "p")
        gone = {
            **made,
            "metadata": {
                **made["metadata"],
                "deletionTimestamp": c.clock.timestamp(),
                "deletionGracePeriodSeconds": 30,
            },
        }
        c.server.store(at, gone, "MODIFIED")
        await c.settle(25)
        assert await c.names("pods") == []

    simulate(story, "pod-garbage-collector-controller")


@pytest.mark.parametrize(("ttl", "after", "left"), [(10, 5, 1), (10, 11, 0), (None, 1000, 1), (0, 0.5, 0)])
def test_finished_jobs_are_deleted_after_their_time(simulate, ttl, after, left):
    async def story(c):
        spec = {} if ttl is None else {"ttlSecondsAfterFinished": ttl}
        job = await c.create("jobs", {"metadata": {"name": "j", "namespace": "default"}, "spec": spec})
        await c.settle(100)
        assert len(await c.list("jobs")) == 1
        done = {"type": "Complete", "status": "True", "lastTransitionTime": c.clock.timestamp()}
        await c.of("jobs").update({**job, "status": {"conditions": [done]}}, "status")
        await c.settle(after)
        alive = [j for j in await c.list("jobs") if "deletionTimestamp" not in j["metadata"]]
        assert len(alive) == left

    simulate(story, "ttl-after-finished-controller")
