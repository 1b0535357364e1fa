"""Request bodies, read into objects of the type that the address takes, with upstream's refusals.

Source: upstream's endpoints/handlers (decode, transformDecodeError) and runtime/serializer: an object that leaves out its kind
or apiVersion is of the kind that the address takes; unknown and duplicate fields are warnings, errors or nothing.
"""

from __future__ import annotations

import orjson

from pilothouse.api import errors, scheme
from pilothouse.api.objects import Obj, copy
from pilothouse.api.scheme import GVK
from pilothouse.api.types import Type
from pilothouse.apiserver import negotiation
from pilothouse.apiserver.handlers.options import DeleteOptions, delete_options_of_object, delete_options_of_query
from pilothouse.apiserver.handlers.scope import Scope


def read(scope: Scope, gvk: GVK, type_: Type, validation: str) -> Obj:
    """The body as an object of `gvk`: the caller's own copy, without nulls, in upstream's order of fields."""
    request = scope.request
    if request.object is not None:
        obj = copy(request.object)
    else:
        negotiation.input_type(request.headers.get("content-type", ""), scope.media_types)
        check_size(scope)
        try:
            obj = orjson.loads(request.body)
        except orjson.JSONDecodeError as error:
            raise errors.bad_request(f"the object provided is unrecognized: {error}") from None
    if not isinstance(obj, dict):
        raise errors.bad_request(f"the object provided is unrecognized (must be of type {gvk.kind})")
    sent = obj.setdefault("apiVersion", gvk.api_version)
    obj.setdefault("kind", gvk.kind)
    if sent != gvk.api_version:
        raise errors.bad_request(
            f"the API version in the data ({sent}) does not match the expected API version ({gvk.api_version})"
        )
    obj.setdefault("metadata", {})
    return obj


def check_size(scope: Scope) -> None:
    limit = scope.core.config.max_request_body_bytes
    if len(scope.request.body) > limit:
        raise errors.too_large(f"Request entity too large: limit is {limit}")


def delete_options(scope: Scope) -> DeleteOptions:
    """From the body where there is one, else from the query."""
    request = scope.request
    if request.object is None and not request.body:
        return delete_options_of_query(request.query)
    return delete_options_of_object(read(scope, scheme.GVK("", "v1", "DeleteOptions"), None, "Ignore"))  # type: ignore[arg-type]


def summary(body: bytes, most: int = 30) -> str:
    """What of a body error messages show."""
    if not body:
        return "<empty>"
    if body[:1] == b"{":
        text = body[:most].decode("utf-8", "replace")
    else:
        text = body[:most].hex()
    return text + " ..." if len(body) > most else text
