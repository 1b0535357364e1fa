"""Reads CBOR into JSON values, with the words of upstream's library for what it does not take.

What is ill-formed (RFC 8949, section 5.3.1) ends the reading; what is well-formed but no value that upstream takes is remembered,
and the first such is told in the end.
Source: github.com/fxamacker/cbor, with the modes of apimachinery's runtime/serializer/cbor.
"""

from __future__ import annotations

import base64
import math
import struct
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from pilothouse.api.codec.text import DEPTH_MOST, Malformed
from pilothouse.api.field import quote
from pilothouse.api.objects import Obj
from pilothouse.api.types import Shape, Type

_NAMES: Final = (
    "positive integer", "negative integer", "byte string", "UTF-8 text string", "array", "map", "tag", "primitives",
)  # fmt: skip
_POSITIVE, _NEGATIVE, _BYTES, _TEXT, _ARRAY, _MAP, _TAG, _PRIMITIVE = range(8)
_INDEFINITE: Final = 31
_BREAK: Final = 0xFF
_SIZES: Final = {24: ">B", 25: ">H", 26: ">I", 27: ">Q"}
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}
_SIMPLE: Final[dict[int, Any]] = {20: False, 21: True, 22: None}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_TO_STRUCT: Final = "cannot decode CBOR array to struct without toarray option"


class Read(NamedTuple):
    value: Any
    fault: str  # of a well-formed document; empty: none


class _Fault(NamedTuple):
    words: str
    depth: int  # of maps and lists


def decode(data: bytes) -> Any:
    """Any document. Raises Malformed."""
    return _faultless(_Reader(data))


def decode_map(data: bytes) -> Obj | None:
    """A map or null. Raises Malformed."""
    reader = _Reader(data)
    value = _faultless(reader)
    if value is None or isinstance(value, dict):
        return value
    raise Malformed(f"cbor: cannot unmarshal {_NAMES[reader.major]} into Go value of type map[string]interface {{}}")


def _faultless(reader: _Reader) -> Any:
    value = reader.whole()
    if reader.fault is not None:
        raise Malformed(reader.fault.words)
    return value


def read_object(data: bytes) -> Read:
    """A document that is to say its kind. Raises Malformed, also where that cannot be told."""
    reader = _Reader(data, into_struct=True)
    try:
        value = reader.whole()
    except Malformed as error:
        raise Malformed(f"unable to determine group/version/kind: {error}") from None
    wrong = reader.fault.words if reader.fault and reader.fault.depth <= 1 else ""
    if value is not None and not isinstance(value, dict):
        why = f" ({_TO_STRUCT})" if isinstance(value, list) else ""
        wrong = f"cbor: cannot unmarshal {_NAMES[reader.major]} into Go value of type v1.TypeMeta{why}"
    for name in ("kind", "apiVersion"):
        found = value.get(name) if isinstance(value, dict) and not wrong else None
        if found is not None and not isinstance(found, str):
            wrong = f"cbor: cannot unmarshal {_kind(found)} into Go struct field v1.TypeMeta.{name} of type string"
    if wrong:
        raise Malformed(f"unable to determine group/version/kind: {wrong}")
    return Read(value, reader.fault.words if reader.fault else "")


def _kind(value: Any) -> str:
    """What a value that is no text was written as."""
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return _NAMES[_PRIMITIVE]
    if isinstance(value, int):
        return _NAMES[_NEGATIVE if value < 0 else _POSITIVE]
    return _NAMES[_ARRAY if isinstance(value, list) else _MAP]


def unknown(type_: Type, value: Any) -> int | None:
    """The place among the entries of its map of the first field that a type does not have, as upstream comes upon it."""
    if isinstance(value, list):
        inner = type_.element
        return next((at for v in value if inner and (at := unknown(inner, v)) is not None), None)
    if not isinstance(value, dict) or type_.shape not in (Shape.STRUCT, Shape.MAP):
        return None
    for i, (name, below) in enumerate(value.items()):
        field = type_.fields.get(name) if type_.shape is Shape.STRUCT else None
        inner = field.type if field is not None else type_.element
        if inner is None:
            return None if type_.preserve_unknown else i
        at = unknown(inner, below)
        if at is not None:
            return at
    return None


class _Reader:
    def __init__(self, data: bytes, *, into_struct: bool = False) -> None:
        self._data, self._at, self._into_struct = data, 0, into_struct
        self.fault: _Fault | None = None
        self.major = -1  # of the document, without its tags
        self._tags = 0  # that enclose what is read
        self._later: list[int] = []  # how bytes are to be shown

    def whole(self) -> Any:
        if not self._data:
            raise Malformed("EOF")
        try:
            found = self._value(0)
        except struct.error:
            raise Malformed("unexpected EOF") from None
        rest = len(self._data) - self._at
        if rest:
            raise Malformed(f"cbor: {rest} bytes of extraneous data starting at index {self._at}")
        return found

    def _note(self, words: str, depth: int) -> None:
        if self.fault is None:
            self.fault = _Fault(f"cbor: {words}", depth)

    def _head(self) -> tuple[int, int, int]:
        """(major type, additional information, argument)."""
        if self._at >= len(self._data):
            raise Malformed("unexpected EOF")
        first = self._data[self._at]
        major, more = first >> 5, first & 31
        self._at += 1
        if more < 24:
            return major, more, more
        form = _SIZES.get(more)
        if form is not None:
            (argument,) = struct.unpack_from(form, self._data, self._at)
            self._at += struct.calcsize(form)
            return major, more, argument
        if first == _BREAK:
            raise Malformed('cbor: unexpected "break" code')
        if more != _INDEFINITE or major in (_POSITIVE, _NEGATIVE, _TAG):
            raise Malformed(f"cbor: invalid additional information {more} for type {_NAMES[major]}")
        return major, more, 0

    def _value(self, depth: int) -> Any:
        major, more, argument = self._head()
        if self.major < 0 and major != _TAG:
            self.major = major
        if major in (_TEXT, _BYTES):
            return self._string(major, more, argument, depth)
        if major in (_MAP, _ARRAY):
            self._check_depth(depth)
            if argument >= 1 << 63:
                raise Malformed(
                    f"cbor: {_NAMES[major]} length {argument} is too large, it would cause integer overflow"
                )
            return self._map(more, argument, depth + 1) if major == _MAP else self._array(more, argument, depth + 1)
        if major in (_POSITIVE, _NEGATIVE):
            found = argument if major == _POSITIVE else -1 - argument
            if argument >= 1 << 63:
                overflow = f"{found} overflows Go's int64"
                self._note(f"cannot unmarshal {_NAMES[major]} into Go value of type int64 ({overflow})", depth + 1)
            return found
        return self._tagged(argument, depth) if major == _TAG else self._primitive(more, argument, depth)

    def _primitive(self, more: int, argument: int, depth: int) -> Any:
        form = _FLOATS.get(more)
        if form is not None:
            size = struct.calcsize(form)
            (number,) = struct.unpack_from(form, self._data, self._at - size)
            if math.isnan(number) or math.isinf(number):
                what = "NaN" if math.isnan(number) else "infinity"
                raise Malformed(
                    f"cbor: data item of cbor type primitives is not accepted by protocol: floating-point {what}"
                )
            return number
        if more == 24 and argument < 32:
            raise Malformed(f"cbor: invalid simple value {argument} for type primitives")
        if argument not in _SIMPLE:
            why = f"simple value {argument} is not recognized"
            self._note(f"data item of cbor type primitives is not accepted by protocol: {why}", depth + 1)
        return _SIMPLE.get(argument)

    def _bytes(self, major: int, length: int) -> bytes:
        if length >= 1 << 63:
            raise Malformed(f"cbor: {_NAMES[major]} length {length} is too large, causing integer overflow")
        start = self._at
        self._at += length
        if self._at > len(self._data):
            raise Malformed("unexpected EOF")
        return self._data[start : self._at]

    def _string(self, major: int, more: int, length: int, depth: int) -> str:
        if more != _INDEFINITE:
            parts = [self._bytes(major, length)]
        else:
            parts = []
            while not self._ended():
                own, inner, size = self._head()
                if own != major:
                    raise Malformed(f"cbor: wrong element type {_NAMES[own]} for indefinite-length {_NAMES[major]}")
                if inner == _INDEFINITE:
                    raise Malformed(f"cbor: indefinite-length {_NAMES[major]} chunk is not definite-length")
                parts.append(self._bytes(major, size))
        found = parts[0] if len(parts) == 1 else b"".join(parts)
        if major == _BYTES:
            return self._shown(found)
        try:
            for part in parts:
                part.decode()
        except UnicodeDecodeError:
            self._note("invalid UTF-8 string", depth + 1)
        return found.decode("utf-8", "replace")

    def _shown(self, found: bytes) -> str:
        match self._later[-1] if self._later else 0:
            case 21:
                return base64.urlsafe_b64encode(found).rstrip(b"=").decode()
            case 22:
                return base64.b64encode(found).decode()
            case 23:
                return found.hex()
        return found.decode("utf-8", "replace")

    def _ended(self) -> bool:
        """Whether here is the end of what has no length, which is gone over."""
        if self._at >= len(self._data):
            raise Malformed("unexpected EOF")
        ended = self._data[self._at] == _BREAK
        self._at += ended
        return ended

    def _array(self, more: int, count: int, depth: int) -> list[Any]:
        if more != _INDEFINITE:
            return [self._value(depth) for _ in range(count)]
        found: list[Any] = []
        while not self._ended():
            found.append(self._value(depth))
        return found

    def _map(self, more: int, count: int, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        i = 0
        while not self._ended() if more == _INDEFINITE else i < count:
            first, before = self._data[self._at : self._at + 1], self.fault
            key = self._value(depth)
            if self.fault is not None and self.fault is not before:
                self.fault = _Fault(self.fault.words, depth)
            if more == _INDEFINITE and self._data[self._at : self._at + 1] == b"\xff":
                raise Malformed('cbor: unexpected "break" code')
            value = self._value(depth)
            if not isinstance(key, str):
                name = _NAMES[first[0] >> 5]
                why = (
                    f" (map key is of type {name} and cannot be used to match struct field name)"
                    if depth == 1 and self._into_struct
                    else ""
                )
                self._note(f"cannot unmarshal {name} into Go value of type string{why}", depth)
            elif key in found:
                self._note(f"found duplicate map key {quote(key)} at map element index {i}", depth)
            else:
                found[key] = value
            i += 1
        return found

    def _tagged(self, tag: int, depth: int) -> Any:
        if self._at >= len(self._data):
            raise Malformed("unexpected EOF")
        content = self._data[self._at]
        inner = content >> 5
        if tag in (2, 3):
            if inner != _BYTES:
                raise Malformed(f"tag number 2 or 3 must be followed by byte string, got {_NAMES[inner]}")
            raise Malformed("cbor: data item of cbor type tag is not accepted by protocol: bignum")
        wrong = ""
        if tag == 0 and inner != _TEXT:
            wrong = "text string"
        elif tag == 1 and inner not in (_POSITIVE, _NEGATIVE) and not 0xF9 <= content <= 0xFB:
            wrong = "integer or floating-point number"
        if wrong:
            self._note(f"tag number {tag} must be followed by {wrong}, got {_NAMES[inner]}", depth + 1)
        later = tag in (21, 22, 23)
        if later:
            self._later.append(tag)
        self._tags += 1
        self._check_depth(depth)
        found = self._value(depth)
        self._tags -= 1
        if later:
            self._later.pop()
        return _moment(found) if tag == 1 and not wrong else found

    def _check_depth(self, depth: int) -> None:
        if depth + self._tags > DEPTH_MOST:
            raise Malformed(f"cbor: exceeded max nested level {DEPTH_MOST}")


def _moment(seconds: float) -> Any:
    """RFC 3339, with the fraction that there is."""
    try:
        found = (_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()
    except OverflowError:
        return seconds
    return f"{found.rstrip('0') if '.' in found else found}Z"
