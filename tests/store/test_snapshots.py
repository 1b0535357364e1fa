"""Snapshots: what goes into one comes out of it, here and in etcd; and what is no snapshot is refused."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import google_crc32c
import orjson
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from store_model import OPS
from test_store_model import answer

from pilothouse.bootstrap import backup
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.cli.commands import root
from pilothouse.clock import RealClock
from pilothouse.store.bolt.reader import Reader
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.etcd.auth.book import META, Book, Permission, User
from pilothouse.store.interface import Delete, Op, Put, StoreError, Unavailable
from pilothouse.store.remote import Options, open_remote
from pilothouse.store.remote.snapshot import download
from pilothouse.store.snapshots.restore import BadSnapshot, Status, inspect, restore
from pilothouse.store.snapshots.save import checksum, save
from pilothouse.store.snapshots.schema import NOT_HASHED
from real_etcd import Etcd, program

BOOK = Book(
    True, 7, {"cert": User("cert", b"", True), "root": User("root", b"$2b$10$hash", roles=["root"])},
    {"r": [Permission(2, b"a", b"b"), Permission(0, b"c", b"")], "root": []},
)  # fmt: skip


async def contents(store: EmbeddedStore) -> tuple[Any, ...]:
    async with store.export() as export:
        versions = [version async for some in export.versions for version in some]
        leases = [(lease.lease, lease.granted_ttl_s, lease.keys) for lease in export.leases]
        return export.revision, export.compacted, versions, leases, export.meta


async def filled(commands: list[Op]) -> EmbeddedStore:
    store = await open_store(None, RealClock())
    for op in commands:
        await answer(store, op)
    return store


@settings(max_examples=20, deadline=None)
@given(st.lists(OPS, max_size=25), st.floats(0, 1), st.booleans(), st.booleans())
def test_what_goes_in_comes_out(commands: list[Op], where: float, leased: bool, auth: bool) -> None:
    async def main(path: Path) -> None:
        store = await filled(commands)
        if leased:
            await store.lease_grant(600, 5)
            await store.put(Put(b"leased", b"x", 5))
            await store.set_alarm("NOSPACE", True)
        if auth:
            await store.set_meta(META, BOOK.dump())
        at = int(await store.revision() * where)
        if at > 1:
            await store.compact(at)
        await save(store, path / "s.db")
        found = inspect(path / "s.db")
        revision = restore(path / "s.db", path / "again")
        again = await open_store(path / "again", RealClock())
        assert await contents(again) == await contents(store)
        assert await again.hash_kv() == await store.hash_kv()
        assert revision == await store.revision() and found.version == "3.6.0"
        await save(again, path / "t.db")
        assert inspect(path / "t.db").total_keys == found.total_keys
        await again.close()
        await store.close()

    with TemporaryDirectory() as directory:
        asyncio.run(main(Path(directory)))


async def test_it_is_of_one_moment_while_the_store_goes_on(tmp_path: Path) -> None:
    store = await open_store(None, RealClock())
    for i in range(3000):
        await store.put(Put(b"%05d" % i, b"v" * 500))
    stop = False

    async def write() -> int:
        count = 0
        while not stop:
            await store.put(Put(b"%05d" % (count % 3000), b"%d" % count))
            count += 1
        return count

    writing = asyncio.create_task(write())
    await asyncio.sleep(0)
    await save(store, tmp_path / "s.db")
    stop = True
    assert await writing > 100
    revision = restore(tmp_path / "s.db", tmp_path / "again")
    again = await open_store(tmp_path / "again", RealClock())
    _, _, versions, _, _ = await contents(again)
    assert [version.kv.mod_revision for version in versions] == list(range(2, revision + 1))
    assert revision < await store.revision()
    await again.close()
    await store.close()


async def test_the_hash_is_of_all_that_is_in_a_snapshot(tmp_path: Path) -> None:
    """But for what changes by itself, as with etcd's Hash."""
    store = await open_store(None, RealClock())
    found = [await checksum(store)]
    for change in (
        store.put(Put(b"a", b"1")), store.lease_grant(600, 5), store.set_meta(META, BOOK.dump()),
        store.set_alarm("NOSPACE", True),
    ):  # fmt: skip
        await change
        found.append(await checksum(store))
    assert len(set(found)) == 5
    await save(store, tmp_path / "a.db")
    await store.close()
    size = (tmp_path / "a.db").stat().st_size - 32
    said = 0
    with Reader(tmp_path / "a.db", size) as db:
        for name in sorted(db.names):
            said = google_crc32c.extend(said, name)
            for key, value in db.bucket(name):
                if (name, key) not in NOT_HASHED:
                    said = google_crc32c.extend(google_crc32c.extend(said, key), value)
    assert found[-1] == said


async def test_what_is_no_snapshot_is_refused(tmp_path: Path) -> None:
    store = await filled([Put(b"a", b"1"), Put(b"b", b"x" * 9000)])
    path = tmp_path / "s.db"
    await save(store, path)
    await store.close()
    good = path.read_bytes()

    def refused(content: bytes, text: str, **options: bool) -> None:
        path.write_bytes(content)
        with pytest.raises(BadSnapshot, match=text):
            restore(path, tmp_path / "to", **options)
        assert not (tmp_path / "to").exists() or not any((tmp_path / "to").glob("log-*"))

    refused(good[:100] + b"?" + good[101:], "is damaged: expected SHA-256")
    refused(good[:-32], "has no checksum: it is cut off, or was copied")
    refused(good[:8192], "ends before its last page", check_hash=False)
    refused(b"", "is empty", check_hash=False)
    refused(b"text" * 5000, "is no bbolt database", check_hash=False)
    with pytest.raises(BadSnapshot, match=r"cannot read .*: No such file"):
        restore(tmp_path / "none", tmp_path / "to")
    path.write_bytes(good[:-32])
    assert restore(path, tmp_path / "to", check_hash=False) == 3
    with pytest.raises(Unavailable, match="holds a store already"):
        restore(path, tmp_path / "to", check_hash=False)


async def test_a_snapshot_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = await open_store(None, RealClock())
    await store.close()
    with pytest.raises(StoreError):
        await save(store, tmp_path / "s.db")
    assert list(tmp_path.iterdir()) == []


async def test_a_running_cluster_gives_snapshots(tmp_path: Path) -> None:
    home = tmp_path / ("long" * 30)  # longer than a socket's address may be
    directory = ClusterDirectory("c", home)
    directory.create()
    store = await filled([Put(b"a", b"1"), Delete(b"a"), Put(b"c", b"x" * 300_000)])
    with pytest.raises(ClusterError, match="is it still starting"):
        await backup.fetch(directory, tmp_path / "s.db", lambda *_: None)
    serving = await backup.serve(store, directory)
    assert (home / backup.NAME).stat().st_mode & 0o777 == 0o600
    seen: list[tuple[int, int]] = []
    size = await backup.fetch(directory, tmp_path / "s.db", lambda *done: seen.append(done))
    assert seen[-1] == (size, size)
    assert inspect(tmp_path / "s.db") == Status(inspect(tmp_path / "s.db").hash, 4, 1, size - 32, "3.6.0")
    await store.close()
    with pytest.raises(ClusterError, match="etcdserver: server stopped"):
        await backup.fetch(directory, tmp_path / "t.db", lambda *_: None)
    assert not (tmp_path / "t.db").exists()
    await serving.stop()
    assert not (home / backup.NAME).exists()


def test_the_command(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(root, ["snapshot", *arguments])
        return result.exit_code, result.output

    home, file = str(tmp_path / "home"), str(tmp_path / "s.db")
    code, said = run("save", file, "--data-dir", home)
    assert (code, said) == (1, 'Error: cluster "default" does not exist; see "pilothouse list"\n')

    async def fill() -> None:
        store = await open_store(tmp_path / "home" / "store", RealClock())
        await store.put(Put(b"a", b"1"))
        await store.close()

    (tmp_path / "home").mkdir()
    asyncio.run(fill())
    code, said = run("save", file, "--data-dir", home, "-o", "json")
    assert (code, orjson.loads(said)["file"]) == (0, file)
    code, said = run("status", file, "-o", "json")
    assert code == 0 and orjson.loads(said) | {"hash": 0, "totalSize": 0} == {
        "hash": 0, "revision": 2, "totalKey": 1, "totalSize": 0, "version": "3.6.0",
    }  # fmt: skip
    code, said = run("restore", file, "--data-dir", home)
    assert (code, "holds a store already" in said) == (1, True)
    code, said = run("restore", file, "--data-dir", str(tmp_path / "b"))
    assert code == 0 and f"start the cluster with: pilothouse up --data-dir {tmp_path / 'b'}" in said
    code, said = run("restore", file, "--etcd-data-dir", str(tmp_path / "c"), "-o", "json")
    assert code == 0 and orjson.loads(said)["revision"] == 2
    for arguments, text in (
        (("status", str(tmp_path / "none")), "cannot read"),
        (("save", str(tmp_path)), "is a directory; name a file"),
        (("save", str(tmp_path / "x" / "y")), "there is no"),
        (("save", file, "--cacert", "x"), "go with --endpoint"),
    ):
        code, said = run(*arguments)
        assert code == 1 and said.startswith("Error: ") and text in said


# With etcd


def etcdctl(url: str, *arguments: str) -> str:
    command = [program("etcdctl"), "--endpoints", url, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def test_etcd_serves_what_ours_saved(tmp_path: Path) -> None:
    etcdutl = program("etcdutl")
    store = await open_store(None, RealClock())
    await store.lease_grant(600, 77)
    for i in range(2000):
        await store.put(Put(b"k%d" % (i % 900), b"v" * (i % 3000), 77 if i % 10 == 0 else 0))
    for i in range(100):
        await store.delete(Delete(b"k%d" % i))
    await store.compact(1500)
    book = Book(False, 3, BOOK.users, BOOK.roles)
    await store.set_meta(META, book.dump())
    await store.put(Put(b"last", b""))
    await save(store, tmp_path / "s.db")
    told = subprocess.run(
        [etcdutl, "snapshot", "status", tmp_path / "s.db", "-w", "json"], capture_output=True, check=True
    )
    ours = inspect(tmp_path / "s.db")
    assert orjson.loads(told.stdout) == {
        "hash": ours.hash, "revision": ours.revision, "totalKey": ours.total_keys, "totalSize": ours.total_size,
        "version": ours.version,
    }  # fmt: skip
    etcd = Etcd(tmp_path / "etcd")
    command = [etcdutl, "snapshot", "restore", tmp_path / "s.db", "--data-dir", tmp_path / "etcd" / "m0"]
    cluster = [
        "--name",
        "m0",
        "--initial-cluster",
        f"m0={etcd.peers[0]}",
        "--initial-advertise-peer-urls",
        etcd.peers[0],
    ]
    (tmp_path / "etcd").mkdir()
    subprocess.run([*command, *cluster], capture_output=True, check=True)
    with etcd:
        theirs = orjson.loads(await asyncio.to_thread(etcdctl, etcd.urls[0], "endpoint", "hashkv", "-w", "json"))[0]
        found = await store.hash_kv()
        hashed = theirs["HashKV"]
        assert (hashed["hash"], hashed["hash_revision"], hashed["compact_revision"]) == found
        assert (await asyncio.to_thread(etcdctl, etcd.urls[0], "user", "list")).split() == ["cert", "root"]
        said = await asyncio.to_thread(etcdctl, etcd.urls[0], "lease", "timetolive", "--keys", "4d")
        assert said.startswith("lease 000000000000004d granted with TTL(600s), remaining(")
    await store.close()


async def test_ours_serves_what_etcd_saved(tmp_path: Path) -> None:
    with Etcd(tmp_path / "etcd") as etcd:
        there = await open_remote(Options(tuple(etcd.urls)), RealClock())
        await there.lease_grant(600, 77)
        for i in range(600):
            await there.put(Put(b"k%d" % (i % 90), b"v" * (i % 3000), 77 if i % 10 == 0 else 0))
        await there.delete(Delete(b"k3"))
        await there.compact(300)
        await there.put(Put(b"last", b"1"))
        await asyncio.to_thread(etcdctl, etcd.urls[0], "user", "add", "root:pw")
        await asyncio.to_thread(etcdctl, etcd.urls[0], "role", "add", "r")
        await asyncio.to_thread(etcdctl, etcd.urls[0], "role", "grant-permission", "r", "readwrite", "a", "b")
        size = await download(Options((etcd.urls[0],)), tmp_path / "s.db", lambda *_: None)
        assert size == (tmp_path / "s.db").stat().st_size
        theirs = orjson.loads(await asyncio.to_thread(etcdctl, etcd.urls[0], "endpoint", "hashkv", "-w", "json"))[0]
        await there.close()
    restore(tmp_path / "s.db", tmp_path / "ours")
    store = await open_store(tmp_path / "ours", RealClock())
    hashed = theirs["HashKV"]
    assert (hashed["hash"], hashed["hash_revision"], hashed["compact_revision"]) == await store.hash_kv()
    assert await store.lease_list() == [77]
    book = Book.load(store.meta[META])
    assert (book.enabled, list(book.users), book.roles) == (False, ["root"], {"r": [Permission(2, b"a", b"b")]})
    await store.close()
