"""Frames: how payloads stand in a file, each with its checksums, and how to tell a torn last write from damage.

A file begins with a header that says what it is. A frame is a head (magic, length, sequence number, the payload's and its own
checksum), the payload, and one byte that is never zero. The log is written into room that was set aside, which reads as zeros,
one frame at a time, and the next only once the one before is on disk. So of all frames only the last can be torn, and what is
missing of it reads as zeros, sector by sector, or lies behind the file's end. Whatever else is wrong is damage.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

_FILE = struct.Struct("<8sIQQ")  # magic, kind, generation, first sequence number; then the checksum
_HEAD = struct.Struct("<4sIQI")  # magic, payload length, sequence number, payload's checksum; then the head's own
_CRC = struct.Struct("<I")
_MAGIC = b"PHst"
_TAIL = b"\xa5"
_SECTOR = 512

FILE_HEADER_SIZE = _FILE.size + _CRC.size
HEAD_SIZE = _HEAD.size + _CRC.size
FILE_MAGIC = b"pilothS1"
LOG, SNAPSHOT = 1, 2


class Damaged(Exception):
    """The file holds something else than what was written. str() says what."""


def file_header(kind: int, generation: int, first: int) -> bytes:
    header = _FILE.pack(FILE_MAGIC, kind, generation, first)
    return header + _CRC.pack(zlib.crc32(header))


def read_file_header(data: bytes, kind: int, generation: int) -> int:
    """The sequence number of the file's first frame (a snapshot's: of the first frame of the log that follows it)."""
    if len(data) < FILE_HEADER_SIZE:
        raise Damaged("its header is cut short")
    header = data[: _FILE.size]
    if _CRC.unpack_from(data, _FILE.size)[0] != zlib.crc32(header):
        raise Damaged("its header does not match its checksum")
    magic, found_kind, found_generation, first = _FILE.unpack(header)
    if (magic, found_kind, found_generation) != (FILE_MAGIC, kind, generation):
        raise Damaged("its header is another file's")
    return int(first)


def frame(payload: bytes, sequence: int) -> bytes:
    head = _HEAD.pack(_MAGIC, len(payload), sequence, zlib.crc32(payload))
    return b"".join((head, _CRC.pack(zlib.crc32(head)), payload, _TAIL))


def frames(data: bytes, first: int, *, tearable: bool) -> Iterator[tuple[bytes, int]]:
    """(payload, where the frame ends) for each whole frame, up to the end, or to a torn last one where one may be.
    Raises Damaged."""
    at, sequence, size = FILE_HEADER_SIZE, first, len(data)
    while at < size:
        head = _head(data, at)
        if head is not None and head[1] == sequence:
            length, _, checksum = head
            begin = at + HEAD_SIZE
            end = begin + length + len(_TAIL)
            payload = data[begin : begin + length]
            if data[end - 1 : end] == _TAIL and zlib.crc32(payload) == checksum:
                yield payload, end
                at, sequence = end, sequence + 1
                continue
            torn = end > size or data[end - 1 : end] == b"\0" or _has_zero_sector(data, at, end)
        elif not data[at:].strip(b"\0"):
            return  # the room that was set aside
        else:
            torn = head is None and _head_torn(data, at)
        if not tearable or not torn or _later_frame(data, at + 1, sequence):
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


def _head_torn(data: bytes, at: int) -> bool:
    return len(data[at:].rstrip(b"\0")) < HEAD_SIZE or _has_zero_sector(data, at, at + HEAD_SIZE)


def _has_zero_sector(data: bytes, begin: int, end: int) -> bool:
    at = begin
    while at < end:
        next_ = min(end, at - at % _SECTOR + _SECTOR)
        if not data[at:next_].strip(b"\0"):
            return True
        at = next_
    return False


def _later_frame(data: bytes, at: int, sequence: int) -> bool:
    """Whether a frame after number `sequence` was written, which happens only once that one is on disk."""
    while (at := data.find(_MAGIC, at)) >= 0:
        head = _head(data, at)
        if head is not None and head[1] > sequence:
            return True
        at += 1
    return False
