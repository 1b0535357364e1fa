"""What a Service is given when it is created or changed, and gives back.

Source: upstream's pkg/registry/core/service/storage (allocateCreate, allocateUpdate, normalizeClusterIPs,
patchAllocatedValues).
"""

from __future__ import annotations

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.field import invalid
from pilothouse.api.kinds.core.service_addresses import NONE
from pilothouse.api.objects import Obj
from pilothouse.apiserver.allocators import families
from pilothouse.apiserver.allocators.addresses import Addresses, AllocationFailed, Full
from pilothouse.apiserver.allocators.ports import Operation, PortFailed, Ports, ports_of
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Objects, Reservation
from pilothouse.clock import Clock


class ServiceReservation:
    def __init__(self, addresses: Addresses, ports: Operation, dry_run: bool) -> None:
        self._addresses, self.ports, self.dry_run = addresses, ports, dry_run
        self.taken: list[str] = []  # addresses, given back where the write fails
        self.left: list[str] = []  # addresses, given back once the write is done

    async def commit(self) -> None:
        self.ports.commit()
        if not self.dry_run:
            for address in self.left:
                await self._addresses.release(address)

    async def revert(self) -> None:
        self.ports.revert()
        if not self.dry_run:
            for address in self.taken:
                await self._addresses.release(address)


class ServiceAllocator:
    """contracts.Allocator of Services."""

    def __init__(self, config: Config, objects: Objects, clock: Clock) -> None:
        self.addresses = Addresses(config, objects, clock)
        self.ports = Ports(*config.node_port_range, objects, clock)

    async def begin(self, new: Obj, old: Obj | None, dry_run: bool) -> Reservation | None:
        if new.get("spec") is None:
            new["spec"] = {}
        spec = new["spec"]
        reservation = ServiceReservation(self.addresses, Operation(self.ports, dry_run), dry_run)
        if old is None:
            if spec.get("clusterIP") and not spec.get("clusterIPs"):
                spec["clusterIPs"] = [spec["clusterIP"]]
        else:
            _keep_allocated(spec, old["spec"])
            _normalize(spec, old["spec"])
        try:
            families.initialize(new, old, self.addresses.families)
            if old is None:
                await self._addresses(new, reservation)
                self._new_ports(new, reservation.ports)
            else:
                await self._change_addresses(new, old, reservation)
                self._change_ports(new, old, reservation.ports)
        except StatusError:
            await reservation.revert()
            raise
        return reservation

    async def release(self, obj: Obj) -> None:
        for port in ports_of(obj):
            self.ports.release(port)
        spec = obj.get("spec") or {}
        if spec.get("type") != "ExternalName":
            for address in spec.get("clusterIPs") or ():
                if address != NONE:
                    await self.addresses.release(address)

    # Addresses

    async def _addresses(self, service: Obj, reservation: ServiceReservation) -> None:
        """An address of each family; those that are named already are taken as they are."""
        spec = service["spec"]
        ips = list(spec.get("clusterIPs") or [])
        if spec.get("type") == "ExternalName" or (ips and ips[0] == NONE):
            return
        for i, family in enumerate(spec.get("ipFamilies") or []):
            if i >= len(ips):
                ips.append("")
            ips[i] = await self._one(service, family, ips[i], ips, reservation)
        if ips:
            spec["clusterIPs"] = ips
            spec["clusterIP"] = ips[0]

    async def _one(
        self, service: Obj, family: str, address: str, ips: list[str], reservation: ServiceReservation
    ) -> str:
        name, dry_run = service["metadata"].get("name", ""), reservation.dry_run
        try:
            if address:
                await self.addresses.allocate(service, address, dry_run=dry_run)
                found = address
            else:
                found = await self.addresses.allocate_next(service, family, dry_run=dry_run)
        except Full as error:
            raise errors.internal(f'failed to allocate a serviceIP for Service "{name}": {error}') from error
        except AllocationFailed as error:
            what = f"failed to allocate IP {address}: {error}" if address else f"failed to allocate IP: {error}"
            raise errors.invalid("", "Service", name, [invalid("spec.clusterIPs", ips, what)]) from error
        reservation.taken.append(found)
        return found

    async def _change_addresses(self, service: Obj, old: Obj, reservation: ServiceReservation) -> None:
        if families.unchanged_preference(service, old):
            return
        spec, old_spec = service["spec"], old["spec"]
        was_external, is_external = (s.get("type") == "ExternalName" for s in (old_spec, spec))
        old_ips = old_spec.get("clusterIPs") or []
        if was_external and not is_external:
            await self._addresses(service, reservation)
            return
        if old_ips and old_ips[0] == NONE:
            return
        if is_external:
            reservation.left += [] if was_external else old_ips
            return
        had, has = (len(s.get("ipFamilies") or []) for s in (old_spec, spec))
        if (had, has) == (1, 2):
            ips = list(spec.get("clusterIPs") or [])
            if len(ips) < 2:
                ips.append("")
            ips[1] = await self._one(service, spec["ipFamilies"][1], ips[1], ips, reservation)
            spec["clusterIPs"] = ips
        elif (had, has) == (2, 1):
            reservation.left += old_ips[1:2]

    # Ports

    def _new_ports(self, service: Obj, operation: Operation) -> None:
        spec = service["spec"]
        if spec.get("type") in ("NodePort", "LoadBalancer"):
            self._node_ports(service, operation)
        if _needs_health_check(spec):
            self._health_check(spec, operation)

    def _node_ports(self, service: Obj, operation: Operation) -> None:
        """Equal ports of different protocols share one node port."""
        ports = service["spec"].get("ports") or []
        given: dict[int, int] = {}
        for i, port in enumerate(ports):
            asked = port.get("nodePort") or 0
            if not asked and not _wants_node_ports(service["spec"]):
                continue
            shared = given.get(port.get("port", 0))
            if shared is None:
                named = next(
                    (p["nodePort"] for p in ports if p.get("port") == port.get("port") and p.get("nodePort")), 0
                )
                found = self._node_port(service, i, named, named, operation)
                port["nodePort"] = given[port.get("port", 0)] = found
            elif not asked:
                port["nodePort"] = shared
            elif asked != shared:
                self._node_port(service, i, asked, asked, operation)

    def _node_port(self, service: Obj, index: int, wanted: int, shown: int, operation: Operation) -> int:
        if not wanted:
            try:
                return operation.allocate_next()
            except PortFailed as error:
                raise errors.internal(f"failed to allocate a nodePort: {error}") from error
        try:
            operation.allocate(wanted)
        except PortFailed as error:
            found = [invalid(f"spec.ports[{index}].nodePort", shown, str(error))]
            raise errors.invalid("", "Service", service["metadata"].get("name", ""), found) from error
        return wanted

    def _health_check(self, spec: Obj, operation: Operation) -> None:
        asked = spec.get("healthCheckNodePort") or 0
        try:
            if asked:
                operation.allocate(asked)
            else:
                spec["healthCheckNodePort"] = operation.allocate_next()
        except PortFailed as error:
            what = f"requested HealthCheck NodePort {asked}" if asked else "a HealthCheck NodePort 0"
            raise errors.internal(f"failed to allocate {what}: {error}") from error

    def _change_ports(self, service: Obj, old: Obj, operation: Operation) -> None:
        spec, old_spec = service["spec"], old["spec"]
        with_ports = ("NodePort", "LoadBalancer")
        held = [p["nodePort"] for p in old_spec.get("ports") or () if p.get("nodePort")]
        if old_spec.get("type") in with_ports and spec.get("type") in ("ExternalName", "ClusterIP"):
            for port in held:
                operation.release(port)
        if spec.get("type") in with_ports:
            self._update_node_ports(service, held, operation)
        needed, needs = _needs_health_check(old_spec), _needs_health_check(spec)
        if needs and not needed:
            self._health_check(spec, operation)
        elif needed and not needs and old_spec.get("healthCheckNodePort"):
            operation.release(old_spec["healthCheckNodePort"])

    def _update_node_ports(self, service: Obj, held: list[int], operation: Operation) -> None:
        spec = service["spec"]
        fresh: set[int] = set()
        seen: set[tuple[str, int]] = set()
        for i, port in enumerate(spec.get("ports") or []):
            asked = port.get("nodePort") or 0
            if not asked and not _wants_node_ports(spec):
                continue
            if asked:
                if asked not in held and asked not in fresh:
                    self._node_port(service, i, asked, asked, operation)
                    fresh.add(asked)
            else:
                port["nodePort"] = self._node_port(service, i, 0, 0, operation)
            pair = (port.get("protocol", "TCP"), port["nodePort"])
            if pair in seen:
                raise StatusError(500, "", f"duplicate nodePort: {{{pair[0]} {pair[1]}}}")
            seen.add(pair)
        kept = {port for _, port in seen}
        for port in held:
            if port not in kept:
                operation.release(port)


def _wants_node_ports(spec: Obj) -> bool:
    if spec.get("type") == "NodePort":
        return True
    return spec.get("type") == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts") is not False


def _needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _keep_allocated(spec: Obj, old_spec: Obj) -> None:
    """What was given out before is kept where the client leaves it out, so that a manifest can be sent again as it is."""
    if "ExternalName" not in (spec.get("type"), old_spec.get("type")):
        if not spec.get("clusterIP") and old_spec.get("clusterIP"):
            spec["clusterIP"] = old_spec["clusterIP"]
        if not spec.get("clusterIPs") and old_spec.get("clusterIPs"):
            spec["clusterIPs"] = list(old_spec["clusterIPs"])
    if _wants_node_ports(spec) and _wants_node_ports(old_spec):
        ports, old_ports = spec.get("ports") or [], old_spec.get("ports") or []
        used = {p.get("nodePort") for p in ports} & {p.get("nodePort") for p in old_ports}
        by_name = {p.get("name", ""): p.get("nodePort") for p in old_ports}
        for port in ports:
            before = by_name.get(port.get("name", ""))
            if not port.get("nodePort") and before and before not in used:
                port["nodePort"] = before
    if _needs_health_check(spec) and _needs_health_check(old_spec) and not spec.get("healthCheckNodePort"):
        spec["healthCheckNodePort"] = old_spec["healthCheckNodePort"]


def _normalize(spec: Obj, old_spec: Obj) -> None:
    """clusterIPs follows clusterIP where a client knows only the one."""
    ip, old_ip = spec.get("clusterIP") or "", old_spec.get("clusterIP") or ""
    ips, old_ips = spec.get("clusterIPs") or [], old_spec.get("clusterIPs") or []
    if old_ips and not ips and ip == old_ip:
        spec["clusterIPs"] = list(old_ips)
    elif ip != old_ip and ips == old_ips:
        if ip:
            spec["clusterIPs"] = [ip]
        else:
            spec.pop("clusterIPs", None)
