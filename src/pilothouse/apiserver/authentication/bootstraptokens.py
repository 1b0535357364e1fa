"""Bootstrap tokens: `id.secret`, kept in Secrets of kube-system, with which new nodes join.

Source: upstream's documentation "Authenticating with Bootstrap Tokens".
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re

from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import Obj
from pilothouse.apiserver.contracts import Objects
from pilothouse.clock import Clock, parse_time

_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")
_DEFAULT_GROUP = "system:bootstrappers"


def authenticate(token: str, objects: Objects, clock: Clock) -> UserInfo | None:
    """None for whatever is not a good bootstrap token: upstream does not tell why."""
    match = _TOKEN.fullmatch(token)
    if match is None:
        return None
    identity, secret = match.groups()
    found = objects.get("", "secrets", "kube-system", f"bootstrap-token-{identity}")
    if found is None or found["metadata"].get("deletionTimestamp"):
        return None
    if found.get("type") != "bootstrap.kubernetes.io/token" or not found.get("data"):
        return None
    if not hmac.compare_digest(_data(found, "token-secret").encode(), secret.encode()):
        return None
    if _data(found, "token-id") != identity or _expired(found, clock):
        return None
    if _data(found, "usage-bootstrap-authentication") != "true":
        return None
    groups = {_DEFAULT_GROUP}
    for group in filter(None, _data(found, "auth-extra-groups").split(",")):
        if not _GROUP.fullmatch(group):
            return None
        groups.add(group)
    return UserInfo(f"system:bootstrap:{identity}", groups=tuple(sorted(groups)))


def _data(secret: Obj, key: str) -> str:
    value = secret["data"].get(key)
    if not isinstance(value, str):
        return ""
    try:
        return base64.b64decode(value).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _expired(secret: Obj, clock: Clock) -> bool:
    text = _data(secret, "expiration")
    if not text:
        return False
    try:
        return parse_time(text) < clock.now()
    except ValueError:
        return True
