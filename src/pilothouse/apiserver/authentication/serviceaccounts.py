"""Service account tokens: issued by TokenRequest, bound to objects that must still exist, or kept in a Secret (legacy).

Source: upstream's documentation "Managing Service Accounts", and pkg/serviceaccount for the claims and the refusals' texts.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import Obj
from pilothouse.apiserver.authentication import jwt
from pilothouse.apiserver.authentication.failures import Refused
from pilothouse.apiserver.authorization.rules import quoted
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Objects
from pilothouse.clock import Clock, parse_time

LEGACY_ISSUER: Final = "kubernetes/serviceaccount"
LEEWAY_S: Final = 60
_EXTRA = "authentication.kubernetes.io/"
_LEGACY = "kubernetes.io/serviceaccount/"
_VERIFIED_MOST = 1024


class Authenticated(NamedTuple):
    user: UserInfo
    audiences: tuple[str, ...]


def user_info(namespace: str, name: str, uid: str, extra: dict[str, str] | None = None) -> UserInfo:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    full = {_EXTRA + key: (value,) for key, value in (extra or {}).items()}
    return UserInfo(f"system:serviceaccount:{namespace}:{name}", uid, groups, full)


class ServiceAccountTokens:
    def __init__(self, config: Config, objects: Objects, clock: Clock) -> None:
        self._objects, self._clock = objects, clock
        self._signing_pem = config.service_account_signing_key
        self._pems = config.service_account_keys or ((self._signing_pem,) if self._signing_pem else ())
        self._keys: list[jwt.Key] | None = None
        self._signing: jwt.Key | None = None
        self._verified: dict[str, dict[str, Any]] = {}
        self.issuer = config.service_account_issuer
        self.audiences = config.api_audiences or (self.issuer,)

    @property
    def can_issue(self) -> bool:
        return bool(self._signing_pem)

    @property
    def keys(self) -> list[jwt.Key]:
        if self._keys is None:
            self._keys = [jwt.Key(pem) for pem in self._pems]
        return self._keys

    def issue(
        self, account: Obj, expiration_s: int, audiences: Sequence[str], *, pod: Obj | None = None,
        secret: Obj | None = None, node: Obj | None = None, warn_after_s: int = 0,
    ) -> str:  # fmt: skip
        """A signed token of the service account, bound to at most one of the objects (a pod's node is noted beside it)."""
        if self._signing is None:
            self._signing = jwt.Key(self._signing_pem)
        now = int(self._clock.now())
        meta = account["metadata"]
        own: dict[str, Any] = {"namespace": meta["namespace"]}
        for name, obj in (("node", node), ("pod", pod), ("secret", secret)):
            if obj is not None:
                own[name] = _reference(obj)
        own["serviceaccount"] = _reference(account)
        if warn_after_s:
            own["warnafter"] = now + warn_after_s
        return self._signing.sign({
            "aud": list(audiences), "exp": now + expiration_s, "iat": now, "iss": self.issuer,
            "jti": self._clock.uuid(), "kubernetes.io": own, "nbf": now,
            "sub": f"system:serviceaccount:{meta['namespace']}:{meta['name']}",
        })  # fmt: skip

    async def authenticate(self, token: str, audiences: Sequence[str] | None = None) -> Authenticated | None:
        """None: a token of another kind. Raises Refused."""
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify(token)
            if claims is None:
                return None
            if len(self._verified) >= _VERIFIED_MOST:
                self._verified.clear()
            self._verified[token] = claims
        legacy = claims["iss"] == LEGACY_ISSUER
        own = claims.get("aud")
        named = [own] if isinstance(own, str) else own if isinstance(own, list) else []
        wanted = self.audiences if audiences is None else audiences
        common = tuple(a for a in (named or self.audiences) if a in wanted)
        if not common:
            texts = quoted(str(a) for a in named or self.audiences), quoted(wanted)
            raise Refused(f"token audiences {texts[0]} is invalid for the target audiences {texts[1]}")
        user = await (self._legacy(claims, token) if legacy else self._bound(claims))
        return Authenticated(user, common)

    def _verify(self, token: str) -> dict[str, Any] | None:
        try:
            parsed = jwt.parse(token)
        except jwt.BadToken:
            return None
        if parsed.claims.get("iss") not in (self.issuer, LEGACY_ISSUER):
            return None
        kid = parsed.header.get("kid")
        keys = [key for key in self.keys if key.id == kid] or self.keys if kid else self.keys
        if not keys:
            raise Refused("invalid signature, no keys found")
        if not any(key.verify(parsed) for key in keys):
            raise Refused("go-jose/go-jose: error in cryptographic primitive")
        return parsed.claims

    async def _bound(self, claims: dict[str, Any]) -> UserInfo:
        self._check_times(claims)
        own = claims.get("kubernetes.io")
        if not isinstance(own, dict):
            own = {}
        namespace, (name, uid) = str(own.get("namespace", "")), _ref(own.get("serviceaccount"))
        await self._check_account(namespace, name, uid)
        extra: dict[str, str] = {}
        if claims.get("jti"):
            extra["credential-id"] = f"JTI={claims['jti']}"
        if own.get("secret"):
            await self._check_object("secrets", namespace, *_ref(own["secret"]), "secret UID", "secret ref")
        pod, node = own.get("pod"), own.get("node")
        if pod:
            pod_name, pod_uid = _ref(pod)
            await self._check_object("pods", namespace, pod_name, pod_uid, "pod UID", "pod ref")
            extra.update({"pod-name": pod_name, "pod-uid": pod_uid})
        if node:
            node_name, node_uid = _ref(node)
            if not pod:
                await self._check_object("nodes", "", node_name, node_uid, "node UID", "node ref")
            extra["node-name"] = node_name
            if node_uid:
                extra["node-uid"] = node_uid
        return user_info(namespace, name, uid, extra)

    def _check_times(self, claims: dict[str, Any]) -> None:
        now = self._clock.now()
        if _number(claims.get("nbf")) > now + LEEWAY_S:
            raise Refused("service account token is not valid yet")
        if claims.get("exp") is not None and _number(claims["exp"]) + LEEWAY_S < now:
            raise Refused("service account token has expired")
        if _number(claims.get("iat")) > now + LEEWAY_S:
            raise Refused("service account token is issued in the future")

    async def _find(self, resource: str, namespace: str, name: str) -> Obj | None:
        """From the cache, or past it where the cache may be behind."""
        found = self._objects.get("", resource, namespace, name)
        return found if found is not None else await self._objects.get_live("", resource, namespace, name)

    async def _check_account(self, namespace: str, name: str, uid: str) -> None:
        account = await self._find("serviceaccounts", namespace, name) if namespace and name else None
        if account is None:
            raise Refused(f'serviceaccounts "{name}" not found')
        present = account["metadata"]["uid"]
        if present != uid:
            account = await self._objects.get_live("", "serviceaccounts", namespace, name)
            present = account["metadata"]["uid"] if account else ""
        if account is None or present != uid:
            raise Refused(f"service account UID ({present}) does not match claim ({uid})")
        if self._gone(account):
            raise Refused(f"service account {namespace}/{name} has been deleted")

    async def _check_object(self, resource: str, namespace: str, name: str, uid: str, what: str, ref: str) -> None:
        found = await self._find(resource, namespace, name) if name else None
        if found is not None and found["metadata"]["uid"] != uid:
            found = await self._objects.get_live("", resource, namespace, name)
        if found is None:
            raise Refused("service account token has been invalidated")
        present = found["metadata"]["uid"]
        if present != uid:
            raise Refused(f"{what} ({present}) does not match service account {ref} claim ({uid})")
        if self._gone(found):
            raise Refused("service account token has been invalidated")

    def _gone(self, obj: Obj) -> bool:
        deleted = obj["metadata"].get("deletionTimestamp")
        return bool(deleted) and parse_time(deleted) < self._clock.now() - LEEWAY_S

    async def _legacy(self, claims: dict[str, Any], token: str) -> UserInfo:
        """A token that stands in a Secret of type kubernetes.io/service-account-token, as long as it stands there."""
        namespace = str(claims.get(_LEGACY + "namespace", ""))
        secret_name = str(claims.get(_LEGACY + "secret.name", ""))
        name = str(claims.get(_LEGACY + "service-account.name", ""))
        uid = str(claims.get(_LEGACY + "service-account.uid", ""))
        for what, value in (("namespace", namespace), ("secretName", secret_name)):
            if not value:
                raise Refused(f"{what} claim is missing")
        if not name:
            raise Refused("serviceAccountName claim is missing")
        if not uid:
            raise Refused("serviceAccountUID claim is missing")
        subject = claims.get("sub")
        if subject != f"system:serviceaccount:{namespace}:{name}":
            raise Refused("sub claim is invalid")
        secret = await self._find("secrets", namespace, secret_name)
        if secret is None or self._gone(secret):
            raise Refused("service account token has been invalidated")
        if (secret.get("data") or {}).get("token") != base64.b64encode(token.encode()).decode():
            raise Refused("service account token does not match server's copy")
        await self._check_account(namespace, name, uid)
        return user_info(namespace, name, uid)


def _reference(obj: Obj) -> dict[str, str]:
    meta = obj["metadata"]
    found = {"name": meta["name"]}
    if meta.get("uid"):
        found["uid"] = meta["uid"]
    return found


def _ref(value: Any) -> tuple[str, str]:
    if not isinstance(value, dict):
        return "", ""
    return str(value.get("name", "")), str(value.get("uid", ""))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else 0.0
