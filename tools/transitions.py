"""Changes objects in every way and asks both servers: `tools/transitions.py URL Service,Node [DEPTH]`.

Where differential.py judges objects, this judges what becomes of them: each field taken away, changed and nulled in an object
that has it; directives of strategic merge patches; JSON patches at every place; configurations applied again; metadata;
deletions with preconditions. URL is upstream's kube-apiserver (shared/peers/cluster.sh); ours is started beside it.
"""

from __future__ import annotations

import asyncio
import copy
import sys
from collections.abc import Iterator
from typing import Any

from differential import Pair, grafts, load_oracle, report
from oracle import running

from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import type_of
from pilothouse.clock import RealClock

JSON, JSON_PATCH, MERGE = "application/json", "application/json-patch+json", "application/merge-patch+json"
STRATEGIC, APPLY = "application/strategic-merge-patch+json", "application/apply-patch+yaml"
_HEAD = ("apiVersion", "kind")
_KEYS = ("name", "key", "ip", "type", "port", "containerPort", "mountPath", "devicePath", "topologyKey", "uid", "podIP")


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        if not path and key in _HEAD:
            continue
        yield (*path, key), value
        yield from places(value, (*path, key))


def put(obj: Any, path: tuple[Any, ...], value: Any, *, drop: bool = False) -> Any:
    out = copy.deepcopy(obj)
    at = out
    for key in path[:-1]:
        at = at[key]
    if drop:
        del at[path[-1]]
    else:
        at[path[-1]] = value
    return out


def wrapped(path: tuple[Any, ...], value: Any, obj: Any) -> Any:
    """A patch of one place; items of lists are named by their keys."""
    for i in range(len(path) - 1, -1, -1):
        key = path[i]
        if not isinstance(key, int):
            value = {key: value}
            continue
        at = obj
        for step in path[: i + 1]:
            at = at[step]
        known = {k: at[k] for k in _KEYS if k in at} if isinstance(at, dict) else {}
        value = [{**known, **value}] if isinstance(value, dict) else [value]
    return value


def directives(obj: Any) -> Iterator[tuple[str, Any]]:
    """(name, strategic merge patch)"""
    for path, value in places(obj):
        where = "/".join(map(str, path))
        parent, name = path[:-1], path[-1]
        if path[0] == "metadata" and len(path) == 1:
            continue
        if isinstance(value, dict):
            for word in ("replace", "delete", "merge", "foo", 7):
                yield f"$patch={word}:{where}", wrapped(path, {"$patch": word}, obj)
            yield f"replaced:{where}", wrapped(path, {"$patch": "replace", **value}, obj)
            first = next(iter(value), "x")
            yield f"retain:{where}", wrapped(path, {"$retainKeys": [first], first: value.get(first)}, obj)
            yield f"retain-none:{where}", wrapped(path, {"$retainKeys": [], first: value.get(first)}, obj)
            yield f"retain-bad:{where}", wrapped(path, {"$retainKeys": "x"}, obj)
            for gone in value:
                yield f"null:{where}/{gone}", wrapped(path, {gone: None}, obj)
        if isinstance(value, list) and isinstance(name, str):
            yield f"emptylist:{where}", wrapped(path, [], obj)
            yield f"list-replace:{where}", wrapped(path, [{"$patch": "replace"}], obj)
            yield f"list-replace-all:{where}", wrapped(path, [{"$patch": "replace"}, *value], obj)
            yield f"list-foo:{where}", wrapped(path, [{"$patch": "foo"}], obj)
            yield f"order:{where}", wrapped(parent, {f"$setElementOrder/{name}": value[::-1]}, obj)
            yield f"order-some:{where}", wrapped(parent, {f"$setElementOrder/{name}": [], name: value}, obj)
            yield f"order-bad:{where}", wrapped(parent, {f"$setElementOrder/{name}": "x"}, obj)
            yield f"drop-primitive:{where}", wrapped(parent, {f"$deleteFromPrimitiveList/{name}": value[:1]}, obj)
            yield f"drop-primitive-bad:{where}", wrapped(parent, {f"$deleteFromPrimitiveList/{name}": 7}, obj)
            for item in value[:1]:
                if isinstance(item, dict):
                    known = {k: item[k] for k in _KEYS if k in item}
                    yield f"list-delete:{where}", wrapped(path, [{"$patch": "delete", **known}], obj)
                    yield (
                        f"list-delete-other:{where}",
                        wrapped(path, [{"$patch": "delete", **dict.fromkeys(known, "q")}], obj),
                    )
                    yield f"list-delete-keyless:{where}", wrapped(path, [{"$patch": "delete"}], obj)
                    yield f"list-keyless:{where}", wrapped(path, [{"zzz": 1}], obj)
                    yield f"list-twice:{where}", wrapped(path, [item, item], obj)
                    for k in known:
                        yield (
                            f"list-new-{k}:{where}",
                            wrapped(path, [{**item, k: "zzz" if isinstance(item[k], str) else 77}], obj),
                        )


def json_patches(obj: Any) -> Iterator[tuple[str, Any]]:
    for path, value in places(obj):
        where = "/".join(map(str, path))
        at = "/" + "/".join(str(p).replace("~", "~0").replace("/", "~1") for p in path)
        yield f"null:{where}", [{"op": "replace", "path": at, "value": None}]
        yield (
            f"type:{where}",
            [{"op": "replace", "path": at, "value": {"a": 1} if not isinstance(value, dict) else [1]}],
        )
        yield f"test:{where}", [{"op": "test", "path": at, "value": value}]
        yield f"test-not:{where}", [{"op": "test", "path": at, "value": "other"}]
        if path != ("metadata",):
            yield f"copy:{where}", [{"op": "copy", "from": at, "path": "/metadata/annotations"}]
        yield f"move:{where}", [{"op": "move", "from": at, "path": at + "zz"}]
        if isinstance(value, dict):
            yield f"unknown:{where}", [{"op": "add", "path": at + "/unknown", "value": 1}]
            yield f"gone:{where}", [{"op": "remove", "path": at + "/unknown"}]
        if isinstance(value, list):
            yield f"front:{where}", [{"op": "add", "path": at + "/0", "value": value[-1] if value else "x"}]
            yield f"far:{where}", [{"op": "add", "path": at + "/99", "value": 1}]


def merges(obj: Any) -> Iterator[tuple[str, Any]]:
    for path, value in places(obj):
        if any(isinstance(p, int) for p in path):
            continue
        where = "/".join(map(str, path))
        yield f"null:{where}", wrapped(path, None, obj)
        yield f"type:{where}", wrapped(path, {"a": 1} if not isinstance(value, dict) else [1], obj)
        if isinstance(value, list):
            yield f"empty:{where}", wrapped(path, [], obj)
            yield f"nulls:{where}", wrapped(path, [None], obj)
            yield f"turned:{where}", wrapped(path, value[::-1], obj)
        if isinstance(value, dict):
            yield f"emptymap:{where}", wrapped(path, {}, obj)


def configurations(obj: Any) -> Iterator[tuple[str, Any]]:
    """What is applied after the whole object was."""
    for path, value in places(obj):
        if path[0] == "metadata" and path[1:] in ((), ("name",), ("namespace",)):
            continue
        where = "/".join(map(str, path))
        yield f"drop:{where}", put(obj, path, None, drop=True)
        yield f"null:{where}", put(obj, path, None)
        if isinstance(value, list):
            yield f"empty:{where}", put(obj, path, [])
            yield f"turned:{where}", put(obj, path, value[::-1])
            yield f"twice:{where}", put(obj, path, value + value[:1])
            for item in value[:1]:
                for k in (k for k in _KEYS if isinstance(item, dict) and k in item):
                    other = {**item, k: "zzz" if isinstance(item[k], str) else 77}
                    yield f"more-{k}:{where}", put(obj, path, [*value, other])
                    yield f"instead-{k}:{where}", put(obj, path, [other, *value[1:]])
                    yield (
                        f"keyless-{k}:{where}",
                        put(obj, path, [{n: v for n, v in item.items() if n != k}, *value[1:]]),
                    )
        elif isinstance(value, dict):
            yield f"emptymap:{where}", put(obj, path, {})
        elif isinstance(value, str):
            yield f"other:{where}", put(obj, path, value + "z")
        elif isinstance(value, int):
            yield f"other:{where}", put(obj, path, value + 1)


def metadata(obj: Any) -> Iterator[tuple[str, Any]]:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}
    values = {
        "resourceVersion": ("0", "", "1", "abc", "99999999"), "generation": (0, 99, -1), "uid": ("", "zz"),
        "creationTimestamp": ("2026-01-02T03:04:05Z", None), "deletionTimestamp": ("2026-01-02T03:04:05Z",),
        "deletionGracePeriodSeconds": (5,), "selfLink": ("x",), "generateName": ("zz-", "A_"), "name": ("", "zz"),
        "finalizers": (["a.example.com/b"], ["zz"], ["a/b", "a/b"], ["orphan", "foregroundDeletion"], [""], [None]),
        "ownerReferences": (
            [owner], [owner, owner], [{**owner, "controller": True}, {**owner, "uid": "w", "controller": True}], [{}],
            [{**owner, "apiVersion": "a/b/c"}], [{**owner, "kind": "Event"}], [{**owner, "blockOwnerDeletion": True}],
        ),
        "labels": ({"a": "b"}, {"A B": "c"}, {"a": "b" * 64}, {"x/y/z": "1"}, {"a": None}),
        "annotations": (
            {"a": "b"}, {"A B": "c"}, {"a": "b" * 300000}, {"kubectl.kubernetes.io/last-applied-configuration": "{}"},
        ),
        "managedFields": (
            [], [{}], [{"manager": "a"}], [{"manager": "a", "operation": "Foo"}],
            [{"manager": "z", "operation": "Update", "apiVersion": obj["apiVersion"], "fieldsType": "FieldsV1", "fieldsV1": {}}],
            [{"manager": "z", "operation": "Update", "apiVersion": "q/v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:a": {}}}],
        ),
    }  # fmt: skip
    for name, given in values.items():
        for i, value in enumerate(given):
            yield f"{name}#{i}", {**obj, "metadata": {**obj["metadata"], name: value}}


_DELETES: tuple[Any, ...] = (
    {}, {"propagationPolicy": "Foreground"}, {"propagationPolicy": "Orphan"}, {"propagationPolicy": "Foo"},
    {"orphanDependents": True}, {"orphanDependents": True, "propagationPolicy": "Orphan"}, {"gracePeriodSeconds": 0},
    {"gracePeriodSeconds": -1}, {"gracePeriodSeconds": 5}, {"preconditions": {"resourceVersion": "1"}},
    {"preconditions": {"uid": "x", "resourceVersion": "1"}}, {"preconditions": {}}, {"dryRun": ["Foo"]}, {"zzz": 1},
    {"kind": "Foo"}, {"ignoreStoreReadErrorWithClusterBreakingPotential": True},
)  # fmt: skip


def remove(pair: Pair, one: str) -> None:
    list(pair.ask([("", "PATCH", one, {"metadata": {"finalizers": None}}, MERGE)]))
    list(pair.ask([("", "DELETE", f"{one}?gracePeriodSeconds=0&propagationPolicy=Background", None)]))


def compared(oracle: Any, pair: Pair, obj: Any, depth: int) -> Iterator[tuple[str, Any, Any]]:
    base, kind, name = oracle.collection(obj), obj["kind"], obj["metadata"]["name"]
    one = f"{base}/{name}"
    dry = f"{one}?dryRun=All&fieldManager=b"
    remove(pair, one)
    list(pair.ask([("", "POST", f"{base}?fieldManager=a", obj)]))
    asyncio.run(RealClock().sleep(1.2))  # times in managedFields are whole seconds, and order the managers
    yield from pair.ask([(f"{kind} strategic {n}", "PATCH", dry, p, STRATEGIC) for n, p in directives(obj)])
    yield from pair.ask([(f"{kind} json {n}", "PATCH", dry, p, JSON_PATCH) for n, p in json_patches(obj)])
    yield from pair.ask([(f"{kind} merge {n}", "PATCH", dry, p, MERGE) for n, p in merges(obj)])
    yield from pair.ask([(f"{kind} put {n}", "PUT", dry, o) for n, o in metadata(obj)])
    yield from pair.ask(
        [(f"{kind} delete {i}", "DELETE", one, {"dryRun": ["All"], **o}) for i, o in enumerate(_DELETES)]
    )
    yield from pair.ask([(f"{kind} apply", "PATCH", f"{one}?fieldManager=x&force=true", obj, APPLY)])
    asyncio.run(RealClock().sleep(1.2))
    for who, how in (("x", ""), ("y", ""), ("y", "&force=true")):
        to = f"{one}?dryRun=All&fieldManager={who}{how}"
        yield from pair.ask([(f"{kind} apply {who}{how} {n}", "PATCH", to, o, APPLY) for n, o in configurations(obj)])
    yield from pair.ask([(f"{kind} put after {n}", "PUT", dry, o) for n, o in configurations(obj)])
    remove(pair, one)
    if depth:
        yield from with_more(pair, obj, base, depth)


def with_more(pair: Pair, obj: Any, base: str, depth: int) -> Iterator[tuple[str, Any, Any]]:
    """Each field that the object could have besides: there first, then taken away, nulled and changed."""
    group, version = split_api_version(obj["apiVersion"])
    type_ = type_of(GVK(group, version, obj["kind"]))
    assert type_ is not None
    kind, one = obj["kind"], f"{base}/{obj['metadata']['name']}"
    by_place: dict[str, list[Any]] = {}
    for place, grafted in grafts(type_, obj, "", depth):
        by_place.setdefault(place.partition("#")[0], []).append(grafted)
    for place, objects in by_place.items():
        for i, first in enumerate(objects[:3]):
            made = list(pair.ask([("", "POST", f"{base}?fieldManager=a", first)]))
            if not made or made[0][1]["code"] != 201:
                continue
            others = [(f"{kind} from {place}#{i} to {j}", o) for j, o in enumerate(objects[:3]) if j != i]
            to = f"{one}?dryRun=All&fieldManager=b"
            yield from pair.ask([(n, "PUT", to, o) for n, o in (*others, (f"{kind} from {place}#{i} to none", obj))])
            yield from pair.ask([(f"{kind} from {place}#{i} applied", "PATCH", f"{to}&force=true", obj, APPLY)])
            remove(pair, one)


def differences(peer: str, ours: str, kinds: set[str], depth: int) -> int:
    oracle = load_oracle()
    pair = Pair(oracle, peer, ours)
    list(pair.ask([("", "POST", oracle.collection(o), o) for o in oracle.SETUP]))
    chosen = [o for o in oracle.exemplars() if o["kind"] in kinds or "all" in kinds]
    return report(answer for obj in chosen for answer in compared(oracle, pair, obj, depth))


async def main(peer: str, kinds: str, depth: str = "0") -> int:
    async with running() as ours:
        return await asyncio.to_thread(differences, peer, ours, set(kinds.split(",")), int(depth))


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main(*sys.argv[1:])) else 0)
