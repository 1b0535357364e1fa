"""`Context`: what the services share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pilothouse.clock import Clock
from pilothouse.store.etcd.auth.guard import Guard
from pilothouse.store.etcd.config import Config
from pilothouse.store.etcd.counts import Counts
from pilothouse.store.etcd.encoding import Header
from pilothouse.store.interface import Maintained

VERSION = "3.7.0"  # the etcd whose API this is
CLUSTER_VERSION = "3.7"
DOWNGRADE_META = "downgrade"  # the version to which a downgrade was enabled


@dataclass(slots=True)
class Context:
    store: Maintained
    clock: Clock
    config: Config
    header: Header
    guard: Guard
    counts: Counts = field(default_factory=Counts)

    @property
    def downgrade_target(self) -> str:
        """A minor version; empty where no downgrade is enabled."""
        return self.store.meta.get(DOWNGRADE_META, b"").decode()

    async def headed(self, response: Any, **fields: Any) -> Any:
        """A response message with the present revision in its header."""
        return response(header=self.header.message(await self.store.revision()), **fields)
