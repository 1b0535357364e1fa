"""Why a credential was refused."""

from __future__ import annotations


class Refused(Exception):
    """A credential of a known kind that does not hold. str() is upstream's message; a client sees only 401, and the author of
    a TokenReview the message."""


INVALID_TOKEN = "invalid bearer token"
