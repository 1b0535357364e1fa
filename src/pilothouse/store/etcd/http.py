"""What etcd serves beside its API: /version, /health, /livez, /readyz and /metrics."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

import orjson

from pilothouse.store.etcd import metrics
from pilothouse.store.etcd.context import VERSION, Context
from pilothouse.store.etcd.gateway import Gateway
from pilothouse.store.interface import Range, StoreError
from pilothouse.store.wire.server import HttpAnswer, HttpRequest, Server

_TEXT: Final = "text/plain; charset=utf-8"
_CHECKS: Final = {
    "livez": ("serializable_read",),
    "readyz": ("data_corruption", "serializable_read", "linearizable_read", "non_learner"),
}


class Http:
    def __init__(self, context: Context, gateway: Gateway | None) -> None:
        self._context, self._gateway = context, gateway
        self.server: Server | None = None  # for its counts

    async def serve(self, request: HttpRequest) -> HttpAnswer:
        path, _, query = request.target.partition("?")
        if self._gateway is not None and path.startswith("/v3"):
            answer = await self._gateway.serve(request)
            if answer is not None:
                return answer
        if path == "/version":
            document = {"etcdserver": VERSION, "etcdcluster": VERSION, "storage": VERSION}
        elif path == "/health":
            return await self._health(parse_qs(query))
        elif path.startswith(("/livez", "/readyz")):
            return await self._checks(path, parse_qs(query, keep_blank_values=True))
        elif path == "/metrics":
            text = await metrics.render(self._context, self.server)
            return HttpAnswer(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
        else:
            return HttpAnswer(404, b"404 page not found\n", _TEXT)
        if request.method not in ("GET", "HEAD"):
            return HttpAnswer(405, b"Method Not Allowed\n", _TEXT, {"Allow": "GET"})
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
        return HttpAnswer(503 if reason else 200, orjson.dumps(document))

    async def _checks(self, path: str, query: dict[str, list[str]]) -> HttpAnswer:
        kind, _, one = path[1:].partition("/")
        checks = _CHECKS.get(kind)
        if checks is None or (one and one not in checks):
            return HttpAnswer(404, b"404 page not found\n", _TEXT)
        excluded = set(query.get("exclude", ()))
        lines, bad = [], False
        for check in (one,) if one else checks:
            if check in excluded:
                lines.append(f"[+]{check} excluded: ok")
                continue
            failing = await self._check(check)
            bad = bad or bool(failing)
            lines.append(f"[-]{check} failed: {failing}" if failing else f"[+]{check} ok")
        if bad:
            text = "\n".join([*lines, f"{kind} check failed", ""])
        elif "verbose" in query:
            text = "\n".join([*lines, f"{kind} check passed", ""])
        else:
            text = "ok\n"
        return HttpAnswer(503 if bad else 200, text.encode(), _TEXT)

    async def _check(self, name: str) -> str:
        if name == "data_corruption":
            return "alarm activated: CORRUPT" if "CORRUPT" in self._context.store.alarms else ""
        return "" if name == "non_learner" else await self._failing()
