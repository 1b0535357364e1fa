"""Puts the IPAddress objects right at the API server's start: a crash may have come between one and its Service.

Source: upstream's pkg/registry/core/service/ipallocator/controller (the repair loop).
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import get
from pilothouse.apiserver.allocators.addresses import GROUP, MANAGER, ip_address
from pilothouse.apiserver.contracts import Objects

log = logging.getLogger(__name__)


async def repair(objects: Objects) -> None:
    """Creates the missing addresses of Services, and deletes those of Services that are no more."""
    wanted = {}
    for service in objects.list("", "services"):
        for address in get(service, "spec", "clusterIPs", default=[]):
            try:
                wanted[str(ipaddress.ip_address(address))] = service
            except ValueError:
                continue  # "None"
    present = {obj["metadata"]["name"]: obj for obj in objects.list(GROUP, "ipaddresses")}
    for address, service in wanted.items():
        if address not in present:
            await _quietly(objects.create(GROUP, "ipaddresses", ip_address(service, address)))
    for name, obj in present.items():
        managed = get(obj, "metadata", "labels", "ipaddress.kubernetes.io/managed-by") == MANAGER
        if managed and name not in wanted:
            await _quietly(objects.delete(GROUP, "ipaddresses", "", name, obj["metadata"].get("uid", "")))


async def _quietly(work: Awaitable[object]) -> None:
    try:
        await work
    except StatusError as error:
        log.warning("an IP address could not be put right: %s", error)
