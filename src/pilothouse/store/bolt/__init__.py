"""bbolt's file format: the database of etcd, and so the form of its snapshots. Written in one pass, and read.

A file is of pages. Page: id u64, flags u16, count u16, overflow u32 (pages that belong to it besides), then `count` elements
and their data; numbers are little-endian. Pages 0 and 1 are metas: the one with the greater transaction id counts. A bucket is a
B+tree of branch and leaf pages; the root bucket's leaves hold the buckets by name. Source: bbolt's `internal/common`.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

PAGE: Final = Struct("<QHHI")  # id, flags, count, overflow
LEAF: Final = Struct("<IIII")  # flags, position of key and value counted from this element, key size, value size
BRANCH: Final = Struct("<IIQ")  # position of the key counted from this element, key size, page
BUCKET: Final = Struct("<QQ")  # root page (0: a page follows inline), sequence
META: Final = Struct("<IIIIQQQQQ")  # magic, version, page size, flags, root, sequence, freelist, pages, transaction
META_SUM: Final = Struct("<Q")

IS_BRANCH, IS_LEAF, IS_META, IS_FREELIST = 0x01, 0x02, 0x04, 0x10
IS_BUCKET: Final = 0x01  # flag of a leaf's element
MAGIC, VERSION = 0xED0CDAED, 2
NO_FREELIST: Final = (1 << 64) - 1


def fnv1a(data: bytes) -> int:
    """FNV-1a, 64 bits: a meta's checksum."""
    found = 0xCBF29CE484222325
    for byte in data:
        found = (found ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return found


__all__ = [
    "BRANCH", "BUCKET", "IS_BRANCH", "IS_BUCKET", "IS_FREELIST", "IS_LEAF", "IS_META", "LEAF", "MAGIC", "META", "META_SUM",
    "NO_FREELIST", "PAGE", "VERSION", "fnv1a",
]  # fmt: skip
