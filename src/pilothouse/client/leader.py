"""`LeaderElector`: of several who want to, one leads, by a Lease.

Source: client-go tools/leaderelection. Clocks of the candidates are never compared: who waits counts from when it saw the
lease change.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.client.client import Client
from pilothouse.clock import Clock

log = logging.getLogger(__name__)

_JITTER = 1.2


class LeaderElector:
    """Campaigns for the Lease `namespace/name` as `identity`."""

    def __init__(
        self, client: Client, clock: Clock, *, namespace: str, name: str, identity: str, lease_s: int = 15,
        renew_deadline_s: float = 10.0, retry_s: float = 2.0, release_on_cancel: bool = True,
    ) -> None:  # fmt: skip
        if not lease_s > renew_deadline_s > retry_s * _JITTER:
            raise ValueError("leaseDuration must be greater than renewDeadline, and that greater than retryPeriod*1.2")
        self._leases = client.resource("coordination.k8s.io", "v1", "leases")
        self._clock = clock
        self._namespace, self._name, self.identity = namespace, name, identity
        self._lease_s, self._deadline_s, self._retry_s = lease_s, renew_deadline_s, retry_s
        self._release_on_cancel = release_on_cancel
        self._observed: Obj | None = None
        self._observed_at_s = 0.0

    @property
    def leader(self) -> str:
        """The holder as last seen; empty where there is none."""
        return str(self._spec.get("holderIdentity") or "")

    @property
    def is_leader(self) -> bool:
        return self.leader == self.identity

    @property
    def _spec(self) -> Obj:
        return (self._observed or {}).get("spec") or {}

    async def run(self, lead: Callable[[], Awaitable[None]]) -> None:
        """Waits for the lead, runs `lead()` while it holds, and cancels it when it is lost. Returns then, or when `lead` ends."""
        while not await self._try():
            await self._clock.sleep(self._retry_s * (1 + _JITTER * self._clock.random.random()))
        log.info("%s leads %s/%s", self.identity, self._namespace, self._name)
        leading = asyncio.ensure_future(lead())
        renewing = asyncio.create_task(self._renew(), name=f"lease {self._name}")
        try:
            done, _ = await asyncio.wait((leading, renewing), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (leading, renewing):
                task.cancel()
            await asyncio.gather(leading, renewing, return_exceptions=True)
            if self._release_on_cancel and self.is_leader:
                await self._release()

    async def _renew(self) -> None:
        """Renews until it fails for as long as the deadline."""
        renewed_s = self._clock.monotonic()
        while True:
            await self._clock.sleep(self._retry_s)
            try:
                async with self._clock.timeout(max(0.0, renewed_s + self._deadline_s - self._clock.monotonic())):
                    if await self._try():
                        renewed_s = self._clock.monotonic()
            except TimeoutError:
                pass
            if self._clock.monotonic() - renewed_s >= self._deadline_s or not self.is_leader:
                log.warning("%s lost the lead of %s/%s", self.identity, self._namespace, self._name)
                return

    def _valid(self) -> bool:
        duration_s = self._spec.get("leaseDurationSeconds") or 0
        return self._observed_at_s + duration_s > self._clock.monotonic()

    def _see(self, lease: Obj) -> None:
        if self._observed is None or lease.get("spec") != self._observed.get("spec"):
            self._observed_at_s = self._clock.monotonic()
        self._observed = lease

    async def _try(self) -> bool:
        """One attempt to take or to renew the lease."""
        try:
            if self._observed is not None and self.is_leader and self._valid():
                try:
                    self._see(await self._leases.update(self._renewed(self._observed)))
                    return True
                except StatusError as error:
                    log.debug("lease %s: %s", self._name, error)
            try:
                lease = await self._leases.get(self._name, self._namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                self._see(await self._leases.create(self._renewed(None)))
                return True
            self._see(lease)
            if self.leader and self._valid() and not self.is_leader:
                return False
            self._see(await self._leases.update(self._renewed(lease)))
            return True
        except StatusError as error:
            log.info("lease %s/%s: %s", self._namespace, self._name, error)
            return False

    def _renewed(self, lease: Obj | None) -> Obj:
        """The lease as this candidate wants it next."""
        now = self._clock.micro_timestamp()
        old = (lease or {}).get("spec") or {}
        mine = old.get("holderIdentity") == self.identity
        spec = {
            **{k: v for k, v in old.items() if k in ("strategy", "preferredHolder")},
            "holderIdentity": self.identity,
            "leaseDurationSeconds": self._lease_s,
            "acquireTime": old.get("acquireTime") if mine and old.get("acquireTime") else now,
            "renewTime": now,
            "leaseTransitions": (old.get("leaseTransitions") or 0) + (0 if mine or lease is None else 1),
        }
        if lease is None:
            return {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"namespace": self._namespace, "name": self._name},
                "spec": spec,
            }
        return {**lease, "spec": spec}

    async def _release(self) -> None:
        """Gives the lease up at once, so that the next need not wait for its end."""
        now = self._clock.micro_timestamp()
        try:
            async with self._clock.timeout(self._deadline_s):
                lease = await self._leases.get(self._name, self._namespace)
                old = lease.get("spec") or {}
                if old.get("holderIdentity") != self.identity:
                    return
                spec = {**old, "holderIdentity": "", "leaseDurationSeconds": 1, "acquireTime": now, "renewTime": now}
                self._see(await self._leases.update({**lease, "spec": spec}))
        except (StatusError, TimeoutError) as error:
            log.info("release of lease %s: %s", self._name, error)
