"""Impersonation: acting as somebody else, where one may: constrained (by what is then done) or, as before 1.36, without.

Source: upstream's documentation "User impersonation", KEP-5284 and apiserver/pkg/endpoints/filters/impersonation. A header
that was sent more than once has its values joined by line feeds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import unquote

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.field import quote
from pilothouse.apiserver.authority import refusal
from pilothouse.apiserver.contracts import Attributes, Authorizer

_USER, _GROUP, _UID = "impersonate-user", "impersonate-group", "impersonate-uid"
_EXTRA = "impersonate-extra-"
_MANY: Final = 4  # from so many on, one check of the star is tried first
_AUTHENTICATION = "authentication.k8s.io"
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_NODE_KEY = "authentication.kubernetes.io/node-name"


async def impersonate(
    request: Request, user: UserInfo, attributes: Attributes, authorizer: Authorizer
) -> UserInfo | None:
    """Who the request wants to act as; None where it does not say. `attributes`: what it asks for, as its own user.
    Raises 400 and 403."""
    headers = request.headers
    if _USER not in headers and not any(h.startswith("impersonate-") for h in headers):
        return None
    wanted = _wanted(headers)
    if wanted is None:
        return None
    first: StatusError | None = None
    for mode in _modes(wanted, user):
        try:
            return await mode.check(wanted, user, attributes, authorizer)
        except StatusError as error:
            first = first or error
    assert first is not None  # the last mode applies always
    raise first


def _wanted(headers: Mapping[str, str]) -> UserInfo | None:
    name = headers.get(_USER, "").partition("\n")[0]
    uid = headers.get(_UID, "").partition("\n")[0]
    groups = tuple(headers[_GROUP].split("\n")) if _GROUP in headers else ()
    extra: dict[str, tuple[str, ...]] = {}
    for header, value in headers.items():
        if header.startswith(_EXTRA):
            key = unquote(header.removeprefix(_EXTRA))
            extra[key] = (*extra.get(key, ()), *value.split("\n"))
    if name:
        return UserInfo(name, uid, groups, extra)
    if uid or groups or extra:
        error = errors.bad_request(f"requested {_go_syntax(uid, groups, extra)} without impersonating a user name")
        error.headers["X-Content-Type-Options"] = "nosniff"
        raise error
    return None


def _go_syntax(uid: str, groups: tuple[str, ...], extra: Mapping[str, tuple[str, ...]]) -> str:
    """Go's %#v of the user that was asked for."""
    listed = "[]string{" + ", ".join(map(quote, groups)) + "}" if groups else "[]string(nil)"
    values = (f"{quote(k)}:[]string{{{', '.join(map(quote, v))}}}" for k, v in sorted(extra.items()))
    mapped = "map[string][]string{" + ", ".join(values) + "}" if extra else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"", UID:{quote(uid)}, Groups:{listed}, Extra:{mapped}}}'


def node_name(username: str) -> str:
    """The node of `system:node:NAME`; empty for another user."""
    name = username.removeprefix("system:node:")
    return name if name != username and len(name) <= 253 and _SUBDOMAIN.fullmatch(name) else ""


def service_account(username: str) -> tuple[str, str] | None:
    """(namespace, name) of `system:serviceaccount:NAMESPACE:NAME`."""
    rest = username.removeprefix("system:serviceaccount:")
    namespace, colon, name = rest.partition(":")
    if rest == username or not colon or len(namespace) > 63 or len(name) > 253:
        return None
    return (namespace, name) if _LABEL.fullmatch(namespace) and _SUBDOMAIN.fullmatch(name) else None


@dataclass(frozen=True, slots=True)
class _Mode:
    name: str  # empty: the legacy mode

    async def check(
        self, wanted: UserInfo, requestor: UserInfo, attributes: Attributes, authorizer: Authorizer
    ) -> UserInfo:
        """Who the user then is. Raises 403."""
        asker = requestor
        if self.name == "associated-node":
            keys = tuple(sorted(requestor.extra))
            asker = replace(requestor, extra={"authentication.kubernetes.io/associated-node-keys": keys})
        ask = _Ask(authorizer, asker, f"impersonate:{self.name}" if self.name else "impersonate")
        if self.name:
            await ask.allowed(replace(attributes, user=asker, verb=f"impersonate-on:{self.name}:{attributes.verb}"))
        groups = await self._name(wanted, ask)
        if wanted.uid:
            await ask.may(_AUTHENTICATION, "uids", wanted.uid)
        await self._groups(wanted.groups, ask)
        await self._extra(wanted.extra, ask)
        if wanted.name == "system:anonymous":
            groups = _with(groups, "system:unauthenticated")
        elif "system:unauthenticated" not in groups:
            groups = _with(groups, "system:authenticated")
        return replace(wanted, groups=groups)

    @property
    def _group(self) -> str:
        return _AUTHENTICATION if self.name else ""

    async def _name(self, wanted: UserInfo, ask: _Ask) -> tuple[str, ...]:
        """The groups of the user."""
        node = node_name(wanted.name) if self.name else ""
        account = service_account(wanted.name)
        groups = wanted.groups
        if node:
            # Any node will do where the service account's own is meant: it is known to be that one.
            await ask.may(self._group, "nodes", "*" if self.name == "associated-node" else node)
            groups = ("system:nodes",)
        elif account is not None:
            await ask.may(self._group, "serviceaccounts", account[1], namespace=account[0])
            groups = groups or ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
        else:
            await ask.may(self._group, "users", wanted.name)
        return groups

    async def _groups(self, groups: tuple[str, ...], ask: _Ask) -> None:
        if self.name:
            if "" in groups:
                raise ask.refused(self._group, "groups", "", "impersonating the empty string group is not allowed")
            masters = "system:masters"
            if masters in groups:
                raise ask.refused(self._group, "groups", masters, f"impersonating the {masters} group is not allowed")
            if len(groups) >= _MANY and await ask.could(self._group, "groups", "*"):
                return
        for group in groups:
            await ask.may(self._group, "groups", group)

    async def _extra(self, extra: Mapping[str, tuple[str, ...]], ask: _Ask) -> None:
        if self.name and extra:
            problem = _extra_problem(extra)
            if problem:
                raise ask.refused(_AUTHENTICATION, "userextras", "", problem)
            many = len(extra) >= _MANY or sum(map(len, extra.values())) >= _MANY
            if many and await ask.could(_AUTHENTICATION, "userextras", "*", subresource="*"):
                return
        for key, values in extra.items():
            for value in values:
                await ask.may(_AUTHENTICATION, "userextras", value, subresource=key)


@dataclass(frozen=True, slots=True)
class _Ask:
    authorizer: Authorizer
    user: UserInfo
    verb: str

    def _attributes(
        self, group: str, resource: str, name: str, namespace: str = "", subresource: str = ""
    ) -> Attributes:
        version = "v1"
        return Attributes(self.user, self.verb, "", True, group, version, resource, subresource, namespace, name)

    async def allowed(self, attributes: Attributes) -> None:
        decision = await self.authorizer.authorize(attributes)
        if not decision.allowed:
            raise refusal(attributes, decision.reason)

    async def may(self, group: str, resource: str, name: str, namespace: str = "", subresource: str = "") -> None:
        await self.allowed(self._attributes(group, resource, name, namespace, subresource))

    async def could(self, group: str, resource: str, name: str, subresource: str = "") -> bool:
        decision = await self.authorizer.authorize(self._attributes(group, resource, name, "", subresource))
        return bool(decision.allowed)

    def refused(self, group: str, resource: str, name: str, reason: str) -> StatusError:
        return refusal(self._attributes(group, resource, name), reason)


def _modes(wanted: UserInfo, requestor: UserInfo) -> list[_Mode]:
    """Those that apply, in upstream's order; the legacy one always does, and comes last."""
    modes = []
    node, account = node_name(wanted.name), service_account(wanted.name)
    only_name = not (wanted.uid or wanted.groups or wanted.extra)
    if only_name and node:
        if service_account(requestor.name) is not None and requestor.extra.get(_NODE_KEY) == (node,):
            modes.append(_Mode("associated-node"))
        modes.append(_Mode("arbitrary-node"))
    if only_name and account is not None:
        modes.append(_Mode("serviceaccount"))
    if not node and account is None:
        modes.append(_Mode("user-info"))
    modes.append(_Mode(""))
    return modes


def _extra_problem(extra: Mapping[str, tuple[str, ...]]) -> str:
    for key, values in extra.items():
        if not key:
            return "impersonating the empty string key in extra is not allowed"
        path = f'extra.key: Invalid value: {quote(key)}: must be a domain-prefixed path (such as "acme.io/foo")'
        domain, slash, rest = key.partition("/")
        if not slash or not domain or not rest:
            return f"impersonating an invalid key in extra is not allowed: {path}"
        if key != key.lower():
            return f"impersonating a non-lowercase key in extra is not allowed: {quote(key)}"
        if not values:
            return "impersonating empty values in extra is not allowed"
        if "" in values:
            return "impersonating the empty string value in extra is not allowed"
    return ""


def _with(groups: tuple[str, ...], group: str) -> tuple[str, ...]:
    return groups if group in groups else (*groups, group)
