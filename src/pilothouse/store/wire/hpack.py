"""HPACK (RFC 7541) as a server of few kinds of request needs it: blocks seen before are decoded by one look-up,
others by a short loop; what is sent never uses the dynamic table, so that a block is made once for all connections.
Huffman codes and the static table are those of the `hpack` package, whose decoder takes some twenty times as long.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, TypeAlias

from hpack.exceptions import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

Fields: TypeAlias = tuple[tuple[bytes, bytes], ...]

TABLE_BYTES: Final = 4096
LIST_BYTES_MAX: Final = 64 * 1024  # of a decoded block, as SETTINGS_MAX_HEADER_LIST_SIZE counts it
_ENTRY_OVERHEAD: Final = 32
_STATIC: Final[Fields] = ((b"", b""), *((bytes(name), bytes(value)) for name, value in HeaderTable.STATIC_TABLE))
_STATIC_COUNT: Final = len(_STATIC) - 1
_INDEX_OF: Final = {field: index for index, field in reversed(list(enumerate(_STATIC)))}
_KNOWN_BLOCKS_MAX: Final = 64


class BadBlock(Exception):
    """A header block that cannot be decoded; the connection's state is lost with it."""


@lru_cache(maxsize=2048)
def _huffman(data: bytes) -> bytes:
    try:
        return decode_huffman(data)
    except HPACKDecodingError:
        raise BadBlock("a broken Huffman code") from None


class Decoder:
    """One connection's."""

    def __init__(self) -> None:
        self._entries: deque[tuple[bytes, bytes]] = deque()  # the newest first
        self._bytes = 0
        self._bytes_max = TABLE_BYTES
        self._known: dict[bytes, Fields] = {}  # of blocks that only refer to the table as it is

    def decode(self, block: bytes) -> Fields:
        """The same object for a block that repeats. Raises BadBlock."""
        known = self._known.get(block)
        if known is not None:
            return known
        try:
            return self._decode(block)
        except IndexError:
            raise BadBlock("a header block that ends early") from None

    def _decode(self, block: bytes) -> Fields:
        fields: list[tuple[bytes, bytes]] = []
        pos, end, size, changed = 0, len(block), 0, False
        while pos < end:
            first = block[pos]
            if first >= 0x80:
                index, pos = (first & 0x7F, pos + 1) if first != 0xFF else _integer(block, pos, 7)
                field = self._field(index)
            elif first >= 0x40:
                field, pos = self._literal(block, pos, 6)
                self._add(field)
                changed = True
            elif first >= 0x20:
                if fields:
                    raise BadBlock("a change of the table's size after a header")
                bytes_max, pos = _integer(block, pos, 5)
                if bytes_max > TABLE_BYTES:
                    raise BadBlock("a table larger than allowed")
                self._bytes_max, changed = bytes_max, True
                self._evict(0)
                continue
            else:
                field, pos = self._literal(block, pos, 4)
            fields.append(field)
            size += len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
            if size > LIST_BYTES_MAX:
                raise BadBlock("a header list larger than allowed")
        found = tuple(fields)
        if changed:
            self._known.clear()
        elif len(self._known) < _KNOWN_BLOCKS_MAX:
            self._known[block] = found
        return found

    def _field(self, index: int) -> tuple[bytes, bytes]:
        if index <= _STATIC_COUNT:
            if index:
                return _STATIC[index]
        elif index <= _STATIC_COUNT + len(self._entries):
            return self._entries[index - _STATIC_COUNT - 1]
        raise BadBlock("an index beyond the table")

    def _literal(self, block: bytes, pos: int, bits: int) -> tuple[tuple[bytes, bytes], int]:
        index, pos = _integer(block, pos, bits)
        if index:
            name = self._field(index)[0]
        else:
            name, pos = _string(block, pos)
        value, pos = _string(block, pos)
        return (name, value), pos

    def _add(self, field: tuple[bytes, bytes]) -> None:
        size = len(field[0]) + len(field[1]) + _ENTRY_OVERHEAD
        self._evict(size)
        if size <= self._bytes_max:
            self._entries.appendleft(field)
            self._bytes += size

    def _evict(self, room: int) -> None:
        while self._entries and self._bytes + room > self._bytes_max:
            name, value = self._entries.pop()
            self._bytes -= len(name) + len(value) + _ENTRY_OVERHEAD


def _integer(block: bytes, pos: int, bits: int) -> tuple[int, int]:
    mask = (1 << bits) - 1
    value = block[pos] & mask
    pos += 1
    if value < mask:
        return value, pos
    shift = 0
    while True:
        byte = block[pos]
        pos += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, pos
        shift += 7
        if shift > 28:
            raise BadBlock("an integer too large")


def _string(block: bytes, pos: int) -> tuple[bytes, int]:
    coded = block[pos] & 0x80
    size, pos = _integer(block, pos, 7)
    stop = pos + size
    if stop > len(block):
        raise BadBlock("a string that ends early")
    data = block[pos:stop]
    return (_huffman(data) if coded else data), stop


def encode(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A block that every decoder understands, whatever its table holds."""
    out = bytearray()
    for name, value in fields:
        index = _INDEX_OF.get((name, value))
        if index is not None:
            out.append(0x80 | index)
            continue
        out.append(0)
        for text in (name, value):
            _append_length(out, len(text))
            out += text
    return bytes(out)


def _append_length(out: bytearray, value: int) -> None:
    if value < 0x7F:
        out.append(value)
        return
    out.append(0x7F)
    value -= 0x7F
    while value >= 0x80:
        out.append(0x80 | (value & 0x7F))
        value >>= 7
    out.append(value)
