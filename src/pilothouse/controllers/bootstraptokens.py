"""Bootstrap tokens: `cluster-info` is signed with them, and they end when their time is over. Both are off by default.

Source: upstream's pkg/controller/bootstrap, and the documentation's page on bootstrap tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64decode, urlsafe_b64encode
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.pods import time_of

_TYPE: Final = "bootstrap.kubernetes.io/token"
_NAMESPACE: Final = "kube-system"
_PUBLIC: Final = "kube-public"
_INFO: Final = "cluster-info"
_SIGNATURE: Final = "jws-kubeconfig-"
_NAME: Final = re.compile("bootstrap-token-([a-z0-9]{6})")
_SECRET: Final = re.compile("[a-z0-9]{16}")


def value(secret: Obj, name: str) -> str:
    """An entry of a secret as text; empty where it is absent or no text."""
    try:
        return b64decode((secret.get("data") or {}).get(name) or "", validate=True).decode()
    except ValueError:
        return ""


def signature(content: str, token_id: str, token_secret: str) -> str:
    """The detached JWS of a text by a token: header and signature, nothing between."""
    header = _encode(f'{{"alg":"HS256","kid":"{token_id}"}}'.encode())
    signed = f"{header}.{_encode(content.encode())}"
    return f"{header}..{_encode(hmac.new(token_secret.encode(), signed.encode(), hashlib.sha256).digest())}"


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


class BootstrapSigner(Controller):
    name = "bootstrap-signer-controller"
    workers = 1

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.secrets = self.informer("", "v1", "secrets")
        self.maps = self.informer("", "v1", "configmaps")
        self._api = self.client.resource("", "v1", "configmaps")
        self.secrets.add_handler(self._secret_changed, lambda _, new: self._secret_changed(new), self._secret_changed)
        self.maps.add_handler(self._map_changed, lambda _, new: self._map_changed(new))

    def _secret_changed(self, secret: Obj) -> None:
        if secret.get("type") == _TYPE and secret["metadata"]["namespace"] == _NAMESPACE:
            self.enqueue(f"{_PUBLIC}/{_INFO}")

    def _map_changed(self, config_map: Obj) -> None:
        if (config_map["metadata"]["namespace"], config_map["metadata"]["name"]) == (_PUBLIC, _INFO):
            self.enqueue(config_map)

    async def reconcile(self, key: str) -> None:
        info = self.maps.lister.by_key(key)
        data: dict[str, str] = (info or {}).get("data") or {}
        if info is None or "kubeconfig" not in data:
            return
        new = {name: text for name, text in data.items() if not name.startswith(_SIGNATURE)}
        for token_id, secret in sorted(self._tokens().items()):
            new[_SIGNATURE + token_id] = signature(data["kubeconfig"], token_id, secret)
        if new != data:
            await self._api.update({**info, "data": new})

    def _tokens(self) -> dict[str, str]:
        """The tokens that may sign, by id."""
        out: dict[str, str] = {}
        for secret in self.secrets.lister.list(_NAMESPACE):
            match = _NAME.fullmatch(secret["metadata"]["name"])
            if match is None or secret.get("type") != _TYPE or value(secret, "token-id") != match[1]:
                continue
            text, until = value(secret, "token-secret"), value(secret, "expiration")
            expired = bool(until) and time_of(until) <= self.clock.now()
            if _SECRET.fullmatch(text) and not expired and value(secret, "usage-bootstrap-signing") == "true":
                out.setdefault(match[1], text)
        return out


class TokenCleaner(Controller):
    name = "token-cleaner-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.secrets = self.informer("", "v1", "secrets")
        self._api = self.client.resource("", "v1", "secrets")
        self.secrets.add_handler(self._changed, lambda _, new: self._changed(new))

    def _changed(self, secret: Obj) -> None:
        if secret.get("type") == _TYPE and secret["metadata"]["namespace"] == _NAMESPACE:
            self.enqueue(secret)

    async def reconcile(self, key: str) -> None:
        secret = self.secrets.lister.by_key(key)
        until = value(secret, "expiration") if secret is not None else ""
        if secret is None or not until:
            return
        wait_s = time_of(until) - self.clock.now()  # a time that cannot be read has passed
        if wait_s > 0:
            self.enqueue_after(key, wait_s)
            return
        metadata = secret["metadata"]
        try:
            await self._api.delete(metadata["name"], metadata["namespace"], uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise
