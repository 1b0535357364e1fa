"""Claims, volumes and who holds them."""


def claim(name="data", **spec):
    spec = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "",
        **spec,
    }
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": {"phase": "Pending"}}


def volume(name="pv", size="1Gi", **spec):
    spec = {
        "capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "persistentVolumeReclaimPolicy": "Retain",
        "hostPath": {"path": "/data"}, **spec,
    }  # fmt: skip
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": "Pending"}}


def pod(name="p", **volume):
    return {
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "a", "image": "i"}], "volumes": [{"name": "v", **volume}]},
    }


def test_a_claim_in_use_stays_until_its_pod_is_gone(simulate):
    async def story(c):
        await c.create("persistentvolumeclaims", claim())
        made = await c.run_pod(await c.create("pods", pod(persistentVolumeClaim={"claimName": "data"})))
        await c.settle()
        assert (await c.get("persistentvolumeclaims", "data"))["metadata"]["finalizers"] == [
            "kubernetes.io/pvc-protection"
        ]
        await c.of("persistentvolumeclaims").delete("data", "default")
        await c.settle(5)
        assert await c.names("persistentvolumeclaims") == ["data"]
        await c.reap(made)
        await c.settle()
        assert await c.names("persistentvolumeclaims") == []

    simulate(story, "persistentvolumeclaim-protection-controller")


def test_a_bound_volume_stays(simulate):
    async def story(c):
        made = volume()
        made["status"] = {"phase": "Bound"}
        await c.create("persistentvolumes", made)
        await c.settle()
        await c.of("persistentvolumes").delete("pv")
        await c.settle()
        found = await c.get("persistentvolumes", "pv", "")
        await c.of("persistentvolumes").update({**found, "status": {"phase": "Released"}}, "status")
        await c.settle()
        assert await c.find("persistentvolumes", "pv", "") is None

    simulate(story, "persistentvolume-protection-controller")


def test_ephemeral_volumes_get_claims_of_the_pods(simulate):
    async def story(c):
        template = {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}
        made = await c.create("pods", pod(ephemeral={"volumeClaimTemplate": template}))
        await c.settle()
        found = await c.get("persistentvolumeclaims", "p-v")
        assert found["metadata"]["labels"] == {"a": "b"}
        assert found["metadata"]["ownerReferences"][0]["uid"] == made["metadata"]["uid"]
        await c.create("persistentvolumeclaims", claim("q-v"))
        await c.create("pods", pod("q", ephemeral={"volumeClaimTemplate": template}))
        await c.settle()
        (event,) = await c.events("FailedBinding")
        assert event["message"].endswith("PVC default/q-v was not created for pod default/q (pod is not owner)")

    simulate(story, "ephemeral-volume-controller")
