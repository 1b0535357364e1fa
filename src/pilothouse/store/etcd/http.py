"""What etcd serves beside its API: /version, /health, /livez, /readyz, /debug/vars and /metrics."""

from __future__ import annotations

import html
import posixpath
import resource
import sys
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qs, quote, unquote

import orjson

from pilothouse.store.etcd import metrics
from pilothouse.store.etcd.auth.guard import common_name
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
_COMMON_NAME: Final = "CommonName of client sending a request against gateway will be ignored and not used as expected"
_UNKNOWN_HOST: Final = """
etcd received your request, but the Host header was unrecognized.

To fix this, choose one of the following options:
- Enable TLS, then any HTTPS request will be allowed.
- Add the hostname you want to use to the whitelist in settings.
  - e.g. etcd --host-whitelist {host}

This requirement has been added to help prevent "DNS Rebinding" attacks (CVE-2018-5702).
"""
_NOSNIFF: Final = {"X-Content-Type-Options": "nosniff"}


def _error(status: int, text: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status, f"{text}\n".encode(), _TEXT, {**(headers or {}), **_NOSNIFF})


def _hostname(authority: str) -> str:
    """Without the port."""
    return authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]


def _clean(path: str) -> str:
    """Without empty and dotted elements, as Go's mux wants paths."""
    clean = posixpath.normpath(f"/{path}").replace("//", "/", 1) if path else "/"
    return clean + "/" if path.endswith("/") and clean != "/" else clean


def _moved(method: str, location: str) -> HttpAnswer:
    body = f'<a href="{html.escape(location)}">Temporary Redirect</a>.\n\n' if method == "GET" else ""
    return HttpAnswer(307, body.encode(), "text/html; charset=utf-8", {"Location": location})


async def grpc_only(request: HttpRequest) -> HttpAnswer:
    """Where gRPC has addresses of its own."""
    return HttpAnswer(415, b"", "application/grpc")


class Http:
    def __init__(self, context: Context, gateway: Gateway | None) -> None:
        self._context, self._gateway = context, gateway
        self.server: Server | None = None  # for its counts

    async def serve(self, request: HttpRequest) -> HttpAnswer:
        refused = self._refused(request)
        if refused is not None:
            return refused
        answer = HttpAnswer(200, b"", _TEXT) if request.method == "OPTIONS" else await self._serve(request)
        origins = self._context.config.cors
        origin = "*" if "*" in origins else request.headers.get("origin", "")
        if origin and (origin == "*" or origin in origins):
            answer.headers = {**answer.headers, **_CORS, "Access-Control-Allow-Origin": origin}
        return answer

    def _refused(self, request: HttpRequest) -> HttpAnswer | None:
        """Names that lead here without being meant to (DNS rebinding), and users whom the gateway would not know."""
        config, certificate = self._context.config, request.peer_certificate
        host = _hostname(request.headers.get("host") or request.headers.get(":authority", ""))
        allowed = config.host_whitelist
        if not certificate and config.insecure() and allowed and "*" not in allowed and host not in allowed:
            return _error(421, _UNKNOWN_HOST.format(host=orjson.dumps(host).decode()))
        for_gateway = self._context.guard.on and request.target.startswith(_GATEWAY)
        if for_gateway and config.client_cert_auth and common_name(certificate):
            return _error(400, _COMMON_NAME)
        return None

    async def observe(self, request: HttpRequest) -> HttpAnswer:
        """What the addresses for metrics serve: nothing that tells or changes what is stored."""
        path = _clean(unquote(request.target.partition("?")[0]))
        if path.startswith(("/metrics", "/health", "/livez", "/readyz")):
            return await self._serve(request)
        return _error(404, "404 page not found")

    async def _serve(self, request: HttpRequest) -> HttpAnswer:
        target, mark, query = request.target.partition("?")
        path = unquote(target)
        clean = _clean(path)
        if clean != path or path == "/v3":
            location = quote("/v3/" if path == "/v3" else clean) + mark + query
            return _moved(request.method, location)
        if self._gateway is not None and path.startswith(_GATEWAY):
            return await self._gateway.serve(request, path.replace("/v3beta/", "/v3/", 1))
        if path == "/metrics":
            text = await metrics.render(self._context, self.server)
            return HttpAnswer(200, text.encode(), "text/plain; version=0.0.4; charset=utf-8")
        kind, _, one = path[1:].partition("/")
        checks = _CHECKS.get(kind, ())
        probe = path in (f"/{kind}", f"/{kind}/{one}") and bool(checks) and (not one or one in checks)
        if path.endswith("/") or not (probe or path in ("/health", "/version", "/debug/vars")):
            return _error(404, "404 page not found")
        if request.method != "GET":
            return _error(405, "Method Not Allowed", {"Allow": "GET"})
        if probe:
            return await self._probe((one,) if one else checks, parse_qs(query, keep_blank_values=True), one)
        if path == "/health":
            return await self._health(parse_qs(query))
        if path == "/debug/vars":
            return await self._variables()
        cluster = f"{self._context.downgrade_target or CLUSTER_VERSION}.0"
        document = {"etcdserver": VERSION, "etcdcluster": cluster, "storage": cluster}
        return HttpAnswer(200, orjson.dumps(document))

    async def _variables(self) -> HttpAnswer:
        """As Go's expvar, without what is Go's."""
        status, member = await self._context.store.status(), f"{self._context.header.member_id:x}"
        progress = {"match": status.index, "next": status.index + 1, "state": "StateReplicate"}
        raft = {
            "id": member, "term": status.term, "vote": member, "commit": status.index, "lead": member,
            "raftState": "StateLeader", "applied": status.index, "progress": {member: progress}, "leadtransferee": "0",
        }  # fmt: skip
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        document = {"cmdline": sys.argv, "file_descriptor_limit": files, "raft.status": raft}
        return HttpAnswer(200, orjson.dumps(document), "application/json; charset=utf-8")

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

    async def _probe(self, checks: Iterable[str], query: dict[str, list[str]], one: str) -> HttpAnswer:
        """`one`: the check that was asked for by name, which nothing excludes."""
        excluded = () if one else query.get("exclude", ())
        lines, bad = [], False
        for check in checks:
            if check in excluded:
                continue
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
