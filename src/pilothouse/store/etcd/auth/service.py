"""etcdserverpb.Auth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from pilothouse.store.etcd.auth.book import META, Book, Permission
from pilothouse.store.etcd.auth.failures import (
    AuthFailed,
    AuthNotEnabled,
    NoPasswordUser,
    PermissionDenied,
    PermissionNotGiven,
    RoleNotFound,
)
from pilothouse.store.etcd.auth.guard import Guard
from pilothouse.store.etcd.encoding import Header
from pilothouse.store.interface import Maintained
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.wire.call import Call
from pilothouse.store.wire.rpc import RpcError, Status

PASSWORD_BYTES_MAX = 72  # bcrypt's


class Auth:
    """`cost`: bcrypt's, 4 to 31."""

    def __init__(self, store: Maintained, header: Header, guard: Guard, cost: int) -> None:
        self._store, self._header, self._guard, self._cost = store, header, guard, cost
        self._writing = asyncio.Lock()

    async def _headed(self, response: Any, **fields: Any) -> Any:
        return response(header=self._header.message(await self._store.revision()), **fields)

    async def _change(self, change: Callable[[Book], None]) -> None:
        """Makes it durable, then true."""
        async with self._writing:
            draft = deepcopy(self._guard.book)
            change(draft)
            await self._store.set_meta(META, draft.dump())
            self._guard.book = draft

    async def _hashed(self, password: str) -> bytes:
        import bcrypt

        data = password.encode()
        if len(data) > PASSWORD_BYTES_MAX:
            raise RpcError(Status.UNKNOWN, "bcrypt: password length exceeds 72 bytes")
        salt = bcrypt.gensalt(self._cost, prefix=b"2a")
        return await asyncio.get_running_loop().run_in_executor(None, bcrypt.hashpw, data, salt)

    async def auth_enable(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        await self._change(Book.enable)
        return await self._headed(pb.AuthEnableResponse)

    async def auth_disable(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        await self._change(Book.disable)
        self._guard.tokens.forget()
        return await self._headed(pb.AuthDisableResponse)

    async def auth_status(self, request: Any, call: Call) -> Any:
        """Anybody may ask (etcd 3.7), though not with a token that is none."""
        book = self._guard.book
        if book.enabled:
            self._guard.caller(call)
        return await self._headed(pb.AuthStatusResponse, enabled=book.enabled, authRevision=book.revision)

    async def authenticate(self, request: Any, call: Call) -> Any:
        import bcrypt

        while True:
            book = self._guard.book
            if not book.enabled:
                raise AuthNotEnabled
            user = book.users.get(request.name)
            if user is None:
                raise AuthFailed
            if user.no_password:
                raise NoPasswordUser
            data = request.password.encode()[:PASSWORD_BYTES_MAX]
            loop = asyncio.get_running_loop()
            if not await loop.run_in_executor(None, bcrypt.checkpw, data, user.password):
                raise AuthFailed
            if book.revision == self._guard.book.revision:  # else the password may have changed meanwhile
                break
        return await self._headed(
            pb.AuthenticateResponse, token=self._guard.tokens.make(request.name, self._guard.book.revision)
        )

    async def user_add(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        no_password = request.options.no_password
        password = b"" if no_password else await self._hashed(request.password)
        await self._change(lambda book: book.add_user(request.name, password, no_password))
        return await self._headed(pb.AuthUserAddResponse)

    async def user_get(self, request: Any, call: Call) -> Any:
        self._check_own(call, lambda user: user == request.name)
        roles = self._guard.book.user(request.name).roles
        return await self._headed(pb.AuthUserGetResponse, roles=roles)

    def _check_own(self, call: Call, own: Callable[[str], bool]) -> None:
        """What is one's own may be read without the root role."""
        try:
            self._guard.check_admin(call)
        except PermissionDenied:
            caller = self._guard.caller(call)
            if caller is None or not own(caller.user):
                raise

    async def user_list(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        return await self._headed(pb.AuthUserListResponse, users=sorted(self._guard.book.users))

    async def user_delete(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        await self._change(lambda book: book.delete_user(request.name))
        self._guard.tokens.forget(request.name)
        return await self._headed(pb.AuthUserDeleteResponse)

    async def user_change_password(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        password = await self._hashed(request.password) if request.password else b""
        await self._change(lambda book: book.change_password(request.name, password))
        self._guard.tokens.forget(request.name)
        return await self._headed(pb.AuthUserChangePasswordResponse)

    async def user_grant_role(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        await self._change(lambda book: book.grant_role(request.user, request.role))
        return await self._headed(pb.AuthUserGrantRoleResponse)

    async def user_revoke_role(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        await self._change(lambda book: book.revoke_role(request.name, request.role))
        return await self._headed(pb.AuthUserRevokeRoleResponse)

    async def role_add(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        await self._change(lambda book: book.add_role(request.name))
        return await self._headed(pb.AuthRoleAddResponse)

    async def role_get(self, request: Any, call: Call) -> Any:
        book = self._guard.book
        self._check_own(call, lambda user: request.role in (book.users[user].roles if user in book.users else ()))
        permissions = [{"permType": p.kind, "key": p.key, "range_end": p.range_end} for p in book.role(request.role)]
        return await self._headed(pb.AuthRoleGetResponse, perm=permissions)

    async def role_list(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        return await self._headed(pb.AuthRoleListResponse, roles=sorted(self._guard.book.roles))

    async def role_delete(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        await self._change(lambda book: book.delete_role(request.role))
        return await self._headed(pb.AuthRoleDeleteResponse)

    async def role_grant_permission(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        if not request.HasField("perm"):
            raise PermissionNotGiven
        permission = Permission(request.perm.permType, request.perm.key, request.perm.range_end)
        await self._change(lambda book: book.grant(request.name, permission))
        return await self._headed(pb.AuthRoleGrantPermissionResponse)

    async def role_revoke_permission(self, request: Any, call: Call) -> Any:
        self._guard.check_admin(call)
        if request.role not in self._guard.book.roles:
            raise RoleNotFound
        await self._change(lambda book: book.revoke(request.role, request.key, request.range_end))
        return await self._headed(pb.AuthRoleRevokePermissionResponse)
