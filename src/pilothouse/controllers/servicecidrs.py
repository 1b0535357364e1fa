"""ServiceCIDRs are ready, and are deleted only when no service has an address of theirs alone.

Source: upstream's pkg/controller/servicecidrs (KEP-1880).
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers import status as st
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import is_deleted, time_of

_FINALIZER: Final = "networking.k8s.io/service-cidr-finalizer"
_MANAGED: Final = "ipaddress.kubernetes.io/managed-by"
_ALLOCATOR: Final = "ipallocator.k8s.io"
_GRACE_S: Final = 10.0
"""API servers must have seen that a range is going away before its last address is given up."""


class ServiceCIDRController(Controller):
    name = "service-cidr-controller"
    component = "service-cidr-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.ranges = self.informer("networking.k8s.io", "v1", "servicecidrs")
        self.addresses = self.informer("networking.k8s.io", "v1", "ipaddresses")
        self._api = self.client.resource("networking.k8s.io", "v1", "servicecidrs")
        self.ranges.add_handler(self._range_changed, lambda _, new: self._range_changed(new), self._range_changed)
        self.addresses.add_handler(deleted=self._address_gone)

    def _range_changed(self, changed: Obj) -> None:
        self.enqueue(changed)
        for other in self.ranges.lister.list():  # those that it overlaps may be free to go now, or may not
            if is_deleted(other):
                self.enqueue(other)

    def _address_gone(self, address: Obj) -> None:
        for name in self._containing(address["metadata"]["name"]):
            self.enqueue(name)

    def _containing(self, text: str) -> list[str]:
        """The names of the ranges that have an address or network."""
        try:
            inner = ip_network(text)
        except ValueError:
            return []
        out = []
        for found in self.ranges.lister.list():
            for cidr in found["spec"].get("cidrs") or ():
                outer = ip_network(cidr, strict=False)
                if outer.version == inner.version and inner.subnet_of(outer):  # type: ignore[arg-type]
                    out.append(found["metadata"]["name"])
                    break
        return out

    async def reconcile(self, key: str) -> None:
        found = self.ranges.lister.get("", key)
        if found is None:
            return
        try:
            if is_deleted(found):
                await self._end(found)
            else:
                await self._begin(found)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _begin(self, found: Obj) -> None:
        if _FINALIZER not in (found["metadata"].get("finalizers") or ()):
            found = await self._set_finalizers(found, [*(found["metadata"].get("finalizers") or ()), _FINALIZER])
        await self._say(found, "True", "", "Kubernetes Service CIDR is ready")

    async def _end(self, found: Obj) -> None:
        if not self._is_free(found):
            text = "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new ServiceCIDR"
            await self._say(found, "False", "Terminating", text)
            return
        wait_s = time_of(found["metadata"]["deletionTimestamp"]) + _GRACE_S - self.clock.now()
        if wait_s > 0:
            self.enqueue_after(found, wait_s)
            return
        finalizers = found["metadata"].get("finalizers") or []
        if _FINALIZER in finalizers:
            await self._set_finalizers(found, [f for f in finalizers if f != _FINALIZER])

    def _is_free(self, found: Obj) -> bool:
        """Other ranges hold all of it, or each address of it that is given out."""
        name, cidrs = found["metadata"]["name"], found["spec"].get("cidrs") or []
        if all(set(self._containing(cidr)) - {name} for cidr in cidrs):
            return True
        networks = [ip_network(cidr, strict=False) for cidr in cidrs]
        for address in self.addresses.lister.list():
            metadata = address["metadata"]
            if (metadata.get("labels") or {}).get(_MANAGED) != _ALLOCATOR:
                continue
            ip = ip_address(metadata["name"])
            if any(ip in network for network in networks) and self._containing(metadata["name"]) == [name]:
                return False
        return True

    async def _set_finalizers(self, found: Obj, finalizers: list[str]) -> Obj:
        metadata = found["metadata"]
        change = {"metadata": {"finalizers": finalizers, "resourceVersion": metadata["resourceVersion"]}}
        return await self._api.patch(metadata["name"], "", change, "merge")

    async def _say(self, found: Obj, status: str, reason: str, message: str) -> None:
        old = (found.get("status") or {}).get("conditions") or []
        condition = {
            "type": "Ready", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": self.clock.timestamp(),
        }  # fmt: skip
        new = st.put(old, condition)
        if new is not old:
            body = {
                "apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR",
                "metadata": {"name": found["metadata"]["name"]}, "status": {"conditions": new},
            }  # fmt: skip
            await self._api.patch(found["metadata"]["name"], "", body, "apply", "status", self.name, force=True)
