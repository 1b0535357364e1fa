"""Secrets of type `kubernetes.io/service-account-token` get a token that never expires, and go with their service account.

Source: upstream's pkg/controller/serviceaccount/tokens_controller.go and pkg/serviceaccount/legacy.go.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import time_of

TOKEN_TYPE: Final = "kubernetes.io/service-account-token"
ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
ACCOUNT_UID: Final = "kubernetes.io/service-account.uid"
BY_ACCOUNT: Final = "service account"
"""The index of token secrets by `namespace/account`."""

_SECRET: Final = "secret/"
_ISSUER: Final = "kubernetes/serviceaccount"
_CLAIM: Final = "kubernetes.io/serviceaccount/"


def account_key(secret: Obj) -> str:
    """The key of the account that a secret is a token of; empty where it is none."""
    metadata = secret["metadata"]
    name = (metadata.get("annotations") or {}).get(ACCOUNT_NAME)
    return f"{metadata['namespace']}/{name}" if secret.get("type") == TOKEN_TYPE and name else ""


class Signer:
    """Signs tokens with an RSA or elliptic key; knows its id as verifiers do, by the digest of the public key."""

    def __init__(self, pem: bytes) -> None:
        import hashlib
        from base64 import urlsafe_b64encode

        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, rsa

        key = serialization.load_pem_private_key(pem, None)
        if isinstance(key, rsa.RSAPrivateKey):
            self._algorithm = "RS256"
        elif isinstance(key, ec.EllipticCurvePrivateKey):
            self._algorithm = {256: "ES256", 384: "ES384", 521: "ES512"}[key.key_size]
        else:
            raise ValueError("a token key is an RSA or an EC key")
        self._key = key
        spki = key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self._id = urlsafe_b64encode(hashlib.sha256(spki).digest()).rstrip(b"=").decode()

    def sign(self, claims: dict[str, Any]) -> str:
        import jwt

        return jwt.encode(claims, self._key, algorithm=self._algorithm, headers={"kid": self._id, "typ": None})


class ServiceAccountTokenController(Controller):
    """Keys are accounts' (whose tokens go with them) and `secret/namespace/name`. Without a key it does nothing."""

    name = "serviceaccount-token-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._pem: bytes = context.option("service-account-private-key", b"")
        self._signer: Signer | None = None
        self._root_ca = b64encode(context.option("root-ca", b"")).decode()
        self.accounts = self.informer("", "v1", "serviceaccounts")
        self.secrets = self.informer("", "v1", "secrets")
        self.secrets.add_index(BY_ACCOUNT, lambda s: (account_key(s),))
        self._accounts_api = self.client.resource("", "v1", "serviceaccounts")
        self._secrets_api = self.client.resource("", "v1", "secrets")
        if self._pem:
            self.accounts.add_handler(deleted=self.enqueue)
            self.secrets.add_handler(self._secret_changed, lambda _, new: self._secret_changed(new), self._secret_gone)

    def _secret_changed(self, secret: Obj) -> None:
        if account_key(secret) and (self._lacks(secret) or self.accounts.lister.by_key(account_key(secret)) is None):
            metadata = secret["metadata"]
            self.enqueue(f"{_SECRET}{metadata['namespace']}/{metadata['name']}")

    def _secret_gone(self, secret: Obj) -> None:
        """An account that lists the secret forgets it."""
        account = self.accounts.lister.by_key(account_key(secret)) if account_key(secret) else None
        if account is not None and any(
            s.get("name") == secret["metadata"]["name"] for s in account.get("secrets") or ()
        ):
            self.enqueue(f"{_SECRET}{secret['metadata']['namespace']}/{secret['metadata']['name']}")

    async def reconcile(self, key: str) -> None:
        if key.startswith(_SECRET):
            await self._sync_secret(key.removeprefix(_SECRET))
        elif self.accounts.lister.by_key(key) is None:
            for secret in self.secrets.lister.by_index(BY_ACCOUNT, key):
                if await self._account(secret) is None:
                    await self._delete(secret)

    async def _sync_secret(self, key: str) -> None:
        secret = self.secrets.lister.by_key(key)
        if secret is None:
            await self._forget(key)
            return
        if not account_key(secret):
            return
        account = await self._account(secret)
        if account is None:
            await self._delete(secret)
        elif self._lacks(secret):
            await self._fill(secret, account)

    async def _account(self, secret: Obj) -> Obj | None:
        """The secret's account as the cache, or else the server, has it."""
        uid = (secret["metadata"].get("annotations") or {}).get(ACCOUNT_UID)
        namespace, _, name = account_key(secret).partition("/")
        found = self.accounts.lister.get(namespace, name)
        if found is None or (uid and found["metadata"]["uid"] != uid):
            try:
                found = await self._accounts_api.get(name, namespace)
            except StatusError as error:
                if error.code != 404:
                    raise
                return None
        return found if not uid or found["metadata"]["uid"] == uid else None

    async def _delete(self, secret: Obj) -> None:
        metadata = secret["metadata"]
        try:
            await self._secrets_api.delete(metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    def _lacks(self, secret: Obj) -> bool:
        data = secret.get("data") or {}
        return (
            not data.get("token")
            or not data.get("namespace")
            or bool(self._root_ca and data.get("ca.crt") != self._root_ca)
        )

    async def _fill(self, secret: Obj, account: Obj) -> None:
        metadata = secret["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        try:
            live = await self._secrets_api.get(name, namespace)
            if live["metadata"]["resourceVersion"] != metadata["resourceVersion"] or not self._lacks(live):
                return  # the cache is behind: its next event comes here again
            data = dict(live.get("data") or {})
            if self._root_ca:
                data["ca.crt"] = self._root_ca
            if not data.get("namespace"):
                data["namespace"] = b64encode(namespace.encode()).decode()
            if not data.get("token"):
                data["token"] = b64encode(self._token(account, name).encode()).decode()
            annotations = {
                **(live["metadata"].get("annotations") or {}),
                ACCOUNT_NAME: account["metadata"]["name"],
                ACCOUNT_UID: account["metadata"]["uid"],
            }
            await self._secrets_api.update({
                **live, "metadata": {**live["metadata"], "annotations": annotations}, "data": data,
            })  # fmt: skip
        except StatusError as error:
            if error.code not in (404, 409):
                raise

    def _token(self, account: Obj, secret_name: str) -> str:
        if self._signer is None:
            self._signer = Signer(self._pem)
        metadata = account["metadata"]
        return self._signer.sign({
            "iss": _ISSUER,
            _CLAIM + "namespace": metadata["namespace"],
            _CLAIM + "secret.name": secret_name,
            _CLAIM + "service-account.name": metadata["name"],
            _CLAIM + "service-account.uid": metadata["uid"],
            "sub": f"system:serviceaccount:{metadata['namespace']}:{metadata['name']}",
        })  # fmt: skip

    async def _forget(self, key: str) -> None:
        """Takes a secret that is gone out of the accounts that list it."""
        namespace, _, name = key.partition("/")
        for account in self.accounts.lister.list(namespace):
            secrets = account.get("secrets") or []
            left = [s for s in secrets if s.get("name") != name]
            if len(left) != len(secrets):
                try:
                    await self._accounts_api.update({**account, "secrets": left})
                except StatusError as error:
                    if error.code != 404:
                        raise


class LegacyTokenCleaner(Controller):
    """Tokens that were made for accounts by themselves, and are used by nobody for a year, are first made invalid, then deleted.

    Source: upstream's legacy_serviceaccount_token_cleaner.go (KEP-2799).
    """

    name = "legacy-serviceaccount-token-cleaner-controller"
    workers = 0

    _LAST_USED: Final = "kubernetes.io/legacy-token-last-used"
    _INVALID: Final = "kubernetes.io/legacy-token-invalid-since"
    _DAY_S: Final = 86_400.0

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.accounts = self.informer("", "v1", "serviceaccounts")
        self.secrets = self.informer("", "v1", "secrets")
        self.pods = self.informer("", "v1", "pods")
        self.maps = self.informer("", "v1", "configmaps")
        self._api = self.client.resource("", "v1", "secrets")
        self._unused_s: float = context.option("legacy-service-account-token-clean-up-period", 365 * self._DAY_S)
        self.loops = [self._clean_often]

    async def _clean_often(self) -> None:
        while True:
            await self.clock.sleep(self._DAY_S)
            await self.clean()

    async def clean(self) -> None:
        """One look at all tokens."""
        tracking = self.maps.lister.get("kube-system", "kube-apiserver-legacy-service-account-token-tracking")
        since = _date((tracking or {}).get("data", {}).get("since", ""))
        now_s = self.clock.now()
        if since is None or now_s - since < self._unused_s:
            return
        mounted = {
            (pod["metadata"]["namespace"], volume["secret"].get("secretName"))
            for pod in self.pods.lister.list()
            for volume in pod["spec"].get("volumes") or ()
            if volume.get("secret")
        }
        for account in self.accounts.lister.list():
            namespace = account["metadata"]["namespace"]
            for reference in account.get("secrets") or ():
                secret = self.secrets.lister.get(namespace, reference.get("name") or "")
                if secret is None or account_key(secret) != f"{namespace}/{account['metadata']['name']}":
                    continue
                if (namespace, secret["metadata"]["name"]) in mounted:
                    continue
                try:
                    await self._judge(secret, since, now_s)
                except StatusError as error:
                    if error.code not in (404, 409):
                        self.log.warning("token %s: %s", secret["metadata"]["name"], error)

    async def _judge(self, secret: Obj, tracked_since: float, now_s: float) -> None:
        metadata = secret["metadata"]
        labels = metadata.get("labels") or {}
        used = _date(labels.get(self._LAST_USED, ""))
        made_s = time_of(metadata.get("creationTimestamp"))
        if now_s - made_s < self._unused_s or now_s - (used if used is not None else tracked_since) < self._unused_s:
            return
        invalid = _date(labels.get(self._INVALID, ""))
        if invalid is None:
            day = self.clock.timestamp()[:10]
            change = {
                "metadata": {
                    "uid": metadata["uid"], "resourceVersion": metadata["resourceVersion"], "labels": {self._INVALID: day},
                }
            }  # fmt: skip
            await self._api.patch(metadata["name"], metadata["namespace"], change, "merge")
        elif now_s - invalid >= self._unused_s:
            await self._api.delete(
                metadata["name"],
                metadata["namespace"],
                uid=metadata["uid"],
                resource_version=metadata["resourceVersion"],
            )


def _date(text: str) -> float | None:
    """Seconds of a day, `2026-01-02`."""
    return time_of(f"{text}T00:00:00Z") or None
