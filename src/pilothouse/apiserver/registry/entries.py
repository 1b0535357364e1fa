"""`Entry`: one object at one revision, with everything derived from it computed once; and its form in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import orjson

from pilothouse.api.objects import Obj

if TYPE_CHECKING:
    from pilothouse.apiserver.registry.resources import ServedResource, Stored

# The fields of metadata that upstream writes before resourceVersion.
_BEFORE_REVISION = frozenset({"name", "generateName", "namespace", "selfLink", "uid"})
PROTOBUF_MAGIC = b"k8s\0"


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
    """Read-only. `obj` is of the version in memory; other versions and encodings are made when first asked for."""

    __slots__ = ("_encoded", "_versions", "key", "obj", "revision")

    def __init__(self, key: str, obj: Obj, revision: int) -> None:
        self.key, self.obj, self.revision = key, obj, revision
        self._versions: dict[str, Obj] | None = None
        self._encoded: dict[str, bytes] | None = None

    def of(self, served: ServedResource) -> Obj:
        """The object as the served version shows it."""
        if served.encode is None:
            return self.obj
        api_version = served.gvr.api_version
        if self._versions is None:
            self._versions = {}
        found = self._versions.get(api_version)
        if found is None:
            found = self._versions[api_version] = served.encode(self.obj)
        return found

    def json(self, served: ServedResource) -> bytes:
        """JSON of the served version, from `{"kind":` on."""
        api_version = served.gvr.api_version
        if self._encoded is None:
            self._encoded = {}
        found = self._encoded.get(api_version)
        if found is None:
            found = self._encoded[api_version] = orjson.dumps(self.of(served))
        return found

    def message(self, served: ServedResource) -> bytes:
        """The served version as a protobuf message, without its kind."""
        form = f"{served.gvr.api_version} protobuf"
        if self._encoded is None:
            self._encoded = {}
        found = self._encoded.get(form)
        if found is None:
            from pilothouse.api.codec import protowrite

            found = self._encoded[form] = protowrite.message(served.type, self.of(served))
        return found

    def at(self, revision: int) -> Entry:
        """The same object as of a later revision: how a deletion shows it."""
        return Entry(self.key, with_revision(self.obj, revision), revision)


def encode_value(stored: Stored, obj: Obj) -> bytes:
    """The value that the store keeps: JSON of the stored version, without the resource version."""
    meta = obj["metadata"]
    if "resourceVersion" in meta or obj["apiVersion"] != stored.api_version:
        meta = {k: v for k, v in meta.items() if k != "resourceVersion"}
        obj = {**obj, "apiVersion": stored.api_version, "metadata": meta}
    return orjson.dumps(obj)


def decode_value(stored: Stored, value: bytes) -> Obj:
    """A stored value, JSON or upstream's protobuf, as an object of the version in memory. Raises ValueError for another."""
    if value.startswith(PROTOBUF_MAGIC):
        from pilothouse.api.codec import protobuf

        obj: Any = protobuf.decode_stored(value)
    else:
        obj = orjson.loads(value)
    if not isinstance(obj, dict) or not isinstance(obj.get("metadata"), dict):
        raise ValueError("a stored value is not an object")
    api_version = obj.get("apiVersion")
    if api_version != stored.gvk.api_version:
        convert = stored.decoders.get(str(api_version))
        obj = convert(obj) if convert is not None else {**obj, "apiVersion": stored.gvk.api_version}
    obj.setdefault("kind", stored.gvk.kind)
    return cast(Obj, obj)
