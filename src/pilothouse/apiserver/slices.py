"""Collections as they are sent: encoded slice by slice, so that a list of any size is never held whole and never blocks the loop
for more than a slice. An item's bytes come from its entry, which made them once; where they may be yet to make, a slice ends when
its time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import add
from typing import Final

import orjson

from pilothouse.api.codec import protowrite, text
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK
from pilothouse.apiserver.pacing import Pace
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.resources import ServedResource

SLICE_BYTES: Final = 64 * 1024
_LOOK_BYTES: Final = 4 * 1024  # between two looks at the clock


def json(served: ServedResource, entries: Sequence[Entry], head: Obj) -> Iterator[bytes]:
    """A list. Upstream's typed lists leave kind and apiVersion out of their items; those of custom resources have them."""
    cut = 0
    if not served.stored.custom:
        cut = len(b'{"kind":"","apiVersion":"",') + len(served.resource.kind) + len(served.gvr.api_version)
    return _array(head, b"items", (entry.item(served, cut) for entry in entries))


def pretty(served: ServedResource, entries: Sequence[Entry], head: Obj, pace: Pace) -> Iterator[bytes]:
    """The same, indented for people."""
    start = orjson.dumps(head, option=orjson.OPT_INDENT_2)[: -len(b"\n}")] + b',\n  "items": ['
    items = (text.to_json(o, orjson.OPT_INDENT_2).replace(b"\n", b"\n    ") for o in _bare(served, entries))
    return _joined(start, b",", (b"\n    " + item for item in items), b"\n  ]\n}" if entries else b"]\n}", pace)


def yaml(served: ServedResource, entries: Sequence[Entry], head: Obj, pace: Pace) -> Iterator[bytes]:
    """The same as YAML: every item is written as the one item of a list."""
    from pilothouse.api.codec import yamltext

    empty, key = b"items: []\n", b"items:\n"
    start, _, end = yamltext.to_yaml({**head, "items": []}).partition(empty)
    if not entries:
        return iter((start + empty + end,))
    items = (yamltext.to_yaml({"items": [o]})[len(key) :] for o in _bare(served, entries))
    return _joined(start + key, b"", items, end, pace)


def cbor(served: ServedResource, entries: Sequence[Entry], head: Obj, pace: Pace) -> Iterator[bytes]:
    from pilothouse.api.codec import cbor as codec

    type_ = None if served.stored.custom else served.type
    return _joined(b"", b"", codec.list_parts(head, type_, _bare(served, entries), len(entries)), b"", pace)


def _bare(served: ServedResource, entries: Sequence[Entry]) -> Iterator[Obj]:
    """The objects as a list has them."""
    for entry in entries:
        obj = entry.of(served)
        yield obj if served.stored.custom else {k: v for k, v in obj.items() if k not in ("kind", "apiVersion")}


def rows(entries: Sequence[Entry], row: Callable[[Entry], bytes], head: Obj, pace: Pace) -> Iterator[bytes]:
    """A table, of its rows' JSON."""
    return _array(head, b"rows", map(row, entries), pace)


def partial(entries: Sequence[Entry], head: Obj, item: Callable[[Entry], bytes], pace: Pace) -> Iterator[bytes]:
    return _array(head, b"items", map(item, entries), pace)


def protobuf(served: ServedResource, entries: Sequence[Entry], meta: Obj) -> Iterator[bytes]:
    """A list in its envelope, which begins with its length: every entry's message must have been made."""
    gvk: GVK = served.gvk._replace(kind=served.resource.list_kind)
    items = [entry.message(served) for entry in entries]
    heads = [protowrite.item_head(len(item)) for item in items]
    start, end = protowrite.list_envelope(gvk, meta, sum(map(len, items)) + sum(map(len, heads)))
    return _joined(start, b"", map(add, heads, items), end)


def _array(head: Obj, name: bytes, items: Iterable[bytes], pace: Pace | None = None) -> Iterator[bytes]:
    return _joined(b'%b,"%b":[' % (orjson.dumps(head)[:-1], name), b",", items, b"]}\n", pace)


def _joined(
    start: bytes, separator: bytes, items: Iterable[bytes], end: bytes, pace: Pace | None = None
) -> Iterator[bytes]:
    parts, size = [start], len(start)
    between, step = b"", SLICE_BYTES if pace is None else _LOOK_BYTES
    look = step
    if pace is not None:
        pace.begin()
    for item in items:
        parts.append(between)
        parts.append(item)
        between = separator
        size += len(item)
        if size >= look:
            look = size + step
            if size >= SLICE_BYTES or (pace is not None and pace.due()):
                yield b"".join(parts)
                parts, size, look = [], 0, step
                if pace is not None:
                    pace.begin()
    parts.append(end)
    yield b"".join(parts)
