"""Where Go's JSON scanner stumbles over a text, in its words; and where a value of several ends."""

from __future__ import annotations

import re
from typing import Final

_DEPTH_MOST: Final = 10000
_SPACE: Final = re.compile(rb"[ \t\r\n]*")
_PLAIN: Final = re.compile(rb'[^"\\\x00-\x1f]*')
_DIGITS: Final = re.compile(rb"[0-9]*")
END: Final = "unexpected end of JSON input"
_WORDS: Final = {0x74: b"true", 0x66: b"false", 0x6E: b"null"}
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")
_ESCAPES: Final = frozenset(b'bfnrt\\/"')
_QUOTE, _BACKSLASH, _COMMA, _COLON = 0x22, 0x5C, 0x2C, 0x3A
_OPEN: Final = {0x7B: 0x7D, 0x5B: 0x5D}  # braces and brackets with what closes them


class Fault(Exception):
    """str() is Go's message."""


def fault(text: bytes) -> str:
    """Go's message; empty where it finds nothing wrong."""
    try:
        _Scan(text).document()
    except Fault as error:
        return str(error)
    return ""


def value_end(text: bytes, at: int = 0) -> int:
    """Behind the first value from `at` on. Raises Fault."""
    scan = _Scan(text, at)
    scan.value()
    return scan.at


def _quoted(byte: int) -> str:
    """Go's quoteChar."""
    if byte == 0x27:
        return "'\\''"
    if byte == _QUOTE:
        return "'\"'"
    named = {0x07: "\\a", 0x08: "\\b", 0x0C: "\\f", 0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t", 0x0B: "\\v", 0x5C: "\\\\"}
    if byte in named:
        return f"'{named[byte]}'"
    if byte < 0x20 or byte == 0x7F:
        return f"'\\x{byte:02x}'"
    if 0x80 <= byte < 0xA0:
        return f"'\\u{byte:04x}'"
    if byte in (0xA0, 0xAD):
        return f"'\\u{byte:04x}'"
    return f"'{chr(byte)}'"


class _Scan:
    def __init__(self, text: bytes, at: int = 0) -> None:
        self._text, self.at = text, at

    def _wrong(self, context: str) -> Fault:
        if self.at >= len(self._text):
            return Fault(END)
        return Fault(f"invalid character {_quoted(self._text[self.at])} {context}")

    def _peek(self) -> int:
        """The next byte; -1 at the end."""
        return self._text[self.at] if self.at < len(self._text) else -1

    def _skip(self, pattern: re.Pattern[bytes] = _SPACE) -> int:
        """How many bytes `pattern` passed over."""
        match = pattern.match(self._text, self.at)
        assert match is not None
        passed = match.end() - self.at
        self.at = match.end()
        return passed

    def document(self) -> None:
        self.value()
        self._skip()
        if self._peek() != -1:
            raise self._wrong("after top-level value")

    def value(self) -> None:
        closers: list[int] = []
        while True:
            self._skip()
            byte = self._peek()
            if byte in _OPEN:
                closers.append(_OPEN[byte])
                self.at += 1
                if len(closers) > _DEPTH_MOST:
                    self.at -= 1
                    raise self._wrong("exceeded max depth")
                self._skip()
                if self._peek() != closers[-1]:
                    if byte == 0x7B:
                        self._key()
                    continue
            else:
                self._literal(byte)
            if not self._ended(closers):
                return

    def _ended(self, closers: list[int]) -> bool:
        """After a value: up to where the next one begins; False at the end of the outermost."""
        while closers:
            self._skip()
            byte = self._peek()
            in_object = closers[-1] == 0x7D
            if byte == closers[-1]:
                closers.pop()
                self.at += 1
                continue
            if byte != _COMMA:
                raise self._wrong("after object key:value pair" if in_object else "after array element")
            self.at += 1
            if in_object:
                self._key()
            return True
        return False

    def _key(self) -> None:
        self._skip()
        if self._peek() != _QUOTE:
            raise self._wrong("looking for beginning of object key string")
        self._string()
        self._skip()
        if self._peek() != _COLON:
            raise self._wrong("after object key")
        self.at += 1

    def _literal(self, byte: int) -> None:
        if byte == _QUOTE:
            self._string()
        elif byte in _WORDS:
            word = _WORDS[byte]
            for expected in word[1:]:
                self.at += 1
                if self._peek() != expected:
                    raise self._wrong(f"in literal {word.decode()} (expecting '{chr(expected)}')")
            self.at += 1
        elif byte == 0x2D or 0x30 <= byte <= 0x39:
            self._number(byte)
        else:
            raise self._wrong("looking for beginning of value")

    def _string(self) -> None:
        self.at += 1
        while True:
            self._skip(_PLAIN)
            byte = self._peek()
            if byte == _QUOTE:
                self.at += 1
                return
            if byte != _BACKSLASH:
                raise self._wrong("in string literal")
            self.at += 1
            escape = self._peek()
            if escape == 0x75:
                for _ in range(4):
                    self.at += 1
                    if self._peek() not in _HEX:
                        raise self._wrong("in \\u hexadecimal character escape")
            elif escape not in _ESCAPES:
                raise self._wrong("in string escape code")
            self.at += 1

    def _number(self, byte: int) -> None:
        if byte == 0x2D:
            self.at += 1
            if not 0x30 <= self._peek() <= 0x39:
                raise self._wrong("in numeric literal")
        if self._peek() == 0x30:
            self.at += 1
        else:
            self._skip(_DIGITS)
        if self._peek() == 0x2E:
            self.at += 1
            if not self._skip(_DIGITS):
                raise self._wrong("after decimal point in numeric literal")
        if self._peek() in (0x65, 0x45):
            self.at += 1
            if self._peek() in (0x2B, 0x2D):
                self.at += 1
            if not self._skip(_DIGITS):
                raise self._wrong("in exponent of numeric literal")
