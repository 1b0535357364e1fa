"""Request bodies, read into objects of the type that the address takes, with upstream's refusals.

Source: upstream's endpoints/handlers (decode, transformDecodeError) and runtime/serializer: an object that leaves out its kind
or apiVersion is of the kind that the address takes; unknown and duplicate fields are warnings, errors or nothing.
"""

from __future__ import annotations

from typing import Any

from pilothouse.api import errors, scheme
from pilothouse.api.codec import text, yamltext
from pilothouse.api.codec.decode import DecodeError, decode
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy
from pilothouse.api.scheme import GVK
from pilothouse.api.types import Type, type_of
from pilothouse.apiserver import negotiation
from pilothouse.apiserver.handlers.options import DeleteOptions, delete_options_of_object, delete_options_of_query
from pilothouse.apiserver.handlers.scope import Scope

_HEAD = ("kind", "apiVersion")


def read(scope: Scope, gvk: GVK, type_: Type | None, validation: str) -> Obj:
    """The body as an object of `gvk`: the caller's own copy, without nulls, in upstream's order of fields."""
    request = scope.request
    strict: list[str] = []
    if request.object is not None:
        obj: Any = copy(request.object) if type_ is None else request.object
    else:
        obj, strict = _parsed(scope, validation)
    if not isinstance(obj, dict):
        raise _unreadable(gvk, f"json: cannot unmarshal {_go_kind(obj)} into Go value of type struct")
    sent, kind = obj.get("apiVersion"), obj.get("kind")
    if (sent is not None and not isinstance(sent, str)) or (kind is not None and not isinstance(kind, str)):
        raise errors.bad_request(
            "couldn't get version/kind; json parse error: json: cannot unmarshal into Go struct field"
        )
    wanted = gvk.api_version
    if (sent and sent != wanted) or (kind and kind != gvk.kind):
        raise _other(gvk, sent or wanted, kind or gvk.kind)
    return typed(scope, gvk, type_, obj, validation, strict)


def typed(scope: Scope, gvk: GVK, type_: Type | None, obj: Obj, validation: str, strict: list[str]) -> Obj:
    """`obj` as one of its type. `strict`: what was found fault with already. Raises 400."""
    if type_ is not None:
        try:
            obj, unknown = decode(type_, obj, strict=validation != "Ignore")
        except DecodeError as error:
            raise _unreadable(gvk, str(error)) from None
        strict = [*strict, *unknown] if validation != "Ignore" else []
    if strict:
        if validation == "Strict":
            raise _unreadable(gvk, f"strict decoding error: {', '.join(strict)}")
        for warning in strict:
            scope.warn(warning)
    out: Obj = {"kind": gvk.kind, "apiVersion": gvk.api_version}
    out.update((k, v) for k, v in obj.items() if k not in _HEAD)
    if not isinstance(out.get("metadata"), dict):
        out["metadata"] = {}
    return out


def canonical(type_: Type, obj: Obj) -> Obj:
    """An object that the server changed, in upstream's form again. Raises DecodeError where a plugin or default broke it."""
    found, _ = decode(type_, obj)
    out: Obj = {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    out.update((k, v) for k, v in found.items() if k not in _HEAD)
    return out


def _parsed(scope: Scope, validation: str) -> tuple[Any, list[str]]:
    request = scope.request
    media_type = negotiation.input_type(request.headers.get("content-type", ""), scope.media_types)
    check_size(scope)
    body = request.body
    if media_type == negotiation.PROTOBUF:
        return _from_protobuf(scope, body), []
    try:
        if media_type == negotiation.YAML:
            return yamltext.from_yaml(body), []
        found = text.from_json(body)
    except text.Malformed as error:
        raise errors.bad_request(
            f"couldn't get version/kind; json parse error: {error}"
            if media_type != negotiation.YAML
            else f"the object provided is unrecognized (must be of type {scope.served.gvk.kind}): {error} ({summary(body)})"
        ) from None
    return found, text.duplicates(body) if validation != "Ignore" else []


def _from_protobuf(scope: Scope, body: bytes) -> Obj:
    from pilothouse.api.codec import protobuf

    try:
        return protobuf.decode_stored(body)
    except protobuf.ProtobufError as error:
        kind = scope.served.gvk.kind
        why = f"the object provided is unrecognized (must be of type {kind}): {error} ({summary(body)})"
        raise errors.bad_request(why) from None


def _go_kind(value: Any) -> str:
    if value is None:
        return "null"
    return {bool: "bool", str: "string", list: "array"}.get(type(value), "number")


def _unreadable(gvk: GVK, why: str) -> StatusError:
    return errors.bad_request(f'{gvk.kind} in version "{gvk.version}" cannot be handled as a {gvk.kind}: {why}')


def _other(gvk: GVK, api_version: str, kind: str) -> StatusError:
    group, version = scheme.split_api_version(api_version)
    if type_of(GVK(group, version, kind)) is None:
        why = f'no kind "{kind}" is registered for version "{api_version}" in scheme'
        return errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {gvk.kind}: {why}')
    if api_version != gvk.api_version and kind == gvk.kind:
        why = f"the API version in the data ({api_version}) does not match the expected API version ({gvk.api_version})"
        return errors.bad_request(why)
    why = f"converting ({kind}) to ({gvk.kind}): unknown conversion"
    return errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {gvk.kind}: {why}')


def check_size(scope: Scope) -> None:
    limit = scope.core.config.max_request_body_bytes
    if len(scope.request.body) > limit:
        raise errors.too_large(f"Request entity too large: limit is {limit}")


def delete_options(scope: Scope) -> DeleteOptions:
    """From the body where there is one, else from the query."""
    request = scope.request
    if request.object is None and not request.body:
        return delete_options_of_query(request.query)
    gvk = scheme.GVK("", "v1", "DeleteOptions")
    sent = request.object
    if isinstance(sent, dict) and sent.get("apiVersion") not in (None, "", "v1"):
        request.object = {**sent, "apiVersion": "v1"}  # every group knows the options by its own name
    return delete_options_of_object(read(scope, gvk, type_of(gvk), "Ignore"))


def summary(body: bytes, most: int = 30) -> str:
    """What of a body error messages show."""
    if not body:
        return "<empty>"
    if body[:1] == b"{":
        text_ = body[:most].decode("utf-8", "replace")
    else:
        text_ = body[:most].hex()
    return text_ + " ..." if len(body) > most else text_
