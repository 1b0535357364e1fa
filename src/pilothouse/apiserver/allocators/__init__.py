"""What objects are given out of a limited stock: Services their cluster IPs and node ports.

Source: upstream's pkg/registry/core/service/storage and ipallocator; KEP-1880 (IPAddress and ServiceCIDR objects).
"""

from __future__ import annotations

from pilothouse.apiserver.allocators.repair import repair
from pilothouse.apiserver.allocators.services import ServiceAllocator
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Allocator, Objects
from pilothouse.clock import Clock

__all__ = ["build", "repair"]


def build(config: Config, objects: Objects, clock: Clock) -> dict[tuple[str, str], Allocator]:
    return {("", "services"): ServiceAllocator(config, objects, clock)}
