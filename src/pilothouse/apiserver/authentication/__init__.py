"""Who asks: one file a mechanism, tried in upstream's order: front proxy, client certificate, bearer token, anonymous.

Source: upstream's documentation "Authenticating".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence

from pilothouse.api import errors
from pilothouse.api.exchange import Request, UserInfo
from pilothouse.apiserver.authentication import bootstraptokens, certificates, frontproxy
from pilothouse.apiserver.authentication.failures import INVALID_TOKEN, Refused
from pilothouse.apiserver.authentication.impersonation import impersonate
from pilothouse.apiserver.authentication.serviceaccounts import Authenticated, ServiceAccountTokens
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Objects
from pilothouse.clock import Clock

__all__ = ["Authentication", "Refused", "build", "impersonate"]

_ANONYMOUS = UserInfo("system:anonymous", groups=("system:unauthenticated",))
_SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."


class Authentication:
    """contracts.Authenticator, and the judge of tokens for TokenReview."""

    def __init__(self, config: Config, objects: Objects, clock: Clock) -> None:
        self._objects, self._clock = objects, clock
        self._anonymous = config.anonymous
        self._static = {entry.token: _authenticated(entry.user) for entry in config.tokens}
        self._client_ca = bool(config.client_ca)
        self._front_proxy = frontproxy.FrontProxy(config) if config.requestheader_client_ca else None
        several = config.requestheader_client_ca and config.requestheader_client_ca != config.client_ca
        self._signers = certificates.Signers(config.client_ca) if several else None
        self.service_accounts = ServiceAccountTokens(config, objects, clock)

    async def authenticate(self, request: Request) -> UserInfo | None:
        """Raises 401 for a credential that does not hold: it is not taken for none."""
        try:
            user = await self._known(request)
        except Refused as error:
            raise errors.unauthorized() from error
        if user is not None:
            return _authenticated(user)
        if not self._anonymous:
            raise errors.unauthorized()
        return _ANONYMOUS

    async def _known(self, request: Request) -> UserInfo | None:
        """The union of the mechanisms: the first that knows the caller wins; failures count only where none does."""
        if request.user is not None:
            return request.user
        refused: Refused | None = None
        try:
            user = self._certificate(request)
        except Refused as error:
            user, refused = None, error
        if user is not None:
            return user
        token = bearer_token(request.headers)
        if token:
            return (await self.token(token)).user
        if refused is not None:
            raise refused
        return None

    def _certificate(self, request: Request) -> UserInfo | None:
        chain = request.peer_certificates
        if not chain:
            return None
        if self._front_proxy is not None:
            user = self._front_proxy.user(request)
            if user is not None:
                return user
        if not self._client_ca:
            return None
        if self._signers is not None and not self._signers.signed(chain):
            raise Refused("x509: certificate signed by unknown authority")
        try:
            return certificates.user_of(chain[0])
        except certificates.BadCertificate as error:
            raise Refused(str(error)) from error

    async def token(self, token: str, audiences: Sequence[str] | None = None) -> Authenticated:
        """Whose token it is, and for which of the audiences (None: the API server's). Raises Refused."""
        reasons = [INVALID_TOKEN]
        own = self.service_accounts.audiences
        common = own if audiences is None else tuple(a for a in own if a in audiences)
        # Tokens that say nothing of an audience are for the API server.
        user = self._static.get(token) if common else None
        if user is not None:
            return Authenticated(user, common)
        try:
            found = await self.service_accounts.authenticate(token, audiences)
        except Refused as error:
            reasons.append(str(error))
            found = None
        if found is not None:
            return Authenticated(_authenticated(found.user), found.audiences)
        user = bootstraptokens.authenticate(token, self._objects, self._clock) if common else None
        if user is not None:
            return Authenticated(_authenticated(user), common)
        raise Refused(reasons[0] if len(reasons) == 1 else f"[{', '.join(reasons)}]")


def _authenticated(user: UserInfo) -> UserInfo:
    """With the group of all who are known."""
    if "system:authenticated" in user.groups or "system:unauthenticated" in user.groups:
        return user
    return UserInfo(user.name, user.uid, (*user.groups, "system:authenticated"), user.extra)


def bearer_token(headers: Mapping[str, str]) -> str:
    """The token of the Authorization header, or of a WebSocket's subprotocol; empty where there is none. Raises Refused."""
    authorization = headers.get("authorization", "").strip()
    if authorization:
        parts = authorization.split(" ", 2)
        if len(parts) >= 2 and parts[0].lower() == "bearer":
            return parts[1]
    if "websocket" in headers.get("upgrade", "").lower():
        return _subprotocol_token(headers.get("sec-websocket-protocol", ""))
    return ""


def _subprotocol_token(protocols: str) -> str:
    named = [p.strip() for p in protocols.replace("\n", ",").split(",")]
    tokens = [p.removeprefix(_SUBPROTOCOL) for p in named if p.startswith(_SUBPROTOCOL)]
    if not tokens:
        return ""
    if len(tokens) > 1:
        raise Refused("multiple base64.bearer.authorization tokens specified")
    try:
        token = base64.urlsafe_b64decode(tokens[0] + "=" * (-len(tokens[0]) % 4)).decode()
    except (binascii.Error, ValueError) as error:
        raise Refused("invalid base64.bearer.authorization token encoding") from error
    if token and len(named) < 2:
        raise Refused("missing additional subprotocol")
    return token


def build(config: Config, objects: Objects, clock: Clock) -> Authentication:
    return Authentication(config, objects, clock)
