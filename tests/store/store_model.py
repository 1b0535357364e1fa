"""A plain model of the store: every state kept whole, nothing clever. And commands, as hypothesis draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import strategies as st

from pilothouse.store.interface import (
    Compacted,
    Compare,
    Delete,
    DeleteResult,
    Event,
    FutureRevision,
    InvalidRequest,
    KeyValue,
    LeaseExists,
    LeaseNotFound,
    Op,
    OpResult,
    Put,
    PutResult,
    Range,
    RangeResult,
    Txn,
    TxnResult,
    prefix_end,
)  # fmt: skip

Keys = dict[bytes, KeyValue]


def inside(key: bytes, start: bytes, end: bytes) -> bool:
    return key == start if not end else start <= key and (end == b"\0" or key < end)


@dataclass(frozen=True)
class Grant:
    lease: int
    ttl_s: int


@dataclass(frozen=True)
class Revoke:
    lease: int


@dataclass(frozen=True)
class Compact:
    revision: int


Command = Op | Grant | Revoke | Compact


@dataclass
class Model:
    revision: int = 1
    compacted: int = -1
    states: dict[int, Keys] = field(default_factory=lambda: {1: {}})
    events: list[Event] = field(default_factory=list)
    leases: dict[int, int] = field(default_factory=dict)

    def run(self, command: Command) -> OpResult | None:
        """Raises what the store must raise, and then nothing is changed."""
        if isinstance(command, Grant):
            if command.lease in self.leases:
                raise LeaseExists
            self.leases[command.lease] = command.ttl_s
            return None
        if isinstance(command, Revoke):
            if command.lease not in self.leases:
                raise LeaseNotFound
            del self.leases[command.lease]
            keys = sorted(k for k, kv in self.states[self.revision].items() if kv.lease == command.lease)
            if keys:
                self.run(Txn(success=[Delete(key) for key in keys]))
            return None
        if isinstance(command, Compact):
            if command.revision <= self.compacted:
                raise Compacted(self.compacted)
            if command.revision > self.revision:
                raise FutureRevision
            self.compacted = command.revision
            return None
        if isinstance(command, Put) and command.lease and command.lease not in self.leases:
            raise LeaseNotFound
        now, events = dict(self.states[self.revision]), list[Event]()
        self._check(command, now)
        result = self._apply(command, now, dict(now), events)
        if events:
            self.revision += 1
            self.states[self.revision] = now
            self.events += events
        return result

    def _check(self, op: Op, now: Keys) -> None:
        """What etcd checks of the chosen way before it does anything."""
        if isinstance(op, Txn):
            for inner in op.success if self._holds(op.compare, now) else op.failure:
                self._check(inner, now)
        elif isinstance(op, Put):
            if (op.ignore_value or op.ignore_lease) and op.key not in now:
                raise InvalidRequest("etcdserver: key not found")
            if op.lease and op.lease not in self.leases:
                raise LeaseNotFound
        elif isinstance(op, Range):
            if op.revision > self.revision:
                raise FutureRevision
            if op.revision and op.revision < self.compacted:
                raise Compacted(self.compacted)

    def _apply(self, op: Op, now: Keys, before: Keys, events: list[Event]) -> OpResult:
        next_ = self.revision + 1
        if isinstance(op, Txn):
            holds = self._holds(op.compare, before)
            responses = [self._apply(inner, now, before, events) for inner in (op.success if holds else op.failure)]
            return TxnResult(holds, responses, next_ if events else self.revision)
        if isinstance(op, Put):
            old = now.get(op.key)
            kv = KeyValue(
                op.key,
                old.value if op.ignore_value and old else op.value,
                old.create_revision if old else next_,
                next_,
                old.version + 1 if old else 1,
                old.lease if op.ignore_lease and old else op.lease,
            )
            now[op.key] = kv
            events.append(Event("PUT", kv, old))
            return PutResult(next_, old if op.prev_kv else None)
        if isinstance(op, Delete):
            gone = [now.pop(key) for key in sorted(now) if inside(key, op.key, op.range_end)]
            events += [Event("DELETE", KeyValue(kv.key, b"", 0, next_, 0), kv) for kv in gone]
            return DeleteResult(next_ if events else self.revision, len(gone), gone if op.prev_kv else [])
        state = self.states[op.revision] if op.revision > 0 else now
        kvs = [state[key] for key in sorted(state) if inside(key, op.key, op.range_end)]
        count = len(kvs)
        for name, keep in (
            ("mod_revision", (op.min_mod_revision, op.max_mod_revision)),
            ("create_revision", (op.min_create_revision, op.max_create_revision)),
        ):
            kvs = [kv for kv in kvs if not keep[0] or getattr(kv, name) >= keep[0]]
            kvs = [kv for kv in kvs if not keep[1] or getattr(kv, name) <= keep[1]]
        filtered = op.min_mod_revision or op.max_mod_revision or op.min_create_revision or op.max_create_revision
        if op.limit_first and op.limit > 0 and not (filtered or op.descending):
            kvs = kvs[: op.limit + 1]
        attribute = {"create": "create_revision", "mod": "mod_revision"}.get(op.sort_target, op.sort_target)
        kvs.sort(key=lambda kv: getattr(kv, attribute), reverse=op.descending)
        more = 0 < op.limit < len(kvs)
        if op.limit > 0:
            kvs = kvs[: op.limit]
        if op.keys_only:
            kvs = [kv._replace(value=b"") for kv in kvs]
        if op.count_only:
            kvs, more = [], False
        return RangeResult(kvs, count, more, next_ if events else self.revision)

    def _holds(self, compares: Sequence[Compare], state: Keys) -> bool:
        return all(self._holds_one(compare, state) for compare in compares)

    def _holds_one(self, compare: Compare, state: Keys) -> bool:
        if compare.range_end:
            found: list[KeyValue | None] = [
                state[k] for k in sorted(state) if inside(k, compare.key, compare.range_end)
            ] or [None]
        else:
            found = [state.get(compare.key)]
        return all(self._compare(compare, kv) for kv in found)

    @staticmethod
    def _compare(compare: Compare, kv: KeyValue | None) -> bool:
        if kv is None:
            if compare.target == "value":
                return False
            kv = KeyValue(compare.key, b"", 0, 0, 0, 0)
        names = {"create": "create_revision", "mod": "mod_revision"}
        actual, wanted = getattr(kv, names.get(compare.target, compare.target)), compare.value
        if compare.op == "=":
            return bool(actual == wanted)
        if compare.op == "!=":
            return bool(actual != wanted)
        return bool(actual > wanted if compare.op == ">" else actual < wanted)


LEASES = st.sampled_from([7, 8, 9])
KEYS = st.sampled_from([b"a", b"a/1", b"a/2", b"a/3", b"b", b"c/1", b"c/2"])
VALUES = st.binary(max_size=3)
ENDS = st.sampled_from([b"", b"", b"", b"\0", b"a0", b"b", b"c/2", b"d"])
REVISIONS = st.integers(0, 14)
PUTS = st.builds(
    Put, KEYS, VALUES, lease=st.sampled_from([0, 0, 0, 7, 8]), prev_kv=st.booleans()
) | st.one_of(
    st.builds(Put, KEYS, st.just(b""), lease=st.sampled_from([0, 7]), ignore_value=st.just(True)),
    st.builds(Put, KEYS, VALUES, ignore_lease=st.just(True)),
)  # fmt: skip
DELETES = st.builds(Delete, KEYS, ENDS, prev_kv=st.booleans())
BOUNDS = st.sampled_from([0, 0, 0, 2, 5, 9])
RANGES = st.builds(Range, KEYS, ENDS, limit=st.integers(0, 4), revision=REVISIONS) | st.builds(
    Range,
    KEYS | st.just(b"\0"),
    ENDS,
    limit=st.integers(0, 4),
    keys_only=st.booleans(),
    count_only=st.sampled_from([False, False, True]),
    sort_target=st.sampled_from(["key", "version", "create", "mod", "value"]),
    descending=st.booleans(),
    min_mod_revision=BOUNDS,
    max_mod_revision=BOUNDS,
    min_create_revision=BOUNDS,
    max_create_revision=BOUNDS,
    limit_first=st.booleans(),
)
OPERATORS = st.sampled_from(["=", "!=", ">", "<"])
COMPARES = st.builds(
    Compare, KEYS, st.sampled_from(["version", "create", "mod", "lease"]), OPERATORS, st.integers(0, 9), ENDS
) | st.builds(Compare, KEYS, st.just("value"), OPERATORS, VALUES, ENDS)
SIMPLE = st.one_of(PUTS, PUTS, DELETES, RANGES)


def _txns(inner: st.SearchStrategy[Op]) -> st.SearchStrategy[Op]:
    branch = st.lists(inner, max_size=3)
    return st.builds(Txn, st.lists(COMPARES, max_size=2), branch, branch)


OPS: st.SearchStrategy[Op] = st.one_of(SIMPLE, SIMPLE, _txns(SIMPLE | _txns(SIMPLE)))
COMMANDS: st.SearchStrategy[Command] = st.one_of(
    OPS, OPS, OPS, OPS, OPS, OPS, st.builds(Grant, LEASES, st.just(600)), st.builds(Revoke, LEASES), st.builds(Compact, REVISIONS)
)  # fmt: skip
RANGES_WATCHED = st.sampled_from(
    [(b"\0", b"\0"), (b"a", prefix_end(b"a")), (b"a/1", b""), (b"a/2", b"c"), (b"b", b"\0")]
)
