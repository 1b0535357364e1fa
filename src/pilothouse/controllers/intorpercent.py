"""Numbers that may be given as a percentage: maxSurge, maxUnavailable."""

from __future__ import annotations


def scaled(value: int | str | None, whole: int, *, up: bool) -> int:
    """A number, or a percentage of `whole`, rounded up or down. Raises ValueError."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    digits = value.removesuffix("%")
    if digits == value or not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise ValueError(f'invalid value for IntOrString: invalid value "{value}"')
    exact = int(digits) * whole
    return -(-exact // 100) if up else exact // 100
