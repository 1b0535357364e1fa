"""A cluster in virtual time: an API server, a client, and a kubelet that does as it is told."""

import asyncio

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import copy
from pilothouse.api.scheme import resources

ADMIN = UserInfo("admin", groups=("system:masters",))


class Cluster:
    """What a test sees: `create`, `get`, `list`, … by resource name, `settle`, and the pods' fate."""

    def __init__(self, clock, client, server):
        self.clock, self.client, self.server = clock, client, server
        self._tasks = []

    def of(self, resource):
        gvr = next(
            g for g, r in resources().items() if g.resource == resource and r.default and "beta" not in g.version
        )
        return self.client.resource(*gvr)

    async def create(self, resource, obj):
        return await self.of(resource).create(obj)

    async def get(self, resource, name, namespace="default"):
        return await self.of(resource).get(name, namespace)

    async def find(self, resource, name, namespace="default"):
        """None where it is absent."""
        try:
            return await self.get(resource, name, namespace)
        except StatusError as error:
            assert error.code == 404
            return None

    async def list(self, resource, namespace="default", **selectors):
        return (await self.of(resource).list(namespace, **selectors))["items"]

    async def names(self, resource, namespace="default"):
        return sorted(o["metadata"]["name"] for o in await self.list(resource, namespace))

    async def pods(self, *, active=True):
        found = await self.list("pods")
        return [p for p in found if not (active and "deletionTimestamp" in p["metadata"])]

    async def events(self, reason=None):
        return [e for e in await self.list("events") if reason in (None, e["reason"])]

    async def patch(self, resource, name, body, kind="merge", namespace="default", subresource=""):
        return await self.of(resource).patch(name, namespace, body, kind, subresource)

    async def scale(self, resource, name, replicas):
        return await self.patch(resource, name, {"spec": {"replicas": replicas}})

    async def settle(self, seconds=1.0):
        """Lets everything happen that happens in so many seconds."""
        await self.clock.sleep(seconds)

    async def run_pod(self, pod, node="node-0", phase="Running", ready=None, **status):
        """Puts the pod on a node and into a phase."""
        now = self.clock.timestamp()
        ready = phase == "Running" if ready is None else ready
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        pod = await self.of("pods").get(name, namespace)
        if not pod["spec"].get("nodeName"):
            binding = {"metadata": {"name": name, "namespace": namespace}, "target": {"kind": "Node", "name": node}}
            try:
                await self.of("pods").create_subresource(name, namespace, "binding", binding)
            except StatusError:
                await self.patch("pods", name, {"spec": {"nodeName": node}}, namespace=namespace)
        pod = copy(await self.of("pods").get(name, namespace))
        old = pod.get("status") or {}
        conditions = [c for c in old.get("conditions") or () if c["type"] != "Ready"]
        was = next((c for c in old.get("conditions") or () if c["type"] == "Ready"), None)
        truth = "True" if ready else "False"
        since = was["lastTransitionTime"] if was and was["status"] == truth else now
        conditions.append({"type": "Ready", "status": truth, "lastTransitionTime": since})
        pod["status"] = {**old, "phase": phase, "conditions": conditions, **status}
        return await self.of("pods").update(pod, "status")

    async def run_all(self, **how):
        """Runs every pod that does not run yet."""
        for pod in await self.pods():
            if (pod.get("status") or {}).get("phase", "Pending") == "Pending":
                await self.run_pod(pod, **how)

    async def end_pod(self, pod, phase="Succeeded", exit_code=0, reason=""):
        """The pod's containers end."""
        now = self.clock.timestamp()
        pod = await self.of("pods").get(pod["metadata"]["name"], pod["metadata"]["namespace"])
        state = {
            "terminated": {"exitCode": exit_code, "finishedAt": now, "startedAt": now, "reason": reason or "Completed"}
        }
        statuses = [
            {
                "name": c["name"],
                "state": state,
                "ready": False,
                "restartCount": 0,
                "image": c.get("image", ""),
                "imageID": "",
            }
            for c in pod["spec"].get("containers") or ()
        ]
        return await self.run_pod(pod, phase=phase, containerStatuses=statuses)

    async def reap(self, pod):
        """What a kubelet does in the end with a pod that is to be deleted."""
        try:
            await self.of("pods").delete(pod["metadata"]["name"], pod["metadata"]["namespace"], grace_period_s=0)
        except StatusError as error:
            assert error.code == 404

    def kubelet(self, node="node-0", start_s=0.0, decide=None, stop_s=0.0):
        """Runs pods as they come and removes those that are deleted. `decide(pod)` names a phase for new ones."""

        async def tend():
            pods = self.of("pods")
            while True:
                for pod in (await pods.list())["items"]:
                    phase = (pod.get("status") or {}).get("phase", "Pending")
                    if pod["metadata"].get("deletionTimestamp"):
                        if stop_s:
                            await self.clock.sleep(stop_s)
                        await self.reap(pod)
                    elif phase == "Pending":
                        wanted = decide(pod) if decide else "Running"
                        if wanted is None:
                            continue
                        if start_s:
                            await self.clock.sleep(start_s)
                        on = pod["spec"].get("nodeName") or node
                        if wanted == "Running":
                            await self.run_pod(pod, node=on)
                        else:
                            await self.end_pod(pod, wanted, 0 if wanted == "Succeeded" else 1)
                await self.clock.sleep(0.1)

        self._tasks.append(asyncio.create_task(self._guard(tend)))

    @staticmethod
    async def _guard(loop):
        while True:
            try:
                await loop()
            except StatusError:
                await asyncio.sleep(0.05)

    async def stop(self):
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def workload(kind, name="web", replicas=3, api_version="apps/v1", template=None, **spec):
    """A Deployment, ReplicaSet, … of one container, selected by `app: <name>`."""
    labels = {"app": name}
    pod = {"containers": [{"name": "main", "image": "nginx:1"}], "restartPolicy": "Always", **(template or {})}
    obj = {
        "apiVersion": api_version,
        "kind": kind,
        "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            **spec,
        },
    }
    if replicas is not None:
        obj["spec"]["replicas"] = replicas
    return obj
