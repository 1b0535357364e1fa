"""`Entry`: one object at one revision, with everything derived from it computed once; and its form in the store."""

from __future__ import annotations

import re
from collections import deque
from sys import intern
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from pilothouse.api import errors
from pilothouse.api.codec import magic, rawtext, text
from pilothouse.api.objects import Obj
from pilothouse.api.types import holds_raw
from pilothouse.store.packing import Packed, Packer

if TYPE_CHECKING:
    from pilothouse.api.kinds.kind import Kind
    from pilothouse.apiserver.registry.resources import ServedResource, Stored

# The fields of metadata that upstream writes before resourceVersion.
_BEFORE_REVISION = frozenset({"name", "generateName", "namespace", "selfLink", "uid"})
_METADATA: Final = b'"metadata":{'
# A value as servers write it: up to the place of the revision, if something follows it there.
_HEAD: Final = re.compile(
    rb'\{"kind":"[^"\\]+","apiVersion":"([^"\\]+)","metadata":\{'
    rb'(?:"(?:name|generateName|namespace|selfLink|uid)":"[^"\\]*",)*(?=")(?!"(?:name|generateName|namespace|selfLink|uid|resourceVersion)")'
)
_VERSIONS_MOST = 8  # of one object at a time: a custom resource that is defined anew leaves old ones behind


def with_revision(obj: Obj, revision: int) -> Obj:
    """A shallow copy of obj whose metadata says `revision`, in its place among the fields."""
    meta: Obj = {}
    placed = False
    for name, value in obj["metadata"].items():
        if name == "resourceVersion":
            continue
        if not placed and name not in _BEFORE_REVISION:
            meta["resourceVersion"] = str(revision)
            placed = True
        meta[name] = value
    if not placed:
        meta["resourceVersion"] = str(revision)
    out: Obj = {"kind": obj["kind"], "apiVersion": obj["apiVersion"], "metadata": meta}
    for name, value in obj.items():
        if name not in out:
            out[name] = value
    return out


class Entry:
    """One object at one revision, read-only. What it costs is its value, the bytes that the store holds too: the object is
    read from them when it is asked for, and JSON is spliced from them. `obj` is of the version in memory; other versions and
    encodings are made when first asked for."""

    __slots__ = (
        "_encoded",
        "_fields",
        "_labels",
        "_meta_end",
        "_obj",
        "_packed",
        "_shown",
        "_splice",
        "_value",
        "key",
        "revision",
        "row",
        "stored",
    )

    def __init__(self, stored: Stored, key: str, revision: int, obj: Obj | None, value: bytes = b"") -> None:
        """value: the JSON of the object without its revision, if there is any; `obj` may be None then."""
        self.stored, self.key, self.revision = stored, key, revision
        self._obj, self._value = obj, value
        head = _HEAD.match(value) if value.endswith(b"}") else None  # else it is not as answers have it
        if head is not None and (stored.custom or head[1].decode() == stored.gvk.api_version):
            self._splice = head.end()
            if obj is not None:
                _RECENT.add(self)
        else:
            self._value, self._splice = b"", 0
        self._packed: tuple[Packed, int] | None = None  # in place of _value and _splice
        self._encoded: dict[object, bytes] | None = None
        self._shown: dict[ServedResource, Obj | None] | None = None  # of custom resources; None: as it is
        self._labels: dict[str, str] | None = None
        self._fields: tuple[Kind, tuple[str, ...]] | None = None
        self._meta_end = 0
        self.row: tuple[ServedResource, float, bytes] | None = None  # a table's cells, and until when they hold

    @classmethod
    def of_value(cls, stored: Stored, key: str, revision: int, value: bytes) -> Entry:
        """Of a value in the store. Raises ValueError for one that is no object."""
        if value.endswith(b"}"):
            found = cls(stored, key, revision, None, value)
            if found._splice:
                return found
        return cls(stored, key, revision, with_revision(decode_value(stored, value), revision))

    @property
    def obj(self) -> Obj:
        found = self._obj
        if found is None:
            try:
                found = self._obj = cast(Obj, orjson.loads(self._json()))
            except ValueError as error:
                raise errors.internal(f"the value of {self.key} in the store cannot be read: {error}") from error
            _RECENT.add(self)
        return found

    def forget(self) -> None:
        """The object is read again when it is next asked for."""
        self._obj = None

    def pack(self, packer: Packer) -> None:
        """Of the past: it takes little space until it is asked for."""
        packed = packer.pack("", self._value) if self._splice else None
        if packed is not None:
            self._packed = (packed, self._splice)
            self._value, self._splice, self._obj, self._encoded = b"", 0, None, None

    def _unpack(self) -> None:
        if self._packed is not None:
            self._value, self._splice, self._packed = self._packed[0].unpack(), self._packed[1], None

    @property
    def size(self) -> int:
        """Bytes of JSON, about."""
        return len(self._value)

    @property
    def name(self) -> str:
        return self.key[self.key.rfind("/") + 1 :]

    @property
    def namespace(self) -> str:
        """Empty for an object of none."""
        return self.key[len(self.stored.prefix) : self.key.rfind("/")] if self.stored.namespaced else ""

    @property
    def labels(self) -> dict[str, str]:
        found = self._labels
        if found is None:
            labels = self.obj["metadata"].get("labels")
            found = self._labels = {k: intern(v) for k, v in labels.items()} if labels else _NOTHING
        return found

    def fields(self, kind: Kind) -> tuple[str, ...]:
        """The values of the kind's own selectable fields, in the order of their sorted names."""
        found = self._fields
        if found is None or found[0] is not kind:
            values = kind.fields(self.obj)
            shown = tuple([intern(values.get(name, "")) for name in sorted(kind.field_names)])
            found = self._fields = (kind, shown)
        return found[1]

    def of(self, served: ServedResource) -> Obj:
        """The object as the served version shows it."""
        if served.encode is None:
            return self.obj
        if not self.stored.custom:
            return served.encode(self.obj)
        known = self._shown
        if known is not None and served in known:
            return known[served] or self.obj
        obj = self.obj
        found = served.encode(obj)
        if found is obj:
            self.put(served, None)
        return found

    def put(self, served: ServedResource, obj: Obj | None) -> None:
        """What `of` answers of a custom resource; None: the object as it is."""
        if self._shown is None or len(self._shown) >= _VERSIONS_MOST:
            self._shown = {}
        self._shown[served] = obj

    def has(self, served: ServedResource) -> bool:
        return self._shown is not None and served in self._shown

    def _json(self) -> bytes:
        if not self._splice:
            if self._packed is None:
                return text.to_json(self._obj)
            self._unpack()
        at = self._splice
        return b'%b"resourceVersion":"%d",%b' % (self._value[:at], self.revision, self._value[at:])

    def json(self, served: ServedResource) -> bytes:
        """JSON of the served version, from `{"kind":` on."""
        if served.encode is None:
            return self._json()
        if self.stored.custom and self.of(served) is self.obj:
            return self._json()
        if self._encoded is None or len(self._encoded) >= _VERSIONS_MOST:
            self._encoded = {}
        found = self._encoded.get(served)
        if found is None:
            found = self._encoded[served] = text.to_json(self.of(served))
        return found

    def item(self, served: ServedResource, cut: int) -> bytes:
        """The same from its byte `cut` on, as a list has it."""
        at = self._splice
        if at and served.encode is None:
            return b'{%b"resourceVersion":"%d",%b' % (self._value[cut or 1 : at], self.revision, self._value[at:])
        return b"{" + self.json(served)[cut or 1 :]

    def metadata(self) -> bytes:
        """JSON of the object's metadata."""
        self._unpack()
        at, end = self._splice, self._meta_end
        if at and not end:
            # What stands from the place of the revision on is the rest of the metadata, exactly as it is written alone.
            whole = text.to_json(self.obj["metadata"])
            start = self._value.index(_METADATA) + len(_METADATA) - 1
            end = start + len(whole) - len(b'"resourceVersion":"",') - len(str(self.revision))
            if b'%b"resourceVersion":"%d",%b' % (self._value[start:at], self.revision, self._value[at:end]) != whole:
                end = -1
            self._meta_end = end
        if end <= 0:
            return text.to_json(self.obj["metadata"])
        start = self._value.index(_METADATA) + len(_METADATA) - 1
        return b'%b"resourceVersion":"%d",%b' % (self._value[start:at], self.revision, self._value[at:end])

    def message(self, served: ServedResource) -> bytes:
        """The served version as a protobuf message, without its kind."""
        if self._encoded is None:
            self._encoded = {}
        found = self._encoded.get(served.type)
        if found is None:
            from pilothouse.api.codec import protowrite

            found = self._encoded[served.type] = protowrite.message(served.type, self.of(served))
        return found

    def has_message(self, served: ServedResource) -> bool:
        return self._encoded is not None and served.type in self._encoded

    def at(self, revision: int) -> Entry:
        """The same object as of a later revision: how a deletion shows it."""
        self._unpack()
        obj = None if self._obj is None else with_revision(self._obj, revision)
        return Entry(self.stored, self.key, revision, obj, self._value)


class _Recent:
    """The entries whose objects are in memory beside their bytes: those that were read or written last. An object takes about
    seven times the memory of its JSON."""

    def __init__(self, most_bytes: int) -> None:
        self._most, self._bytes = most_bytes, 0
        self._entries: deque[tuple[Entry, int]] = deque()

    def add(self, entry: Entry) -> None:
        entries, size = self._entries, entry.size
        entries.append((entry, size))
        self._bytes += size
        while self._bytes > self._most:
            old, size = entries.popleft()
            self._bytes -= size
            old.forget()


_RECENT: Final = _Recent(2 << 20)
_NOTHING: Final[dict[str, str]] = {}


def encode_value(stored: Stored, obj: Obj) -> bytes:
    """The value that the store keeps: JSON of the stored version (a custom resource's own), without the resource version."""
    meta, api_version = obj["metadata"], obj["apiVersion"] if stored.custom else stored.api_version
    if "resourceVersion" in meta or obj["apiVersion"] != api_version:
        meta = {k: v for k, v in meta.items() if k != "resourceVersion"}
        obj = {**obj, "apiVersion": api_version, "metadata": meta}
    if not stored.custom and holds_raw(stored.type):
        return rawtext.to_json(obj)
    return text.to_json(obj)


def decode_value(stored: Stored, value: bytes) -> Obj:
    """A stored value, JSON or upstream's protobuf, as an object of the version in memory. Raises ValueError for another."""
    if value.startswith(magic.PROTOBUF):
        from pilothouse.api.codec import protobuf

        obj: Any = protobuf.decode_stored(value)
    elif value.startswith(magic.CBOR):
        from pilothouse.api.codec import cborread

        obj = cborread.decode(value)
    else:
        obj = orjson.loads(value)
        if value.endswith(rawtext.SPACED) and not stored.custom:
            obj = rawtext.with_texts(stored.type, obj, value)
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise ValueError("a stored value is not an object")
    api_version = obj.get("apiVersion")
    other = api_version != stored.gvk.api_version and not (stored.custom and api_version)
    if other:
        convert = stored.decoder(str(api_version))
        obj = convert(obj) if convert is not None else {**obj, "apiVersion": stored.gvk.api_version}
    obj.setdefault("kind", stored.gvk.kind)
    if not stored.custom:
        stored.kind.default(obj)  # as upstream does whenever it reads: what a later version made a default, too
        if other:  # and now as this version is written
            from pilothouse.api.codec.decode import decode

            head = {"kind": stored.gvk.kind, "apiVersion": stored.gvk.api_version}
            obj = head | decode(stored.type, obj, stored=True)[0]
    return cast(Obj, obj)
