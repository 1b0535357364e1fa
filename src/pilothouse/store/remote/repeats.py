"""Which transactions may be sent again when no answer came, and what the second answer then says of the first.

The API server's writes compare the revision of one key, put or delete that key, and otherwise read it. Sent twice, at most one
of the two is carried out; and where the second finds the compare failed, what it reads tells whether the first did it: the key
holds just the value that was to be put (an object holds its own UID and times), or is gone as it was to be. So no answer that a
client gets depends on a connection having broken. etcd's own client repeats these too, but takes its own write for another's.

What requires that a key is absent, or has a certain version, could be carried out late: a member hangs with the first attempt,
the second is answered, the object is deleted, and then the member goes on. So these compare a fence, too: a key that is written
anew before a second attempt, after which no earlier one can succeed.
"""

from __future__ import annotations

from typing import Final

from pilothouse.store.interface import Compare, Delete, DeleteResult, Put, PutResult, Range, RangeResult, Txn, TxnResult

FENCE: Final = b"/registry/pilothouse-fence"  # shared by all that write below one prefix


def is_guarded(txn: Txn) -> bool:
    """One write of one key that requires the key's revision or version, and reads the key otherwise."""
    if len(txn.compare) != 1 or len(txn.success) != 1 or len(txn.failure) != 1:
        return False
    compare, write, read = txn.compare[0], txn.success[0], txn.failure[0]
    if not isinstance(write, Put | Delete) or not isinstance(read, Range):
        return False
    if isinstance(write, Put):
        plain = not (write.prev_kv or write.ignore_value or write.ignore_lease)
    else:
        plain = not (write.prev_kv or write.range_end)
    whole = not (read.range_end or read.revision or read.keys_only or read.count_only)
    whole = whole and not (
        read.min_mod_revision or read.max_mod_revision or read.min_create_revision or read.max_create_revision
    )
    guard = compare.key == write.key and not compare.range_end and compare.target in ("mod", "version")
    return plain and whole and read.key == write.key and guard and compare.op == "="


def may_come_late(txn: Txn) -> bool:
    """Whether what a guarded transaction requires can hold again after it was carried out."""
    compare = txn.compare[0]
    return compare.target == "version" or compare.value == 0


def fenced(txn: Txn, fence: int) -> Txn:
    """It requires that the fence was last written at revision `fence`, and tells when it was where it fails."""
    guard = Compare(FENCE, "mod", "=", fence)
    return Txn((*txn.compare, guard), txn.success, (*txn.failure, Range(FENCE, keys_only=True)))


def fence_of(result: TxnResult) -> tuple[TxnResult, int | None]:
    """The result without what a fenced transaction has more, and when the fence was last written, if it tells."""
    if result.succeeded:
        return result, None
    read = result.responses[-1]
    assert isinstance(read, RangeResult)
    written = read.kvs[0].mod_revision if read.kvs else 0
    return TxnResult(False, result.responses[:-1], result.revision), written


def settle(txn: Txn, result: TxnResult) -> TxnResult:
    """`result`: of a guarded transaction that was sent before without an answer; as if that had been answered."""
    if result.succeeded:
        return result
    write, read = txn.success[0], result.responses[0]
    assert isinstance(read, RangeResult)
    present = read.kvs[0] if read.kvs else None
    if isinstance(write, Put):
        if present is not None and present.value == write.value and present.lease == write.lease:
            return TxnResult(True, [PutResult(present.mod_revision)], present.mod_revision)
    elif present is None and txn.compare[0].value != 0:
        return TxnResult(True, [DeleteResult(result.revision, 1)], result.revision)
    return result
