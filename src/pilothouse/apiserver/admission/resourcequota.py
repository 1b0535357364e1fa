"""ResourceQuota: a namespace uses no more than its quotas allow; what is used is written before the object is.

Source: upstream's documentation "Resource Quotas", and apiserver/pkg/admission/plugin/resourcequota.
"""

from __future__ import annotations

import asyncio

from pilothouse.api import errors, quotausage
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy, get
from pilothouse.api.podrequests import Amounts, parsed
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, PODS, Cluster, Plugin, forbidden
from pilothouse.apiserver.contracts import AdmissionRequest

_QUOTAS = ("", "resourcequotas")
_ATTEMPTS = 4
_TIMEOUT_S = 10.0
_REMEMBERED_MOST = 1000
_UPDATES_COUNT = frozenset({("", "services"), ("", "persistentvolumeclaims")})
_IGNORED = frozenset({("", "events"), ("events.k8s.io", "events"), ("", "bindings")})


class ResourceQuota(Plugin):
    name = "ResourceQuota"
    subresources = frozenset({"", "resize", "status"})
    operations = CREATE_UPDATE

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._written: dict[tuple[str, str], Obj] = {}  # quotas that the cache may not have yet

    def concerns(self, resource: tuple[str, str], subresource: str, operation: str) -> bool:
        if resource in _IGNORED or not super().concerns(resource, subresource, operation):
            return False
        if subresource == "resize":
            return resource == PODS
        if subresource == "status":
            return resource == ("", "persistentvolumeclaims")
        return operation == "CREATE" or resource in _UPDATES_COUNT or resource == PODS

    async def validate(self, request: AdmissionRequest) -> None:
        namespace = request.namespace
        if not namespace or request.obj is None or request.gvr.resource == "namespaces":
            return
        if request.operation == "UPDATE" and not _changes_use(request):
            return
        if next(iter(self.objects.list(*_QUOTAS, namespace)), None) is None:
            return
        # One write of a namespace at a time: they change the same quotas.
        lock, waiting = self._locks.get(namespace) or (asyncio.Lock(), 0)
        self._locks[namespace] = (lock, waiting + 1)
        try:
            async with self.cluster.clock.timeout(_TIMEOUT_S), lock:
                await self._charge(request)
        except TimeoutError:
            raise errors.internal("resource quota evaluation timed out") from None
        finally:
            lock, waiting = self._locks[namespace]
            if waiting == 1:
                del self._locks[namespace]
            else:
                self._locks[namespace] = (lock, waiting - 1)

    async def _charge(self, request: AdmissionRequest) -> None:
        quotas = [self._newest(quota) for quota in self.objects.list(*_QUOTAS, request.namespace)]
        for attempt in range(_ATTEMPTS):
            charged = self._check(request, quotas)
            if request.dry_run:
                return
            failed: list[Obj] = []
            last: StatusError | None = None
            for quota in charged:
                try:
                    await self._write(quota)
                except StatusError as error:
                    failed.append(quota)
                    last = error
            if last is None:
                return
            if attempt == _ATTEMPTS - 1:
                raise last
            quotas = []
            for quota in failed:
                name = quota["metadata"]["name"]
                present = await self.objects.get_live(*_QUOTAS, request.namespace, name)
                if present is not None:
                    quotas.append(present)

    def _newest(self, quota: Obj) -> Obj:
        meta = quota["metadata"]
        written = self._written.get((meta["namespace"], meta["name"]))
        if written is None or written["metadata"]["uid"] != meta["uid"]:
            return quota
        newer = int(written["metadata"]["resourceVersion"]) > int(meta["resourceVersion"])
        return written if newer else quota

    async def _write(self, quota: Obj) -> None:
        stored = await self.objects.update(*_QUOTAS, quota, "status")
        if len(self._written) >= _REMEMBERED_MOST:
            self._written.clear()
        self._written[quota["metadata"]["namespace"], quota["metadata"]["name"]] = stored

    def _check(self, request: AdmissionRequest, quotas: list[Obj]) -> list[Obj]:
        """The quotas as they are to be written. Raises 403 where one would be exceeded."""
        gvr, obj, old = request.gvr, request.obj, request.old
        assert obj is not None
        interesting = []
        for quota in quotas:
            hard = get(quota, "status", "hard", default={})
            limited = quotausage.limits_of(gvr.group, gvr.resource, list(hard))
            if limited and quotausage.in_scopes(quota, gvr.resource, obj):
                self._check_stated(request, obj, quota, limited)
                interesting.append(quota)
        if not interesting:
            return []
        now_s = self.cluster.clock.now()
        wanted = quotausage.usage(gvr.group, gvr.resource, obj, now_s)
        charged = []
        for quota in interesting:
            delta = wanted
            if request.operation == "UPDATE" and old is not None and quotausage.in_scopes(quota, gvr.resource, old):
                delta = quotausage.more(wanted, quotausage.usage(gvr.group, gvr.resource, old, now_s))
            changed = self._add(request, quota, {n: q for n, q in delta.items() if q.amount})
            if changed is not None:
                charged.append(changed)
        return charged

    def _check_stated(self, request: AdmissionRequest, obj: Obj, quota: Obj, limited: list[str]) -> None:
        name = quota["metadata"]["name"]
        if (request.gvr.group, request.gvr.resource) == PODS:
            unsaid = quotausage.unsaid(obj, limited)
            if unsaid:
                raise forbidden(request, f"failed quota: {name}: {unsaid}")
        used = get(quota, "status", "used", default={})
        if any(resource not in used for resource in limited):
            raise forbidden(request, f"status unknown for quota: {name}, resources: {','.join(sorted(limited))}")

    def _add(self, request: AdmissionRequest, quota: Obj, delta: Amounts) -> Obj | None:
        """The quota with the use added; None where it does not count it."""
        status = quota["status"]
        hard, used = parsed(status["hard"]), parsed(status.get("used"))
        wanted = {name: quantity for name, quantity in delta.items() if name in hard}
        if not wanted:
            return None
        new = quotausage.total(used, wanted)
        exceeded = [name for name in wanted if new[name].amount > hard[name].amount]
        if exceeded and request.subresource != "status":
            requested, present, limit = (
                quotausage.pretty({name: amounts[name] for name in exceeded if name in amounts})
                for amounts in (wanted, used, hard)
            )
            name = quota["metadata"]["name"]
            raise forbidden(
                request, f"exceeded quota: {name}, requested: {requested}, used: {present}, limited: {limit}"
            )
        out: Obj = copy(quota)
        out["status"]["used"] = {**(status.get("used") or {}), **{name: str(new[name]) for name in wanted}}
        return out


def _changes_use(request: AdmissionRequest) -> bool:
    """Of updates, a pod's counts only where it begins or ceases to be terminating, or is resized."""
    if (request.gvr.group, request.gvr.resource) != PODS or request.subresource:
        return True

    def terminating(pod: Obj | None) -> bool:
        deadline_s = get(pod, "spec", "activeDeadlineSeconds")
        return deadline_s is not None and deadline_s >= 0

    return terminating(request.obj) != terminating(request.old)
