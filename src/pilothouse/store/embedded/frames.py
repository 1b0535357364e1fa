"""Frames: how payloads stand in a file, each with its checksums, and how to tell a torn last write from damage.

A file begins with a header that says what it is. A frame is a head (magic, length, sequence number, the payload's and its own
checksum), the payload, and one byte that is never zero. The log is written into room that was set aside, which reads as zeros,
one frame at a time, and the next only once the one before is on disk. So of all frames only the last can be torn, and what is
missing of it reads as zeros, sector by sector, or lies behind the file's end. Whatever else is wrong is damage.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence

_FILE = struct.Struct("<8sIQQ")  # magic, kind, generation, first sequence number; then the checksum
_HEAD = struct.Struct("<4sIQI")  # magic, payload length, sequence number, payload's checksum; then the head's own
_CRC = struct.Struct("<I")
_MAGIC = b"PHst"
_TAIL = b"\xa5"
_SECTOR = 512
_READ_AHEAD = 1 << 20

FILE_HEADER_SIZE = _FILE.size + _CRC.size
HEAD_SIZE = _HEAD.size + _CRC.size
OVERHEAD = HEAD_SIZE + len(_TAIL)
FILE_MAGIC = b"pilothS1"
LOG, SNAPSHOT = 1, 2


class Damaged(Exception):
    """The file holds something else than what was written. str() says what."""


class Source:
    """A file to read from front to back, `read(at, size)` at a time."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self.size = size
        self._read = read
        self._ahead, self._begin = b"", 0

    def read(self, at: int, size: int) -> bytes:
        offset = at - self._begin
        if offset < 0 or offset + size > len(self._ahead):
            self._ahead, self._begin, offset = self._read(at, max(size, _READ_AHEAD)), at, 0
        return self._ahead[offset : offset + size]


def file_header(kind: int, generation: int, first: int) -> bytes:
    header = _FILE.pack(FILE_MAGIC, kind, generation, first)
    return header + _CRC.pack(zlib.crc32(header))


def read_file_header(source: Source, kind: int, generation: int) -> int:
    """The sequence number of the file's first frame (a snapshot's: of the first frame of the log that follows it)."""
    data = source.read(0, FILE_HEADER_SIZE)
    if len(data) < FILE_HEADER_SIZE:
        raise Damaged("its header is cut short")
    header = data[: _FILE.size]
    if _CRC.unpack_from(data, _FILE.size)[0] != zlib.crc32(header):
        raise Damaged("its header does not match its checksum")
    magic, found_kind, found_generation, first = _FILE.unpack(header)
    if (magic, found_kind, found_generation) != (FILE_MAGIC, kind, generation):
        raise Damaged("its header is another file's")
    return int(first)


def parts(payload: Sequence[bytes], sequence: int) -> list[bytes]:
    """The frame of `payload`, which comes in parts itself: to be written one behind the other."""
    size = checksum = 0
    for part in payload:
        size += len(part)
        checksum = zlib.crc32(part, checksum)
    head = _HEAD.pack(_MAGIC, size, sequence, checksum)
    return [head + _CRC.pack(zlib.crc32(head)), *payload, _TAIL]


def frame(payload: bytes, sequence: int) -> bytes:
    return b"".join(parts((payload,), sequence))


def frames(source: Source, first: int, *, tearable: bool) -> Iterator[tuple[bytes, int]]:
    """(payload, where the frame ends) for each whole frame, up to the end, or to a torn last one where one may be.
    Raises Damaged."""
    at, sequence = FILE_HEADER_SIZE, first
    while at < source.size:
        head = _head(source.read(at, HEAD_SIZE), 0)
        length = 0
        if head is not None and head[1] == sequence:
            length, _, checksum = head
            payload, tail = source.read(at + HEAD_SIZE, length), source.read(at + HEAD_SIZE + length, 1)
            if len(payload) == length and tail == _TAIL and zlib.crc32(payload) == checksum:
                at, sequence = at + OVERHEAD + length, sequence + 1
                yield payload, at
                continue
        elif head is not None:
            raise Damaged(f"the record at byte {at} is not the one that was written there")
        rest = source.read(at, source.size - at)
        if not rest.strip(b"\0"):
            return  # the room that was set aside
        if not tearable or not _torn(rest, at, OVERHEAD + length if head else HEAD_SIZE) or _follows(rest, sequence):
            raise Damaged(f"the record at byte {at} does not match its checksum")
        return


def _head(data: bytes, at: int) -> tuple[int, int, int] | None:
    """(length, sequence, payload's checksum) of a sound head at `at`."""
    if data[at : at + 4] != _MAGIC or at + HEAD_SIZE > len(data):
        return None
    if _CRC.unpack_from(data, at + _HEAD.size)[0] != zlib.crc32(data[at : at + _HEAD.size]):
        return None
    _, length, sequence, checksum = _HEAD.unpack_from(data, at)
    return length, sequence, checksum


def _torn(rest: bytes, at: int, size: int) -> bool:
    """Whether something of the `size` bytes at `at` is missing. `rest`: what the file holds from there on."""
    if len(rest.rstrip(b"\0")) < size:
        return True
    begin, end = at, at + size
    while begin < end:
        next_ = min(end, begin - begin % _SECTOR + _SECTOR)
        if not rest[begin - at : next_ - at].strip(b"\0"):
            return True
        begin = next_
    return False


def _follows(rest: bytes, sequence: int) -> bool:
    """Whether a frame after number `sequence` was written, which happens only once that one is on disk."""
    at = 1
    while (at := rest.find(_MAGIC, at)) >= 0:
        head = _head(rest, at)
        if head is not None and head[1] > sequence:
            return True
        at += 1
    return False
