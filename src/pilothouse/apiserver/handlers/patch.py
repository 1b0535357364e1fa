"""PATCH: JSON patch, merge patch, strategic merge patch and apply.

Source: upstream's endpoints/handlers/patch.go: the patch is applied to the object in the version of the request, the result is
decoded strictly as a body is, and goes the way of an update; where another write came between, all of it is done again.
"""

from __future__ import annotations

from typing import Any

from pilothouse.api import errors, field
from pilothouse.api.codec import text, yamltext
from pilothouse.api.codec.decode import DecodeError, Held, hold
from pilothouse.api.codec.explain import go_kind
from pilothouse.api.codec.rawtext import reencoded
from pilothouse.api.codec.restore import restore
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response
from pilothouse.api.fieldmanager import validation
from pilothouse.api.gotext import go_value
from pilothouse.api.kinds import kind_of
from pilothouse.api.objects import Obj, copy, in_order
from pilothouse.api.patch import PatchError, jsonpatch
from pilothouse.api.patch.merge import merge_patch
from pilothouse.api.patch.strategic import strategic_merge
from pilothouse.api.scheme import GVK
from pilothouse.api.types import Type, holds_raw, type_of
from pilothouse.apiserver import answers, negotiation
from pilothouse.apiserver.handlers import bodies, managed, names, writing
from pilothouse.apiserver.handlers.options import WriteOptions, write_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.handlers.update import admitted, put_back
from pilothouse.apiserver.registry.entries import Entry


async def handle(scope: Scope) -> Response:
    supported = scope.core.forms.patches_of(scope.served.stored.custom)
    media_type = negotiation.media_type_of(scope.request.headers.get("content-type", ""))
    if media_type not in supported:
        if scope.served.stored.custom:
            raise errors.unsupported_media_type(supported)
        scope.warnings.clear()  # of built-in resources upstream's router refuses it, before any handler
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    apply = media_type in (negotiation.APPLY_PATCH, negotiation.APPLY_CBOR)
    options = write_options(scope.request.query, "PatchOptions", patch=True, apply=apply)
    bodies.check_size(scope)
    strict: list[str] = []
    patch = _parsed(scope, media_type, strict, judge=options.validation != "Ignore")
    if scope.strategy is not None and scope.strategy.write is not None:
        return await _other_kind(scope, media_type, patch, options, strict)
    if apply:
        return await _apply(scope, patch, options, strict)
    served = scope.served

    async def make(entry: Entry | None) -> Obj:
        if entry is None:
            raise scope.not_found()
        obj = _result(scope, served.gvk, served.type, entry.of(served), patch, media_type, strict, options)
        names.check_name(scope, obj["metadata"])
        served.kind.default(obj)
        names.settle_namespace(scope, obj["metadata"])
        obj = served.inward(obj)
        await managed.update(scope, entry, obj, options)
        return await admitted(scope, obj, entry, options)

    entry, created = await writing.update(scope, make, options)
    return answers.of_entry(scope, entry, 201 if created else 200)


def _parsed(scope: Scope, media_type: str, strict: list[str], *, judge: bool) -> Any:
    """The patch; into `strict` go the fields that it names twice, if anybody wants to know. Raises 400."""
    if scope.request.object is not None:
        return scope.request.object
    raw = scope.request.body
    if media_type == negotiation.APPLY_CBOR:
        from pilothouse.api.codec import cborread

        try:
            return cborread.decode_map(raw)
        except text.Malformed as error:
            raise errors.bad_request(f"error decoding patch: {error}") from None
    if media_type == negotiation.APPLY_PATCH:
        try:
            return yamltext.from_yaml(raw, strict if judge else None)
        except text.Malformed as error:
            raise errors.bad_request(f"error decoding patch: error converting YAML to JSON: {error}") from None
    try:
        patch = text.from_json(raw)
    except text.Malformed:
        raise errors.bad_request("invalid JSON patch") from None
    if media_type == negotiation.JSON_PATCH:
        try:
            found = jsonpatch.read(patch, raw, judge=judge)
        except PatchError as error:
            raise errors.bad_request(str(error)) from None
    else:
        if patch is None and media_type == negotiation.STRATEGIC_PATCH:
            return {}
        if not isinstance(patch, dict):
            why = "Invalid JSON Patch"
            if patch is not None:
                why = f"json: cannot unmarshal {go_kind(patch)} into Go value of type map[string]interface {{}}"
                if media_type == negotiation.MERGE_PATCH:
                    why = f"error decoding patch: {why}"
            raise errors.bad_request(why)
        found = text.duplicates(raw) if judge else []
    if judge:
        strict += found
    return patch


def _result(
    scope: Scope, gvk: GVK, type_: Type | None, present: Obj, patch: Any, media_type: str, strict: list[str],
    options: WriteOptions,
) -> Obj:  # fmt: skip
    if media_type != negotiation.STRATEGIC_PATCH:
        literal = any(c in scope.request.body for c in b"<>&")
        patched = _patched(present, patch, media_type, type_, literal=literal)
        return _read(scope, gvk, type_, patched, None, strict, options.validation)
    own = copy(patch)
    patched = _patched(present, own, media_type, type_)
    return _read(scope, gvk, type_, patched, go_value(own), strict, options.validation)


def _patched(present: Obj, patch: Any, media_type: str, type_: Type | None, *, literal: bool = False) -> Any:
    try:
        if media_type == negotiation.JSON_PATCH:
            return jsonpatch.json_patch(present, patch, literal=literal)
        if media_type == negotiation.MERGE_PATCH:
            return merge_patch(present, patch)
        assert type_ is not None
        return strategic_merge(present, patch, type_)
    except RecursionError:
        raise errors.bad_request("the patch is nested too deeply") from None
    except PatchError as error:
        if error.code == 422:
            raise StatusError(422, "Invalid", str(error), {}) from None
        if error.code == 413:
            raise errors.too_large(str(error)) from None
        raise errors.bad_request(str(error)) from None


def _read(
    scope: Scope, gvk: GVK, type_: Type | None, patched: Any, shown: str | None, strict: list[str], validation: str
) -> Obj:
    """What came out, as an object of its type. `shown` is what messages say of a strategic merge patch; without it they say
    what came out. Raises 422."""

    def refused(why: str) -> StatusError:
        value = shown
        if value is None:
            value = field.render(in_order(patched) if scope.served.stored.custom else patched)
        return errors.invalid("", "", "", [field.invalid("patch", value, why)])

    if not isinstance(patched, dict):
        raise refused("json: cannot unmarshal into Go value of type struct")
    custom = scope.served.stored.custom and gvk == scope.served.gvk
    if custom and (isinstance(patched.get("kind"), str) and patched["kind"] not in ("", gvk.kind)):
        raise bodies.wrong_kind(scope, gvk, gvk._replace(kind=patched["kind"]), patched)
    if custom and patched.get("kind") in (None, ""):
        raise refused(f"Object 'Kind' is missing in '{field.render(in_order(patched))}'")
    if shown is None:  # the result of a strategic merge patch is of the type that it was before, whatever it says
        actual = _said(scope, gvk, patched)
        if actual != gvk:
            raise refused(bodies.unconvertible(gvk, actual))
    faults: list[str] = []
    try:
        if custom:
            found, unknown = bodies.custom(scope, patched)
            faults = unknown if validation != "Ignore" else []
        elif type_ is None:
            found = copy(patched)
        else:
            decoded, faults, scope.empties = _decoded(
                type_, patched, direct=shown is not None, strict=validation != "Ignore"
            )
            if holds_raw(type_):
                decoded = reencoded(decoded, in_maps=shown is not None)
            found = bodies.with_head(gvk, decoded)
    except DecodeError as error:
        raise refused(str(error)) from None
    faults = [*strict, *(sorted(faults) if shown is not None else faults)]
    if faults and validation == "Strict":
        raise refused(f"strict decoding error: {', '.join(faults)}")
    for fault in faults:
        scope.warn(fault)
    if not isinstance(found.get("metadata"), dict):
        found["metadata"] = {}
    return found


def _decoded(type_: Type, value: Any, *, direct: bool, strict: bool) -> Held:
    try:
        return hold(type_, value, strict=strict, direct=direct)
    except DecodeError:
        if not direct:
            raise
        return hold(type_, restore(type_, value), strict=strict, direct=True)


def _said(scope: Scope, gvk: GVK, patched: Obj) -> GVK:
    """The kind that a patched object says it is of. Without a version, what is in it gets lost upstream. Raises 400."""
    version = patched.get("apiVersion")
    if not version:
        names.check_name(scope, {})
    group, _, version = str(version).rpartition("/")
    return GVK(group, version, str(patched.get("kind") or gvk.kind))


async def _apply(scope: Scope, patch: Any, options: WriteOptions, strict: list[str]) -> Response:
    served = scope.served
    applied = _applied(scope, served.gvk, served.merge_type or served.type, patch)

    async def make(entry: Entry | None) -> Obj:
        obj = await managed.apply(scope, entry, applied, options)
        if strict and options.validation == "Strict":
            told = "\n".join(f"  {fault}" for fault in strict)
            why = f"error converting YAML to JSON: yaml: unmarshal errors:\n{told}"
            raise errors.bad_request(f"error strict decoding patch: {why}")
        for fault in strict:
            scope.warn(fault)
        obj = _typed(scope, served.gvk, served.type, obj)
        names.check_name(scope, obj["metadata"])
        served.kind.default(obj)
        names.settle_namespace(scope, obj["metadata"])
        return await admitted(scope, served.inward(obj), entry, options)

    creates = not scope.info.subresource
    entry, created = await writing.update(scope, make, options, allow_create=creates)
    return answers.of_entry(scope, entry, 201 if created else 200)


def _applied(scope: Scope, gvk: GVK, type_: Type | None, patch: Any) -> Obj:
    """The applied configuration as it was sent, but checked against its type. Raises 400."""
    if patch is None:
        patch = {}
    if not isinstance(patch, dict):
        what = f"json: cannot unmarshal {go_kind(patch)} into Go value of type map[string]interface {{}}"
        raise errors.bad_request(f"error decoding patch: error unmarshaling JSON: while decoding JSON: {what}")
    version, kind = (text if isinstance(text, str) else "" for text in (patch.get("apiVersion"), patch.get("kind")))
    if version.count("/") > 1:
        version = kind = ""
    what = f"{version}, Kind={kind}"
    if (version, kind) != (gvk.api_version, gvk.kind):
        raise errors.bad_request(f"invalid object type: {what if '/' in version else '/' + what}")
    meta = patch.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    if meta.get("managedFields") is not None:
        raise errors.bad_request("metadata.managedFields must be nil")
    identity = f"{meta.get('namespace') or ''}/{meta.get('name') or ''}; {what if '/' in version else '/' + what}"
    if type_ is not None:
        faults = validation.faults(type_, patch)
        if faults:
            told = faults[0] if len(faults) == 1 else "errors:\n" + "\n".join(f"  {f}" for f in faults)
            raise errors.bad_request(f"failed to create typed patch object ({identity}): {told}")
    found: Obj = copy(patch)
    return found


def _typed(scope: Scope, gvk: GVK, type_: Type | None, merged: Obj) -> Obj:
    """What came out of an apply, as an object of its type. Raises 400, where upstream answers 500."""
    meta = merged.get("metadata")
    if not isinstance(meta, dict):
        merged = {**merged, "metadata": {}}
    if type_ is None:
        found: Obj = copy(merged)
        return found
    try:
        decoded = _decoded(type_, merged, direct=True, strict=False).value
    except DecodeError as error:
        what = f"{gvk.api_version if gvk.group else '/' + gvk.version}, Kind={gvk.kind}"
        why = f"unable to convert unstructured object to {what}: {error}"
        raise errors.bad_request(
            f"failed to convert new object (/{scope.info.name}; {what}) to proper version: {why}"
        ) from None
    return {"kind": gvk.kind, "apiVersion": gvk.api_version, **decoded}


async def _other_kind(scope: Scope, media_type: str, patch: Any, options: WriteOptions, strict: list[str]) -> Response:
    """A subresource of a kind of its own (scale) is patched as it shows itself."""
    strategy, gvk = scope.strategy, scope.sub_gvk
    assert strategy is not None and strategy.read is not None and gvk is not None
    read = strategy.read
    type_ = type_of(gvk)
    configuration = None
    if media_type in (negotiation.APPLY_PATCH, negotiation.APPLY_CBOR):
        configuration = _applied(scope, gvk, type_, patch)

    async def make(entry: Entry | None) -> Obj:
        if entry is None:
            raise scope.not_found()
        present = scope.present(entry)
        if configuration is not None:
            obj: Obj = {"metadata": {}}
            merged = managed.apply_sub(scope, entry, obj, read(present), configuration, options)
            sub = _typed(scope, gvk, type_, merged)
            found = await put_back(scope, entry, sub, options)
            found["metadata"]["managedFields"] = obj["metadata"]["managedFields"]
            return found
        sub = _result(scope, gvk, type_, read(present), patch, media_type, strict, options)
        kind_of(gvk.group, gvk.kind).default(sub)
        return await put_back(scope, entry, sub, options)

    entry, _ = await writing.update(scope, make, options)
    return answers.of_object(scope, read(scope.present(entry)))
