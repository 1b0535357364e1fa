"""`NodeSimulator`: the kubelets of all simulated nodes, in one process, over two informers.

It plays every Node with the label `pilothouse.io/simulated: "true"`, its own (`register`) and those that somebody else creates.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, key_of
from pilothouse.client import Client, Informer, Informers, Recorder, WorkQueue
from pilothouse.client.queue import RateLimiter
from pilothouse.clock import Clock
from pilothouse.nodes import machine
from pilothouse.nodes.lifecycle import PodLife
from pilothouse.nodes.machine import MachineSpec

log = logging.getLogger(__name__)

LEASE_PERIOD_S: Final = 5.0
STATUS_PERIOD_S: Final = 300.0
_AT_ONCE: Final = 64  # writes under way at the same time
_WORKERS: Final = 32
_BY_NODE: Final = "node"


@dataclass(slots=True)
class _Machine:
    """What is remembered of one node that is played."""

    node: Obj
    lease: Obj | None = None
    next_status_s: float = 0.0
    used: set[int] = field(default_factory=set)  # host numbers of its pods' addresses


class NodeSimulator:
    """`register(n)` makes nodes, `run()` plays them. `kubelet_port`: where `kubelet.serve` listens; 0: nowhere."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        clock: Clock,
        *,
        spec: MachineSpec | None = None,
        kubelet_port: int = 0,
    ) -> None:
        self.client, self.clock = client.named("kubelet"), clock
        self.spec, self.kubelet_port = spec or MachineSpec(), kubelet_port
        self.pods: Informer = informers.of("", "v1", "pods")
        self.nodes: Informer = informers.of("", "v1", "nodes")
        self.pods.add_index(_BY_NODE, lambda pod: (pod["spec"]["nodeName"],) if pod["spec"].get("nodeName") else ())
        self._pods_api = self.client.resource("", "v1", "pods")
        self._nodes_api = self.client.resource("", "v1", "nodes")
        self._leases_api = self.client.resource("coordination.k8s.io", "v1", "leases")
        self._queue: WorkQueue[str] = WorkQueue(clock, RateLimiter(clock, most_s=10.0, per_second=1e6, burst=1_000_000))
        self._machines: dict[str, _Machine] = {}
        self._lives: dict[str, PodLife] = {}
        self._places: dict[str, tuple[str, int]] = {}  # pod's key → node, host number
        self._due: list[tuple[float, str]] = []  # heartbeats
        self._woken = asyncio.Event()
        self._recorder = Recorder(self.client, clock, "kubelet")

    # Nodes

    async def register(self, count: int) -> None:
        """Creates node-1 … node-`count`, those that are not there yet."""
        limit = asyncio.Semaphore(_AT_ONCE)

        async def create(index: int) -> None:
            async with limit:
                node = machine.node_object(index, self.spec, self.clock.timestamp(), self.kubelet_port)
                try:
                    await self._nodes_api.create(node)
                except StatusError as error:
                    if error.reason != "AlreadyExists":
                        raise

        async with asyncio.TaskGroup() as tasks:
            for index in range(1, count + 1):
                if self.nodes.lister.get("", machine.name_of(index)) is None:
                    tasks.create_task(create(index))

    async def run(self) -> None:
        """Plays the nodes until cancelled. The informers are started by whoever made them."""
        self.nodes.add_handler(added=self._node_seen, updated=self._node_changed, deleted=self._node_gone)
        self.pods.add_handler(added=self._pod_seen, updated=lambda _, pod: self._pod_seen(pod), deleted=self._pod_gone)
        await self.nodes.wait_synced()
        await self.pods.wait_synced()
        self._recorder.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._heartbeats(), name="heartbeats")
                for number in range(_WORKERS):
                    tasks.create_task(self._work(), name=f"kubelet worker {number}")
        finally:
            self._queue.shut_down()
            await self._recorder.stop()

    def _node_seen(self, node: Obj) -> None:
        if not machine.is_simulated(node):
            return
        name = node["metadata"]["name"]
        known = self._machines.get(name)
        if known is None:
            self._machines[name] = _Machine(node)
            self._beat_at(name, self.clock.monotonic())
            self._requeue_pods(name)
        else:
            known.node = node

    def _node_changed(self, old: Obj, node: Obj) -> None:
        self._node_seen(node)
        if machine.is_simulated(node) and machine.is_on(node) and not machine.is_on(old):
            name = node["metadata"]["name"]
            self._machines[name].next_status_s = 0.0  # a kubelet that starts reports at once
            self._beat_at(name, self.clock.monotonic())
            self._requeue_pods(name)

    def _node_gone(self, node: Obj) -> None:
        self._machines.pop(node["metadata"]["name"], None)

    def _requeue_pods(self, name: str) -> None:
        for pod in self.pods.lister.by_index(_BY_NODE, name):
            self._queue.add(key_of(pod))

    def _beat_at(self, name: str, at_s: float) -> None:
        heapq.heappush(self._due, (at_s, name))
        self._woken.set()

    async def _heartbeats(self) -> None:
        """Renews the leases, each every LEASE_PERIOD_S, spread evenly by when the nodes came."""
        limit = asyncio.Semaphore(_AT_ONCE)
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = self.clock.monotonic()
                due: set[str] = set()
                while self._due and self._due[0][0] <= now:
                    due.add(heapq.heappop(self._due)[1])
                for name in due:
                    found = self._machines.get(name)
                    if found is None or not machine.is_on(found.node):
                        continue
                    await limit.acquire()
                    task = tasks.create_task(self._heartbeat(name, found))
                    task.add_done_callback(lambda _: limit.release())
                self._woken.clear()
                wait_s = self._due[0][0] - self.clock.monotonic() if self._due else None
                try:
                    async with self.clock.timeout(wait_s if wait_s is None else max(wait_s, 0.0)):
                        await self._woken.wait()
                except TimeoutError:
                    pass

    async def _heartbeat(self, name: str, found: _Machine) -> None:
        started = self.clock.monotonic()
        # The first beats of nodes that came together are spread over one period.
        delay_s = LEASE_PERIOD_S if found.lease is not None else LEASE_PERIOD_S * (0.5 + self.clock.random.random() / 2)
        try:
            if started >= found.next_status_s:
                first = found.next_status_s == 0.0
                found.next_status_s = started + STATUS_PERIOD_S * (1 + 0.2 * self.clock.random.random())
                if not first or not _is_fresh(found.node, self.kubelet_port):
                    await self._report(found)
            await self._renew(name, found)
        except StatusError as error:
            log.debug("heartbeat of %s: %s", name, error)
            found.lease = None
            delay_s = 1.0
        except Exception:
            log.exception("heartbeat of %s", name)
        if self._machines.get(name) is found:
            self._beat_at(name, started + delay_s)

    async def _renew(self, name: str, found: _Machine) -> None:
        now = self.clock.micro_timestamp()
        if found.lease is None:
            try:
                found.lease = await self._leases_api.get(name, machine.LEASE_NAMESPACE)
            except StatusError as error:
                if error.code != 404:
                    raise
                found.lease = await self._leases_api.create(machine.lease_object(found.node, now))
                return
        spec = {**found.lease["spec"], "renewTime": now}
        found.lease = await self._leases_api.update({**found.lease, "spec": spec})

    async def _report(self, found: _Machine) -> None:
        """The node's status, healthy."""
        now = self.clock.timestamp()
        current = await self._nodes_api.get(found.node["metadata"]["name"])
        before = {c["type"]: c for c in current.get("status", {}).get("conditions") or ()}
        conditions = machine.conditions(now)
        for condition in conditions:
            old = before.pop(condition["type"], None)
            if old is not None and old.get("status") == condition["status"]:
                condition["lastTransitionTime"] = old.get("lastTransitionTime", now)
        status = machine.node_object(0, self.spec, now, self.kubelet_port)["status"]
        status |= {k: v for k, v in (current.get("status") or {}).items() if k not in ("daemonEndpoints", "conditions")}
        status["conditions"] = conditions + list(before.values())
        await self._nodes_api.update({**current, "status": status}, "status")

    # Pods

    def _pod_seen(self, pod: Obj) -> None:
        if pod["spec"].get("nodeName") in self._machines:
            self._queue.add(key_of(pod))

    def _pod_gone(self, pod: Obj) -> None:
        key = key_of(pod)
        life = self._lives.get(key)
        if life is not None and life.uid == pod["metadata"]["uid"]:
            del self._lives[key]
            self._release(key)

    def life_of(self, namespace: str, name: str) -> PodLife | None:
        """What runs of a pod here: for the kubelet's endpoint."""
        return self._lives.get(f"{namespace}/{name}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._sync(key)
            except StatusError as error:
                if error.code not in (404, 409):  # the informer brings what changed
                    log.warning("pod %s: %s", key, error)
                self._queue.add_rate_limited(key)
            except Exception:
                log.exception("pod %s", key)
                self._queue.add_rate_limited(key)
            else:
                self._queue.forget(key)
            finally:
                self._queue.done(key)

    async def _sync(self, key: str) -> None:
        namespace, _, name = key.partition("/")
        pod = self.pods.lister.get(namespace, name)
        if pod is None:
            return
        found = self._machines.get(pod["spec"].get("nodeName", ""))
        if found is None or not machine.is_on(found.node):
            return
        uid, now = pod["metadata"]["uid"], self.clock.now()
        life = self._lives.get(key)
        if life is None or life.uid != uid:
            self._release(key)
            if (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") and not _is_deleted(pod):
                return
            life = self._lives[key] = PodLife(pod, self._address(key, pod, found), _host_ip(found.node), now)
        life.advance(pod, now)
        status = life.status(pod, now)
        if status != pod.get("status"):
            await self._pods_api.update({**pod, "status": status}, "status")
        for kind, reason, message, container in life.notes:
            field_path = f"spec.containers{{{container}}}"
            self._recorder.event(
                pod, "Warning" if kind == "Warning" else "Normal", reason, message, field_path=field_path
            )
        life.notes.clear()
        if _is_deleted(pod) and pod["metadata"].get("deletionGracePeriodSeconds") != 0:
            await self._pods_api.delete(name, namespace, grace_period_s=0, uid=uid)
        elif life.wake_s is not None:
            self._queue.add_after(key, max(0.0, life.wake_s - now))

    def _address(self, key: str, pod: Obj, found: _Machine) -> str:
        """The pod's address: the one that it has, or the lowest that is free in its node's network."""
        if pod["spec"].get("hostNetwork"):
            return _host_ip(found.node)
        network = ip_network(found.node["spec"].get("podCIDR") or machine.FALLBACK_NETWORK)
        first, last = 2, network.num_addresses - 2
        known = (pod.get("status") or {}).get("podIP")
        number = first
        if known:
            number = int(ip_network(known).network_address) - int(network.network_address)
        else:
            while number in found.used and number < last:
                number += 1
        found.used.add(number)
        self._places[key] = (found.node["metadata"]["name"], number)
        return str(network.network_address + number)

    def _release(self, key: str) -> None:
        place = self._places.pop(key, None)
        if place is not None and place[0] in self._machines:
            self._machines[place[0]].used.discard(place[1])


def _is_deleted(pod: Obj) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _host_ip(node: Obj) -> str:
    for address in (node.get("status") or {}).get("addresses") or ():
        if address.get("type") == "InternalIP":
            return str(address["address"])
    return "127.0.0.1"


def _is_fresh(node: Obj, port: int) -> bool:
    """It says that it is ready, and where its kubelet is: nothing has to be reported before the next period."""
    status = node.get("status") or {}
    if ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port", 0) != port:
        return False
    conditions = status.get("conditions") or ()
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
