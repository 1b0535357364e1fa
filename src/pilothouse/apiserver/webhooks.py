"""Calls of webhooks that objects name: by URL, or by a service of the cluster.

Source: upstream's apiserver/pkg/util/webhook (client.go) and its service resolver; client-go's texts for what goes wrong.
"""

from __future__ import annotations

import base64
import ssl
from typing import Any, Final

import orjson

from pilothouse.api.field import quote
from pilothouse.api.objects import Obj
from pilothouse.apiserver.contracts import Objects

TIMEOUT_S: Final = 30
_ANSWER_MAX_BYTES: Final = 64 * 1024 * 1024


class Webhook:
    """`config`: a clientConfig (url or service, caBundle)."""

    def __init__(self, config: Obj, objects: Objects) -> None:
        self._config, self._objects = config, objects
        self._context: ssl.SSLContext | None = None

    async def post(self, body: Obj, timeout_s: int = TIMEOUT_S) -> Any:
        """What was answered, read as JSON. Raises ValueError whose text is upstream's."""
        import aiohttp

        service = self._config.get("service")
        host = ""
        url = target = str(self._config.get("url"))
        if service is not None:
            host, address, path = self._of_service(service)
            url, target = f"https://{host}:{service.get('port') or 443}{path}", f"https://{address}{path}"
        shown = f'Post "{url}?timeout={timeout_s}s"'
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_s)) as session,
                session.post(
                    target, params={"timeout": f"{timeout_s}s"}, data=orjson.dumps(body), ssl=self._tls(),
                    headers={"Content-Type": "application/json", "Accept": "application/json"},
                    server_hostname=host or None,
                ) as answer,
            ):  # fmt: skip
                raw = await answer.content.read(_ANSWER_MAX_BYTES)
        except TimeoutError:
            raise ValueError(f"{shown}: context deadline exceeded") from None
        except aiohttp.ClientConnectorCertificateError:
            why = "tls: failed to verify certificate: x509: certificate signed by unknown authority"
            raise ValueError(f"{shown}: {why}") from None
        except aiohttp.ClientConnectorError as e:
            why = f"dial tcp {e.host}:{e.port}: connect: connection refused" if _refused(e) else str(e)
            raise ValueError(f"{shown}: {why}") from None
        except aiohttp.ClientError as e:
            raise ValueError(f"{shown}: {e}") from None
        if answer.status >= 400:
            is_text = answer.headers.get("Content-Type", "text/").startswith("text/")
            raise ValueError(_refusal(answer.status, raw if is_text else b""))
        try:
            return orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise ValueError(_UNREADABLE) from None

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            bundle = base64.b64decode(self._config.get("caBundle") or "").decode("latin-1").strip()
            self._context = ssl.create_default_context(cadata=bundle or None)
        return self._context

    def _of_service(self, service: Obj) -> tuple[str, str, str]:
        """(name in certificates, address to connect to, path). Raises ValueError."""
        namespace, name = service.get("namespace") or "", service.get("name") or ""
        port, path = service.get("port") or 443, service.get("path") or ""
        found = self._objects.get("", "services", namespace, name)
        if found is None:
            raise ValueError(f"service {quote(name)} not found")
        spec = found.get("spec") or {}
        ports = [p for p in spec.get("ports") or () if p.get("port") == port]
        if not ports:
            raise ValueError(f"no service port {port} found for service {quote(name)}")
        host = f"{name}.{namespace}.svc"
        if spec.get("type") == "ExternalName":
            return host, f"{spec.get('externalName')}:{port}", path
        address = self._endpoint(namespace, name, ports[0].get("name") or "") or f"{spec.get('clusterIP')}:{port}"
        return host, address, path if path.startswith("/") or not path else f"/{path}"

    def _endpoint(self, namespace: str, name: str, port_name: str) -> str:
        """A ready endpoint, so that nothing but the pod network has to be reachable."""
        for one in self._objects.list("discovery.k8s.io", "endpointslices", namespace):
            if (one["metadata"].get("labels") or {}).get("kubernetes.io/service-name") != name:
                continue
            port = next((p.get("port") for p in one.get("ports") or () if (p.get("name") or "") == port_name), None)
            for endpoint in one.get("endpoints") or ():
                if port and (endpoint.get("conditions") or {}).get("ready") is not False and endpoint.get("addresses"):
                    address = endpoint["addresses"][0]
                    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        return ""


_UNREADABLE: Final = (
    "couldn't get version/kind; json parse error: json: cannot unmarshal string into Go value of type struct "
    '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)  # what upstream says of anything that is no JSON: it was taken for YAML


def _refused(error: OSError) -> bool:
    inner = getattr(error, "os_error", error)
    return isinstance(inner, ConnectionRefusedError)


def _refusal(status: int, raw: bytes) -> str:
    if status == 404:
        return "the server could not find the requested resource"
    if status >= 500:
        told = raw[:2048].decode("utf-8", "replace").strip() or "unknown"
        return f"an error on the server ({quote(told)}) has prevented the request from succeeding"
    return f"the server rejected our request for an unknown reason (status {status})"
