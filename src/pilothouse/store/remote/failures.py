"""etcd's errors, as gRPC brings them, as the store's.

Source: etcd's `rpctypes` (codes and messages) and the retry rules of its Go client (`retry.go`).
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.store.interface import (
    Compacted,
    Corrupt,
    FutureRevision,
    InvalidRequest,
    LeaseExists,
    LeaseNotFound,
    NoSpace,
    StoreError,
    Unavailable,
)  # fmt: skip

REQUEST_BYTES_MOST: Final = 2 * 1024 * 1024  # etcd's client sends no more

_KNOWN: Final[dict[str, type[StoreError]]] = {
    "etcdserver: mvcc: required revision is a future revision": FutureRevision,
    "etcdserver: requested lease not found": LeaseNotFound,
    "etcdserver: lease already exists": LeaseExists,
    "etcdserver: mvcc: database space exceeded": NoSpace,
}
_COMPACTED: Final = "etcdserver: mvcc: required revision has been compacted"
_INVALID: Final = ("INVALID_ARGUMENT", "OUT_OF_RANGE", "FAILED_PRECONDITION", "NOT_FOUND", "UNIMPLEMENTED")
_NAMES: Final = {"CANCELLED": "Canceled"}  # where Go's name of a code is not the words in a row


def failure(code: str, text: str, compacted: int = 0) -> StoreError:
    """`code`: the name of the gRPC status, `text`: its details; `compacted`: the oldest revision, where the server said it."""
    if text == _COMPACTED:
        return Compacted(compacted)
    known = _KNOWN.get(text)
    if known is not None:
        return known()
    message = text if text.startswith("etcdserver: ") else f"rpc error: code = {_go_name(code)} desc = {text}"
    if code in _INVALID:
        return InvalidRequest(message)
    if code == "DATA_LOSS":
        return Corrupt(message)
    if code in ("PERMISSION_DENIED", "UNAUTHENTICATED"):
        return StoreError(message)
    return Unavailable(message)


def failure_of(error: Any) -> StoreError:
    """Of a grpc.aio.AioRpcError."""
    return failure(error.code().name, error.details() or "")


def is_unsent(error: Any) -> bool:
    """The request certainly never reached a server: also a write may be asked elsewhere."""
    return error.code().name == "UNAVAILABLE" and (error.details() or "").startswith(
        "failed to connect to all addresses"
    )


def is_unanswered(error: Any) -> bool:
    """The server, or the way to it, gave no answer: a read may be asked again, and a write may or may not have happened.
    etcd 3.6 says so of a cluster without quorum too (DEADLINE_EXCEEDED; earlier ones: UNAVAILABLE)."""
    return error.code().name in ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED")


def _go_name(code: str) -> str:
    return _NAMES.get(code) or "".join(word.capitalize() for word in code.split("_"))
