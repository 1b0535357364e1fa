"""Quantities: decimal numbers with SI or binary suffixes, and their one canonical text.

Source: the API conventions' page on quantities and upstream's k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from enum import Enum
from functools import lru_cache
from typing import Final

_TEXT: Final = re.compile(r"([+-]?)0*(\d*)(?:\.(\d*))?([eEinumkKMGTP]*[-+]?\d*)", re.ASCII)
_EXPONENT: Final = re.compile(r"[eE]([+-]?\d+)", re.ASCII)
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_CONTEXT: Final = Context(prec=200)
_WIDE: Final = Context(prec=1400)
_NANO: Final = Decimal("1e-9")
_MAX: Final = Decimal(2**63 - 1)
_DIGITS_MAX: Final = 150
MALFORMED: Final = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


class Format(Enum):
    DECIMAL_SI = "DecimalSI"
    BINARY_SI = "BinarySI"
    DECIMAL_EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    amount: Decimal
    format: Format = Format.DECIMAL_SI
    text: str = field(default="", compare=False)  # as it was written, where upstream keeps that

    @staticmethod
    def parse(text: str) -> Quantity:
        """Raises ValueError where `text` is no quantity."""
        return _parse(text)

    def __str__(self) -> str:
        """The canonical text: an integer with the largest suffix that loses nothing."""
        return self.text or _text(self)

    def scaled(self, exponent: int) -> int:
        """In units of ten to the power of `exponent`, rounded away from zero: `scaled(-3)` is thousandths."""
        return int(_up(self.amount.scaleb(-exponent, _CONTEXT)))

    def value(self) -> int:
        return self.scaled(0)

    def milli(self) -> int:
        return self.scaled(-3)

    def round_up(self, exponent: int) -> Quantity:
        """No digits below ten to the power of `exponent`."""
        return Quantity(Decimal(self.scaled(exponent)).scaleb(exponent, _CONTEXT), self.format)


def _up(amount: Decimal) -> Decimal:
    return amount.to_integral_value(ROUND_CEILING if amount > 0 else ROUND_FLOOR, _CONTEXT)


@lru_cache(maxsize=4096)
def _parse(text: str) -> Quantity:
    match = _TEXT.fullmatch(text) if text else None
    if match is None or len(text) > _DIGITS_MAX:
        raise ValueError(MALFORMED)
    sign, whole, fraction, suffix = match.groups()
    whole, fraction = whole or "0", fraction or ""
    exponent, form = _suffix(suffix)
    number = Decimal(f"{sign}{whole}.{fraction or '0'}")
    if form is Format.BINARY_SI:
        number = _CONTEXT.multiply(number, Decimal(2**exponent))
        if abs(number) > _MAX:
            number = _MAX.copy_sign(number)
    else:
        number = number.scaleb(max(-1000, min(1000, exponent)), _WIDE)
    if number.normalize(_WIDE).as_tuple().exponent < -9:  # type: ignore[operator]
        number = _WIDE.multiply(_up(_WIDE.divide(number, _NANO)), _NANO)
    kept = text if _keeps_text(whole, fraction, exponent, form) else ""
    # Of fractions below 1024 the binary form has no text.
    if form is Format.BINARY_SI and -1024 < number < 1024:
        form = Format.DECIMAL_SI
    return Quantity(number, form, kept)


def _suffix(suffix: str) -> tuple[int, Format]:
    """The power, of ten or for the binary suffixes of two, and the format that goes with it."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], Format.DECIMAL_SI
    if suffix in _BINARY:
        return 10 * _BINARY.index(suffix), Format.BINARY_SI
    match = _EXPONENT.fullmatch(suffix)
    if match is None or abs(int(match[1])) >= 1 << 31:
        raise ValueError("unable to parse quantity's suffix")
    return int(match[1]), Format.DECIMAL_EXPONENT


def _keeps_text(whole: str, fraction: str, exponent: int, form: Format) -> bool:
    """Upstream keeps what was written where that looks canonical to it: no digits that a suffix could say."""
    digits = whole + fraction
    if form is Format.BINARY_SI:
        small = not fraction and len(whole) + exponent * 3 // 10 <= 14
        return small and int(whole) % 8 != 0 and int(whole) << exponent < 1 << 63
    scale = exponent - len(fraction)
    return (
        len(digits) <= 18
        and scale >= -9
        and scale % 3 == 0
        and not digits.endswith("000")
        and not digits.startswith("0")
    )


def _text(quantity: Quantity) -> str:
    amount = quantity.amount
    if not amount:
        return "0"
    if quantity.format is Format.BINARY_SI:
        if -1024 < amount < 1024 or amount != amount.to_integral_value():
            return _decimal(amount, Format.DECIMAL_SI)
        whole = int(amount)
        power = 0
        while power < 6 and whole % 1024 == 0:
            whole //= 1024
            power += 1
        return f"{whole}{_BINARY[power]}"
    return _decimal(amount, quantity.format)


def _decimal(amount: Decimal, form: Format) -> str:
    sign, digits, exponent = amount.normalize(_WIDE).as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)))
    shift = exponent % 3
    mantissa, exponent = mantissa * 10**shift, exponent - shift
    if exponent > 18 and form is Format.DECIMAL_SI:
        mantissa, exponent = mantissa * 10 ** (exponent - 18), 18
    if exponent < -9:
        mantissa = int(Decimal(mantissa).scaleb(exponent + 9).to_integral_value(ROUND_DOWN))
        exponent = -9
    minus = "-" if sign else ""
    if form is Format.DECIMAL_EXPONENT:
        return f"{minus}{mantissa}e{exponent}" if exponent else f"{minus}{mantissa}"
    return f"{minus}{mantissa}{_SUFFIX[exponent]}"
