"""Whether a cache has seen our own writes already: who decides on an older view would make a second slice for the same pods.

Source of the need: upstream's EndpointSliceTracker. Resource versions of one server can be compared as numbers (KEP-5504).
"""

from __future__ import annotations

from pilothouse.api.objects import Obj
from pilothouse.client import Informer


class OwnWrites:
    """The versions that we wrote, by key of the owner, and the names that we deleted."""

    def __init__(self, informer: Informer) -> None:
        self._informer = informer
        self._versions: dict[str, int] = {}
        self._gone: dict[str, set[str]] = {}

    def wrote(self, key: str, obj: Obj) -> None:
        version = obj["metadata"].get("resourceVersion") or ""
        if version.isdigit():
            self._versions[key] = max(int(version), self._versions.get(key, 0))

    def deleted(self, key: str, obj: Obj) -> None:
        self._gone.setdefault(key, set()).add(obj["metadata"]["uid"])

    def unseen(self, key: str) -> bool:
        """The cache is behind what was written for the key."""
        version = self._versions.get(key)
        if version is None:
            return False
        seen = self._informer.resource_version
        if seen.isdigit() and int(seen) < version:
            return True
        del self._versions[key]
        return False

    def present(self, key: str, objects: list[Obj]) -> list[Obj]:
        """Those that were not deleted by us."""
        gone = self._gone.get(key)
        if gone is None:
            return objects
        gone &= {o["metadata"]["uid"] for o in objects}
        if not gone:
            del self._gone[key]
        return [o for o in objects if o["metadata"]["uid"] not in gone]

    def forget(self, key: str) -> None:
        self._versions.pop(key, None)
        self._gone.pop(key, None)
