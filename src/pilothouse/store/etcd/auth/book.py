"""`Book`: users, roles and their permissions, as one value that is stored beside the keys. Pure: `service` makes
changes durable.

Each change raises the book's revision. Source of the rules and their order: etcd's server/auth/store.go.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

import orjson

from pilothouse.store.etcd.auth.failures import (
    InvalidAuthManagement,
    PermissionNotGranted,
    RoleAlreadyExist,
    RoleEmpty,
    RoleNotFound,
    RoleNotGranted,
    RootRoleNotExist,
    RootUserNotExist,
    UserAlreadyExist,
    UserEmpty,
    UserNotFound,
)

META: Final = "auth"  # the name of the stored value
ROOT: Final = "root"
READ, WRITE, READWRITE = 0, 1, 2
_ALL: Final = b"\0"
_END: Final = b"\xff" * 64  # behind every key that is in use


@dataclass(frozen=True, slots=True)
class Permission:
    kind: int
    key: bytes
    range_end: bytes


@dataclass(slots=True)
class User:
    name: str
    password: bytes  # bcrypt's hash
    no_password: bool = False
    roles: list[str] = field(default_factory=list)  # sorted


@dataclass(slots=True)
class Book:
    enabled: bool = False
    revision: int = 1
    users: dict[str, User] = field(default_factory=dict)
    roles: dict[str, list[Permission]] = field(default_factory=dict)
    _granted: dict[tuple[str, int], _Intervals] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def load(cls, data: bytes | None) -> Book:
        """Of what `dump` made; without data a new one."""
        if data is None:
            return cls()
        found = orjson.loads(data)
        users = (User(u["name"], b64decode(u["password"]), u["noPassword"], u["roles"]) for u in found["users"])
        roles = {
            name: [Permission(kind, b64decode(key), b64decode(end)) for kind, key, end in permissions]
            for name, permissions in found["roles"].items()
        }
        return cls(found["enabled"], found["revision"], {user.name: user for user in users}, roles)

    def dump(self) -> bytes:
        return orjson.dumps(
            {
                "enabled": self.enabled,
                "revision": self.revision,
                "users": [
                    {"name": u.name, "password": _text(u.password), "noPassword": u.no_password, "roles": u.roles}
                    for u in self.users.values()
                ],
                "roles": {
                    name: [(p.kind, _text(p.key), _text(p.range_end)) for p in permissions]
                    for name, permissions in self.roles.items()
                },
            }
        )

    # Who may what

    def is_root(self, name: str) -> bool:
        user = self.users.get(name)
        return user is not None and ROOT in user.roles

    def permits(self, name: str, kind: int, key: bytes, range_end: bytes) -> bool:
        """Whether a user's roles let them READ or WRITE a range."""
        intervals = self._granted.get((name, kind))
        if intervals is None:
            roles = self.users[name].roles if name in self.users else ()
            intervals = self._granted[name, kind] = _Intervals(
                _interval(p.key, p.range_end)
                for role in roles
                for p in self.roles.get(role, ())
                if p.kind in (kind, READWRITE)
            )
        return intervals.cover(*_interval(key, range_end))

    def _changed(self) -> None:
        self.revision += 1
        self._granted.clear()

    # Changes. Each raises before it changes anything.

    def enable(self) -> None:
        if self.enabled:
            return
        if ROOT not in self.users:
            raise RootUserNotExist
        if not self.is_root(ROOT):
            raise RootRoleNotExist
        self.enabled = True

    def disable(self) -> None:
        if self.enabled:
            self.enabled = False
            self._changed()

    def add_user(self, name: str, password: bytes, no_password: bool) -> None:
        if not name:
            raise UserEmpty
        if name in self.users:
            raise UserAlreadyExist
        self.users[name] = User(name, password, no_password)
        self._changed()

    def user(self, name: str) -> User:
        user = self.users.get(name)
        if user is None:
            raise UserNotFound
        return user

    def delete_user(self, name: str) -> None:
        if self.enabled and name == ROOT:
            raise InvalidAuthManagement
        self.user(name)
        del self.users[name]
        self._changed()

    def change_password(self, name: str, password: bytes) -> None:
        user = self.user(name)
        if not user.no_password:
            user.password = password
        self._changed()

    def grant_role(self, name: str, role: str) -> None:
        user = self.user(name)
        if role != ROOT and role not in self.roles:
            raise RoleNotFound
        if role not in user.roles:
            user.roles = sorted([*user.roles, role])
            self._changed()

    def revoke_role(self, name: str, role: str) -> None:
        if self.enabled and name == ROOT and role == ROOT:
            raise InvalidAuthManagement
        user = self.user(name)
        if role not in user.roles:
            raise RoleNotGranted
        user.roles = [one for one in user.roles if one != role]
        self._changed()

    def add_role(self, name: str) -> None:
        if not name:
            raise RoleEmpty
        if name in self.roles:
            raise RoleAlreadyExist
        self.roles[name] = []
        self._changed()

    def role(self, name: str) -> list[Permission]:
        permissions = self.roles.get(name)
        if permissions is None:
            raise RoleNotFound
        return [Permission(READWRITE, b"", _ALL)] if name == ROOT else permissions

    def delete_role(self, name: str) -> None:
        if self.enabled and name == ROOT:
            raise InvalidAuthManagement
        self.role(name)
        del self.roles[name]
        for user in self.users.values():
            user.roles = [one for one in user.roles if one != name]
        self._changed()

    def grant(self, role: str, permission: Permission) -> None:
        if not _is_range(permission.key, permission.range_end):
            raise InvalidAuthManagement
        if role not in self.roles:
            raise RoleNotFound
        rest = [p for p in self.roles[role] if (p.key, p.range_end) != (permission.key, permission.range_end)]
        self.roles[role] = sorted([*rest, permission], key=lambda p: p.key)
        self._changed()

    def revoke(self, role: str, key: bytes, range_end: bytes) -> None:
        if role not in self.roles:
            raise RoleNotFound
        rest = [p for p in self.roles[role] if (p.key, p.range_end) != (key, range_end)]
        if len(rest) == len(self.roles[role]):
            raise PermissionNotGranted
        self.roles[role] = rest
        self._changed()


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _is_range(key: bytes, range_end: bytes) -> bool:
    return bool(key) and (range_end in (b"", _ALL) or key < range_end)


def _interval(key: bytes, range_end: bytes) -> tuple[bytes, bytes]:
    """First and behind the last."""
    if not range_end:
        return key, key + b"\0"
    return key, (_END if range_end == _ALL else range_end)


class _Intervals:
    """A union of intervals."""

    def __init__(self, intervals: Iterable[tuple[bytes, bytes]]) -> None:
        self._starts: list[bytes] = []
        self._ends: list[bytes] = []
        for start, end in sorted(intervals):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def cover(self, start: bytes, end: bytes) -> bool:
        at = bisect_right(self._starts, start) - 1
        return at >= 0 and start < self._ends[at] and end <= self._ends[at] and bisect_left(self._ends, end) <= at
