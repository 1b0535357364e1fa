"""/healthz, /livez and /readyz, whole and check by check.

Source: upstream's server/healthz; the names are those of its checks that have a counterpart here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pilothouse.api.exchange import Request, Response
from pilothouse.api.field import quote
from pilothouse.clock import Clock
from pilothouse.store.interface import Store, StoreError

_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


_STORE_S = 2.0  # upstream's --etcd-healthcheck-timeout and --etcd-readycheck-timeout


@dataclass(frozen=True, slots=True)
class Check:
    """`check` gives what is wrong; nothing where all is well."""

    name: str
    check: Callable[[], Awaitable[str]]


async def _well() -> str:
    return ""


class Health:
    """The checks by address. `is_ready` and `stopping` are the server's."""

    def __init__(
        self,
        store: Store,
        is_ready: Callable[[], bool],
        stopping: Callable[[], bool],
        clock: Clock,
    ) -> None:
        async def etcd() -> str:
            try:
                async with clock.timeout(_STORE_S):
                    await store.revision()
            except TimeoutError:
                return "error getting data from etcd: context deadline exceeded"
            except StoreError as error:
                return f"error getting data from etcd: {error}"
            return ""

        async def ready() -> str:
            return "" if is_ready() else "not finished"

        async def running() -> str:
            return "process is shutting down" if stopping() else ""

        ping, log, stored = Check("ping", _well), Check("log", _well), Check("etcd", etcd)
        hooks = [Check(f"poststarthook/{name}", ready) for name in _HOOKS]
        live = [ping, log, stored, *hooks]
        self._checks = {
            "healthz": live,
            "livez": live,
            "readyz": [
                ping, log, stored, Check("etcd-readiness", etcd), Check("informer-sync", ready), *hooks,
                Check("shutdown", running),
            ],
        }  # fmt: skip

    def paths(self) -> list[str]:
        return [f"/{root}" for root in self._checks] + [f"/{r}/{c.name}" for r, cs in self._checks.items() for c in cs]

    async def handle(self, request: Request) -> Response | None:
        """None for an address that is no check's."""
        root, _, name = request.path[1:].partition("/")
        checks = self._checks.get(root)
        if checks is None:
            return None
        if name or request.path.endswith("/"):
            found = next((c for c in checks if c.name == name), None)
            if found is None:
                return None
            wrong = await found.check()
            if not wrong:
                return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, b"ok")
            return Response(500, dict(_TEXT), f"internal server error: {wrong}\n".encode())
        return await self._all(root, checks, request)

    async def _all(self, root: str, checks: list[Check], request: Request) -> Response:
        excluded = {v for k, v in request.query if k == "exclude"}
        unknown = excluded - {check.name for check in checks}
        asked = [check for check in checks if check.name not in excluded]
        found = dict(zip(asked, await asyncio.gather(*(check.check() for check in asked)), strict=True))
        lines = []
        failed = False
        for check in checks:
            if check not in found:
                lines.append(f"[+]{check.name} excluded: ok")
            elif found[check]:
                failed = True
                lines.append(f"[-]{check.name} failed: reason withheld")
            else:
                lines.append(f"[+]{check.name} ok")
        if unknown:
            names = ", ".join(quote(name) for name in sorted(unknown))
            lines.append(f"warn: some health checks cannot be excluded: no matches for {names}")
        if failed:
            lines.append(f"{root} check failed")
            return Response(500, dict(_TEXT), ("\n".join(lines) + "\n").encode())
        if not any(k == "verbose" for k, _ in request.query):
            return Response(200, dict(_TEXT), b"ok")
        lines.append(f"{root} check passed")
        return Response(200, dict(_TEXT), ("\n".join(lines) + "\n").encode())


_HOOKS = (
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "storage-readiness",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
)
