"""Impersonate-* headers: one user acts as another, where policy lets them.

Source: upstream's endpoints/filters/impersonation.
"""

from __future__ import annotations

from urllib.parse import unquote

from pilothouse.api import errors
from pilothouse.api.exchange import Request, UserInfo
from pilothouse.apiserver.authority import refusal
from pilothouse.apiserver.contracts import Attributes
from pilothouse.apiserver.core import Core

_SERVICE_ACCOUNT = "system:serviceaccount:"
_EXTRA = "impersonate-extra-"


async def user_of(core: Core, request: Request, user: UserInfo) -> UserInfo:
    """Whom the request acts as. Raises 403 where `user` may not, and 500 (as upstream) for headers without a user."""
    headers = request.headers
    name = headers.get("impersonate-user", "")
    groups = (
        [g for g in headers.get("impersonate-group", "").split("\n") if g] if "impersonate-group" in headers else []
    )
    uid = headers.get("impersonate-uid", "")
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.startswith(_EXTRA):
            extra[unquote(header[len(_EXTRA) :]).lower()] = tuple(value.split("\n"))
    if not name:
        if groups or uid or extra:
            raise errors.internal(
                f"requested {[{'groups': groups}]} without impersonating a user"
                if groups
                else "requested extra or uid without impersonating a user"
            )
        return user

    async def require(resource: str, who: str, *, group: str = "", namespace: str = "", subresource: str = "") -> None:
        version = "v1"
        attributes = Attributes(
            user, "impersonate", request.path, True, group, version, resource, subresource, namespace, who
        )
        decision = await core.authorizer.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    if name.startswith(_SERVICE_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        await require("serviceaccounts", account, namespace=namespace)
        if not groups:
            groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
    else:
        await require("users", name)
    for group in headers.get("impersonate-group", "").split("\n") if "impersonate-group" in headers else ():
        if group:
            await require("groups", group)
    for key, values in extra.items():
        for value in values:
            await require("userextras", value, group="authentication.k8s.io", subresource=key)
    if uid:
        await require("uids", uid, group="authentication.k8s.io")
    if name != "system:anonymous" and "system:authenticated" not in groups and "system:unauthenticated" not in groups:
        groups.append("system:authenticated")
    elif name == "system:anonymous" and "system:unauthenticated" not in groups:
        groups.append("system:unauthenticated")
    return UserInfo(name, uid, tuple(groups), extra)
