"""Quantities: decimal numbers with SI or binary suffixes, and their one canonical text.

Source: the API conventions' page on quantities and upstream's k8s.io/apimachinery/pkg/api/resource.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Context, Decimal
from enum import Enum
from functools import lru_cache
from typing import Final

_TEXT: Final = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?(?:([eE])([+-]?\d+)|(Ki|Mi|Gi|Ti|Pi|Ei|n|u|m|k|M|G|T|P|E|))")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_SUFFIX: Final = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY: Final = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_CONTEXT: Final = Context(prec=200)
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

    @staticmethod
    def parse(text: str) -> Quantity:
        """Raises ValueError where `text` is no quantity."""
        return _parse(text)

    def __str__(self) -> str:
        """The canonical text: an integer with the largest suffix that loses nothing."""
        return _text(self)

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
    match = _TEXT.fullmatch(text) if text.isascii() else None
    if match is None or len(text) > _DIGITS_MAX:
        raise ValueError(MALFORMED)
    sign, whole, fraction, exponent_mark, exponent, suffix = match.groups()
    if not whole and not fraction:
        raise ValueError(MALFORMED)
    form = Format.DECIMAL_SI
    if exponent_mark:
        form = Format.DECIMAL_EXPONENT
        if abs(int(exponent)) > 2**31:
            raise ValueError("unable to parse quantity's suffix")
    number = Decimal(f"{sign}{whole or '0'}.{fraction or '0'}")
    if exponent_mark:
        power = max(-1000, min(1000, int(exponent)))
        number = number.scaleb(power, Context(prec=400))
    elif suffix in _BINARY[1:]:
        form = Format.BINARY_SI
        number = _CONTEXT.multiply(number, Decimal(1024 ** _BINARY.index(suffix)))
    else:
        number = number.scaleb(_DECIMAL[suffix or ""], _CONTEXT)
    if abs(number) > _MAX:
        number = _MAX.copy_sign(number)
    elif number.normalize(_CONTEXT).as_tuple().exponent < -9:  # type: ignore[operator]
        number = _CONTEXT.multiply(_up(_CONTEXT.divide(number, _NANO)), _NANO)
    # Of fractions below 1024 the binary form has no text.
    if form is Format.BINARY_SI and -1024 < number < 1024:
        form = Format.DECIMAL_SI
    return Quantity(number, form)


def _text(quantity: Quantity) -> str:
    amount = quantity.amount
    if not amount:
        return "0"
    if quantity.format is Format.BINARY_SI:
        if -1024 < amount < 1024:
            return _decimal(amount, Format.DECIMAL_SI)
        whole = int(_up(amount))
        power = 0
        while power < 6 and whole % 1024 == 0:
            whole //= 1024
            power += 1
        return f"{whole}{_BINARY[power]}"
    return _decimal(amount, quantity.format)


def _decimal(amount: Decimal, form: Format) -> str:
    sign, digits, exponent = amount.normalize(_CONTEXT).as_tuple()
    assert isinstance(exponent, int)
    mantissa = int("".join(map(str, digits)))
    shift = exponent % 3
    mantissa, exponent = mantissa * 10**shift, exponent - shift
    if exponent > 18:
        mantissa, exponent = mantissa * 10 ** (exponent - 18), 18
    if exponent < -9:
        mantissa = int(Decimal(mantissa).scaleb(exponent + 9).to_integral_value(ROUND_DOWN))
        exponent = -9
    minus = "-" if sign else ""
    if form is Format.DECIMAL_EXPONENT:
        return f"{minus}{mantissa}e{exponent}" if exponent else f"{minus}{mantissa}"
    return f"{minus}{mantissa}{_SUFFIX[exponent]}"
