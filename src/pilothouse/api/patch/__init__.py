"""Patches as pure functions: JSON patch, JSON merge patch, strategic merge patch."""


class PatchError(ValueError):
    """The patch cannot be applied; str() is upstream's message, `code` the HTTP status it gets."""

    def __init__(self, message: str, code: int = 400) -> None:
        super().__init__(message)
        self.code = code
