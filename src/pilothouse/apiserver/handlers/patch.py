"""PATCH: JSON patch, merge patch, strategic merge patch and apply.

Source: upstream's endpoints/handlers/patch.go: the patch is applied to the object in the version of the request, the result is
decoded strictly as a body is, and goes the way of an update; where another write came between, all of it is done again.
"""

from __future__ import annotations

from typing import Any

from pilothouse.api import errors, field
from pilothouse.api.codec import text, yamltext
from pilothouse.api.codec.decode import DecodeError, decode
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Response
from pilothouse.api.kinds import kind_of
from pilothouse.api.objects import Obj, copy
from pilothouse.api.patch import PatchError
from pilothouse.api.patch.jsonpatch import json_patch
from pilothouse.api.patch.merge import merge_patch
from pilothouse.api.patch.strategic import strategic_merge
from pilothouse.api.scheme import GVK
from pilothouse.api.types import Type, type_of
from pilothouse.apiserver import answers, negotiation
from pilothouse.apiserver.handlers import bodies, managed, names, writing
from pilothouse.apiserver.handlers.options import WriteOptions, write_options
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.handlers.update import admitted, put_back
from pilothouse.apiserver.registry.entries import Entry

_BUILT_IN = (negotiation.JSON_PATCH, negotiation.MERGE_PATCH, negotiation.STRATEGIC_PATCH, negotiation.APPLY_PATCH)
_CUSTOM = (negotiation.JSON_PATCH, negotiation.MERGE_PATCH, negotiation.APPLY_PATCH)


async def handle(scope: Scope) -> Response:
    supported = _CUSTOM if scope.served.stored.custom else _BUILT_IN
    media_type = negotiation.media_type_of(scope.request.headers.get("content-type", ""))
    if media_type not in supported:
        if scope.served.stored.custom:
            raise errors.unsupported_media_type(supported)
        # Of built-in resources upstream's router refuses it, before any handler.
        raise StatusError(415, "UnsupportedMediaType", "415: Unsupported Media Type", {})
    apply = media_type == negotiation.APPLY_PATCH
    options = write_options(scope.request.query, "PatchOptions", patch=True, apply=apply)
    bodies.check_size(scope)
    patch = _parsed(scope, media_type)
    if scope.strategy is not None and scope.strategy.write is not None:
        return await _other_kind(scope, media_type, patch, options)
    if apply:
        return await _apply(scope, patch, options)
    served = scope.served

    async def make(entry: Entry | None) -> Obj:
        if entry is None:
            raise scope.not_found()
        present = served.outward(entry.obj)
        patched = _patched(present, patch, media_type, served.type)
        obj = _read(scope, served.gvk, served.type, patched, media_type, options)
        _check_identity(scope, entry, obj)
        served.kind.default(obj)
        names.settle_namespace(scope, obj["metadata"])
        names.dedup_owners(scope, obj["metadata"], after_admission=False)
        obj = served.inward(obj)
        managed.update(scope, entry, obj, options)
        return await admitted(scope, obj, entry, options)

    entry, created = await writing.update(scope, make, options)
    return answers.of_entry(scope, entry, 201 if created else 200)


def _parsed(scope: Scope, media_type: str) -> Any:
    if scope.request.object is not None:
        return scope.request.object
    try:
        if media_type == negotiation.APPLY_PATCH:
            return yamltext.from_yaml(scope.request.body)
        return text.from_json(scope.request.body)
    except text.Malformed as error:
        if media_type == negotiation.APPLY_PATCH:
            raise errors.bad_request(f"error decoding YAML: error converting YAML to JSON: {error}") from None
        if media_type == negotiation.MERGE_PATCH:
            raise errors.bad_request(f"error decoding patch: {error}") from None
        raise errors.bad_request(str(error)) from None


def _patched(present: Obj, patch: Any, media_type: str, type_: Type | None) -> Any:
    try:
        if media_type == negotiation.JSON_PATCH:
            return json_patch(present, patch)
        if media_type == negotiation.MERGE_PATCH:
            if not isinstance(patch, dict):
                raise PatchError(
                    "error decoding patch: json: cannot unmarshal into Go value of type map[string]interface {}"
                )
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


def _read(scope: Scope, gvk: GVK, type_: Type | None, patched: Any, media_type: str, options: WriteOptions) -> Obj:
    """What came out, as an object of its type. Raises 400 and 422."""

    def refused(why: str) -> StatusError:
        if media_type == negotiation.STRATEGIC_PATCH:
            return errors.bad_request(why)
        return errors.invalid("", "", "", [field.invalid("patch", field.render(patched), why)])

    if not isinstance(patched, dict):
        raise refused("json: cannot unmarshal into Go value of type struct")
    if patched.get("kind") != gvk.kind or patched.get("apiVersion") != gvk.api_version:
        what = f'no kind "{patched.get("kind")}" is registered for version "{patched.get("apiVersion")}"'
        if type_of(GVK(*_split(str(patched.get("apiVersion"))), str(patched.get("kind")))) is not None:
            what = f"{patched.get('apiVersion')}, Kind={patched.get('kind')} is not {gvk.api_version}, Kind={gvk.kind}"
        raise refused(what)
    strict: list[str] = []
    if type_ is not None:
        try:
            decoded, strict = decode(type_, patched, strict=options.validation != "Ignore")
        except DecodeError as error:
            raise refused(str(error)) from None
        patched = {"kind": gvk.kind, "apiVersion": gvk.api_version, **decoded}
    else:
        patched = copy(patched)
    if strict and options.validation == "Strict":
        raise refused(f"strict decoding error: {', '.join(strict)}")
    for warning in strict:
        scope.warn(warning)
    if not isinstance(patched.get("metadata"), dict):
        patched["metadata"] = {}
    found: Obj = patched
    return found


def _split(api_version: str) -> tuple[str, str]:
    group, _, version = api_version.rpartition("/")
    return group, version


def _check_identity(scope: Scope, entry: Entry, obj: Obj) -> None:
    meta, old = obj["metadata"], entry.obj["metadata"]
    uid = meta.get("uid")
    if uid and uid != old.get("uid"):
        why = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old.get('uid', '')}"
        raise errors.conflict(*scope.qualified, scope.info.name, why)
    if meta.get("name") != old.get("name"):
        text_ = f"the name of the object ({meta.get('name', '')}) does not match the name on the URL ({old['name']})"
        raise errors.bad_request(text_)


async def _apply(scope: Scope, patch: Any, options: WriteOptions) -> Response:
    served = scope.served
    applied = _applied(scope, served.gvk, served.type, patch, options)

    async def make(entry: Entry | None) -> Obj:
        obj = managed.apply(scope, entry, applied, options)
        obj = _read(scope, served.gvk, served.type, obj, negotiation.APPLY_PATCH, options)
        if entry is not None:
            _check_identity(scope, entry, obj)
        else:
            names.check_name(scope, obj["metadata"])
        served.kind.default(obj)
        names.settle_namespace(scope, obj["metadata"])
        return await admitted(scope, served.inward(obj), entry, options)

    creates = not scope.info.subresource
    entry, created = await writing.update(scope, make, options, allow_create=creates)
    return answers.of_entry(scope, entry, 201 if created else 200)


def _applied(scope: Scope, gvk: GVK, type_: Type | None, patch: Any, options: WriteOptions) -> Obj:
    """The applied configuration as it was sent, but checked against its type. Raises 400."""
    if not isinstance(patch, dict):
        raise errors.bad_request("error decoding YAML: the applied configuration is no object")
    if patch.get("kind") != gvk.kind or patch.get("apiVersion") != gvk.api_version:
        sent = f"{patch.get('apiVersion', '')}, Kind={patch.get('kind', '')}"
        if not patch.get("kind") or not patch.get("apiVersion"):
            missing = "Kind" if not patch.get("kind") else "apiVersion"
            raise errors.bad_request(f"error decoding YAML: Object '{missing}' is missing")
        raise errors.bad_request(
            f"incorrect type for an applied configuration: {sent} instead of {gvk.api_version}, Kind={gvk.kind}"
        )
    if (patch.get("metadata") or {}).get("managedFields"):
        raise errors.bad_request("metadata.managedFields must be nil")
    if type_ is not None:
        try:
            _, strict = decode(type_, patch, strict=options.validation != "Ignore")
        except DecodeError as error:
            raise errors.bad_request(str(error)) from None
        if strict and options.validation == "Strict":
            raise errors.bad_request(f"error strict decoding YAML: {', '.join(strict)}")
        for warning in strict:
            scope.warn(warning)
    found: Obj = copy(patch)
    return found


async def _other_kind(scope: Scope, media_type: str, patch: Any, options: WriteOptions) -> Response:
    """A subresource of a kind of its own (scale) is patched as it shows itself."""
    strategy, gvk = scope.strategy, scope.sub_gvk
    assert strategy is not None and strategy.read is not None and gvk is not None
    read = strategy.read
    type_ = type_of(gvk)
    if media_type == negotiation.APPLY_PATCH:
        media_type = negotiation.MERGE_PATCH  # a scale has one field that may be set

    async def make(entry: Entry | None) -> Obj:
        if entry is None:
            raise scope.not_found()
        patched = _patched(read(entry.obj), patch, media_type, type_)
        sub = _read(scope, gvk, type_, patched, media_type, options)
        kind_of(gvk.group, gvk.kind).default(sub)
        return await put_back(scope, entry, sub, options)

    entry, _ = await writing.update(scope, make, options)
    return answers.of_object(scope, read(entry.obj))
