"""Asks both servers whole stories and prints where their answers differ: `tools/sidebyside.py URL [scenario ...] [--all]`.

URL is upstream's kube-apiserver (shared/peers/cluster.sh), fresh or asked by this program before; ours is started beside it.
The scenarios are the functions of `scenarios/*.py`: each is given one server, asks it, and may use what it was answered. Both
servers run each of them at the same time. What a server names for itself (uids, times, revisions) counts as equal.
"""

from __future__ import annotations

import asyncio
import base64
import difflib
import gzip
import http.client
import importlib
import json
import re
import ssl
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from oracle import TOKEN, running

from pilothouse.api.codec import protobuf
from pilothouse.api.errors import StatusError

_HEADERS = (
    "content-type",
    "cache-control",
    "content-encoding",
    "vary",
    "allow",
    "retry-after",
    "warning",
    "location",
    "etag",
    "last-modified",
)
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_TOKEN = re.compile(r"\beyJ2[\w-]+")
_REVISION = re.compile(
    r"""([rR]esourceVersion\\*": ?\\*"|'rv':|current: |resourceVersion=|version: |in record [(]|resourceVersion: \")(\d+)"""
)
_SUFFIX = re.compile(r"(kube-api-access-)[a-z0-9]{5}")
_JWT = re.compile(r"eyJhb[\w-]+\.[\w-]+\.[\w-]+")
_AGE = re.compile(r'"\d{1,2}s"|(?<=- )\d{1,2}s\b')
_OWN = re.compile(r"\b10\.96\.\d+\.\d+|\b3[0-2]\d{3}\b")


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.raw)


class Side:
    """One of the two servers, and what it answered."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._url = urlsplit(url)
        self._local = threading.local()
        self._pool = ThreadPoolExecutor(8)
        self.known: dict[str, str] = {}
        self.records: dict[str, str] = {}

    def wait(self, seconds: float) -> None:
        threading.Event().wait(seconds)

    def know(self, name: str, value: Any) -> str:
        """Names a value that is this server's own."""
        self.known[str(value)] = f"<{name}>"
        return str(value)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """Without comparing. Keyword `content_type` becomes the header Content-Type."""
        sent = {"Authorization": f"Bearer {TOKEN}", "Accept": "application/json", "User-Agent": "sides/1"}
        if body is not None:
            sent["Content-Type"] = "application/json"
            body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body)
        sent |= {k.replace("_", "-").title(): v for k, v in headers.items()}
        for last in (False, True):
            connection = getattr(self._local, "connection", None)
            if connection is None:
                context = ssl._create_unverified_context()
                host, port = self._url.hostname or "", self._url.port
                connection = http.client.HTTPSConnection(host, port, timeout=20, context=context)
                self._local.connection = connection
            try:
                connection.request(method, path, body, sent)
                response = connection.getresponse()
                data = response.read()
                break
            except (OSError, http.client.HTTPException):
                self._local.connection = None
                if last:
                    return Answer(0, {}, b"")
        found = {k: "; ".join(response.headers.get_all(k) or ()) for k in _HEADERS if k in response.headers}
        if found.get("content-encoding") == "gzip":
            data = gzip.decompress(data)
        return Answer(response.status, found, data)

    def ask(self, method: str, path: str, body: Any = None, label: str = "", **headers: str) -> Answer:
        answer = self.send(method, path, body, **headers)
        self.record(label or self._label(method, path, body, headers), answer)
        return answer

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def all(self, *paths: str, **headers: str) -> None:
        """GETs at the same time: for watches, which take their time."""
        for path, answer in zip(paths, self._pool.map(lambda p: self.send("GET", p, **headers), paths), strict=True):
            self.record(self._label("GET", path, None, headers), answer)

    def _label(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> str:
        text = f"{method} {self.settled(path)}"
        if body is not None:
            shown = body if isinstance(body, (str, bytes)) else json.dumps(body)
            text += f" {self.settled(str(shown)):.200}"
        return text + "".join(f" {k}={v}" for k, v in headers.items())

    def record(self, label: str, answer: Answer) -> None:
        while label in self.records:
            label += "'"
        raw = answer.raw
        if "protobuf" in answer.headers.get("content-type", "") and answer.status < 300:
            raw = _decoded(raw, "stream=watch" in answer.headers["content-type"])
        try:
            body = "\n".join(json.dumps(json.loads(line), indent=1, ensure_ascii=False) for line in _documents(raw))
        except ValueError:
            body = raw.decode("utf-8", "backslashreplace")
        heads = "".join(f"{k}: {v}\n" for k, v in sorted(answer.headers.items()))
        self.records[label] = self.settled(f"{answer.status}\n{heads}{body}")

    def settled(self, text: str) -> str:
        text = _TOKEN.sub(_opened, _JWT.sub("<jwt>", text))
        text = _TIME.sub("<time>", _UID.sub("<uid>", text))
        text = _REVISION.sub(lambda m: m[1] + self.known.get(m[2], "<N>"), text)
        text = text.replace(self._url.netloc, "<address>").replace("127.0.0.1:6443", "<address>")
        text = _SUFFIX.sub(r"\1<own>", text)
        return _AGE.sub('"<age>"', _OWN.sub("<own>", text))


def _decoded(raw: bytes, stream: bool) -> bytes:
    """Objects in protobuf as JSON; what is of no known type as it is."""
    try:
        if not stream:
            return json.dumps(protobuf.decode_stored(raw)).encode()
        lines = []
        while raw:
            size = 4 + int.from_bytes(raw[:4], "big")
            event = dict(protobuf.fields(raw[4:size]))
            [inner] = [content for number, content in protobuf.fields(event[2]) if number == 1]
            lines.append(json.dumps({"type": event[1].decode(), "object": protobuf.decode_stored(bytes(inner))}))
            raw = raw[size:]
        return "\n".join(lines).encode()
    except (StatusError, ValueError, KeyError):
        return b"protobuf"


def _loosely(text: str) -> str:
    """Others write too: the present revision may be one that the story knows, or a later one."""
    return re.sub(r"<rv\w+>", "<N>", text)


def _documents(raw: bytes) -> list[bytes]:
    lines = raw.splitlines()
    try:
        json.loads(raw)
    except ValueError:
        return [line for line in lines if line]
    return [raw]


def _opened(match: re.Match[str]) -> str:
    """A continue token, readable."""
    text = match[0]
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode().replace('"', "'")
    except ValueError:
        return text


def _scenarios() -> dict[str, Callable[[Side], None]]:
    found = {}
    for path in sorted((Path(__file__).parent / "scenarios").glob("*.py")):
        module = importlib.import_module(f"scenarios.{path.stem}")
        found |= {
            f.__name__: f
            for f in vars(module).values()
            if getattr(f, "__module__", "") == module.__name__ and not f.__name__.startswith("_")
        }
    return found


def compare(peer: str, ours: str, names: list[str]) -> int:
    """In how many ways their answers differ; each is printed once."""
    asked, ways = 0, dict[str, list[str]]()
    for name, scenario in _scenarios().items():
        if names and not any(name.startswith(n) for n in names):
            continue
        sides = [Side(peer), Side(ours)]
        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(scenario, side) for side in sides]:
                try:
                    future.result()
                except Exception as error:  # a story that one server broke off is a difference
                    ways.setdefault(f"broke off: {error!r}", []).append(name)
        for label, wanted in sides[0].records.items():
            asked += 1
            got = sides[1].records.get(label, "not asked")
            if wanted != got and _loosely(wanted) != _loosely(got):
                lines = list(difflib.unified_diff(wanted.splitlines(), got.splitlines(), "", "", "", "", 1, ""))[2:]
                shown = "\n".join(f"    {line:.600}" for line in lines if not line.startswith("@@"))
                ways.setdefault(shown, []).append(f"{name}: {label}")
    for shown, labels in ways.items():
        more = f" (and {len(labels) - 1} more)" if len(labels) > 1 else ""
        sys.stdout.write(f"--- {labels[0]}{more}\n{shown}\n")
    sys.stdout.write(f"{asked} answers compared, {sum(map(len, ways.values()))} differ in {len(ways)} ways\n")
    return len(ways)


async def main(*arguments: str) -> int:
    peer, *names = (a for a in arguments if a != "--all")
    async with running(everything="--all" in arguments) as ours:
        return await asyncio.to_thread(compare, peer, ours, names)


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
