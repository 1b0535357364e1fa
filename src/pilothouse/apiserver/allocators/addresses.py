"""Cluster IPs: each in use is an IPAddress object that names its Service; its creation is what decides who gets it.

Source: KEP-1880, and KEP-3070 for the lower band of a range, which is left to those who ask for an address.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, TypeAlias

from pilothouse.api.errors import StatusError
from pilothouse.api.kinds.common.addresses import parse
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Objects
from pilothouse.clock import Clock

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
GROUP: Final = "networking.k8s.io"
MANAGER: Final = "ipallocator.k8s.io"
_TRIES_MOST = 100_000  # addresses looked at before a range counts as full


class AllocationFailed(Exception):
    """str() is upstream's reason."""


class Taken(AllocationFailed):
    pass


class Full(AllocationFailed):
    def __init__(self) -> None:
        super().__init__("range is full")


def family_of(address: str) -> str:
    return "IPv6" if ":" in address else "IPv4"


@lru_cache(maxsize=64)
def network_of(cidr: str) -> Network:
    return ipaddress.ip_network(cidr, strict=False)


class Addresses:
    def __init__(self, config: Config, objects: Objects, clock: Clock) -> None:
        self._ranges = config.service_cluster_ip_ranges
        self._objects, self._clock = objects, clock
        self.families = tuple(dict.fromkeys(family_of(cidr) for cidr in self._ranges))  # the first is the default

    def _networks(self, family: str) -> list[Network]:
        """The ranges that addresses are given from now."""
        cidrs: list[str] = []
        known = False
        for obj in self._objects.list(GROUP, "servicecidrs"):
            known = True
            if not obj["metadata"].get("deletionTimestamp") and _is_ready(obj):
                cidrs += get(obj, "spec", "cidrs", default=[])
        if not known:
            cidrs = list(self._ranges)
        return [network_of(cidr) for cidr in dict.fromkeys(cidrs) if family_of(cidr) == family]

    async def allocate(self, service: Obj, address: str, *, dry_run: bool) -> None:
        """The address that was asked for. Raises AllocationFailed."""
        wanted = parse(address)
        if wanted is None:
            raise AllocationFailed("the provided network does not match the current range")
        networks = self._networks(family_of(address))
        if dry_run and networks and not _usable(networks[0], wanted):  # it asks the first range alone
            valid = f"The range of valid IPs is {networks[0]}"
            raise AllocationFailed(f"the provided IP ({wanted}) is not in the valid range. {valid}")
        if not any(_usable(network, wanted) for network in networks):
            raise AllocationFailed("the provided network does not match the current range")
        if not dry_run:
            await self._create(service, str(wanted))

    async def allocate_next(self, service: Obj, family: str, *, dry_run: bool) -> str:
        """Any free address. Raises AllocationFailed. A dry run gets the base of the range, as upstream's does."""
        networks = self._networks(family)
        if dry_run and networks:
            return str(networks[0].network_address)
        for network in networks:
            for address in self._candidates(network):
                if self._objects.get(GROUP, "ipaddresses", "", address) is not None:
                    continue
                try:
                    await self._create(service, address)
                except Taken:
                    continue  # by another server
                return address
        raise Full

    def _candidates(self, network: Network) -> Iterator[str]:
        """The addresses of the upper band from a random one on, then those of the lower band."""
        base, first, last = int(network.network_address), *_bounds(network)
        offset = min(max(16, network.num_addresses // 16), 256) if network.num_addresses > 16 else 0
        tries = _TRIES_MOST
        for low, high in ((base + 1 + offset, last), (first, base + offset)):
            size = high - low + 1
            if size <= 0:
                continue
            start = self._clock.random.randrange(size)
            for i in range(min(size, tries)):
                yield str(type(network.network_address)(low + (start + i) % size))
            tries -= min(size, tries)

    async def _create(self, service: Obj, address: str) -> None:
        try:
            await self._objects.create(GROUP, "ipaddresses", ip_address(service, address))
        except StatusError as error:
            if error.reason == "AlreadyExists":
                raise Taken("provided IP is already allocated") from error
            raise AllocationFailed(error.message) from error

    async def release(self, address: str) -> None:
        try:
            await self._objects.delete(GROUP, "ipaddresses", "", str(ipaddress.ip_address(address)))
        except (StatusError, ValueError):
            return  # gone already, or repaired at the next start


def _is_ready(cidr: Obj) -> bool:
    for condition in get(cidr, "status", "conditions", default=[]):
        if condition.get("type") == "Ready":
            return bool(condition.get("status") == "True")
    return True


def _bounds(network: Network) -> tuple[int, int]:
    """The first and last address that can be given out: not the base, nor IPv4's broadcast address."""
    last = int(network.broadcast_address) - (1 if network.version == 4 else 0)
    return int(network.network_address) + 1, last


def _usable(network: Network, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    first, last = _bounds(network)
    return network.version == address.version and first <= int(address) <= last


def ip_address(service: Obj, address: str) -> Obj:
    """The object that says that the address is the service's."""
    meta = service["metadata"]
    labels = {"ipaddress.kubernetes.io/ip-family": family_of(address), "ipaddress.kubernetes.io/managed-by": MANAGER}
    parent = {"resource": "services", "namespace": meta["namespace"], "name": meta.get("name", "")}
    return {
        "kind": "IPAddress", "apiVersion": f"{GROUP}/v1", "metadata": {"name": address, "labels": labels},
        "spec": {"parentRef": parent},
    }  # fmt: skip
