"""bbolt's file format: what is written is read again, here and by bbolt; damage is found."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.store.bolt.reader import Damaged, Reader
from pilothouse.store.bolt.writer import Writer
from real_etcd import program

BUCKETS = st.dictionaries(
    st.binary(min_size=1, max_size=12),
    st.dictionaries(st.binary(min_size=1, max_size=300), st.binary(max_size=9000), max_size=40),
    max_size=8,
)


def write(path: Path, buckets: dict[bytes, dict[bytes, bytes]]) -> int:
    with open(path, "wb") as file:
        writer = Writer(file)
        for name in sorted(buckets):
            writer.begin(name)
            for key, value in sorted(buckets[name].items()):
                writer.put(key, value)
            writer.end()
        metas, size = writer.finish()
        file.seek(0)
        file.write(metas)
    assert path.stat().st_size == size
    return size


def read(path: Path) -> dict[bytes, dict[bytes, bytes]]:
    with Reader(path) as db:
        return {name: dict(db.bucket(name)) for name in db.names}


@settings(max_examples=60, deadline=None)
@given(BUCKETS)
def test_what_is_written_is_read(buckets: dict[bytes, dict[bytes, bytes]]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "db"
        write(path, buckets)
        assert read(path) == buckets


MANY = {b"%08d" % i: b"v" * (i % 700) for i in range(30_000)}
LARGE = {
    b"a": {},
    b"key": MANY,
    b"long": {b"k" * 3000 + b"%d" % i: b"" for i in range(9)},
    b"one": {b"x": b"y" * 100_000},
}


def test_a_large_one(tmp_path: Path) -> None:
    write(tmp_path / "db", LARGE)
    assert read(tmp_path / "db") == LARGE


@pytest.mark.parametrize("buckets", [{}, {b"a": {}}, LARGE], ids=["nothing", "empty", "large"])
def test_bbolt_finds_nothing_wrong(tmp_path: Path, buckets: dict[bytes, dict[bytes, bytes]]) -> None:
    bbolt = program("bbolt")
    path = tmp_path / "db"
    write(path, buckets)
    assert subprocess.run([bbolt, "check", path], capture_output=True, text=True, check=False).stdout == "OK\n"
    listed = subprocess.run([bbolt, "buckets", path], capture_output=True, text=True, check=True).stdout
    assert listed.split() == [name.decode() for name in sorted(buckets)]
    if b"key" in buckets:
        command = [bbolt, "get", path, "key", "00000699"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == b"v" * 699 + b"\n"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_raises_damaged_alone(data: st.DataObject) -> None:
    file = io.BytesIO()
    writer = Writer(file)
    for name in (b"a", b"key"):
        writer.begin(name)
        for i in range(300):
            writer.put(b"%04d" % i, b"value" * 10)
        writer.end()
    metas, _ = writer.finish()
    content = bytearray(file.getvalue())
    content[: len(metas)] = metas
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    with TemporaryDirectory() as directory:
        path = Path(directory) / "db"
        path.write_bytes(content)
        try:
            read(path)
        except Damaged:
            pass
