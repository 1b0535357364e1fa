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


def test_a_class_of_attributes_stays_while_a_claim_or_volume_has_it(simulate):
    async def story(c):
        await c.create("volumeattributesclasses", {"metadata": {"name": "gold"}, "driverName": "example.com"})
        await c.create("persistentvolumes", volume(volumeAttributesClassName="gold"))
        wanted = claim(volumeAttributesClassName="gold")
        await c.create("persistentvolumeclaims", wanted)
        await c.settle()
        found = await c.get("volumeattributesclasses", "gold", "")
        assert found["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
        await c.of("volumeattributesclasses").delete("gold")
        await c.of("persistentvolumes").delete("pv")
        await c.settle()
        assert (await c.get("volumeattributesclasses", "gold", ""))["metadata"]["deletionTimestamp"]
        await c.of("persistentvolumeclaims").delete("data", "default")
        await c.settle()
        assert await c.list("volumeattributesclasses", "") == []

    simulate(story, "volumeattributesclass-protection-controller")


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


BINDER = "persistentvolume-binder-controller"


def test_a_claim_gets_the_smallest_volume_that_fits(simulate):
    async def story(c):
        for name, size in (("large", "8Gi"), ("small", "1Gi"), ("right", "4Gi")):
            await c.create("persistentvolumes", volume(name, size))
        await c.create("persistentvolumes", volume("classy", "4Gi", storageClassName="fast"))
        await c.settle()
        for name in ("a", "b", "c"):
            await c.create("persistentvolumeclaims", claim(name, resources={"requests": {"storage": "3Gi"}}))
        await c.settle()
        claims = {n: await c.get("persistentvolumeclaims", n) for n in ("a", "b", "c")}
        assert [x["status"]["phase"] for x in claims.values()] == ["Bound", "Bound", "Pending"]
        assert [x["spec"].get("volumeName") for x in claims.values()] == ["right", "large", None]
        assert claims["a"]["status"]["capacity"] == {"storage": "4Gi"}
        bound = await c.get("persistentvolumes", "right", "")
        assert bound["status"]["phase"] == "Bound"
        assert bound["spec"]["claimRef"]["uid"] == claims["a"]["metadata"]["uid"]
        (event,) = await c.events("FailedBinding")
        assert event["message"] == "no persistent volumes available for this claim and no storage class is set"
        await c.of("persistentvolumeclaims").delete("a", "default")
        await c.settle()
        assert (await c.get("persistentvolumes", "right", ""))["status"]["phase"] == "Released"
        await c.of("persistentvolumes").delete("large")
        await c.settle()
        assert (await c.get("persistentvolumeclaims", "b"))["status"]["phase"] == "Lost"
        await c.create("persistentvolumes", volume("late", "3Gi"))
        await c.settle()
        assert (await c.get("persistentvolumeclaims", "c"))["spec"]["volumeName"] == "late"

    simulate(story, BINDER)


def test_classes_decide_who_makes_the_volume_and_when(simulate):
    async def story(c):
        for name, mode in (("now", "Immediate"), ("later", "WaitForFirstConsumer")):
            made = {"metadata": {"name": name}, "provisioner": "example.com/disks", "volumeBindingMode": mode}
            if name == "now":
                made["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
            await c.create("storageclasses", made)
        unclassed = claim("unclassed")
        del unclassed["spec"]["storageClassName"]
        await c.create("persistentvolumeclaims", unclassed)
        await c.create("persistentvolumeclaims", claim("later", storageClassName="later"))
        await c.create("persistentvolumeclaims", claim("none", storageClassName="none"))
        await c.settle()
        found = await c.get("persistentvolumeclaims", "unclassed")
        assert found["spec"]["storageClassName"] == "now"
        assert found["metadata"]["annotations"]["volume.kubernetes.io/storage-provisioner"] == "example.com/disks"
        assert (await c.events("ExternalProvisioning"))[0]["message"].startswith("Waiting for a volume to be created")
        (event,) = await c.events("WaitForFirstConsumer")
        assert event["message"] == "waiting for first consumer to be created before binding"
        (event,) = await c.events("ProvisioningFailed")
        assert event["message"] == 'storageclass.storage.k8s.io "none" not found'

    simulate(story, BINDER)


def test_a_csi_volume_is_attached_where_its_pod_is(simulate):
    async def story(c):
        await c.create("nodes", {"metadata": {"name": "node-0"}, "spec": {}})
        csi = {"driver": "example.com", "volumeHandle": "h1"}
        await c.create("persistentvolumes", volume(csi=csi, hostPath=None))
        await c.create("persistentvolumeclaims", claim())
        source = {"persistentVolumeName": "pv"}
        others = {"attacher": "example.com", "nodeName": "node-0", "source": source}
        await c.create("volumeattachments", {"metadata": {"name": "made-by-hand"}, "spec": others})
        made = await c.run_pod(await c.create("pods", pod(persistentVolumeClaim={"claimName": "data"})))
        await c.settle()
        attachments = {a["metadata"]["name"]: a for a in await c.list("volumeattachments", "")}
        assert len(attachments) == 2 and attachments.pop("made-by-hand")
        (attachment,) = attachments.values()
        assert attachment["spec"] == {
            "attacher": "example.com", "nodeName": "node-0", "source": {"persistentVolumeName": "pv"},
        }  # fmt: skip
        await c.of("volumeattachments").update({**attachment, "status": {"attached": True}}, "status")
        await c.settle()
        node = await c.get("nodes", "node-0", "")
        assert node["status"]["volumesAttached"] == [{"name": "kubernetes.io/csi/example.com^h1", "devicePath": ""}]
        await c.reap(made)
        await c.settle()
        assert [a["metadata"]["name"] for a in await c.list("volumeattachments", "")] == ["made-by-hand"]
        assert "volumesAttached" not in (await c.get("nodes", "node-0", ""))["status"]

    simulate(story, BINDER, "persistentvolume-attach-detach-controller")
