"""Concurrent clients over gRPC, also across `kill -9`: they are answered as if one had come after the other."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from etcd_tools import ours
from linear import Done, Seen, Values, linearizable, revisions_in_order

from pilothouse.store.rpc.messages import etcdserverpb as pb
from real_etcd import free_ports

GROUPS = ([b"a"], [b"b"], [b"x", b"y", b"z"])  # keys that are used together


def test_the_checker_finds_what_is_wrong() -> None:
    put = Done("put", 0, 1, {0: b"1"})
    assert linearizable([put, Done("get", 2, 3, answer=(b"1",))], 1)
    assert not linearizable([put, Done("get", 2, 3, answer=(None,))], 1)  # stale
    assert linearizable([put, Done("get", 0.5, 3, answer=(None,))], 1)  # at once
    unknown = Done("put", 0, inf, {0: b"1"})
    assert linearizable([unknown, Done("get", 2, 3, answer=(None,)), Done("get", 4, 5, answer=(b"1",))], 1)
    assert not linearizable(
        [unknown, Done("get", 2, 3, answer=(b"1",)), Done("get", 4, 5, answer=(None,))], 1
    )  # undone
    swaps = [Done("swap", 0, 9, {0: name}, {0: None}, answer=True) for name in (b"1", b"2")]
    assert not linearizable(swaps, 1)  # both found nothing there
    both = Done("put", 0, 1, {0: b"1", 1: b"1"})
    assert not linearizable([both, Done("get", 0, 1, answer=(b"1", None))], 2)  # half of it
    assert revisions_in_order([Seen(0, 1, 2, True), Seen(2, 3, 3, True), Seen(0, 5, 3, False)]) == ""
    assert "twice" in revisions_in_order([Seen(0, 1, 2, True), Seen(0, 1, 2, True)])
    assert "after revision 3" in revisions_in_order([Seen(0, 1, 3, True), Seen(2, 3, 2, False)])


@dataclass
class _Record:
    done: dict[int, list[Done]] = field(default_factory=lambda: {group: [] for group in range(len(GROUPS))})
    seen: list[Seen] = field(default_factory=list)


def _op(key: bytes, value: bytes | None) -> Any:
    if value is None:
        return pb.RequestOp(request_delete_range=pb.DeleteRangeRequest(key=key))
    return pb.RequestOp(request_put=pb.PutRequest(key=key, value=value))


def _compare(key: bytes, value: bytes | None) -> Any:
    if value is None:
        return pb.Compare(key=key, target=0, version=0)
    return pb.Compare(key=key, target=3, value=value)


class _Client:
    """Asks one thing after the other, of what it read last."""

    def __init__(self, number: int, port: int, record: _Record) -> None:
        self._name, self._record = b"%d" % number, record
        self._chance = random.Random(number)
        self._channel = grpc.aio.insecure_channel(
            f"127.0.0.1:{port}", options=[("grpc.max_reconnect_backoff_ms", 50), ("grpc.min_reconnect_backoff_ms", 20)]
        )
        self._range, self._txn = (
            self._channel.unary_unary(
                f"/etcdserverpb.KV/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=response.FromString,
            )
            for method, response in (("Range", pb.RangeResponse), ("Txn", pb.TxnResponse))
        )
        self._known: dict[int, Values] = {group: (None,) * len(keys) for group, keys in enumerate(GROUPS)}
        self._count = 0

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._one()
            except grpc.aio.AioRpcError:
                await asyncio.sleep(0.05)
        await self._channel.close()

    def _wanted(self, group: int) -> dict[int, bytes | None]:
        self._count += 1
        places = [place for place in range(len(GROUPS[group])) if self._chance.random() < 0.7] or [0]
        value = self._name + b"-%d" % self._count  # nobody else writes it, so that history tells whether this was done
        wanted = {place: None if self._chance.random() < 0.15 else value for place in places}
        return wanted if any(wanted.values()) else {**wanted, places[0]: value}

    async def _one(self) -> None:
        group = self._chance.randrange(len(GROUPS))
        kind = self._chance.choice(("get", "put", "swap", "swap"))
        if kind == "get":
            await self._get(group)
            return
        keys, write = GROUPS[group], self._wanted(group)
        expect: dict[int, bytes | None] | None = None
        if kind == "swap":
            expect = {place: self._known[group][place] for place in write}
        request = pb.TxnRequest(
            compare=[_compare(keys[place], value) for place, value in (expect or {}).items()],
            success=[_op(keys[place], value) for place, value in write.items()],
        )
        begun = time.monotonic()
        try:
            answer = await self._txn(request, timeout=5)
        except grpc.aio.AioRpcError:
            self._record.done[group].append(Done(kind, begun, inf, write, expect))  # type: ignore[arg-type]
            raise
        ended = time.monotonic()
        held = answer.succeeded if expect is not None else None
        self._record.done[group].append(Done(kind, begun, ended, write, expect, held))  # type: ignore[arg-type]
        wrote = answer.succeeded and any(
            op.HasField("response_put") or op.response_delete_range.deleted for op in answer.responses
        )
        self._record.seen.append(Seen(begun, ended, answer.header.revision, wrote))
        if not answer.succeeded:
            await self._get(group)

    async def _get(self, group: int) -> None:
        """All keys of the group in one transaction, or one key by itself."""
        keys, begun = GROUPS[group], time.monotonic()
        found: list[Any]
        if len(keys) == 1:
            one = await self._range(pb.RangeRequest(key=keys[0]), timeout=5)
            found, revision = [one.kvs], one.header.revision
        else:
            reads = [pb.RequestOp(request_range=pb.RangeRequest(key=key)) for key in keys]
            many = await self._txn(pb.TxnRequest(success=reads), timeout=5)
            found, revision = [op.response_range.kvs for op in many.responses], many.header.revision
        ended = time.monotonic()
        values: Values = tuple(kvs[0].value if kvs else None for kvs in found)
        self._known[group] = values
        self._record.done[group].append(Done("get", begun, ended, answer=values))
        self._record.seen.append(Seen(begun, ended, revision, False))


async def _written(port: int, revision: int) -> set[bytes]:
    """All values that were ever there."""
    found: set[bytes] = set()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stream = channel.stream_stream(
            "/etcdserverpb.Watch/Watch",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=pb.WatchResponse.FromString,
        )()
        create = pb.WatchCreateRequest(key=b"\0", range_end=b"\0", start_revision=1)
        await stream.write(pb.WatchRequest(create_request=create))
        last = 0
        while last < revision:
            answer = await stream.read()
            found.update(event.kv.value for event in answer.events)
            last = max([last, *(event.kv.mod_revision for event in answer.events)])
        stream.cancel()
    return found


def _settled(history: list[Done], written: set[bytes], deaths: list[float]) -> list[Done]:
    """Of the requests without an answer, those that were carried out: by a server that was dead a little later."""
    found = []
    for op in history:
        if op.ended == inf:
            assert op.write is not None
            if not written & {value for value in op.write.values() if value is not None}:
                continue
            ended = next((death for death in deaths if death > op.begun), inf)
            op = Done(op.kind, op.begun, ended, op.write, op.expect, True if op.kind == "swap" else None)
        found.append(op)
    return found


@pytest.mark.parametrize(
    ("clients", "seconds", "kills"),
    [(6, 1.5, 1), pytest.param(12, 30.0, 20, marks=pytest.mark.slow)],
)
async def test_answers_are_as_if_one_came_after_the_other(
    tmp_path: Path, clients: int, seconds: float, kills: int
) -> None:
    [port] = free_ports(1)
    record, chance = _Record(), random.Random(3)
    stop = asyncio.Event()
    running: list[asyncio.Task[None]] = []
    deaths: list[float] = []
    written: set[bytes] = set()
    for round_ in range(kills + 1):
        with ours(tmp_path / "data", port=port) as etcd:
            if not running:
                running = [asyncio.create_task(_Client(n, port, record).run(stop)) for n in range(clients)]
            await asyncio.sleep(seconds / (kills + 1) * (0.5 + chance.random()))
            if round_ == kills:
                stop.set()
                await asyncio.gather(*running)
                written = await _written(port, max(one.revision for one in record.seen))
                break
            etcd.process.send_signal(signal.SIGKILL)
            etcd.process.wait()
            deaths.append(time.monotonic())
    assert revisions_in_order(record.seen) == ""
    for group, keys in enumerate(GROUPS):
        history = record.done[group]
        assert len(history) > 20
        assert linearizable(_settled(history, written, deaths), len(keys)), keys
    if kills > 10:
        assert any(op.ended == inf for history in record.done.values() for op in history)
