"""StatefulSets: order, identity, storage, revisions."""

import pytest
from fake_cluster import workload

from pilothouse.controllers.statefulset.identity import split

NAME = "statefulset-controller"
GC = "garbage-collector-controller"


def stateful(replicas=3, image="db:1", claims=(), **spec):
    spec.setdefault("updateStrategy", {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}})
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("serviceName", "db")
    if claims:
        spec["volumeClaimTemplates"] = [
            {"metadata": {"name": n}, "spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Pending"}}
            for n in claims
        ]
    return workload(
        "StatefulSet", name="db", replicas=replicas, template={"containers": [{"name": "main", "image": image}]}, **spec
    )


async def set_image(c, image):
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    await c.patch("statefulsets", "db", {"spec": {"template": template}})


async def images(c):
    return {p["metadata"]["name"]: p["spec"]["containers"][0]["image"] for p in await c.pods()}


async def status(c):
    return (await c.get("statefulsets", "db"))["status"]


def test_pods_are_made_in_order_and_have_an_identity(simulate):
    async def story(c):
        await c.create("statefulsets", stateful(3))
        for count in (1, 2, 3):
            await c.settle()
            assert await c.names("pods") == [f"db-{n}" for n in range(count)]
            await c.run_all()
        await c.settle()
        pod = await c.get("pods", "db-1")
        (revision,) = await c.names("controllerrevisions")
        assert pod["metadata"]["labels"] == {
            "app": "db", "statefulset.kubernetes.io/pod-name": "db-1", "apps.kubernetes.io/pod-index": "1",
            "controller-revision-hash": revision,
        }  # fmt: skip
        assert (pod["spec"]["hostname"], pod["spec"]["subdomain"]) == ("db-1", "db")
        assert "generateName" not in pod["metadata"]
        assert await status(c) == {
            "observedGeneration": 1, "replicas": 3, "readyReplicas": 3, "currentReplicas": 3, "updatedReplicas": 3,
            "availableReplicas": 3, "currentRevision": revision, "updateRevision": revision, "collisionCount": 0,
        }  # fmt: skip
        messages = [e["message"] for e in await c.events("SuccessfulCreate")]
        assert messages[0] == "create Pod db-0 in StatefulSet db successful".replace("create", "Create")

    simulate(story, NAME)


def test_parallel_pods_do_not_wait(simulate):
    async def story(c):
        await c.create("statefulsets", stateful(4, podManagementPolicy="Parallel"))
        await c.settle()
        assert len(await c.pods()) == 4
        await c.scale("statefulsets", "db", 1)
        await c.settle()
        assert await c.names("pods") == ["db-0"]

    simulate(story, NAME)


def test_scaling_down_goes_from_the_highest_and_waits(simulate):
    async def story(c):
        c.kubelet(stop_s=2)
        await c.create("statefulsets", stateful(4))
        await c.settle(10)
        await c.scale("statefulsets", "db", 1)
        gone = []
        for _ in range(200):
            await c.settle(0.1)
            names = await c.names("pods")
            for n in (3, 2, 1):
                if f"db-{n}" not in names and n not in gone:
                    gone.append(n)
            terminating = [p for p in await c.list("pods") if p["metadata"].get("deletionTimestamp")]
            assert len(terminating) <= 1
        assert gone == [3, 2, 1]
        assert await c.names("pods") == ["db-0"]

    simulate(story, NAME)


def test_a_failed_pod_is_made_anew_under_its_name(simulate):
    async def story(c):
        c.kubelet()
        await c.create("statefulsets", stateful(2))
        await c.settle(5)
        pod = await c.get("pods", "db-0")
        await c.end_pod(pod, "Failed", 1)
        await c.settle(5)
        again = await c.get("pods", "db-0")
        assert again["metadata"]["uid"] != pod["metadata"]["uid"]
        assert again["status"]["phase"] == "Running"

    simulate(story, NAME)


def test_an_unready_pod_holds_the_others_up(simulate):
    async def story(c):
        await c.create("statefulsets", stateful(3))
        await c.settle()
        await c.run_pod(await c.get("pods", "db-0"), ready=False)
        await c.settle(30)
        assert await c.names("pods") == ["db-0"]
        await c.run_pod(await c.get("pods", "db-0"), ready=True)
        await c.settle()
        assert await c.names("pods") == ["db-0", "db-1"]

    simulate(story, NAME)


def test_a_rolling_update_goes_down_one_by_one(simulate):
    async def story(c):
        c.kubelet(start_s=0.5)
        await c.create("statefulsets", stateful(3))
        await c.settle(10)
        await set_image(c, "db:2")
        order = []
        for _ in range(200):
            await c.settle(0.1)
            found = await images(c)
            order += [n for n in found if found[n] == "db:2" and n not in order]
            ready = [p for p in await c.pods() if p["status"]["phase"] == "Running"]
            assert len(ready) >= 2
        assert order == ["db-2", "db-1", "db-0"]
        s = await status(c)
        assert s["currentRevision"] == s["updateRevision"]
        assert sorted(r["revision"] for r in await c.list("controllerrevisions")) == [1, 2]
        await set_image(c, "db:1")
        await c.settle(30)
        assert sorted(r["revision"] for r in await c.list("controllerrevisions")) == [2, 3]
        assert set((await images(c)).values()) == {"db:1"}

    simulate(story, NAME)


def test_a_partition_keeps_the_lower_ordinals(simulate):
    async def story(c):
        c.kubelet()
        await c.create("statefulsets", stateful(4))
        await c.settle(10)
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
        await c.patch("statefulsets", "db", {"spec": {"updateStrategy": strategy}})
        await set_image(c, "db:2")
        await c.settle(20)
        assert await images(c) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2", "db-3": "db:2"}
        s = await status(c)
        assert (s["currentReplicas"], s["updatedReplicas"]) == (2, 2)
        assert s["currentRevision"] != s["updateRevision"]
        await c.of("pods").delete("db-0", "default")
        await c.of("pods").delete("db-3", "default")
        await c.settle(20)
        assert await images(c) == {"db-0": "db:1", "db-1": "db:1", "db-2": "db:2", "db-3": "db:2"}

    simulate(story, NAME)


def test_several_pods_may_be_unavailable(simulate):
    async def story(c):
        c.kubelet(start_s=1)
        strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 2}}
        await c.create("statefulsets", stateful(6, updateStrategy=strategy, podManagementPolicy="Parallel"))
        await c.settle(20)
        await set_image(c, "db:2")
        least = 6
        for _ in range(300):
            await c.settle(0.1)
            running = len([p for p in await c.pods() if p["status"]["phase"] == "Running"])
            least = min(least, running)
        assert least == 4
        assert set((await images(c)).values()) == {"db:2"}

    simulate(story, NAME)


def test_on_delete_waits_for_the_user(simulate):
    async def story(c):
        c.kubelet()
        await c.create("statefulsets", stateful(2, updateStrategy={"type": "OnDelete"}))
        await c.settle(5)
        await set_image(c, "db:2")
        await c.settle(5)
        assert set((await images(c)).values()) == {"db:1"}
        await c.of("pods").delete("db-1", "default")
        await c.settle(5)
        assert await images(c) == {"db-0": "db:1", "db-1": "db:2"}

    simulate(story, NAME)


def test_ordinals_may_start_elsewhere(simulate):
    async def story(c):
        c.kubelet()
        await c.create("statefulsets", stateful(2, ordinals={"start": 5}))
        await c.settle(5)
        assert await c.names("pods") == ["db-5", "db-6"]
        await c.patch("statefulsets", "db", {"spec": {"ordinals": {"start": 6}}})
        await c.settle(10)
        assert await c.names("pods") == ["db-6", "db-7"]

    simulate(story, NAME)


def test_each_pod_has_its_own_claims_and_they_stay(simulate):
    async def story(c):
        c.kubelet()
        await c.create("statefulsets", stateful(2, claims=("data", "log")))
        await c.settle(5)
        assert await c.names("persistentvolumeclaims") == ["data-db-0", "data-db-1", "log-db-0", "log-db-1"]
        pod = await c.get("pods", "db-1")
        assert pod["spec"]["volumes"] == [
            {"name": "data", "persistentVolumeClaim": {"claimName": "data-db-1"}},
            {"name": "log", "persistentVolumeClaim": {"claimName": "log-db-1"}},
        ]
        claim = await c.get("persistentvolumeclaims", "data-db-1")
        assert claim["metadata"]["labels"] == {"app": "db"}
        assert not claim["metadata"].get("ownerReferences")
        await c.scale("statefulsets", "db", 0)
        await c.settle(10)
        assert len(await c.list("persistentvolumeclaims")) == 4
        (event, *_) = await c.events("SuccessfulCreate")
        assert any(
            e["message"] == "Create Claim data-db-0 Pod db-0 in StatefulSet db success"
            for e in await c.events("SuccessfulCreate")
        )
        assert event

    simulate(story, NAME)


@pytest.mark.parametrize(
    ("scaled", "deleted", "after_scaling", "after_deletion"),
    [("Retain", "Retain", 3, 3), ("Delete", "Retain", 1, 1), ("Retain", "Delete", 3, 0), ("Delete", "Delete", 1, 0)],
)
def test_claims_go_as_their_policy_says(simulate, scaled, deleted, after_scaling, after_deletion):
    async def story(c):
        c.kubelet()
        policy = {"whenScaled": scaled, "whenDeleted": deleted}
        await c.create("statefulsets", stateful(3, claims=("data",), persistentVolumeClaimRetentionPolicy=policy))
        await c.settle(5)
        assert len(await c.list("persistentvolumeclaims")) == 3
        await c.scale("statefulsets", "db", 1)
        await c.settle(20)
        assert await c.names("pods") == ["db-0"]
        assert len(await c.list("persistentvolumeclaims")) == after_scaling
        await c.of("statefulsets").delete("db", "default", propagation="Background")
        await c.settle(20)
        assert await c.list("pods") == []
        assert len(await c.list("persistentvolumeclaims")) == after_deletion

    simulate(story, NAME, GC)


def test_old_revisions_are_deleted(simulate):
    async def story(c):
        c.kubelet()
        await c.create("statefulsets", stateful(1, revisionHistoryLimit=1))
        for number in range(2, 6):
            await c.settle(10)
            await set_image(c, f"db:{number}")
        await c.settle(10)
        assert sorted(r["revision"] for r in await c.list("controllerrevisions")) == [4, 5]

    simulate(story, NAME)


def test_min_ready_seconds_slow_the_start(simulate):
    async def story(c):
        c.kubelet()
        await c.create("statefulsets", stateful(2, minReadySeconds=20))
        await c.settle(10)
        assert await c.names("pods") == ["db-0"]
        assert (await status(c))["availableReplicas"] == 0
        await c.settle(15)
        assert await c.names("pods") == ["db-0", "db-1"]
        await c.settle(30)
        assert (await status(c))["availableReplicas"] == 2

    simulate(story, NAME)


def test_strangers_by_name_are_not_adopted(simulate):
    async def story(c):
        c.kubelet()
        for name in ("other-0", "db-x"):
            await c.create(
                "pods",
                {
                    "metadata": {"name": name, "namespace": "default", "labels": {"app": "db"}},
                    "spec": {"containers": []},
                },
            )
        await c.create(
            "pods",
            {"metadata": {"name": "db-0", "namespace": "default", "labels": {"app": "db"}}, "spec": {"containers": []}},
        )
        await c.create("statefulsets", stateful(1))
        await c.settle(5)
        owned = [p["metadata"]["name"] for p in await c.pods() if p["metadata"].get("ownerReferences")]
        assert owned == ["db-0"]
        adopted = await c.get("pods", "db-0")
        assert adopted["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] == "db-0"

    simulate(story, NAME)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("db-0", ("db", 0)),
        ("a-b-12", ("a-b", 12)),
        ("db", ("", -1)),
        ("db-", ("", -1)),
        ("db-1x", ("", -1)),
        ("db-99999999999", ("", -1)),
    ],
)
def test_names_of_pods(name, expected):
    assert split(name) == expected
