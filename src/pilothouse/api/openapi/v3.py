"""The OpenAPI 3 documents: of one group and version, and of the addresses that are no resources.

Source: upstream's published documents and kube-openapi's builder3.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.api.openapi import operations
from pilothouse.api.openapi.operations import JSON, Paths
from pilothouse.api.openapi.schemas import Schemas
from pilothouse.api.scheme import Resource

SECURITY: Final[Obj] = {
    "BearerToken": {
        "description": "Bearer Token authentication", "type": "apiKey", "name": "authorization", "in": "header",
    }
}  # fmt: skip


def name_of(api_version: str) -> str:
    """`apps/v1` → `apis/apps/v1`, which is how its document is called."""
    return operations.root_of(api_version)[1:]


def document(
    api_version: str, resources: Iterable[tuple[Resource, bool]], version: str, *, every_version: bool = False
) -> Obj:
    """Of one group and version. `resources`: each with whether a DELETE answers with the object. `every_version`: kinds that
    every group and version has say so (as the OpenAPI 2 document does)."""
    schemas = Schemas(None if every_version else api_version)
    paths = Paths(api_version, schemas)
    for resource, returns_object in resources:
        paths.add(resource, returns_object)
    return _document(paths.found, schemas, version)


def group(name: str, version: str) -> Obj:
    """Of a group's own document of discovery."""
    schemas = Schemas()
    answer = schemas.of_name("meta/v1.APIGroup")
    short = name.removesuffix(".k8s.io")
    tag, id_ = operations.joined(short, False), operations.joined(short, True)
    item = {"get": operations.discovery(tag, "get information of a group", f"get{id_}APIGroup", answer)}
    return _document({f"/apis/{name}/": item}, schemas, version)


def _of_one(path: str, tag: str, text: str, id_: str, answer: str, media_type: str = "") -> dict[str, tuple[str, ...]]:
    return {path.strip("/"): (path, tag, text, id_, answer, media_type)}


_OTHERS: Final = {
    **_of_one("/api/", "core", "get available API versions", "getCoreAPIVersions", "meta/v1.APIVersions"),
    **_of_one("/apis/", "apis", "get available API versions", "getAPIVersions", "meta/v1.APIGroupList"),
    **_of_one(
        "/version/", "version", "get the version information for this server", "getCodeVersion",
        "io.k8s.apimachinery.pkg.version.Info", JSON,
    ),
    **_of_one(
        "/openid/v1/jwks/", "openid",
        "get service account issuer OpenID JSON Web Key Set (contains public token verification keys)",
        "getServiceAccountIssuerOpenIDKeyset", "", "application/jwk-set+json",
    ),
    **_of_one(
        "/.well-known/openid-configuration/", "WellKnown",
        "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'",
        "getServiceAccountIssuerOpenIDConfiguration", "", JSON,
    ),
}  # fmt: skip
OTHERS: Final = tuple(_OTHERS)


def other(name: str, version: str) -> Obj:
    """One of OTHERS: the documents of addresses that belong to no group."""
    path, tag, text, id_, answer, media_type = _OTHERS[name]
    schemas = Schemas()
    schema = schemas.of_name(answer) if answer else {"type": "string"}
    media_types = {"media_types": (media_type,)} if media_type else {}
    return _document({path: {"get": operations.discovery(tag, text, id_, schema, **media_types)}}, schemas, version)


def _document(paths: Obj, schemas: Schemas, version: str) -> Obj:
    components: Obj = {"securitySchemes": SECURITY}
    if schemas.found:
        components = {"schemas": dict(sorted(schemas.found.items())), **components}
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": dict(sorted(paths.items())),
        "components": components,
    }
