"""Sends the same bytes to upstream's server and ours, and prints where the answers differ: `tools/rawhttp.py PORT [WORD ...]`.

PORT is that of upstream's kube-apiserver (shared/peers/cluster.sh), fresh; ours is started beside it. With words only the
requests are sent whose names have one of them.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import Iterator
from typing import NamedTuple

from oracle import TOKEN, running

_CM = "/api/v1/namespaces/default/configmaps"
_JSON = "Content-Type: application/json\r\n"
_OWN_HEADERS = ("date", "audit-id", "last-modified", "etag", "content-length")
_OWN_VALUES = (
    (re.compile(r'"(uid|resourceVersion|creationTimestamp|time)": ?"[^"]*"'), r'"\1":""'),
    (re.compile(r"[0-9A-F]{128}"), "HASH"),
    (re.compile(r'"(gitCommit|goVersion|compiler|platform)": "[^"]*"'), r'"\1": ""'),
    (re.compile(r'"serverAddress":"[^"]*"'), '"serverAddress":""'),
)
_QUIET_S = 0.35  # without a byte: the answer is complete
_FIRST_BYTE_S = 4.0
_AT_ONCE = 6


class Answer(NamedTuple):
    status: str
    headers: tuple[str, ...]
    body: str


def request(line: str, headers: str = "", body: str = "", *, token: str = TOKEN, host: str = "Host: h\r\n") -> bytes:
    auth = f"Authorization: Bearer {token}\r\n" if token else ""
    return f"{line}\r\n{host}{auth}User-Agent: x\r\n{headers}\r\n{body}".encode("latin-1")


def sent(method: str, path: str, body: str, headers: str = _JSON) -> bytes:
    return request(f"{method} {path} HTTP/1.1", f"{headers}Content-Length: {len(body.encode('latin-1'))}\r\n", body)


def got(path: str, headers: str = "", *, token: str = TOKEN) -> bytes:
    return request(f"GET {path} HTTP/1.1", headers, token=token)


def requests() -> Iterator[tuple[str, bytes]]:
    """(name, bytes)."""
    for method in ("HEAD", "OPTIONS", "TRACE", "CONNECT", "FOO", "get"):
        for path in ("/api/v1/namespaces", "/version", "/nope", "/healthz", "/api"):
            yield f"{method} {path}", request(f"{method} {path} HTTP/1.1")
    for path in (
        "/", "//", "/api/", "/api//v1", "//api/v1", "/api/v1/", "/api/v1/./namespaces", "/api/v1/../v1/namespaces",
        "/api/v1/namespaces/", "/api/v1/namespaces/default//pods", "/api/v1/namespaces%2fdefault", "/api/v1/%6eamespaces",
        "/apis", "/apis/apps/", "/version/", "/healthz/nope", "/readyz/etcd", "/healthz?exclude=nope", "/openapi/v3/nope",
        "/logs", "/debug", "/metrics/", "/openid/v1/jwks", "/api/v2", "/apis/nope", "/apis/apps/v9", "/apis/apps/v1/nope",
        "/api/v1/namespaces/default/pods/a/nope", "/api/v1/watch", "/api/v1/namespaces/a/b/c/d",
    ):  # fmt: skip
        yield f"GET {path}", got(path)
    for query in (
        "a;b", "limit=1;2", "limit=abc", "limit=-1", "watch=maybe", "timeoutSeconds=x", "labelSelector=!!", "fieldSelector=a",
        "fieldSelector=x%3Dy", "%zz", "limit=%zz", "resourceVersion=-1", "resourceVersionMatch=Exact", "continue=abc",
        "sendInitialEvents=true", "allowWatchBookmarks=2", "limit=99999999999999999999", "=1", "&&", "timeout=abc",
    ):  # fmt: skip
        yield f"query {query}", got(f"/api/v1/namespaces/zzz?{query}"[: -4 if query == "&&" else None])
        yield f"list query {query}", got(f"/api/v1/pods?{query}")
        yield f"anonymous query {query}", got(f"/api/v1/pods?{query}", token="")
    yield from framing()
    for accept in (
        "application/json", "application/yaml", "text/html", "*/*", "application/*", "application/json;q=0", "", "text/plain",
        "application/json;as=Table", "application/json;as=Table;g=meta.k8s.io;v=v2", "APPLICATION/JSON",
    ):  # fmt: skip
        for path in ("/version", "/api/v1/pods", "/api", "/nope", "/api/v1/namespaces/zzz"):
            yield f"accept {accept} {path}", got(path, f"Accept: {accept}\r\n")
    for encoding in ("gzip", "gzip;q=0", "identity", "*", "gzip, deflate, br", "GZIP", "identity;q=0"):
        yield f"encoding {encoding}", got("/openapi/v3", f"Accept-Encoding: {encoding}\r\n")
    for lines in (
        "User: bob",
        "Group: g",
        "Uid: 1",
        "Extra-a: 1",
        "User: ",
        "User: bob\r\nImpersonate-Group: system:masters",
    ):
        yield f"impersonate {lines}", got("/api/v1/namespaces/zzz", f"Impersonate-{lines}\r\n")
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        for path in (
            "/version",
            "/healthz",
            "/api",
            "/apis/apps/v1",
            "/",
            "/api/v1",
            "/nope",
            "/api/v1/componentstatuses/a",
        ):
            yield f"{method} {path}", sent(method, path, "{}")
    for media_type in ("text/plain", "application/json;", "application/json; a", "", "a", "application/JSON"):
        header = f"Content-Type: {media_type}\r\n" if media_type else ""
        yield f"media type {media_type}", sent("POST", f"{_CM}?dryRun=All", '{"metadata":{"name":"x"}}', header)
        yield f"patch media type {media_type}", sent("PATCH", f"{_CM}/x", "{}", header)
    for body in (
        "",
        "{",
        "{}x",
        "[]",
        "null",
        "1",
        '"a"',
        "\0",
        "\xef\xbb\xbf{}",
        "{'a':1}",
        '{"kind":"Pod","apiVersion":"v1"}',
    ):
        yield f"create {body!r}", sent("POST", f"{_CM}?dryRun=All", body)
        yield f"delete {body!r}", sent("DELETE", f"{_CM}/x?dryRun=All", body)


def framing() -> Iterator[tuple[str, bytes]]:
    """HTTP itself."""
    create = f"POST {_CM}?dryRun=All HTTP/1.1"
    yield "1.0", request("GET /version HTTP/1.0")
    yield "1.0 keep-alive", request("GET /version HTTP/1.0", "Connection: keep-alive\r\n")
    yield "1.1 without host", request("GET /version HTTP/1.1", host="")
    yield "2.0", request("GET /version HTTP/2.0")
    yield "garbage", b"hello\r\n\r\n"
    yield "two hosts", request("GET /version HTTP/1.1", "Host: b\r\n")
    yield "absolute", request("GET https://h/version HTTP/1.1")
    yield "asterisk", request("OPTIONS * HTTP/1.1")
    yield "close", got("/version", "Connection: close\r\n")
    yield "space in the path", request("GET /a b HTTP/1.1")
    yield "header without a colon", got("/version", "Foo bar\r\n")
    yield "content length", request(create, "Content-Length: x\r\n")
    yield "transfer encoding", request(create, "Transfer-Encoding: gzip\r\n")
    yield "chunks", request(create, f"Transfer-Encoding: chunked\r\n{_JSON}", "2\r\n{}\r\n0\r\n\r\n")
    yield "expect", request(create, f"Expect: foo\r\nContent-Length: 2\r\n{_JSON}", "{}")
    yield "body of a GET", request("GET /version HTTP/1.1", "Content-Length: 2\r\n", "{}")
    yield "long address", got("/version?" + "a" * 100_000)
    yield "long header", got("/version", f"X: {'a' * 2_000_000}\r\n")
    yield "many headers", got("/version", "".join(f"X{i}: y\r\n" for i in range(3000)))
    yield "bad token", got("/version", token="nope")
    yield "anonymous", got("/api/v1/namespaces", token="")
    yield "range", got("/version", "Range: bytes=0-1\r\n")


def joined(chunks: str) -> str:
    """What chunks hold: which answers are chunked is each server's own."""
    out, at = "", 0
    while (size := int(chunks[at : chunks.find("\r\n", at)] or "0", 16)) and at < len(chunks):
        at = chunks.find("\r\n", at) + 2
        out += chunks[at : at + size]
        at += size + 2
    return out


async def ask(port: int, data: bytes) -> Answer:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    found = b""
    try:
        writer.write(data)
        while piece := await asyncio.wait_for(reader.read(1 << 20), _QUIET_S if found else _FIRST_BYTE_S):
            found += piece
    except (TimeoutError, ConnectionError):
        pass  # what came is the answer
    finally:
        writer.close()
    head, _, body = found.decode("latin-1").partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(":") for line in lines)}
    if headers.pop("transfer-encoding", ""):
        body = joined(body)
    kept = (
        f"{name}:{'' if name.startswith('x-kubernetes-pf-') else value}"
        for name, value in headers.items()
        if name not in _OWN_HEADERS
    )
    for pattern, instead in _OWN_VALUES:
        body = pattern.sub(instead, body)
    return Answer(status, tuple(sorted(kept)), body)


def shown(one: Answer, other: Answer) -> Iterator[str]:
    if one.status != other.status:
        yield f"status {one.status!r} | {other.status!r}"
    if one.headers != other.headers:
        yield f"headers -{sorted({*one.headers} - {*other.headers})} +{sorted({*other.headers} - {*one.headers})}"
    if one.body != other.body:
        at = next((i for i, (a, b) in enumerate(zip(one.body, other.body, strict=False)) if a != b), 0)
        near = slice(max(0, at - 40), at + 160)
        yield f"body at {at}: {one.body[near]!r} | {other.body[near]!r}"


async def main(peer: str, *words: str) -> int:
    chosen = [(n, data) for n, data in requests() if not words or any(w in n for w in words)]
    differ = 0
    async with running() as url:
        ours = int(url.rpartition(":")[2])
        for i in range(0, len(chosen), _AT_ONCE):
            some = chosen[i : i + _AT_ONCE]
            answers = await asyncio.gather(*(ask(port, data) for _, data in some for port in (int(peer), ours)))
            for (name, _), one, other in zip(some, answers[::2], answers[1::2], strict=True):
                told = list(shown(one, other))
                differ += bool(told)
                sys.stdout.write("".join(f"--- {name}: {line}\n" for line in told))
    sys.stdout.write(f"{len(chosen)} asked, {differ} differ\n")
    return differ


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
