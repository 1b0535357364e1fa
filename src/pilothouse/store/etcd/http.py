"""What etcd serves beside its API: /version, /health, /livez, /readyz and /metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

import orjson

from pilothouse.store.etcd import metrics
from pilothouse.store.etcd.context import CLUSTER_VERSION, VERSION, Context
from pilothouse.store.etcd.gateway import Gateway
from pilothouse.store.interface import Range, StoreError
from pilothouse.store.wire.server import HttpAnswer, HttpRequest, Server

_TEXT: Final = "text/plain; charset=utf-8"
_CHECKS: Final = {
    "livez": ("serializable_read",),
    "readyz": ("data_corruption", "serializable_read", "linearizable_read", "non_learner"),
}


_GATEWAY: Final = ("/v3/", "/v3beta/")
_CORS: Final = {
    "Access-Control-Allow-Methods": "POST, GET, OPTIONS, PUT, DELETE",
    "Access-Control-Allow-Headers": "accept, content-type, authorization",
}
_NOSNIFF: Final = {"X-Content-Type-Options": "nosniff"}


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status, f"{text}\n".encode(), _TEXT, {**(headers or {}), **_NOSNIFF})


class Http:
    def __init__(self, context: Context, gateway: Gateway | None) -> None:
        self._context, self._gateway = context, gateway
        self.server: Server | None = None  # for its counts

    async def serve(self, request: HttpRequest) -> HttpAnswer:
        answer = HttpAnswer(200, b"", _TEXT) if request.method == "OPTIONS" else await self._serve(request)
        origins = self._context.config.cors
        origin = "*" if "*" in origins else request.headers.get("origin", "")
        if origin and (origin == "*" or origin in origins):
            answer.headers = {**answer.headers, **_CORS, "Access-Control-Allow-Origin": origin}
        return answer

    async def _serve(self, request: HttpRequest) -> HttpAnswer:
        path, _, query = request.target.partition("?")
        if self._gateway is not None and path.startswith(_GATEWAY):
            return await self._gateway.serve(request, path.replace("/v3beta/", "/v3/", 1))
        if path.startswith(("/health", "/livez", "/readyz")) and request.method != "GET":
            return _error(405, "Method Not Allowed", {"Allow": "GET"})
        if path == "/health":
            return await self._health(parse_qs(query))
        if path.startswith(("/livez", "/readyz")):
            return await self._checks(path, parse_qs(query, keep_blank_values=True))
        if path == "/metrics":
            text = await metrics.render(self._context, self.server)
            return HttpAnswer(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
        if path != "/version":
            return _error(404, "404 page not found")
        if request.method not in ("GET", "HEAD"):
            return _error(405, "Method Not Allowed", {"Allow": "GET"})
        cluster = f"{self._context.downgrade_target or CLUSTER_VERSION}.0"
        document = {"etcdserver": VERSION, "etcdcluster": cluster, "storage": cluster}
        return HttpAnswer(200, orjson.dumps(document))

    async def _failing(self) -> str:
        """Why the store cannot answer, "" where it can."""
        try:
            await self._context.store.range(Range(b"a", limit=1))
        except StoreError as error:
            return str(error)
        return ""

    async def _health(self, query: dict[str, list[str]]) -> HttpAnswer:
        excluded = set(query.get("exclude", ()))
        reason = ""
        for alarm in sorted(self._context.store.alarms):
            if alarm not in excluded:
                reason = f"ALARM {alarm}"
                break
        if not reason:
            failing = await self._failing()
            reason = f"RANGE ERROR:{failing}" if failing else ""
        counts = self._context.counts
        counts.healthy, counts.unhealthy = counts.healthy + (not reason), counts.unhealthy + bool(reason)
        document = {"health": "false" if reason else "true", "reason": reason}
        return HttpAnswer(503 if reason else 200, orjson.dumps(document), _TEXT)

    async def _checks(self, path: str, query: dict[str, list[str]]) -> HttpAnswer:
        kind, _, one = path[1:].partition("/")
        checks = _CHECKS.get(kind)
        if checks is None or (path.count("/") > 1 and one not in checks):
            return _error(404, "404 page not found")
        excluded = set(query.get("exclude", ()))
        lines, bad = [], False
        for check in (one,) if one else (check for check in checks if check not in excluded):
            failing = await self._check(check)
            bad = bad or bool(failing)
            lines.append(f"[-]{check} failed: {failing}\n" if failing else f"[+]{check} ok\n")
        if bad:
            return _error(503, "".join(lines))
        text = "".join(lines) if "verbose" in query else ""
        return HttpAnswer(200, f"{text}ok\n".encode(), _TEXT, dict(_NOSNIFF))

    async def _check(self, name: str) -> str:
        if name == "data_corruption":
            return "alarm activated: CORRUPT" if "CORRUPT" in self._context.store.alarms else ""
        return "" if name == "non_learner" else await self._failing()
