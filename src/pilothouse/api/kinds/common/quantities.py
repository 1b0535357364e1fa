"""Quantities as validation sees them: sign, order and whole numbers, of the texts that objects hold."""

from __future__ import annotations

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.quantity import Quantity


def parse(text: object) -> Quantity:
    return Quantity.parse(str(text if text is not None else "0"))


def compare(a: object, b: object) -> int:
    """Negative, zero or positive as `a` is less than, equal to or greater than `b`."""
    x, y = parse(a).amount, parse(b).amount
    return (x > y) - (x < y)


def is_whole(text: object) -> bool:
    """Whether a quantity has no fraction, to a thousandth rounded up."""
    return parse(text).milli() % 1000 == 0


def non_negative(text: object, path: str) -> ErrorList:
    if compare(text, "0") < 0:
        return [field.invalid(path, str(text), "must be greater than or equal to 0")]
    return []


def positive(text: object, path: str) -> ErrorList:
    if compare(text, "0") <= 0:
        return [field.invalid(path, str(text), "must be greater than zero")]
    return []
