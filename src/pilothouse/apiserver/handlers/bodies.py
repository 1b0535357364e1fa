"""Request bodies, read into objects of the type that the address takes, with upstream's refusals.

Source: upstream's endpoints/handlers (decode, transformDecodeError) and runtime/serializer: an object that leaves out its kind
or apiVersion is of the kind that the address takes; unknown and duplicate fields are warnings, errors or nothing.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from pilothouse.api import errors, gonumbers
from pilothouse.api.codec import magic, rawtext, text
from pilothouse.api.codec.decode import DecodeError, decode, hold
from pilothouse.api.codec.explain import go_kind
from pilothouse.api.errors import StatusError
from pilothouse.api.field import invalid
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK
from pilothouse.api.structural import objectmeta
from pilothouse.api.types import Type, holds_raw, type_named, type_of
from pilothouse.apiserver import negotiation
from pilothouse.apiserver.handlers.options import DeleteOptions, delete_options_of_object, delete_options_of_query
from pilothouse.apiserver.handlers.scope import Scope

_HEAD: Final = ("kind", "apiVersion")
_SCHEME: Final = 'in scheme "pkg/runtime/scheme.go:111"'
_HEAD_STRUCT: Final = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
)
# Groups whose kinds of one name are one kind to upstream.
_SHARED: Final = frozenset({("", "Event"), ("events.k8s.io", "Event")})


class Body(NamedTuple):
    """What was sent, as a value."""

    value: Any
    raw: bytes | None = None  # its JSON, where it was that
    strict: tuple[str, ...] = ()  # what a strict reader found fault with already
    cbor: bool = False
    fault: str = ""  # why it is no object of any type, although its kind can be told


class _Unreadable(Exception):
    """Not even its kind can be told; str() says why."""


def read(scope: Scope, gvk: GVK, type_: Type | None, validation: str) -> Obj:
    """The body as an object of `gvk`: the caller's own copy, without nulls, in upstream's order of fields; empty lists and maps
    stay in it until it is stored."""
    strict = validation != "Ignore"
    try:
        body = _body(scope, strict)
        if scope.served.stored.custom and gvk == scope.served.gvk:
            _says_kind(body, scope.request.body)
        actual = _gvk_of(body.value, gvk)
    except _Unreadable as error:
        shown = summary(scope.request.body)
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {gvk.kind}): {error} ({shown})"
        ) from None
    if actual != gvk:
        if scope.served.stored.custom and gvk == scope.served.gvk:
            raise wrong_kind(scope, gvk, actual, body.value)
        raise _of_another_kind(gvk, actual, body)
    if body.fault:
        raise _undecodable(gvk, gvk, body.fault)
    value = {} if body.value is None else body.value
    if type_ is None or (scope.served.stored.custom and gvk == scope.served.gvk):
        return _untyped(scope, gvk, value, body, validation)
    try:
        found, faults, scope.empties = hold(type_, value, strict=strict, raw=body.raw)
    except DecodeError as error:
        raise _undecodable(gvk, gvk, str(error)) from None
    if holds_raw(type_):
        found = _with_texts(scope, type_, found, body)
    if body.cbor and faults:
        from pilothouse.api.codec import cborread

        faults = [f"cbor: found unknown field at map element index {cborread.unknown(type_, value)}"]
    if strict:
        _judge(scope, gvk, [*body.strict, *faults], validation)
    return with_head(gvk, found)


def _with_texts(scope: Scope, type_: Type, found: Any, body: Body) -> Any:
    """RawExtensions with their bytes: protobuf's have them already, and YAML becomes JSON by way of maps."""
    if body.raw is not None:
        return rawtext.with_texts(type_, found, body.raw)
    if scope.request.object is not None:
        return rawtext.reencoded(found, in_maps=False)
    return found if scope.request.body.startswith(magic.PROTOBUF) else rawtext.reencoded(found, in_maps=True)


def _judge(scope: Scope, gvk: GVK, faults: list[str], validation: str) -> None:
    """Strict errors are a refusal or warnings."""
    if faults and validation == "Strict":
        raise _undecodable(gvk, gvk, f"strict decoding error: {', '.join(faults)}")
    for fault in faults:
        for line in fault.removeprefix("yaml: unmarshal errors:\n").split("\n"):
            scope.warn(line.strip())


def _untyped(scope: Scope, gvk: GVK, value: Obj, body: Body, validation: str) -> Obj:
    """A custom resource as it was sent."""
    faults = list(body.strict)
    if validation != "Ignore" and body.raw is not None:
        faults += text.duplicates(body.raw)
    try:
        obj, unknown = custom(scope, value)
    except DecodeError as error:
        raise _undecodable(gvk, gvk, str(error)) from None
    if validation != "Ignore":
        _judge(scope, gvk, [*faults, *unknown], validation)
    return with_head(gvk, obj)


def _says_kind(body: Body, raw: bytes) -> None:
    """Untyped objects must say what they are. Raises _Unreadable."""
    if isinstance(body.value, dict) and not body.value.get("kind") and raw:
        raise _Unreadable(f"Object 'Kind' is missing in '{raw.decode('utf-8', 'replace')}'")


def wrong_kind(scope: Scope, gvk: GVK, actual: GVK, value: Obj) -> StatusError:
    """A custom resource that says it is of another kind, or of another version."""
    if (actual.group, actual.version) != (gvk.group, gvk.version):
        for name in sorted(value):
            if name not in (*_HEAD, "metadata") and actual.group == gvk.group:
                scope.warn(f'unknown field "{name}"')
        return errors.bad_request(
            f"the API version in the data ({actual.api_version}) does not match the expected API version ({gvk.api_version})"
        )
    name = str((value.get("metadata") or {}).get("name") or "") if isinstance(value.get("metadata"), dict) else ""
    error = invalid("kind", actual.kind, f"must be {gvk.kind}")
    return errors.invalid(actual.group, actual.kind, name or scope.info.name, [error])


def custom(scope: Scope, value: Obj) -> tuple[Obj, list[str]]:
    """(the value as an object of the custom resource, strict errors): its metadata in upstream's form, without what the schema
    does not list. Raises DecodeError."""
    obj: Obj = gonumbers.read(value)
    faults: list[str] = []
    if "metadata" in value:
        given = value["metadata"]
        obj["metadata"], found = decode(type_named("#meta/v1.ObjectMeta"), {} if given is None else given, strict=True)
        faults = [fault.replace('"', '"metadata.', 1) for fault in found]
    if scope.served.read is not None:
        try:
            faults += [f'unknown field "{path}"' for path in scope.served.read(obj)]
        except objectmeta.Refused as error:
            raise DecodeError(str(error)) from None
    return obj, faults


def with_head(gvk: GVK, found: Obj) -> Obj:
    """A decoded object that says its kind, and has metadata."""
    out: Obj = {"kind": gvk.kind, "apiVersion": gvk.api_version}
    out.update((k, v) for k, v in found.items() if k not in _HEAD)
    if not isinstance(out.get("metadata"), dict):
        out["metadata"] = {}
    return out


def canonical(type_: Type, obj: Obj) -> Obj:
    """An object that the server changed, in upstream's form again. Raises DecodeError where a plugin or default broke it."""
    found, _ = decode(type_, obj, stored=True)
    out: Obj = {"kind": obj["kind"], "apiVersion": obj["apiVersion"]}
    out.update((k, v) for k, v in found.items() if k not in _HEAD)
    return out


def _body(scope: Scope, strict: bool) -> Body:
    """Raises _Unreadable for what is no text of its media type, and 415 and 413."""
    request = scope.request
    if request.object is not None:
        return Body(request.object)
    content_type, custom = request.headers.get("content-type", ""), scope.served.stored.custom
    media_type = negotiation.input_type(content_type, scope.core.forms, custom=custom)
    check_size(scope)
    raw = request.body
    try:
        if media_type == negotiation.PROTOBUF:
            return Body(_from_protobuf(scope, raw))
        if media_type == negotiation.YAML:
            from pilothouse.api.codec import yamltext

            twice: list[str] = []
            value = yamltext.from_yaml(raw, twice)
            told = "yaml: unmarshal errors:\n" + "\n".join(f"  {line}" for line in twice)
            return Body(value, None, (told,) if twice and strict else ())
        if media_type == negotiation.CBOR:
            from pilothouse.api.codec import cborread

            value, fault = cborread.read_object(raw)
            return Body(value, fault=fault, cbor=True)
        return Body(text.from_json(raw), raw)
    except text.Malformed as error:
        if media_type in (negotiation.YAML, negotiation.CBOR):
            raise _Unreadable(str(error)) from None
        raise _Unreadable(f"couldn't get version/kind; json parse error: {error}") from None


def _from_protobuf(scope: Scope, raw: bytes) -> Obj:
    from pilothouse.api.codec import protobuf

    gvk = scope.sub_gvk or scope.served.gvk
    try:
        api_version, kind, message = protobuf.unwrap(raw)
    except protobuf.ProtobufError as error:
        raise _Unreadable(str(error)) from None
    try:
        actual = _with_defaults(api_version, kind, gvk)
    except _Unreadable:
        actual = _with_defaults("", kind, gvk)  # what protobuf cannot read of it, upstream leaves out
    if type_of(actual) is None:
        raise _of_another_kind(gvk, actual, None)
    try:
        return {**protobuf.decode(actual, message), "kind": actual.kind, "apiVersion": actual.api_version}
    except protobuf.ProtobufError as error:
        raise _undecodable(gvk, actual, str(error)) from None


def _gvk_of(value: Any, wanted: GVK) -> GVK:
    """The kind that a value says it is of. Raises _Unreadable."""
    if value is None:
        return wanted
    fault = "couldn't get version/kind; json parse error: json: cannot unmarshal"
    if not isinstance(value, dict):
        raise _Unreadable(f"{fault} {go_kind(value)} into Go value of type {_HEAD_STRUCT}")
    head = []
    for name in ("apiVersion", "kind"):
        found = value.get(name)
        if found is None and name not in value:
            # What looks for these two only does not mind their case.
            found = next((v for k, v in value.items() if len(k) == len(name) and k.lower() == name.lower()), None)
        if found is not None and not isinstance(found, str):
            raise _Unreadable(f"{fault} {go_kind(found)} into Go struct field .{name} of type string")
        head.append(found or "")
    return _with_defaults(head[0], head[1], wanted)


def _with_defaults(api_version: str, kind: str, wanted: GVK) -> GVK:
    if api_version == wanted.api_version:
        return GVK(wanted.group, wanted.version, kind or wanted.kind)
    group, _, version = api_version.rpartition("/")
    if "/" in group:
        raise _Unreadable(f"unexpected GroupVersion string: {api_version}")
    if not version and (not group or group == wanted.group):
        group, version = wanted.group, wanted.version
    return GVK(group, version, kind or wanted.kind)


def _undecodable(wanted: GVK, actual: GVK, why: str) -> StatusError:
    return errors.bad_request(
        f'{actual.kind} in version "{actual.version}" cannot be handled as a {wanted.kind}: {why}'
    )


def _of_another_kind(wanted: GVK, actual: GVK, body: Body | None) -> StatusError:
    """Upstream reads it first as what it says it is, then finds that it is not what the address takes."""
    type_ = type_of(actual)
    if type_ is None:
        return _undecodable(wanted, actual, unconvertible(wanted, actual))
    if body is not None:
        try:
            decode(type_, body.value, raw=body.raw)
        except DecodeError as error:
            return _undecodable(wanted, actual, str(error))
    shared = {(wanted.group, wanted.kind), (actual.group, actual.kind)} <= _SHARED
    if shared or (actual.kind == wanted.kind and actual.group == wanted.group):
        return errors.bad_request(
            f"the API version in the data ({actual.api_version}) does not match the expected API version "
            f"({wanted.api_version})"
        )
    return _undecodable(wanted, actual, unconvertible(wanted, actual))


def unconvertible(wanted: GVK, actual: GVK) -> str:
    """What upstream's scheme says of an object of another kind."""
    type_ = type_of(actual)
    if type_ is None:
        return f'no kind "{actual.kind}" is registered for version "{actual.api_version}" {_SCHEME}'
    from_, into = type_.name.rpartition("/")[2], f"{wanted.group.partition('.')[0] or 'core'}.{wanted.kind}"
    return f"converting ({from_}) to ({into}): unknown conversion"


def check_size(scope: Scope) -> None:
    limit = scope.core.config.max_request_body_bytes
    if len(scope.request.body) > limit:
        raise errors.too_large(f"Request entity too large: limit is {limit}")


def delete_options(scope: Scope) -> DeleteOptions:
    """From the body where there is one, else from the query. Every group knows the options by its own name."""
    request = scope.request
    if request.object is None and not request.body:
        return delete_options_of_query(request.query)
    try:
        body = _body(scope, False)
        if body.value is not None and not isinstance(body.value, dict):
            _gvk_of(body.value, GVK("", "v1", "DeleteOptions"))
        kind = (body.value or {}).get("kind") or "DeleteOptions"
        if kind != "DeleteOptions":
            version = (body.value or {}).get("apiVersion") or "meta.k8s.io/v1"
            raise errors.bad_request(f'no kind "{kind}" is registered for version "{version}" {_SCHEME}')
        found, _ = decode(type_named("#meta/v1.DeleteOptions"), body.value or {}, raw=body.raw)
    except (_Unreadable, DecodeError) as error:
        raise errors.bad_request(str(error)) from None
    return delete_options_of_object(found)


def summary(body: bytes, most: int = 30) -> str:
    """What of a body error messages show."""
    if not body:
        return "<empty>"
    shown = body[:most].decode("utf-8", "replace") if body[:1] == b"{" else body[:most].hex()
    return shown + " ..." if len(body) > most else shown
