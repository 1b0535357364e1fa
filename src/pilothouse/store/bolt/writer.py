"""`Writer`: a bbolt database in one pass, its entries in order. It keeps one page and the first key of each page before."""

from __future__ import annotations

from struct import pack
from typing import BinaryIO, Final

from pilothouse.store import bolt

PAGE_BYTES: Final = 4096
_ELEMENTS_MOST: Final = 0xFFFF
_HEAD: Final = bolt.PAGE.size


class Writer:
    """Writes pages one after the other to `file`. For each bucket in order of their names `begin(name)`, `put(key, value)` in
    ascending order of keys, `end()`; then `finish()`, which gives what replaces the first bytes that were written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pages = 2  # the metas come last, when all is known
        self._buckets: list[tuple[bytes, bytes]] = []
        self._name = b""
        self._keys: list[bytes] = []  # of the page that gathers
        self._values: list[bytes] = []
        self._size = _HEAD
        self._level: list[tuple[bytes, int]] = []  # first key and page of each leaf
        self._last = b""
        file.write(bytes(2 * PAGE_BYTES))

    def begin(self, name: bytes) -> None:
        assert not self._buckets or name > self._buckets[-1][0], "buckets go in order of their names"
        self._name, self._last = name, b""

    def put(self, key: bytes, value: bytes) -> None:
        assert key > self._last, "keys go in order, and none is empty"
        self._last = key
        size = bolt.LEAF.size + len(key) + len(value)
        if self._keys and (self._size + size > PAGE_BYTES or len(self._keys) == _ELEMENTS_MOST):
            self._leaf(0)
        self._keys.append(key)
        self._values.append(value)
        self._size += size

    def end(self) -> None:
        if self._keys or not self._level:
            self._leaf(0)
        self._buckets.append((self._name, bolt.BUCKET.pack(self._root(), 0)))

    def finish(self) -> tuple[bytes, int]:
        """The metas, which belong at the file's beginning, and the size of the whole."""
        for name, bucket in self._buckets:
            size = bolt.LEAF.size + len(name) + len(bucket)
            if self._keys and self._size + size > PAGE_BYTES:
                self._leaf(bolt.IS_BUCKET)
            self._keys.append(name)
            self._values.append(bucket)
            self._size += size
        self._leaf(bolt.IS_BUCKET if self._keys else 0)
        root = self._root()
        freelist = self._page(bolt.IS_FREELIST, 0, b"")
        return b"".join(self._meta(number, root, freelist) for number in (0, 1)), self._pages * PAGE_BYTES

    def _meta(self, number: int, root: int, freelist: int) -> bytes:
        meta = bolt.META.pack(bolt.MAGIC, bolt.VERSION, PAGE_BYTES, 0, root, 0, freelist, self._pages, number)
        page = bolt.PAGE.pack(number, bolt.IS_META, 0, 0) + meta + bolt.META_SUM.pack(bolt.fnv1a(meta))
        return page.ljust(PAGE_BYTES, b"\0")

    def _page(self, flags: int, count: int, content: bytes) -> int:
        """Writes a page; its number."""
        whole = -(-(_HEAD + len(content)) // PAGE_BYTES)
        number = self._pages
        page = bolt.PAGE.pack(number, flags, count, whole - 1) + content
        self._file.write(page.ljust(whole * PAGE_BYTES, b"\0"))
        self._pages += whole
        return number

    def _leaf(self, flags: int) -> None:
        keys, values = self._keys, self._values
        count = len(keys)
        numbers: list[int] = []
        data: list[bytes] = []
        at = count * bolt.LEAF.size
        for key, value in zip(keys, values, strict=True):
            numbers += (flags, at, len(key), len(value))
            data += (key, value)
            at += len(key) + len(value) - bolt.LEAF.size
        content = pack(f"<{len(numbers)}I", *numbers) + b"".join(data)
        self._level.append((keys[0] if keys else b"", self._page(bolt.IS_LEAF, count, content)))
        self._keys, self._values, self._size = [], [], _HEAD

    def _root(self) -> int:
        """Writes the branches above the leaves; the page at the top."""
        level, self._level = self._level, []
        while len(level) > 1:
            above: list[tuple[bytes, int]] = []
            first, size = 0, _HEAD
            for i, (key, _) in enumerate(level):
                size += bolt.BRANCH.size + len(key)
                # A branch has two children at least, however long their keys.
                if i - first >= 2 and (size > PAGE_BYTES or i - first == _ELEMENTS_MOST):
                    above.append((level[first][0], self._branch(level[first:i])))
                    first, size = i, _HEAD + bolt.BRANCH.size + len(key)
            above.append((level[first][0], self._branch(level[first:])))
            level = above
        return level[0][1]

    def _branch(self, children: list[tuple[bytes, int]]) -> int:
        parts, data = [], []
        at = len(children) * bolt.BRANCH.size
        for key, page in children:
            parts.append(bolt.BRANCH.pack(at, len(key), page))
            data.append(key)
            at += len(key) - bolt.BRANCH.size
        return self._page(bolt.IS_BRANCH, len(children), b"".join(parts + data))
