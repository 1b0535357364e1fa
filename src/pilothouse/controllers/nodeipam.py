"""Every node has a range of addresses for its pods, a part of the cluster's.

Source: upstream's pkg/controller/nodeipam (RangeAllocator).
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller

Network: TypeAlias = IPv4Network | IPv6Network

_BITS_V4: Final = 24
_BITS_V6: Final = 64


class Ranges:
    """The parts of one cluster network: taken in order, from where the last one was taken on, and given back."""

    def __init__(self, network: Network, bits: int) -> None:
        if bits < network.prefixlen:
            raise ValueError(f"a node's mask of {bits} bits is larger than the cluster's network {network}")
        self.network, self._bits = network, bits
        self._count = 1 << (bits - network.prefixlen)
        self._size = 1 << (network.max_prefixlen - bits)
        self._taken: set[int] = set()
        self._next = 0

    def _overlap(self, other: Network) -> range:
        if other.version != self.network.version or not other.overlaps(self.network):
            return range(0)
        base = int(self.network.network_address)
        first = max(0, (int(other.network_address) - base) // self._size)
        last = min(self._count - 1, (int(other.broadcast_address) - base) // self._size)
        return range(first, last + 1)

    def occupy(self, other: Network) -> None:
        self._taken.update(self._overlap(other))

    def release(self, other: Network) -> None:
        self._taken.difference_update(self._overlap(other))

    def allocate(self) -> Network | None:
        """None where all are taken."""
        if len(self._taken) >= self._count:
            return None
        while self._next in self._taken:
            self._next = (self._next + 1) % self._count
        at = self._next
        self._taken.add(at)
        self._next = (at + 1) % self._count
        return ip_network((int(self.network.network_address) + at * self._size, self._bits))


class NodeIpamController(Controller):
    """Does nothing without `cluster-cidr`."""

    name = "node-ipam-controller"
    component = "cidrAllocator"
    workers = 1  # ranges are given out one after the other

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("", "v1", "nodes")
        self._api = self.client.resource("", "v1", "nodes")
        texts = [t for t in str(context.option("cluster-cidr", "")).split(",") if t]
        wanted = context.option("allocate-node-cidrs", bool(texts))
        self._ranges = [self._range(ip_network(text.strip())) for text in texts] if wanted else []
        if self._ranges:
            self._exclude(context)
            self.nodes.add_handler(self._added, lambda _, new: self._updated(new), self._deleted)

    def _range(self, network: Network) -> Ranges:
        v4 = network.version == 4
        both = self.context.option("node-cidr-mask-size", 0)
        own = self.context.option("node-cidr-mask-size-ipv4" if v4 else "node-cidr-mask-size-ipv6", 0)
        return Ranges(network, own or both or (_BITS_V4 if v4 else _BITS_V6))

    def _exclude(self, context: Context) -> None:
        """Services' addresses are nobody's pod's."""
        for flag in ("service-cluster-ip-range", "secondary-service-cluster-ip-range"):
            for text in str(context.option(flag, "")).split(","):
                if text.strip():
                    for ranges in self._ranges:
                        ranges.occupy(ip_network(text.strip()))

    def _added(self, node: Obj) -> None:
        if _networks(node):
            self._occupy(node)
        else:
            self.enqueue(node)

    def _updated(self, node: Obj) -> None:
        if not _networks(node):
            self.enqueue(node)

    def _occupy(self, node: Obj) -> None:
        for network in _networks(node):
            for ranges in self._ranges:
                ranges.occupy(network)

    def _deleted(self, node: Obj) -> None:
        for network in _networks(node):
            for ranges in self._ranges:
                ranges.release(network)

    async def reconcile(self, key: str) -> None:
        node = self.nodes.lister.get("", key)
        if node is None or _networks(node):
            return
        given: list[Network] = []
        try:
            for ranges in self._ranges:
                found = ranges.allocate()
                if found is None:
                    self._say(node, "CIDRNotAvailable")
                    raise StatusError(500, "", "CIDR allocation failed; there are no remaining CIDRs left to allocate")
                given.append(found)
            await self._assign(key, given)
        except StatusError as error:
            for network, ranges in zip(given, self._ranges, strict=False):
                ranges.release(network)
            if error.code != 404:
                raise

    async def _assign(self, name: str, given: list[Network]) -> None:
        fresh = await self._api.get(name)
        if _networks(fresh):  # another has been faster
            self._occupy(fresh)
            raise StatusError(404, "NotFound", f"node {name} has its ranges already")
        texts = [str(network) for network in given]
        change = {"metadata": {"uid": fresh["metadata"]["uid"]}, "spec": {"podCIDR": texts[0], "podCIDRs": texts}}
        try:
            await self._api.patch(name, "", change, "strategic")
        except StatusError as error:
            if error.code not in (404, 409):
                self._say(fresh, "CIDRAssignmentFailed")
            raise

    def _say(self, node: Obj, reason: str) -> None:
        name = node["metadata"]["name"]
        about = {"kind": "Node", "apiVersion": "v1", "name": name, "uid": node["metadata"]["uid"], "namespace": ""}
        self.recorder.event_about(about, "Normal", reason, f"Node {name} status is now: {reason}")


def _networks(node: Obj) -> list[Network]:
    spec = node["spec"]
    texts = spec.get("podCIDRs") or ([spec["podCIDR"]] if spec.get("podCIDR") else [])
    out: list[Network] = []
    for text in texts:
        try:
            out.append(ip_network(text, strict=False))
        except ValueError:
            continue
    return out
