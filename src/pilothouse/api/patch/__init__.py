"""Patches as pure functions: JSON patch, JSON merge patch, strategic merge patch."""

from __future__ import annotations

from typing import Any

REFUSED = "the server rejected our request due to an error in our request"
"""All that upstream says of a patch that it could read but not apply."""


class PatchError(ValueError):
    """The patch cannot be applied; str() is upstream's message, `code` the HTTP status it gets."""

    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.code = code


def refused() -> PatchError:
    return PatchError(REFUSED, 422)


def in_go_order(value: dict[str, Any]) -> dict[str, Any]:
    """An object that Go had in a map, as it writes it."""
    return dict(sorted(value.items()))
