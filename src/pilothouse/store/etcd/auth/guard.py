"""`Guard`: who is calling, and whether they may. Where authentication is not enabled everybody may everything.

Source of the rules: etcd's etcdserver/apply/apply_auth.go and txn.CheckTxnAuth.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pilothouse.store.etcd.auth.book import READ, WRITE, Book
from pilothouse.store.etcd.auth.failures import (
    AuthOldRevision,
    InvalidAuthToken,
    PermissionDenied,
    UserEmpty,
    UserNotFound,
)
from pilothouse.store.etcd.auth.tokens import Caller, Tokens
from pilothouse.store.interface import LeaseNotFound, Store
from pilothouse.store.wire.call import Call


def common_name(certificate: Any) -> str:
    """Of a client's certificate, as Python's ssl tells it; empty where there is none."""
    for part in (certificate or {}).get("subject", ()):
        for name, value in part:
            if name == "commonName":
                return str(value)
    return ""


class Guard:
    """`certificate_names`: a client without a token is whom its certificate names."""

    def __init__(self, store: Store, book: Book, tokens: Tokens, *, certificate_names: bool) -> None:
        self.book, self.tokens = book, tokens
        self._store = store
        self._certificate_names = certificate_names

    @property
    def on(self) -> bool:
        return self.book.enabled

    def caller(self, call: Call) -> Caller | None:
        """Raises InvalidAuthToken."""
        sent = dict(reversed(call.head.fields))
        token = sent.get(b"token", sent.get(b"authorization"))
        if token is not None:
            found = self.tokens.caller(token.decode("latin-1").removeprefix("Bearer "), self.book.revision)
            if found is None:
                raise InvalidAuthToken
            return found
        name = self._certificate_name(call) if self._certificate_names else ""
        return Caller(name, self.book.revision) if name else None

    def _certificate_name(self, call: Call) -> str:
        """The common name of a client's certificate. The gateway's calls are never the certificate's."""
        if call.head.get(b"grpcgateway-accept"):
            return ""
        return common_name(call.connection.transport.get_extra_info("peercert"))

    def check(self, call: Call, kind: int, key: bytes, range_end: bytes) -> None:
        """Whether the caller may READ or WRITE a range. Raises AuthErrors."""
        if not self.book.enabled:
            return
        self._check(self.caller(call), kind, key, range_end)

    def _check(self, caller: Caller | None, kind: int, key: bytes, range_end: bytes) -> None:
        book = self.book
        if caller is None:
            raise UserEmpty
        if caller.revision < book.revision:
            raise AuthOldRevision
        if caller.user not in book.users:
            raise PermissionDenied
        if not book.is_root(caller.user) and not book.permits(caller.user, kind, key, range_end):
            raise PermissionDenied

    def check_range(self, call: Call, request: Any) -> None:
        self.check(call, READ, request.key, request.range_end)

    async def check_put(self, call: Call, request: Any) -> None:
        caller = self.caller(call)
        self._check(caller, WRITE, request.key, b"")
        await self._check_lease(caller, request.lease)
        if request.prev_kv:
            self._check(caller, READ, request.key, b"")

    def check_delete(self, call: Call, request: Any) -> None:
        caller = self.caller(call)
        self._check(caller, WRITE, request.key, request.range_end)
        if request.prev_kv:
            self._check(caller, READ, request.key, request.range_end)

    async def check_txn(self, call: Call, request: Any) -> None:
        await self._check_txn(self.caller(call), request)

    async def _check_txn(self, caller: Caller | None, request: Any) -> None:
        for compare in request.compare:
            self._check(caller, READ, compare.key, compare.range_end)
        await self._check_ops(caller, request.success)
        await self._check_ops(caller, request.failure)

    async def _check_ops(self, caller: Caller | None, ops: Iterable[Any]) -> None:
        for op in ops:
            kind = op.WhichOneof("request")
            if kind == "request_range":
                self._check(caller, READ, op.request_range.key, op.request_range.range_end)
            elif kind == "request_put":
                put = op.request_put
                if put.prev_kv:
                    self._check(caller, READ, put.key, b"")
                self._check(caller, WRITE, put.key, b"")
                await self._check_lease(caller, put.lease)
            elif kind == "request_delete_range":
                delete = op.request_delete_range
                if delete.prev_kv:
                    self._check(caller, READ, delete.key, delete.range_end)
                self._check(caller, WRITE, delete.key, delete.range_end)
            elif kind == "request_txn":
                await self._check_txn(caller, op.request_txn)

    async def check_lease(self, call: Call, lease: int) -> None:
        """Whether the caller may write its keys: who ends a lease deletes them, and who renews it keeps them (3.7)."""
        if self.book.enabled:
            await self._check_lease(self.caller(call), lease)

    async def _check_lease(self, caller: Caller | None, lease: int) -> None:
        if not lease or (caller is not None and self.book.is_root(caller.user)):
            return
        for key in await self._lease_keys(lease):
            self._check(caller, WRITE, key, b"")

    async def check_lease_keys(self, call: Call, lease: int) -> None:
        """Whether the caller may see which keys a lease has."""
        if not self.book.enabled:
            return
        caller = self.caller(call)
        if caller is None:
            raise UserEmpty
        for key in await self._lease_keys(lease):
            self._check(caller, READ, key, b"")

    async def _lease_keys(self, lease: int) -> list[bytes]:
        try:
            return (await self._store.lease_time_to_live(lease, keys=True)).keys
        except LeaseNotFound:
            return []

    async def check_leases(self, call: Call) -> None:
        """Whether the caller may see all leases."""
        if not self.book.enabled:
            return
        caller = self.caller(call)
        if caller is None:
            raise UserEmpty
        if not self.book.is_root(caller.user):
            for lease in await self._store.lease_list():
                for key in await self._lease_keys(lease):
                    self._check(caller, READ, key, b"")

    def check_known(self, call: Call) -> None:
        """Whether the caller is anybody at all."""
        if self.book.enabled and self.caller(call) is None:
            raise UserEmpty

    def check_admin(self, call: Call) -> None:
        """Whether the caller has the root role."""
        if not self.book.enabled:
            return
        caller = self.caller(call)
        if caller is None or not caller.user:
            raise UserEmpty
        if caller.user not in self.book.users:
            raise UserNotFound
        if not self.book.is_root(caller.user):
            raise PermissionDenied
