"""Quantities as validation sees them: sign, order and whole numbers, of the texts that objects hold."""

from __future__ import annotations

from functools import lru_cache

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
    return _is_whole(str(text if text is not None else "0"))


@lru_cache(maxsize=4096)
def _is_whole(text: str) -> bool:
    return Quantity.parse(text).milli() % 1000 == 0


def non_negative(text: object, path: str) -> ErrorList:
    if compare(text, "0") < 0:
        return [field.invalid(path, str(text), "must be greater than or equal to 0")]
    return []


def positive(text: object, path: str) -> ErrorList:
    if compare(text, "0") <= 0:
        return [field.invalid(path, str(text), "must be greater than zero")]
    return []


def round_list(values: dict[str, str] | None) -> None:
    """Changes a list of resources: nothing is finer than a thousandth (upstream's SetDefaults_ResourceList)."""
    for key, text in (values or {}).items():
        if text is not None:
            rounded = _rounded(str(text))
            if rounded is not None and values is not None:
                values[key] = rounded


@lru_cache(maxsize=4096)
def _rounded(text: str) -> str | None:
    """None: as it is."""
    quantity = Quantity.parse(text)
    rounded = quantity.round_up(-3)
    return None if rounded.amount == quantity.amount else str(rounded)
