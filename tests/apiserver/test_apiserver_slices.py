"""Lists of every size and form are the same bytes, whether they go out whole or in slices."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from asking import Call
from memory_store import MemoryStore

from pilothouse.api.codec import protobuf, yamltext
from pilothouse.api.exchange import Response
from pilothouse.api.printing import Now, human_duration
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.resources import Registry, built_in
from pilothouse.apiserver.server import APIServer
from pilothouse.store.interface import Put

CM = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
PARTIAL = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def body(response: Response) -> bytes:
    assert response.status == 200, response.body
    return response.body if response.slices is None else b"".join(response.slices)


@pytest.fixture(params=[0, 1, 3, 300])
async def items(request: pytest.FixtureRequest, server: APIServer, store: MemoryStore) -> list[dict[str, Any]]:
    """So many objects, the last of which this server wrote itself."""
    found = []
    for n in range(request.param):
        meta: dict[str, Any] = {"name": f"x{n:03}", "namespace": "default", "uid": f"u{n}"}
        meta |= {"creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"odd": str(n % 2)}}
        obj: dict[str, Any] = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": meta, "data": {"k": "é\n" * 400}}
        put = await store.put(Put(f"/registry/configmaps/default/x{n:03}".encode(), orjson.dumps(obj)))
        revision = {"resourceVersion": str(put.revision)}
        bare = {"name": meta["name"], "namespace": "default", "uid": meta["uid"], **revision}
        found.append({"metadata": bare | {k: v for k, v in meta.items() if k not in bare}, "data": obj["data"]})
    return found


async def test_json(items: list[dict[str, Any]], wire: Call) -> None:
    written = body(await wire("GET", CM))
    head = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": orjson.loads(written)["metadata"]}
    assert written == orjson.dumps({**head, "items": items}) + b"\n"
    indented = body(await wire("GET", f"{CM}?pretty=true"))
    assert indented == orjson.dumps({**head, "items": items}, option=orjson.OPT_INDENT_2)


async def test_yaml(items: list[dict[str, Any]], wire: Call) -> None:
    written = body(await wire("GET", CM, accept="application/yaml"))
    metadata = orjson.loads(body(await wire("GET", CM)))["metadata"]
    head = {"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata}
    assert written == yamltext.to_yaml({**head, "items": items})


async def test_tables(items: list[dict[str, Any]], wire: Call) -> None:
    for include in ("Metadata", "Object", "None"):
        for _ in range(2):  # made, and then kept
            found = orjson.loads(body(await wire("GET", f"{CM}?includeObject={include}", accept=TABLE)))
            assert [c["name"] for c in found["columnDefinitions"]] == ["Name", "Data", "Age"]
            assert len(found["rows"]) == len(items)
            for row, item in zip(found["rows"], items, strict=True):
                assert row["cells"][:2] == [item["metadata"]["name"], 1]
                shown = {
                    "Metadata": {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": item["metadata"]},
                    "Object": {"kind": "ConfigMap", "apiVersion": "v1", **item},
                }  # fmt: skip
                assert row["object"] == shown.get(include)


async def test_metadata(items: list[dict[str, Any]], wire: Call) -> None:
    found = orjson.loads(body(await wire("GET", CM, accept=PARTIAL)))
    assert found["kind"] == "PartialObjectMetadataList"
    assert [one["metadata"] for one in found["items"] or ()] == [item["metadata"] for item in items]


async def test_protobuf(items: list[dict[str, Any]], wire: Call) -> None:
    found = protobuf.decode_stored(body(await wire("GET", CM, accept=PROTOBUF)))
    assert found["kind"] == "ConfigMapList"
    assert [one["data"] for one in found.get("items") or ()] == [item["data"] for item in items]


async def test_selectors_and_pages(items: list[dict[str, Any]], wire: Call) -> None:
    names = [item["metadata"]["name"] for item in items]
    odd = orjson.loads(body(await wire("GET", f"{CM}?labelSelector=odd%3D1")))
    assert [one["metadata"]["name"] for one in odd["items"]] == names[1::2]
    other = orjson.loads(
        body(await wire("GET", f"{CM}?fieldSelector=metadata.name!%3Dx001,metadata.namespace%3Ddefault"))
    )
    assert [one["metadata"]["name"] for one in other["items"]] == [n for n in names if n != "x001"]
    paged, token = [], ""
    while True:
        page = orjson.loads(body(await wire("GET", f"{CM}?limit=70&continue={token}")))
        paged += [one["metadata"]["name"] for one in page["items"]]
        token = page["metadata"].get("continue", "")
        assert page["metadata"].get("remainingItemCount", 0) == len(names) - len(paged)
        if not token:
            break
    assert paged == names


def test_values_of_every_form() -> None:
    """What another server may have written is served as if this one had."""
    registry = Registry()
    registry.add(*built_in({}))
    served = registry.get("", "v1", "configmaps")
    assert served is not None
    head = b'{"kind":"ConfigMap","apiVersion":"v1","metadata":'
    for metadata, expected in (
        (b'{"name":"a","uid":"u","labels":{"a":"\\u003c"}}', ["name", "uid", "resourceVersion", "labels"]),
        (b'{"name":"a"}', ["name", "resourceVersion"]),
        (b"{}", ["resourceVersion"]),
        (b'{"labels":{"a":"\\u003c"}}', ["resourceVersion", "labels"]),
        (b'{"labels":{"a":"\\u003c"},"name":"a"}', ["resourceVersion", "labels", "name"]),
        (b'{"name":"a\\"b","labels":{"a":"<"}}', ["name", "resourceVersion", "labels"]),
        (b'{"name":"a","resourceVersion":"3","labels":{"a":"<"}}', ["name", "resourceVersion", "labels"]),
        (b'{"resourceVersion":"3","name":"a","labels":{"a":"<"}}', ["name", "resourceVersion", "labels"]),
    ):
        for end in (b"}", b"}\n", b',"data":{"a":"b"}}'):
            entry = Entry.of_value(served.stored, "/registry/configmaps/n/a", 7, head + metadata + end)
            again = orjson.loads(entry.json(served))
            assert list(again["metadata"]) == expected, metadata
            assert again["metadata"]["resourceVersion"] == "7"
            assert again == entry.obj
            for _ in range(2):
                assert orjson.loads(entry.metadata()) == again["metadata"]
            assert orjson.loads(entry.item(served, len(head) - len(b'"metadata":'))) == {
                k: v for k, v in again.items() if k not in ("kind", "apiVersion")
            }
            assert entry.at(9).obj["metadata"]["resourceVersion"] == "9"
    for value in (b"", b"x", b"[]", b'{"kind":"ConfigMap","apiVersion":"v1"}', head + b'{"name":"a","uid":"u"'):
        with pytest.raises((ValueError, KeyError)):
            Entry.of_value(served.stored, "/registry/configmaps/n/a", 7, value)


@pytest.mark.parametrize("seconds", [0, 1, 119, 120, 599, 600, 3599, 10_799, 28_799, 100_000, 700_000, 90_000_000])
def test_how_long_cells_hold(seconds: int) -> None:
    now = Now(1e9 + 0.25)
    shown = human_duration(now - (1e9 - seconds))
    assert now < now.until < float("inf")
    last = now.until - 0.001
    assert human_duration(last - (1e9 - seconds)) == shown, "nothing changes before then"
