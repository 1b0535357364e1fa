"""What of each ResourceQuota is used, counted anew from the objects of its namespace.

Source: upstream's pkg/controller/resourcequota. Admission counts up as objects are made; this counts again, and so counts down.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from pilothouse.api import quotausage
from pilothouse.api.objects import Obj, get
from pilothouse.api.podrequests import Amounts, add, parsed
from pilothouse.api.quantity import Quantity
from pilothouse.api.scheme import GVR, resources
from pilothouse.client import Informer
from pilothouse.client.discovery import discover
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import is_terminal

_ZERO: Final = Quantity(Decimal(0))
_NAMED: Final = ("pods", "services", "persistentvolumeclaims")
"""Resources that have quantities beyond their number."""

_COUNTED: Final = ("configmaps", "secrets", "resourcequotas", "replicationcontrollers")
_RESYNC_S: Final = 300.0
_DISCOVERY_S: Final = 30.0
_SECOND_LOOK_S: Final = 3.0
"""What was made just before a quota was in force was not charged to it, and may not have been in the cache either."""


class ResourceQuotaController(Controller):
    name = "resourcequota-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.quotas = self.informer("", "v1", "resourcequotas")
        self._api = self.client.resource("", "v1", "resourcequotas")
        self._resync_s: float = context.option("resource-quota-sync-period", _RESYNC_S)
        self._watched: dict[tuple[str, str], Informer] = {}
        self._versions: dict[tuple[str, str], GVR] = {
            (gvr.group, gvr.resource): gvr for gvr, row in resources().items() if row.default and row.namespaced
        }
        for resource in _NAMED:
            self._watch("", resource)
        self.quotas.add_handler(self._quota_changed, self._quota_updated)
        self.loops = [self._recount_often, self._discover_often]

    # What is watched: pods, services and claims; and what a quota counts

    def _watch(self, group: str, resource: str) -> Informer | None:
        at = (group, resource)
        if at not in self._watched and at in self._versions:
            informer = self.context.informers.of(*self._versions[at])
            self._watched[at] = informer
            informer.add_handler(
                updated=lambda old, new: self._object_updated(at, old, new),
                deleted=lambda old: self._object_gone(at, old),
            )
            informer.start()
        return self._watched.get(at)

    def _object_updated(self, at: tuple[str, str], old: Obj, new: Obj) -> None:
        if at == ("", "pods"):
            changed = not is_terminal(old) and is_terminal(new)
            changed = changed or (old["metadata"].get("deletionTimestamp") != new["metadata"].get("deletionTimestamp"))
            changed = changed or old["spec"].get("containers") != new["spec"].get("containers")
            if new["metadata"].get("deletionTimestamp"):
                self._later(at, new)
        else:
            changed = at[1] in _NAMED and old.get("spec") != new.get("spec")
        if changed:
            self._object_gone(at, new)

    def _later(self, at: tuple[str, str], pod: Obj) -> None:
        """A pod that outstays its grace no longer counts."""
        grace_s = pod["metadata"].get("deletionGracePeriodSeconds") or 0
        for quota in self._concerned(at, pod):
            self.enqueue_after(quota, grace_s + 1.0)

    def _object_gone(self, at: tuple[str, str], obj: Obj) -> None:
        for quota in self._concerned(at, obj):
            self.enqueue(quota)

    def _concerned(self, at: tuple[str, str], obj: Obj) -> list[Obj]:
        return [
            quota
            for quota in self.quotas.lister.list(obj["metadata"]["namespace"])
            if quotausage.limits_of(*at, list(get(quota, "status", "hard", default={})))
        ]

    def _quota_changed(self, quota: Obj) -> None:
        self.enqueue(quota)
        self.enqueue_after(quota, _SECOND_LOOK_S)

    def _quota_updated(self, old: Obj, new: Obj) -> None:
        if old.get("spec") != new.get("spec") or get(new, "status", "hard") is None:
            self._quota_changed(new)

    async def _recount_often(self) -> None:
        while True:
            await self.clock.sleep(self._resync_s)
            for quota in self.quotas.lister.list():
                self.enqueue(quota)

    async def _discover_often(self) -> None:
        """Custom resources may be counted too, as soon as they are served."""
        while True:
            await self.clock.sleep(_DISCOVERY_S)
            known = any(
                name.startswith("count/") and self._of_count(name) not in self._versions
                for quota in self.quotas.lister.list()
                for name in get(quota, "spec", "hard", default={})
            )
            if known:
                for served in (await discover(self.client)).preferred("create", "list", "watch", "delete"):
                    if served.namespaced:
                        self._versions.setdefault((served.gvr.group, served.gvr.resource), served.gvr)
                for quota in self.quotas.lister.list():
                    self.enqueue(quota)

    @staticmethod
    def _of_count(name: str) -> tuple[str, str]:
        resource, _, group = name.removeprefix("count/").partition(".")
        return group, resource

    # Counting

    async def reconcile(self, key: str) -> None:
        quota = self.quotas.lister.by_key(key)
        if quota is None:
            return
        hard: dict[str, str] = get(quota, "spec", "hard", default={})
        status = quota.get("status") or {}
        before = parsed(status.get("used"))
        found = await self._usage(quota, list(hard))
        used = {name: found.get(name, before.get(name)) for name in hard}
        shown = {name: str(quantity) for name, quantity in used.items() if quantity is not None}
        same = status.get("used") is not None and _equal(parsed(shown), before)
        if same and status.get("hard") is not None and _equal(parsed(status["hard"]), parsed(hard)):
            return
        await self._api.update({**quota, "status": {"hard": hard, "used": shown}}, "status")

    async def _usage(self, quota: Obj, names: list[str]) -> Amounts:
        """How much is used of each of the names of which that can be said."""
        wanted = {("", resource) for resource in (*_NAMED, *_COUNTED)}
        wanted |= {self._of_count(name) for name in names if name.startswith("count/")}
        out: Amounts = {}
        for at in sorted(wanted):
            limits = quotausage.limits_of(*at, names)
            informer = self._watch(*at) if limits else None
            if informer is None:
                continue
            await informer.wait_synced()
            total = dict.fromkeys(limits, _ZERO)
            now_s = self.clock.now()
            for obj in informer.lister.list(quota["metadata"]["namespace"]):
                if quotausage.in_scopes(quota, at[1], obj):
                    used = quotausage.usage(*at, obj, now_s)
                    add(total, {name: quantity for name, quantity in used.items() if name in total})
            add(out, total)
        return out


def _equal(one: Amounts, other: Amounts) -> bool:
    return one.keys() == other.keys() and all(one[name].amount == other[name].amount for name in one)
