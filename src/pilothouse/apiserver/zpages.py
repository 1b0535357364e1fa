"""/statusz and /flagz: what this process is and how it was started, for people and, on request, as an object.

Source: KEP-4827 and KEP-4828, and upstream's component-base/zpages.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response
from pilothouse.api.objects import Obj
from pilothouse.apiserver import answers, negotiation, version
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.negotiation import JSON, YAML, Output
from pilothouse.clock import Clock, timestamps

_GROUP: Final = "config.k8s.io"
_VERSION: Final = "v1beta1"
_TEXT: Final = "text/plain"
_WARNING: Final = (
    "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for "
    "debugging purposes only."
)
_PATHS: Final = ("/flagz", "/healthz", "/livez", "/metrics", "/readyz", "/statusz", "/version")
# Settings that are keys and secrets, or are no flags.
_UNTOLD: Final = frozenset({
    "client_ca", "requestheader_client_ca", "service_account_keys", "service_account_signing_key", "tokens",
})  # fmt: skip


class ZPages:
    """Those of one server, which starts with them."""

    def __init__(self, config: Config, clock: Clock) -> None:
        self._config, self._clock = config, clock
        self._started_s = clock.now()

    def status(self, request: Request) -> Response:
        seconds = int(self._clock.now() - self._started_s)
        started = timestamps.format_time(self._started_s)
        told = version.info()
        binary = told["gitVersion"].removeprefix("v")
        lines = [
            f"Started: {datetime.fromtimestamp(self._started_s, UTC):%a %b %e %H:%M:%S UTC %Y}",
            f"Up: {seconds // 3600} hr {seconds // 60 % 60:02} min {seconds % 60:02} sec",
            f"Go version: {told['goVersion']}",
            f"Binary version: {binary}",
            f"Emulation version: {version.SHORT}",
            f"Paths: {' '.join(_PATHS)}",
        ]
        facts = {
            "startTime": started, "uptimeSeconds": seconds, "goVersion": told["goVersion"], "binaryVersion": binary,
            "emulationVersion": version.SHORT, "paths": list(_PATHS),
        }  # fmt: skip
        return _page(request, "Statusz", ["", *lines], facts)

    def flags(self, request: Request) -> Response:
        given = {
            f.name.replace("_", "-"): getattr(self._config, f.name) for f in fields(Config) if f.name not in _UNTOLD
        }
        flags = {name: _shown(value) for name, value in sorted(given.items())}
        return _page(request, "Flagz", [f"{name}: {value}" for name, value in flags.items()], {"flags": flags})


def _shown(value: Any) -> str:
    """As Go's pflag writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (tuple, list)):
        return f"[{','.join(map(_shown, value))}]"
    if isinstance(value, dict):
        return ",".join(f"{name}={_shown(one)}" for name, one in sorted(value.items()))
    return str(value)


def _page(request: Request, kind: str, lines: list[str], facts: Obj) -> Response:
    """Raises 406."""
    for clause in negotiation.clauses(request.headers.get("accept", "") or "*/*"):
        if clause.media_type in (_TEXT, "text/*", "*/*"):
            body = "\n".join(["", f"apiserver {kind.lower()}", _WARNING, *lines, ""])
            return Response(200, {"Content-Type": f"{_TEXT}; charset=utf-8"}, body.encode())
        asked = clause.params
        if clause.media_type in (JSON, YAML) and (asked.get("g"), asked.get("v"), asked.get("as")) == (
            _GROUP,
            _VERSION,
            kind,
        ):
            obj = {"kind": kind, "apiVersion": f"{_GROUP}/{_VERSION}", "metadata": {"name": "apiserver"}, **facts}
            body_, _ = answers.encode(obj, Output(clause.media_type, pretty=True))
            headers = {"Content-Type": f"{clause.media_type};g={_GROUP};v={_VERSION};as={kind}"}
            return Response(200, headers, body_.rstrip(b"\n"))
    raise errors.not_acceptable((JSON, YAML, _TEXT))
