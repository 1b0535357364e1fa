"""/healthz, /livez and /readyz, whole and check by check.

Source: upstream's server/healthz. The names are those of its checks, which tools leave out by name; those of the hooks
after its start are all well once this server is ready.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

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
        stores: Sequence[Store],
        is_ready: Callable[[], bool],
        stopping: Callable[[], bool],
        clock: Clock,
    ) -> None:
        def answers(store: Store) -> Callable[[], Awaitable[str]]:
            async def etcd() -> str:
                try:
                    async with clock.timeout(_STORE_S):
                        await store.revision()
                except TimeoutError:
                    return "error getting data from etcd: context deadline exceeded"
                except StoreError as error:
                    return f"error getting data from etcd: {error}"
                return ""

            return etcd

        async def ready() -> str:
            return "" if is_ready() else "not finished"

        async def running() -> str:
            return "process is shutting down" if stopping() else ""

        ping, log = Check("ping", _well), Check("log", _well)
        stored, readable = [Check("etcd", answers(stores[0]))], [Check("etcd-readiness", answers(stores[0]))]
        for number, store in enumerate(stores[1:]):
            stored.append(Check(f"etcd-override-{number}", answers(store)))
            readable += stored[-1], Check(f"etcd-override-readiness-{number}", answers(store))
        hooks = [Check(name if name == _COMPLETION else f"poststarthook/{name}", ready) for name in _HOOKS]
        live = [ping, log, Check("loopback-serving-certificate", _well), *stored, *hooks]
        self._checks = {
            "healthz": live,
            "livez": live,
            "readyz": [
                ping, log, stored[0], *readable, Check("informer-sync", ready), *hooks, Check("shutdown", running),
            ],
        }  # fmt: skip
        self._results: Counter[tuple[str, str, str]] = Counter()  # of (name, status, address)
        self._last: dict[tuple[str, str], int] = {}  # (name, address) → 1: well

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
            wrong = await self._result(root, found)
            if not wrong:
                return Response(200, {"Content-Type": "text/plain; charset=utf-8"}, b"ok")
            return Response(500, dict(_TEXT), f"internal server error: {wrong}\n".encode())
        return await self._all(root, checks, request)

    async def _result(self, root: str, check: Check) -> str:
        wrong = await check.check()
        self._results[check.name, "error" if wrong else "success", root] += 1
        self._last[check.name, root] = not wrong
        return wrong

    def indicators(self) -> Iterator[Any]:
        """What /metrics/slis tells (KEP-3466): each check's last result, and how often it was what."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        last = GaugeMetricFamily(
            "kubernetes_healthcheck", "The last result of each health check.", labels=("name", "type")
        )
        for (name, root), well in sorted(self._last.items()):
            last.add_metric((name, root), well)
        yield last
        total = CounterMetricFamily(
            "kubernetes_healthchecks", "The results of all health checks.", labels=("name", "status", "type")
        )
        for labels, count in sorted(self._results.items()):
            total.add_metric(labels, count)
        yield total

    async def _all(self, root: str, checks: list[Check], request: Request) -> Response:
        excluded = {v for k, v in request.query if k == "exclude"}
        unknown = excluded - {check.name for check in checks}
        asked = [check for check in checks if check.name not in excluded]
        found = dict(zip(asked, await asyncio.gather(*(self._result(root, check) for check in asked)), strict=True))
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


_COMPLETION: Final = "autoregister-completion"
_HOOKS: Final = (
    "start-apiserver-admission-initializer",
    "generic-apiserver-start-informers",
    "priority-and-fairness-config-consumer",
    "priority-and-fairness-filter",
    "storage-object-count-tracker-hook",
    "start-apiextensions-informers",
    "start-apiextensions-controllers",
    "crd-informer-synced",
    "start-system-namespaces-controller",
    "peer-endpoint-reconciler-controller",
    "start-cluster-authentication-info-controller",
    "start-kube-apiserver-identity-lease-controller",
    "start-kube-apiserver-identity-lease-garbage-collector",
    "storage-readiness",
    "start-legacy-token-tracking-controller",
    "start-service-ip-repair-controllers",
    "rbac/bootstrap-roles",
    "scheduling/bootstrap-system-priority-classes",
    "priority-and-fairness-config-producer",
    "bootstrap-controller",
    "start-kubernetes-service-cidr-controller",
    "start-kube-aggregator-informers",
    "apiservice-status-local-available-controller",
    "apiservice-status-remote-available-controller",
    "apiservice-registration-controller",
    "apiservice-discovery-controller",
    "kube-apiserver-autoregistration",
    _COMPLETION,
    "apiservice-openapi-controller",
    "apiservice-openapiv3-controller",
)
