"""A cluster's objects in a dict, for tests of what reads them (contracts.Objects)."""

from __future__ import annotations

from collections.abc import Iterable

from pilothouse.api import errors
from pilothouse.api.objects import Obj, copy


class FakeObjects:
    def __init__(self, *objects: tuple[str, str, Obj]) -> None:
        self.all: dict[tuple[str, str], dict[tuple[str, str], Obj]] = {}
        self.versions: dict[tuple[str, str], int] = {}
        self.revision = 1
        for group, resource, obj in objects:
            self.put(group, resource, obj)

    def put(self, group: str, resource: str, obj: Obj) -> Obj:
        self.revision += 1
        meta = obj["metadata"]
        obj = {**obj, "metadata": {**meta, "resourceVersion": str(self.revision)}}
        self.all.setdefault((group, resource), {})[meta.get("namespace", ""), meta["name"]] = obj
        self.versions[group, resource] = self.revision
        return obj

    def get(self, group: str, resource: str, namespace: str, name: str) -> Obj | None:
        return self.all.get((group, resource), {}).get((namespace, name))

    def list(self, group: str, resource: str, namespace: str = "") -> Iterable[Obj]:
        found = self.all.get((group, resource), {})
        return [o for (home, _), o in sorted(found.items()) if not namespace or home == namespace]

    def changed_at(self, group: str, resource: str) -> int:
        return self.versions.get((group, resource), 0)

    async def fresh(self) -> None:
        return None

    async def get_live(self, group: str, resource: str, namespace: str, name: str) -> Obj | None:
        return self.get(group, resource, namespace, name)

    async def create(self, group: str, resource: str, obj: Obj) -> Obj:
        meta = obj["metadata"]
        if self.get(group, resource, meta.get("namespace", ""), meta["name"]) is not None:
            raise errors.already_exists(group, resource, meta["name"])
        return self.put(group, resource, copy(obj))

    async def update(self, group: str, resource: str, obj: Obj, subresource: str = "") -> Obj:
        meta = obj["metadata"]
        present = self.get(group, resource, meta.get("namespace", ""), meta["name"])
        if present is None:
            raise errors.not_found(group, resource, meta["name"])
        if meta.get("resourceVersion") not in (None, present["metadata"]["resourceVersion"]):
            raise errors.conflict(group, resource, meta["name"], "the object has been modified")
        return self.put(group, resource, copy(obj))

    async def delete(self, group: str, resource: str, namespace: str, name: str, uid: str = "") -> None:
        if self.all.get((group, resource), {}).pop((namespace, name), None) is None:
            raise errors.not_found(group, resource, name)
        self.revision += 1
        self.versions[group, resource] = self.revision
