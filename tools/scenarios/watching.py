"""Watches: where they begin, what they show, and in which form."""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from oracle import TOKEN
from sidebyside import Answer, Side

BASE = "/api/v1/namespaces/sides-watch/configmaps"
_END = "timeoutSeconds=1"


def _begin(side: Side) -> list[str]:
    side.send(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sides-watch"}}
    )
    side.send("DELETE", BASE)
    out = []
    for name in ("a", "b", "c"):
        obj: Any = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"l": name}}}
        made = side.send("POST", BASE, obj)
        out.append(side.know(f"rv{len(out)}", made.json["metadata"]["resourceVersion"]))
    obj = {"metadata": {"labels": {"l": "c"}}}
    made = side.send("PATCH", f"{BASE}/a", obj, content_type="application/merge-patch+json")
    out.append(side.know("rv3", made.json["metadata"]["resourceVersion"]))
    gone = side.send("DELETE", f"{BASE}/b")
    assert gone.status == 200
    listed = side.send("GET", BASE).json["metadata"]["resourceVersion"]
    out.append(side.know("rv4", listed))
    return out


def watch_beginnings(side: Side) -> None:
    rvs = _begin(side)
    future = side.know("future", int(rvs[-1]) + 1_000_000)
    queries = []
    for rv in (None, "", "0", "1", rvs[0], rvs[2], rvs[-1], future, "a", "-1", "00"):
        for initial in (None, "true", "false", "1", "x", ""):
            for match in (None, "NotOlderThan", "Exact", "Bogus"):
                for bookmarks in (None, "true"):
                    given = {
                        "resourceVersion": rv, "sendInitialEvents": initial, "resourceVersionMatch": match,
                        "allowWatchBookmarks": bookmarks,
                    }  # fmt: skip
                    queries.append("&".join(f"{k}={v}" for k, v in given.items() if v is not None))
    side.all(*(f"{BASE}?watch=true&{_END}&{q}" for q in queries))
    side.all(*(f"{BASE}?watch=true&{_END}&{q}" for q in (
        "continue=abc", "limit=1", "limit=a", "continue=abc&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "allowWatchBookmarks=a", "labelSelector=l%3Dc", f"labelSelector=l%3Da&resourceVersion={rvs[0]}",
        "fieldSelector=metadata.name%3Da",
        f"labelSelector=l%3Dc&resourceVersion={rvs[0]}", f"fieldSelector=metadata.name%3Da&resourceVersion={rvs[0]}",
        "fieldSelector=x%3Da",
        f"fieldSelector=metadata.name%3Db&resourceVersion={rvs[0]}", "labelSelector=!!", "fieldSelector=metadata.name",
    )))  # fmt: skip
    side.all(*(f"{BASE}?watch={w}&{_END}" for w in ("1", "0", "false", "TRUE", "x", "")))
    side.all(
        f"{BASE}?watch&{_END}",
        f"{BASE}?watch=true&timeoutSeconds=a",
        f"{BASE}?watch=true&timeoutSeconds=99999999999999999999",
    )


def watch_addresses(side: Side) -> None:
    rvs = _begin(side)
    for rv in ("", "0", rvs[0]):
        q = f"{_END}&resourceVersion={rv}"
        side.all(
            f"{BASE}/a?watch=true&{q}", f"{BASE}/none?watch=true&{q}", f"/api/v1/watch/namespaces/sides-watch/configmaps?{q}",
            f"/api/v1/watch/namespaces/sides-watch/configmaps/a?{q}", f"/api/v1/watch/namespaces/sides-watch?{q}",
            f"/api/v1/watch/namespaces/sides-watch/configmaps/none?{q}",
            f"/api/v1/namespaces/sides-watch?watch=true&{q}",
            f"{BASE}/a?watch=true&fieldSelector=metadata.name%3Db&{q}",
            f"{BASE}/a?watch=true&fieldSelector=metadata.name%3Da&{q}",
            f"{BASE}/a?watch=true&labelSelector=l%3Dc&{q}", f"/api/v1/watch/configmaps/a?{q}",
            f"/api/v1/watch/nodes/none?{q}", f"/api/v1/watch?{q}", f"/api/v1/watch/?{q}",
            f"/api/v1/watch/pods/x/status?{q}",
            f"/api/v1/watch/namespaces/sides-watch/pods/x/log?{q}", f"/api/v1/nodes/none?watch=true&{q}",
            f"/apis/apps/v1/watch/deployments/x?{q}", f"/apis/apps/v1/watch/namespaces/none/deployments?{q}",
            f"/api/v1/watch/bogus?{q}", f"/api/v1/watch/componentstatuses?{q}",
            f"/api/v1/componentstatuses?watch=true&{q}", f"/api/v1/watch/bindings?{q}",
            f"/api/v1/watch/namespaces/a/b/c/d/e?{q}", f"/apis/apps/v1/watch?{q}", f"/apis/watch/apps?{q}",
        )  # fmt: skip
    for method in ("POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"):
        side.ask(method, f"/api/v1/watch/namespaces/sides-watch/configmaps?{_END}")
        side.ask(method, f"/api/v1/watch/namespaces/sides-watch/configmaps/a?{_END}")


def watch_forms(side: Side) -> None:
    rvs = _begin(side)
    from_first = f"{_END}&resourceVersion={rvs[0]}"
    more = (
        "",
        f"&resourceVersion={rvs[0]}",
        "&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "&resourceVersion=1000000000",
    )
    for what in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList"):
        for version in ("v1", "v1beta1", "v2"):
            for media_type in (
                "application/json",
                "application/yaml",
                "application/vnd.kubernetes.protobuf",
                "application/json;stream=watch",
            ):
                side.all(
                    *(f"{BASE}?watch=true&{_END}{q}" for q in more),
                    accept=f"{media_type};as={what};v={version};g=meta.k8s.io",
                )
    for include in ("None", "Metadata", "Object", "", "Bogus"):
        side.all(
            f"{BASE}?watch=true&{from_first}&includeObject={include}",
            accept="application/json;as=Table;v=v1;g=meta.k8s.io",
        )
    for accept in (
        "*/*", "application/*", "text/html", "application/yaml", "application/vnd.kubernetes.protobuf",
        "application/vnd.kubernetes.protobuf;stream=watch", "application/json;stream=watch",
        "application/yaml;stream=watch",
        "application/json;stream=bogus", "application/vnd.kubernetes.protobuf;type=watch",
        "application/vnd.kubernetes.protobuf,application/json",
        "application/json;as=Bogus;v=v1;g=meta.k8s.io,application/json", "text/event-stream", "",
        "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
    ):  # fmt: skip
        side.all(*(f"{BASE}?watch=true&{_END}{q}" for q in more), accept=accept)
    side.all(f"{BASE}?watch=true&{from_first}", f"{BASE}?watch=true&{from_first}&pretty=true", accept_encoding="gzip")
    node = f"/api/v1/nodes?watch=true&{_END}"
    for pretty in ("true", "1"):
        answer = side.send("GET", f"{BASE}?watch=true&{from_first}&pretty={pretty}")
        side.records[f"pretty watch {pretty}"] = side.settled(answer.raw.decode())
    side.get(node)


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    out = []
    while len(data) >= 2:
        size, at = data[1] & 0x7F, 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        out.append((data[0], data[at : at + size]))
        data = data[at + size :]
    return out


def _socket_watch(side: Side, path: str, headers: dict[str, str]) -> None:
    url = urlsplit(side.url)
    context = ssl._create_unverified_context()
    lines = {
        "Host": f"{url.hostname}:{url.port}", "Authorization": f"Bearer {TOKEN}", "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "cGlsb3Rob3VzZS1zaWRlcw==",
        "Origin": "https://127.0.0.1", **headers,
    }  # fmt: skip
    request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items() if v) + "\r\n"
    data = b""
    with socket.create_connection((url.hostname or "", url.port or 0), 5) as plain, context.wrap_socket(plain) as sock:
        sock.sendall(request.encode())
        try:
            while chunk := sock.recv(65536):
                data += chunk
        except (TimeoutError, ssl.SSLError, OSError):
            pass
    head, _, rest = data.partition(b"\r\n\r\n")
    status, *fields = head.decode("latin-1").split("\r\n")
    chosen = {
        k.lower(): v.strip()
        for k, _, v in (f.partition(":") for f in fields)
        if k.lower() in ("sec-websocket-protocol", "content-type", "upgrade", "connection")
    }
    body = (
        rest
        if b"101" not in status.encode()
        else b"\n".join(b'{"opcode": %d, "text": %s}' % (op, _text(text)) for op, text in _frames(rest))
    )
    side.record(f"websocket {side.settled(path)} {headers}", Answer(int([*status.split(), "0", "0"][1]), chosen, body))


def _text(data: bytes) -> bytes:
    import json

    return json.dumps(data.decode("utf-8", "backslashreplace")).encode()


def watch_websockets(side: Side) -> None:
    rvs = _begin(side)
    path = f"{BASE}?watch=true&{_END}&resourceVersion={rvs[0]}"
    for protocol in (
        "",
        "binary.k8s.io",
        "base64.binary.k8s.io",
        "bogus",
        "binary.k8s.io, bogus",
        "bogus, base64.binary.k8s.io",
        "v4.channel.k8s.io",
    ):
        _socket_watch(side, path, {"Sec-WebSocket-Protocol": protocol} if protocol else {})
    for accept in (
        "application/json",
        "application/vnd.kubernetes.protobuf;stream=watch",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
        "application/yaml",
        "text/html",
    ):
        _socket_watch(side, path, {"Accept": accept})
    _socket_watch(side, f"{BASE}?watch=true&{_END}&resourceVersion=a", {})
    _socket_watch(side, f"{BASE}?watch=true&{_END}&resourceVersion=1000000000", {})
    _socket_watch(side, BASE, {})
    _socket_watch(side, f"{BASE}/a?watch=true&{_END}", {})
    _socket_watch(side, path, {"Origin": ""})
    _socket_watch(side, path, {"Sec-WebSocket-Version": "8"})
    _socket_watch(side, path, {"Sec-WebSocket-Version": "12"})
    _socket_watch(side, path, {"Sec-WebSocket-Key": ""})
    _socket_watch(side, path, {"Connection": "close"})
