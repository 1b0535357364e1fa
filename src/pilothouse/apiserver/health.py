"""/healthz, /livez and /readyz, whole and check by check.

Source: upstream's server/healthz; the names are those of its checks that have a counterpart here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pilothouse.api.exchange import Request, Response
from pilothouse.api.field import quote
from pilothouse.store.interface import StoreError

_TEXT = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    check: Callable[[], Awaitable[bool]]


async def _yes() -> bool:
    return True


class Health:
    """The checks by address. `store_answers` and `is_ready` are the server's."""

    def __init__(
        self, store_answers: Callable[[], Awaitable[object]], is_ready: Callable[[], bool], stopping: Callable[[], bool]
    ) -> None:
        async def etcd() -> bool:
            try:
                await store_answers()
            except StoreError:
                return False
            return True

        async def ready() -> bool:
            return is_ready()

        async def running() -> bool:
            return not stopping()

        ping, log, store = Check("ping", _yes), Check("log", _yes), Check("etcd", etcd)
        hooks = [Check(f"poststarthook/{name}", ready) for name in _HOOKS]
        live = [ping, log, store, *hooks]
        self._checks = {
            "healthz": live,
            "livez": live,
            "readyz": [
                ping, log, store, Check("etcd-readiness", etcd), Check("informer-sync", ready), *hooks,
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
            if await found.check():
                return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, b"ok")
            return Response(500, dict(_TEXT), b"internal server error: not ok\n")
        return await self._all(root, checks, request)

    async def _all(self, root: str, checks: list[Check], request: Request) -> Response:
        excluded = {v for k, v in request.query if k == "exclude"}
        unknown = set(excluded)
        lines = []
        failed = False
        for check in checks:
            if check.name in excluded:
                unknown.discard(check.name)
                lines.append(f"[+]{check.name} excluded: ok")
            elif await check.check():
                lines.append(f"[+]{check.name} ok")
            else:
                failed = True
                lines.append(f"[-]{check.name} failed: reason withheld")
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
