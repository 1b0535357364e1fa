"""DaemonSets: a pod on each node that fits, and how pods are replaced."""

import itertools

import pytest
from fake_cluster import workload
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.controllers.placement import affinity_fits, tolerates

NAME = "daemonset-controller"


async def add_nodes(c, *names, labels=None, taints=()):
    for name in names:
        await c.create("nodes", {"metadata": {"name": name, "labels": labels or {}}, "spec": {"taints": list(taints)}})


def daemon(image="nginx:1", template=None, **spec):
    spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}})
    spec.setdefault("revisionHistoryLimit", 10)
    pod = {"containers": [{"name": "main", "image": image}], **(template or {})}
    obj = workload("DaemonSet", replicas=None, template=pod, **spec)
    obj["metadata"]["annotations"] = {"deprecated.daemonset.template.generation": "1"}
    return obj


def pin(c):
    """The part of a scheduler that daemon pods need."""
    from pilothouse.controllers.daemonset.nodes import target_node

    original = c.run_pod

    async def run_pod(pod, node="node-0", **how):
        return await original(pod, node=target_node(pod) or node, **how)

    c.run_pod = run_pod


def schedule(c):
    pin(c)
    c.kubelet(start_s=0.2)


def node_of(pod):
    return pod["spec"]["nodeName"]


async def set_image(c, image):
    """As the API server has it: the older API's generation of the template is raised with it."""
    generation = (await c.get("daemonsets", "web"))["metadata"]["generation"] + 1
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    annotations = {"deprecated.daemonset.template.generation": str(generation)}
    await c.patch("daemonsets", "web", {"metadata": {"annotations": annotations}, "spec": {"template": template}})


async def status(c):
    return (await c.get("daemonsets", "web"))["status"]


def test_one_pod_on_each_node(simulate):
    async def story(c):
        schedule(c)
        await add_nodes(c, "a", "b", "c")
        await c.create("daemonsets", daemon())
        await c.settle(0.1)
        pod = (await c.pods())[0]
        (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
            "nodeSelectorTerms"
        ]
        assert term["matchFields"][0]["key"] == "metadata.name"
        assert {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"} in pod["spec"][
            "tolerations"
        ]
        assert len(pod["spec"]["tolerations"]) == 6
        (revision,) = await c.list("controllerrevisions")
        digest = revision["metadata"]["labels"]["controller-revision-hash"]
        assert revision["metadata"]["name"] == f"web-{digest}"
        assert revision["data"]["spec"]["template"]["$patch"] == "replace"
        assert pod["metadata"]["labels"] == {
            "app": "web",
            "controller-revision-hash": digest,
            "pod-template-generation": "1",
        }
        await c.settle(5)
        assert sorted(node_of(p) for p in await c.pods()) == ["a", "b", "c"]
        assert await status(c) == {
            "currentNumberScheduled": 3, "numberMisscheduled": 0, "desiredNumberScheduled": 3, "numberReady": 3,
            "updatedNumberScheduled": 3, "numberAvailable": 3, "observedGeneration": 1,
        }  # fmt: skip
        await add_nodes(c, "d")
        await c.settle(5)
        assert sorted(node_of(p) for p in await c.pods()) == ["a", "b", "c", "d"]

    simulate(story, NAME)


def test_nodes_are_chosen_by_selector_taint_and_toleration(simulate):
    async def story(c):
        schedule(c)
        await add_nodes(c, "gpu", labels={"gpu": "yes"})
        await add_nodes(c, "plain")
        await add_nodes(c, "tainted", labels={"gpu": "yes"}, taints=[{"key": "x", "effect": "NoSchedule"}])
        await add_nodes(
            c, "down", labels={"gpu": "yes"}, taints=[{"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}]
        )
        await c.create("daemonsets", daemon(template={"nodeSelector": {"gpu": "yes"}}))
        await c.settle(5)
        assert sorted(node_of(p) for p in await c.pods()) == ["down", "gpu"]
        await c.patch("nodes", "plain", {"metadata": {"labels": {"gpu": "yes"}}}, namespace="")
        await c.patch("nodes", "gpu", {"metadata": {"labels": {"gpu": None}}}, namespace="")
        await c.settle(5)
        assert sorted(node_of(p) for p in await c.pods()) == ["down", "plain"]
        taint = {"spec": {"taints": [{"key": "y", "effect": "NoSchedule"}]}}
        await c.patch("nodes", "plain", taint, namespace="")
        await c.settle(5)
        assert sorted(node_of(p) for p in await c.pods()) == ["down", "plain"]
        taint["spec"]["taints"][0]["effect"] = "NoExecute"
        await c.patch("nodes", "plain", taint, namespace="")
        await c.settle(5)
        assert sorted(node_of(p) for p in await c.pods()) == ["down"]

    simulate(story, NAME)


def test_a_failed_pod_is_replaced_ever_more_slowly(simulate):
    async def story(c):
        pin(c)
        await add_nodes(c, "a")
        await c.create("daemonsets", daemon())
        fates = []
        for _ in range(300):
            await c.settle(0.5)
            for pod in await c.list("pods"):
                if pod["metadata"].get("deletionTimestamp"):
                    await c.reap(pod)
                elif pod["status"]["phase"] == "Pending":
                    fates.append(c.clock.now())
                    await c.end_pod(pod, "Failed", 1)
        gaps = [b - a for a, b in itertools.pairwise(fates)]
        assert 5 <= len(gaps) <= 8
        assert gaps[-1] > 30
        events = await c.events("FailedDaemonPod")
        assert events[0]["message"].startswith("Found failed daemon pod default/web-")

    simulate(story, NAME)


@pytest.mark.parametrize(("surge", "unavailable"), [(0, 1), (0, "50%"), (1, 0), ("50%", 0)])
def test_a_rolling_update_keeps_within_its_bounds(simulate, surge, unavailable):
    async def story(c):
        schedule(c)
        names = [f"n{i}" for i in range(6)]
        await add_nodes(c, *names)
        rolling = {"maxSurge": surge, "maxUnavailable": unavailable}
        await c.create("daemonsets", daemon(updateStrategy={"type": "RollingUpdate", "rollingUpdate": rolling}))
        await c.settle(5)
        await set_image(c, "nginx:2")
        allowed_down = {0: 0, 1: 1, "50%": 3}[unavailable]
        allowed_up = {0: 0, 1: 1, "50%": 3}[surge]
        for _ in range(300):
            await c.settle(0.1)
            pods = await c.pods(active=False)
            ready = {node_of(p) for p in pods if "nodeName" in p["spec"] and p["status"]["phase"] == "Running"
                     and not p["metadata"].get("deletionTimestamp")}  # fmt: skip
            live = [p for p in pods if not p["metadata"].get("deletionTimestamp")]
            assert len(ready) >= 6 - allowed_down
            assert len(live) <= 6 + allowed_up
        pods = await c.pods()
        assert {p["spec"]["containers"][0]["image"] for p in pods} == {"nginx:2"}
        assert sorted(node_of(p) for p in pods) == names
        assert (await status(c))["updatedNumberScheduled"] == 6
        revisions = await c.list("controllerrevisions")
        assert sorted(r["revision"] for r in revisions) == [1, 2]
        await set_image(c, "nginx:1")
        await c.settle(30)
        assert sorted(r["revision"] for r in await c.list("controllerrevisions")) == [2, 3]

    simulate(story, NAME)


def test_on_delete_waits_for_the_user(simulate):
    async def story(c):
        schedule(c)
        await add_nodes(c, "a", "b")
        await c.create("daemonsets", daemon(updateStrategy={"type": "OnDelete"}))
        await c.settle(3)
        await set_image(c, "nginx:2")
        await c.settle(10)
        pods = await c.pods()
        assert {p["spec"]["containers"][0]["image"] for p in pods} == {"nginx:1"}
        await c.of("pods").delete(pods[0]["metadata"]["name"], "default")
        await c.settle(5)
        assert sorted(p["spec"]["containers"][0]["image"] for p in await c.pods()) == ["nginx:1", "nginx:2"]

    simulate(story, NAME)


def test_old_revisions_are_deleted(simulate):
    async def story(c):
        schedule(c)
        await add_nodes(c, "a")
        await c.create("daemonsets", daemon(revisionHistoryLimit=1))
        for number in range(2, 5):
            await c.settle(5)
            await set_image(c, f"nginx:{number}")
        await c.settle(5)
        assert sorted(r["revision"] for r in await c.list("controllerrevisions")) == [3, 4]

    simulate(story, NAME)


def test_a_pod_that_waits_for_a_node_that_is_gone_is_deleted(simulate):
    async def story(c):
        await add_nodes(c, "a")
        await c.create("daemonsets", daemon())
        await c.settle()
        assert len(await c.pods()) == 1
        await c.of("nodes").delete("a")
        await add_nodes(c, "b")
        await c.settle()
        from pilothouse.controllers.daemonset.nodes import target_node

        assert [target_node(p) for p in await c.pods()] == ["b"]

    simulate(story, NAME)


def test_two_pods_on_a_node_become_one(simulate):
    async def story(c):
        schedule(c)
        await add_nodes(c, "a")
        await c.create("daemonsets", daemon())
        await c.settle(2)
        (first,) = await c.pods()
        twin = {"metadata": {"name": "twin", "namespace": "default", "labels": {"app": "web"}},
                "spec": {"nodeName": "a", "containers": []}}  # fmt: skip
        await c.create("pods", twin)
        await c.settle(5)
        assert [p["metadata"]["name"] for p in await c.pods()] == [first["metadata"]["name"]]

    simulate(story, NAME)


LABEL = st.sampled_from(["a", "b", "5", "10", "-3", "05", ""])


@given(
    LABEL,
    st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Wrong"]),
    st.lists(LABEL, max_size=2),
    st.booleans(),
)
def test_node_affinity(label, operator, values, present):
    node = {"metadata": {"name": "n", "labels": {"k": label} if present else {}}}
    term = {"matchExpressions": [{"key": "k", "operator": operator, "values": values}]}
    spec = {
        "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    }
    fits = affinity_fits(spec, node)
    if operator == "In":
        assert fits == (present and label in values)
    elif operator == "NotIn":
        assert fits == (not present or label not in values)
    elif operator in ("Exists", "DoesNotExist"):
        assert fits == (present == (operator == "Exists"))
    elif operator == "Wrong":
        assert not fits
    elif fits:
        assert (int(label) > int(values[0])) == (operator == "Gt")


def test_terms_are_alternatives_and_an_empty_one_matches_nothing():
    node = {"metadata": {"name": "n", "labels": {"k": "v"}}}

    def fits(*terms):
        required = {"nodeSelectorTerms": list(terms)}
        return affinity_fits(
            {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}, node
        )

    wrong = {"matchExpressions": [{"key": "k", "operator": "In", "values": ["w"]}]}
    by_name = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]}
    assert not fits({})
    assert not fits(wrong)
    assert fits(wrong, by_name)
    assert not fits()


@pytest.mark.parametrize(
    ("toleration", "taint", "expected"),
    [
        ({"operator": "Exists"}, {"key": "a", "effect": "NoExecute"}, True),
        ({"key": "a", "operator": "Exists", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}, False),
        ({"key": "a", "value": "1"}, {"key": "a", "value": "1", "effect": "NoSchedule"}, True),
        ({"key": "a", "value": "1"}, {"key": "a", "value": "2", "effect": "NoSchedule"}, False),
        ({"key": "a", "operator": "Gt", "value": "1"}, {"key": "a", "value": "2", "effect": "NoSchedule"}, False),
    ],
)
def test_tolerations(toleration, taint, expected):
    assert tolerates(toleration, taint) is expected
