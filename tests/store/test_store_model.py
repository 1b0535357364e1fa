"""The embedded engine against a plain model: the same commands, equal answers, equal events, also after it was closed and
opened again; and the same commands to a real etcd (test_store_etcd).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import store_model as m
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import Command, Compact, Grant, Model, Revoke, inside

from pilothouse.clock import VirtualClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.embedded.rules import judge
from pilothouse.store.embedded.state import State
from pilothouse.store.interface import (
    Compacted,
    Delete,
    Event,
    InvalidRequest,
    OpResult,
    Put,
    Range,
    Store,
    StoreError,
    Txn,
)


async def run(store: Store, command: Command) -> OpResult | None:
    if isinstance(command, Put):
        return await store.put(command)
    if isinstance(command, Delete):
        return await store.delete(command)
    if isinstance(command, Range):
        return await store.range(command)
    if isinstance(command, Txn):
        return await store.txn(command)
    if isinstance(command, Grant):
        await store.lease_grant(command.ttl_s, command.lease)
    elif isinstance(command, Revoke):
        await store.lease_revoke(command.lease)
    else:
        await store.compact(command.revision)
    return None


def expected(model: Model, command: Command) -> OpResult | StoreError | None:
    try:
        if not isinstance(command, (Grant, Revoke, Compact)):
            judge(command, State())  # etcd itself is asked in test_store_etcd whether these rules are right
        return model.run(command)
    except StoreError as error:
        return error


async def answer(store: Store, command: Command) -> OpResult | StoreError | None:
    try:
        return await run(store, command)
    except StoreError as error:
        return error


def same(found: object, wanted: object) -> bool:
    if isinstance(wanted, StoreError):
        return type(found) is type(wanted) and str(found) == str(wanted)
    return found == wanted


@dataclass
class Watcher:
    """Reads a watch, takes it up again where it was cut, and begins at the oldest revision where that was compacted away."""

    key: bytes
    end: bytes
    prev_kv: bool
    store: EmbeddedStore
    next: int = 2
    seen: list[Event] = field(default_factory=list)
    lost: list[range] = field(default_factory=list)
    task: asyncio.Task[None] | None = None
    reached: int = 0

    def start(self) -> None:
        self.task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            watch = self.store.watch(self.key, self.end, start_revision=self.next, prev_kv=self.prev_kv)
            watch.request_progress()
            try:
                async for batch in watch:
                    for event in batch.events:
                        assert event.kv.mod_revision >= self.next, "repeated or out of order"
                    self.seen += batch.events
                    self.next = max(self.next, batch.revision + 1)
                    self.reached = max(self.reached, batch.revision)
                    if not batch.events:
                        watch.request_progress()
                        await asyncio.sleep(0.001)
            except Compacted as error:
                self.lost.append(range(self.next, error.revision))
                self.next = error.revision
            finally:
                await watch.cancel()

    async def stop(self) -> None:
        assert self.task is not None
        if self.task.done():
            await self.task
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def finish(self, revision: int) -> None:
        async with asyncio.timeout(60):
            while self.reached < revision:
                assert self.task is not None
                if self.task.done():
                    await self.task
                await asyncio.sleep(0.001)
        await self.stop()


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(m.COMMANDS, st.sampled_from(["", "", "", "settle", "cut", "reopen"])), max_size=40),
    st.lists(st.tuples(m.RANGES_WATCHED, st.booleans()), max_size=3),
)
def test_it_does_what_the_model_does(
    commands: list[tuple[Command, str]], watched: list[tuple[tuple[bytes, bytes], bool]]
) -> None:
    clock = VirtualClock()

    async def main(path: Path) -> None:
        model = Model()
        store = await open_store(path, clock)
        watchers = [Watcher(*span, prev_kv, store) for span, prev_kv in watched]
        for watcher in watchers:
            watcher.start()
        for command, then in commands:
            wanted = expected(model, command)
            found = await answer(store, command)
            assert same(found, wanted), (command, found, wanted)
            assert await store.revision() == model.revision
            if then == "settle":
                await asyncio.sleep(0.01)
            elif then in ("cut", "reopen"):
                for watcher in watchers:
                    await watcher.stop()
                if then == "reopen":
                    await store.close()
                    store = await open_store(path, clock)
                    assert await store.revision() == model.revision
                    assert sorted(await store.lease_list()) == sorted(model.leases)
                for watcher in watchers:
                    watcher.store = store
                    watcher.start()
        for watcher in watchers:
            await watcher.finish(model.revision)
            lost = {revision for span in watcher.lost for revision in span}
            wanted_events = [
                event
                for event in model.events
                if inside(event.kv.key, watcher.key, watcher.end) and event.kv.mod_revision not in lost
            ]
            assert [(e.type, e.kv) for e in watcher.seen] == [(e.type, e.kv) for e in wanted_events]
            for event, want in zip(watcher.seen, wanted_events, strict=True):
                assert event.prev_kv is None or (watcher.prev_kv and event.prev_kv == want.prev_kv)
        for revision, state in model.states.items():
            if revision >= model.compacted:
                found_all = await store.range(Range(b"\0", b"\0", revision=revision))
                assert {kv.key: kv for kv in found_all.kvs} == state
        await store.close()

    with TemporaryDirectory() as directory:
        clock.run(main(Path(directory)))


def test_the_model_refuses_as_it_should() -> None:
    model = Model()
    wanted = expected(model, Txn(success=[Put(b"a", b"1"), Put(b"a", b"2")]))
    assert isinstance(wanted, InvalidRequest) and model.revision == 1
