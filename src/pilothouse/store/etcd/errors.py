"""The store's errors as gRPC statuses, with etcd's codes (its `api/v3rpc/rpctypes/error.go`)."""

from __future__ import annotations

import logging
from typing import Final

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
)
from pilothouse.store.wire.rpc import RpcError, Status

log = logging.getLogger(__name__)

_CODES: Final[dict[type[StoreError], Status]] = {
    Compacted: Status.OUT_OF_RANGE,
    FutureRevision: Status.OUT_OF_RANGE,
    NoSpace: Status.RESOURCE_EXHAUSTED,
    LeaseNotFound: Status.NOT_FOUND,
    LeaseExists: Status.FAILED_PRECONDITION,
    InvalidRequest: Status.INVALID_ARGUMENT,
    Unavailable: Status.UNAVAILABLE,
    Corrupt: Status.DATA_LOSS,
}


def failure(error: Exception) -> RpcError:
    if isinstance(error, StoreError):
        return RpcError(_CODES.get(type(error), Status.UNKNOWN), str(error))
    log.error("a call failed", exc_info=error)
    return RpcError(Status.INTERNAL, f"{type(error).__name__}: {error}")
