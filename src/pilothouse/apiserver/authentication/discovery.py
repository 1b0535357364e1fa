"""How others verify this cluster's service account tokens: the OpenID Connect documents.

Source: upstream's documentation "Configure Service Accounts for Pods", service account issuer discovery.
"""

from __future__ import annotations

from typing import Protocol

import orjson

from pilothouse.api import errors
from pilothouse.api.exchange import Request, Response
from pilothouse.apiserver.authentication import Authentication
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Authenticator

_PATH = "/openid/v1/jwks"
_HEADERS = {"Cache-Control": "public, max-age=3600"}


class Server(Protocol):
    """What of `Core` is needed here."""

    @property
    def authenticator(self) -> Authenticator: ...

    @property
    def config(self) -> Config: ...


def _authentication(server: Server, request: Request) -> Authentication:
    if request.method not in ("GET", "HEAD"):
        raise errors.method_not_allowed()
    found = server.authenticator
    assert isinstance(found, Authentication)
    if not found.service_accounts.keys:
        raise errors.path_not_found()
    return found


async def jwks(server: Server, request: Request) -> Response:
    keys = [key.jwk() for key in _authentication(server, request).service_accounts.keys]
    return Response(200, {**_HEADERS, "Content-Type": "application/jwk-set+json"}, orjson.dumps({"keys": keys}))


async def configuration(server: Server, request: Request) -> Response:
    tokens = _authentication(server, request).service_accounts
    config = server.config
    host = config.advertise_address
    base = f"https://[{host}]" if ":" in host else f"https://{host}"
    document = {
        "issuer": tokens.issuer,
        "jwks_uri": f"{base}:{config.advertise_port}{_PATH}",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": sorted({key.algorithm for key in tokens.keys}),
    }
    return Response(200, {**_HEADERS, "Content-Type": "application/json"}, orjson.dumps(document))
