"""A small API server of plain dicts, behind the contract of `APIServer.handle`: enough for clients and controllers, no more.

It knows no kinds: no defaults, no validation. It does what the generic registry does: names, versions, generations, status
as a subresource, graceful and finalized deletion, patches of lists by key, watches from any version that it remembers.
"""

from __future__ import annotations

import asyncio
from collections import deque

import orjson

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response, WatchEvent
from pilothouse.api.objects import copy
from pilothouse.api.scheme import GVR, resources

MERGE_KEYS = {"ownerReferences": "uid", "conditions": "type", "containers": "name"}
SETS = {"finalizers"}


def merge(target, patch, strategic=False, field=""):
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if name.startswith("$"):
            continue
        if value is None:
            target.pop(name, None)
        elif strategic and name in MERGE_KEYS and isinstance(value, list):
            key = MERGE_KEYS[name]
            items = {item[key]: item for item in target.get(name) or ()}
            for item in value:
                if item.get("$patch") == "delete":
                    items.pop(item[key], None)
                else:
                    items[item[key]] = merge(items.get(item[key]), item, True)
            target[name] = list(items.values())
        elif strategic and name in SETS:
            target[name] = [*(target.get(name) or ()), *(v for v in value if v not in (target.get(name) or ()))]
        else:
            target[name] = merge(target.get(name), value, strategic, name) if isinstance(value, dict) else value
    for name, value in patch.items():
        if name.startswith("$deleteFromPrimitiveList/"):
            field = name.partition("/")[2]
            target[field] = [v for v in target.get(field) or () if v not in value]
    return target


def json_patch(target, patch):
    target = copy(target)
    for op in patch:
        at = op["path"].split("/")[1:]
        parent = target
        for step in at[:-1]:
            parent = parent[int(step)] if isinstance(parent, list) else parent[step]
        if op["op"] == "test":
            assert parent[at[-1]] == op["value"]
        elif op["op"] == "remove":
            del parent[int(at[-1]) if isinstance(parent, list) else at[-1]]
        else:
            parent[at[-1]] = op["value"]
    return target


def matches(obj, request):
    for term in filter(None, request.first("fieldSelector").split(",")):
        path, _, want = term.partition("=")
        value = obj
        for step in path.split("."):
            value = (value or {}).get(step, "")
        if value != want.removeprefix("="):
            return False
    labels = obj["metadata"].get("labels") or {}
    return all(
        labels.get(term.partition("=")[0]) == term.partition("=")[2]
        for term in filter(None, request.first("labelSelector").split(","))
    )


class FakeServer:
    def __init__(self, clock):
        self.clock = clock
        self.objects = {}  # (group resource, namespace, name) → object
        self.revision = 100
        self.events = deque(maxlen=50_000)  # (revision, group resource, type, object)
        self.changed = asyncio.Event()
        self.requests = []
        self.faults = []  # callables (request) → StatusError or None
        self.compacted = 0

    async def handle(self, request):
        self.requests.append(request)
        await asyncio.sleep(0)
        try:
            for fault in list(self.faults):
                error = fault(request)
                if error:
                    raise error
            return self.answer(request)
        except StatusError as error:
            return Response(error.code, dict(error.headers), object=error.status())

    def answer(self, request):
        parts = [p for p in request.path.split("/") if p]
        if parts[:1] == ["api"] and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[:1] == ["apis"] and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return self.discovery(request)
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource, name, sub = (*rest, "", "")[:3]
        row = resources().get(GVR(group, version, resource))
        if row is None:
            raise errors.path_not_found()
        if row.namespaced and not namespace and (name or request.method == "POST"):
            raise errors.path_not_found()
        kind = (group, resource)
        body = request.object if request.object is not None else (orjson.loads(request.body) if request.body else None)
        if request.method == "GET" and not name:
            if request.first("watch"):
                return Response(200, events=self.watch(kind, namespace, request))
            return self.list(row, kind, namespace, request)
        if request.method == "DELETE" and not name:
            for at, obj in list(self.objects.items()):
                if at[0] == kind and (not namespace or at[1] == namespace) and matches(obj, request):
                    self.delete(at, body or {})
            return Response(200, object={"kind": "Status", "apiVersion": "v1", "status": "Success"})
        at = (kind, namespace, name)
        if request.method == "POST":
            return Response(201, object=self.create(row, kind, namespace, copy(body)))
        if at not in self.objects:
            raise errors.not_found(group, resource, name)
        old = self.objects[at]
        if request.method == "GET":
            return Response(200, object=old)
        if request.method == "DELETE":
            return Response(200, object=self.delete(at, body or {}))
        if request.method == "PATCH":
            media = request.headers["content-type"]
            if media == "application/json-patch+json":
                new = json_patch(old, body)
            else:
                new = merge(copy(old), copy(body), media == "application/strategic-merge-patch+json")
            if (new["metadata"].get("uid") or old["metadata"]["uid"]) != old["metadata"]["uid"]:
                raise errors.conflict(group, resource, name, "Precondition failed: UID")
        else:
            new = copy(body)
        return Response(200, object=self.update(row, at, old, new, sub))

    def create(self, row, kind, namespace, obj):
        metadata = obj.setdefault("metadata", {})
        if not metadata.get("name") and metadata.get("generateName"):
            alphabet = "bcdfghjklmnpqrstvwxz2456789"
            metadata["name"] = metadata["generateName"] + "".join(self.clock.random.choices(alphabet, k=5))
        at = (kind, namespace, metadata["name"])
        if at in self.objects:
            raise errors.already_exists(*kind, metadata["name"])
        if namespace:
            metadata["namespace"] = namespace
        metadata["uid"], metadata["creationTimestamp"] = self.clock.uuid(), self.clock.timestamp()
        metadata.setdefault("generation", 1)
        obj = {"kind": row.kind, "apiVersion": row.gvr.api_version, **obj}
        if row.kind == "Pod":
            obj.setdefault("status", {}).setdefault("phase", "Pending")
        return self.store(at, obj, "ADDED")

    def update(self, row, at, old, new, sub):
        version = new["metadata"].get("resourceVersion")
        if version and version != old["metadata"]["resourceVersion"]:
            raise errors.conflict(
                *at[0], at[2], "the object has been modified; please apply your changes to the latest version"
            )
        if sub == "status":
            annotations = new["metadata"].get("annotations")
            new = {**old, "status": new.get("status")}
            if row.kind == "Deployment" and annotations:
                new["metadata"] = {**old["metadata"], "annotations": annotations}
        else:
            if "status" in row.subresources and "status" in old:
                new["status"] = old["status"]
            for field in ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
                if field in old["metadata"]:
                    new["metadata"][field] = old["metadata"][field]
            if new.get("spec") != old.get("spec"):
                new["metadata"]["generation"] = old["metadata"].get("generation", 1) + 1
        if {**new, "metadata": {**new["metadata"], "resourceVersion": old["metadata"]["resourceVersion"]}} == old:
            return old
        if (
            new["metadata"].get("deletionTimestamp")
            and not new["metadata"].get("finalizers")
            and not new["metadata"].get("deletionGracePeriodSeconds")
        ):
            return self.remove(at, new)
        return self.store(at, copy(new), "MODIFIED")

    def store(self, at, obj, event):
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self.objects[at] = obj
        self.emit(at, event, obj)
        return obj

    def remove(self, at, obj):
        self.revision += 1
        obj = copy(obj)
        obj["metadata"]["resourceVersion"] = str(self.revision)
        del self.objects[at]
        self.emit(at, "DELETED", obj)
        return obj

    def emit(self, at, event, obj):
        self.events.append((self.revision, at[0], event, obj))
        self.changed.set()
        self.changed = asyncio.Event()

    def delete(self, at, options):
        old = self.objects[at]
        wanted = options.get("preconditions") or {}
        if wanted.get("uid", old["metadata"]["uid"]) != old["metadata"]["uid"]:
            raise errors.conflict(*at[0], at[2], "Precondition failed: UID in precondition")
        if wanted.get("resourceVersion", old["metadata"]["resourceVersion"]) != old["metadata"]["resourceVersion"]:
            raise errors.conflict(*at[0], at[2], "Precondition failed: ResourceVersion in precondition")
        new = copy(old)
        metadata = new["metadata"]
        finalizers = list(metadata.get("finalizers") or ())
        policy = options.get("propagationPolicy")
        for finalizer, value in (("orphan", "Orphan"), ("foregroundDeletion", "Foreground")):
            if policy == value and finalizer not in finalizers:
                finalizers.append(finalizer)
            elif policy and policy != value and finalizer in finalizers:
                finalizers.remove(finalizer)
        if finalizers:
            metadata["finalizers"] = finalizers
        grace = options.get("gracePeriodSeconds")
        if at[0] == ("", "pods"):
            if grace is None:
                grace = 30 if (old.get("spec") or {}).get("nodeName") else 0
            if (old.get("status") or {}).get("phase") in ("Succeeded", "Failed"):
                grace = 0
        else:
            grace = 0
        if not finalizers and not grace:
            return self.remove(at, new)
        if (
            metadata.get("deletionTimestamp")
            and metadata.get("deletionGracePeriodSeconds") == grace
            and metadata == old["metadata"]
        ):
            return old
        metadata["deletionTimestamp"], metadata["deletionGracePeriodSeconds"] = self.clock.timestamp(), grace
        metadata["generation"] = metadata.get("generation", 0) + 1
        return self.store(at, new, "MODIFIED")

    def list(self, row, kind, namespace, request):
        items = [
            o for at, o in self.objects.items()
            if at[0] == kind and (not namespace or at[1] == namespace) and matches(o, request)
        ]  # fmt: skip
        found = {
            "kind": row.list_kind,
            "apiVersion": row.gvr.api_version,
            "metadata": {"resourceVersion": str(self.revision)},
        }
        return Response(200, object={**found, "items": items})

    async def watch(self, kind, namespace, request):
        seen = int(request.first("resourceVersion") or self.revision)
        deadline = self.clock.monotonic() + float(request.first("timeoutSeconds") or 3600)
        if seen < self.compacted:
            status = errors.gone("too old resource version").status()
            yield [WatchEvent("ERROR", status)]
            return
        while True:
            changed = self.changed
            batch = [
                WatchEvent(event, obj)
                for revision, at, event, obj in self.events
                if revision > seen and at == kind and matches(obj, request)
                and (not namespace or obj["metadata"].get("namespace") == namespace)
            ]  # fmt: skip
            seen = self.revision
            if batch:
                yield batch
                continue
            wait_s = deadline - self.clock.monotonic()
            if wait_s <= 0:
                row = {"metadata": {"resourceVersion": str(self.revision)}}
                yield [WatchEvent("BOOKMARK", row)]
                return
            try:
                async with asyncio.timeout(wait_s):
                    await changed.wait()
            except TimeoutError:
                pass

    def discovery(self, request):
        groups = {}
        for gvr, row in resources().items():
            if not row.default or (request.path == "/api") != (gvr.group == ""):
                continue
            rows = groups.setdefault(gvr.group, {}).setdefault(gvr.version, [])
            rows.append({
                "resource": gvr.resource, "scope": "Namespaced" if row.namespaced else "Cluster", "verbs": list(row.verbs),
                "responseKind": {"group": gvr.group, "version": gvr.version, "kind": row.kind},
            })  # fmt: skip
        items = [
            {"metadata": {"name": g}, "versions": [{"version": v, "resources": r} for v, r in vs.items()]}
            for g, vs in groups.items()
        ]
        return Response(200, object={"kind": "APIGroupDiscoveryList", "items": items})
