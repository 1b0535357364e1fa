"""`Reader`: a bbolt database, read and distrusted: whatever does not add up raises Damaged, never another error."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

from pilothouse.store import bolt

_PAGE_SIZES: Final = (1024, 2048, 4096, 8192, 16384, 32768, 65536)


class Damaged(Exception):
    """str() says what does not add up."""


class Reader:
    """`with Reader(path) as db`. `size`: bytes that belong to the database, where the file is longer than that. Blocks."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        with open(path, "rb") as file:
            try:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except ValueError:
                raise Damaged("the file is empty") from None
        self._size = len(self._data) if size is None else size
        try:
            self.page_bytes, root, self.pages = self._newest_meta()
            if self.pages * self.page_bytes > self._size:
                raise Damaged(f"it ends before its last page ({self._size} of {self.pages * self.page_bytes} bytes)")
            self._seen: set[int] = set()
            self._buckets = dict(self._root_bucket(root))
        except BaseException:
            self._data.close()
            raise

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._data.close()

    def _newest_meta(self) -> tuple[int, int, int]:
        """Page size, root page and number of pages."""
        best: tuple[int, tuple[int, int, int]] | None = None
        for start in (0, *_PAGE_SIZES):  # where the second one is depends on the first
            at = start + bolt.PAGE.size
            if at + bolt.META.size + bolt.META_SUM.size > self._size:
                continue
            raw = self._data[at : at + bolt.META.size]
            magic, version, page_bytes, _, root, _, _, pages, transaction = bolt.META.unpack(raw)
            (checksum,) = bolt.META_SUM.unpack_from(self._data, at + bolt.META.size)
            if magic != bolt.MAGIC or version != bolt.VERSION or checksum != bolt.fnv1a(raw):
                continue
            if page_bytes in _PAGE_SIZES and (best is None or transaction > best[0]):
                best = transaction, (page_bytes, root, pages)
        if best is None:
            raise Damaged("it is no bbolt database: neither of its meta pages is whole")
        return best[1]

    @property
    def names(self) -> list[bytes]:
        return list(self._buckets)

    def bucket(self, name: bytes) -> Iterator[tuple[bytes, bytes]]:
        """The entries of a bucket in order; none where there is no such bucket. Buckets in buckets are left out."""
        value = self._buckets.get(name)
        if value is None:
            return
        if len(value) < bolt.BUCKET.size:
            raise Damaged(f"bucket {name!r} has no root")
        root, _ = bolt.BUCKET.unpack_from(value)
        self._seen = set()
        found = self._walk(root) if root else self._leaf(value[bolt.BUCKET.size :], f"bucket {name!r}")
        last = b""
        for flags, key, content in found:
            if key <= last:
                raise Damaged(f"the keys of bucket {name!r} are out of order")
            last = key
            if not flags & bolt.IS_BUCKET:
                yield key, content

    def _root_bucket(self, root: int) -> Iterator[tuple[bytes, bytes]]:
        for flags, key, value in self._walk(root):
            if flags & bolt.IS_BUCKET:
                yield key, value

    def _page(self, number: int) -> tuple[int, int, memoryview]:
        """Flags, number of elements and bytes, its overflow included. Each page once."""
        if not 2 <= number < self.pages or number in self._seen:
            raise Damaged(f"page {number} is out of place")
        self._seen.add(number)
        start = number * self.page_bytes
        own, flags, count, overflow = bolt.PAGE.unpack_from(self._data, start)
        if own != number or number + overflow >= self.pages:
            raise Damaged(f"page {number} is damaged")
        return flags, count, memoryview(self._data)[start : start + (1 + overflow) * self.page_bytes]

    def _walk(self, root: int) -> Iterator[tuple[int, bytes, bytes]]:
        waiting = [root]
        while waiting:
            number = waiting.pop()
            flags, count, page = self._page(number)
            with page:
                if flags & bolt.IS_LEAF:
                    content = bytes(page)
                elif flags & bolt.IS_BRANCH and count:
                    try:
                        children = [
                            bolt.BRANCH.unpack_from(page, bolt.PAGE.size + i * bolt.BRANCH.size)[2]
                            for i in range(count)
                        ]
                    except struct.error:
                        raise Damaged(f"page {number} is damaged") from None
                    waiting += reversed(children)
                    continue
                else:
                    raise Damaged(f"page {number} is neither branch nor leaf")
            yield from self._leaf(content, f"page {number}")

    def _leaf(self, page: bytes, name: str) -> Iterator[tuple[int, bytes, bytes]]:
        try:
            _, _, count, _ = bolt.PAGE.unpack_from(page)
            numbers = struct.unpack_from(f"<{4 * count}I", page, bolt.PAGE.size)
        except struct.error:
            raise Damaged(f"{name} is damaged") from None
        start = bolt.PAGE.size
        for at in range(0, len(numbers), 4):
            flags, position, key_size, value_size = numbers[at : at + 4]
            first = start + position
            middle = first + key_size
            last = middle + value_size
            if last > len(page):
                raise Damaged(f"{name} is damaged")
            yield flags, page[first:middle], page[middle:last]
            start += bolt.LEAF.size
