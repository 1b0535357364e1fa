"""The OpenAPI 2 document, from those of OpenAPI 3: fragments of it, one of each group and version, that are made once and
then joined.

Source: kube-openapi's builder (shared parameters, pruned defaults) and upstream's published document.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from pilothouse.api.objects import Obj
from pilothouse.api.openapi.schemas import REFERENCE
from pilothouse.api.openapi.v3 import SECURITY

_HERE: Final = "#/definitions/"
# How the types of more than one form look in OpenAPI 2, which has none such.
_EITHER: Final[dict[str, Obj]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"type": "string"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"type": "string", "format": "int-or-string"},
}
_ORDER: Final = (
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
)  # fmt: skip
_PATCH_ORDER: Final = (
    "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
)  # fmt: skip
# Every endpoint's own, and what old versions of kubectl look for where it is used.
_UNSHARED: Final = frozenset({"name", "fieldValidation", "dryRun"})
_FNV: Final = (0xCBF29CE484222325, 0x100000001B3)


@dataclass(slots=True)
class Fragment:
    """Name → encoded value, of each part of the document that is a map."""

    paths: dict[str, Any] = field(default_factory=dict)
    definitions: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


def fragment(document: Obj) -> Fragment:
    """What an OpenAPI 3 document says, in OpenAPI 2."""
    out = Fragment()
    for name, schema in document["components"].get("schemas", {}).items():
        out.definitions[name] = {**_text(schema), **_EITHER[name]} if name in _EITHER else _schema(schema)
    for path, item in document["paths"].items():
        out.paths[path] = _item(item, out.parameters)
    return out


def _text(schema: Obj) -> Obj:
    return {"description": schema["description"]} if "description" in schema else {}


def merged(fragments: Iterable[Fragment]) -> Fragment:
    """All of them as one, every part of it sorted by name."""
    out = Fragment()
    for one in fragments:
        out.paths |= one.paths
        out.definitions |= one.definitions
        out.parameters |= one.parameters
    return Fragment(*(dict(sorted(part.items())) for part in (out.paths, out.definitions, out.parameters)))


def join(fragments: Iterable[Fragment], version: str) -> bytes:
    """The document, of fragments whose values are JSON."""
    found = merged(fragments)
    head = {"swagger": "2.0", "info": {"title": "Kubernetes", "version": version}}
    tail = {"securityDefinitions": SECURITY, "security": [{"BearerToken": []}]}
    return b"".join((
        orjson.dumps(head)[:-1], b',"paths":', _joined(found.paths), b',"definitions":', _joined(found.definitions),
        b',"parameters":', _joined(found.parameters), b",", orjson.dumps(tail)[1:],
    ))  # fmt: skip


def _joined(parts: dict[str, bytes]) -> bytes:
    return b"{" + b",".join([orjson.dumps(name) + b":" + parts[name] for name in parts]) + b"}"


def encoded(one: Fragment) -> Fragment:
    """The fragment with its values as JSON."""
    return Fragment(
        *({n: orjson.dumps(v) for n, v in part.items()} for part in (one.paths, one.definitions, one.parameters))
    )


def _schema(schema: Obj) -> Obj:
    """Without defaults; a reference that says more stands with what it says."""
    out: Obj = {}
    for name, value in schema.items():
        if name == "default":
            continue
        if name == "$ref":
            out[name] = value.replace(REFERENCE, _HERE, 1)
        elif name == "allOf" and len(value) == 1 and "$ref" in value[0]:
            out["$ref"] = value[0]["$ref"].replace(REFERENCE, _HERE, 1)
        elif name == "properties":
            out[name] = {n: _schema(v) for n, v in value.items()}
        elif name in ("items", "additionalProperties") and isinstance(value, dict):
            out[name] = _schema(value)
        else:
            out[name] = value
    return out


def _item(item: Obj, shared: Obj) -> Obj:
    out: Obj = {}
    for name, value in item.items():
        out[name] = [_parameter(p, shared) for p in value] if name == "parameters" else _operation(value, shared)
    return out


def _operation(operation: Obj, shared: Obj) -> Obj:
    produces: Obj = next(iter(_contents(operation)), {})
    bodies = operation.get("requestBody", {}).get("content", {})
    out: Obj = {}
    if "description" in operation:
        out["description"] = operation["description"]
    consumes = _consumed(operation, tuple(bodies), produces)
    if consumes:
        out["consumes"] = consumes
    if produces:
        out["produces"] = sorted(produces, key=lambda t: _ORDER.index(t) if t in _ORDER else -1)
    out |= {"schemes": ["https"], "tags": operation["tags"], "operationId": operation["operationId"]}
    given = [_parameter(p, shared) for p in operation.get("parameters", ())]
    if bodies:
        given.insert(0, _body(operation["requestBody"], shared))
    if given:
        out["parameters"] = given
    out["responses"] = {code: _response(response) for code, response in operation["responses"].items()}
    out.update((k, v) for k, v in operation.items() if k.startswith("x-"))
    return out


def _contents(operation: Obj) -> list[Obj]:
    return [r["content"] for r in operation["responses"].values() if "content" in r]


def _consumed(operation: Obj, bodies: tuple[str, ...], produces: Obj) -> list[str]:
    """OpenAPI 3 says it of bodies only; what has none takes what its siblings do."""
    action = operation.get("x-kubernetes-action", "")
    if action == "patch":
        return [t for t in _PATCH_ORDER if t in bodies]
    if action:
        of_built_in = action == "connect" or not produces or "application/vnd.kubernetes.protobuf" in produces
        return ["*/*"] if of_built_in else list(_ORDER[:2])
    refers = any("$ref" in content["schema"] for content in produces.values())
    return [t for t in _ORDER if t in produces] if refers else []


def _body(body: Obj, shared: Obj) -> Obj:
    schema = _schema(next(iter(body["content"].values()))["schema"])
    out: Obj = {"name": "body", "in": "body"}
    if body.get("required"):
        out["required"] = True
    out["schema"] = schema
    generic = schema.get("$ref", "").startswith(f"{_HERE}io.k8s.apimachinery")
    return _share(out, shared) if generic else out


def _response(response: Obj) -> Obj:
    out: Obj = {"description": response["description"]}
    for content in response.get("content", {}).values():
        out["schema"] = _schema(content["schema"])
        break
    return out


def _parameter(parameter: Obj, shared: Obj) -> Obj:
    """The type stands in the parameter itself; a parameter that others have too is a reference."""
    schema = parameter["schema"]
    out: Obj = {"uniqueItems": True, "type": schema["type"]}
    out.update((k, v) for k, v in parameter.items() if k != "schema")
    return out if out["name"] in _UNSHARED else _share(out, shared)


def _share(parameter: Obj, shared: Obj) -> Obj:
    name = f"{parameter['name']}-{_hash(orjson.dumps(parameter))}"
    shared[name] = parameter
    return {"$ref": f"#/parameters/{name}"}


def _hash(data: bytes) -> str:
    """FNV-1 of 64 bits, the first 48 of them in letters."""
    value, prime = _FNV
    for byte in data:
        value = (value * prime % (1 << 64)) ^ byte
    return base64.urlsafe_b64encode(value.to_bytes(8, "big")[:6]).decode()
