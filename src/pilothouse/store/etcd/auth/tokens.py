"""Tokens: what a client that gave its password shows with each call after.

`simple`: random, kept in memory for five minutes after its last use. `jwt`: signed, checked by key alone. The same
choice and options as etcd's --auth-token.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from pilothouse.clock import Clock

_SIMPLE_TTL_S: Final = 300.0
_SIMPLE_TOKENS_MAX: Final = 100_000
_LETTERS: Final = string.ascii_letters
_UNITS_S: Final = {"h": 3600, "m": 60, "s": 1}


class Caller(NamedTuple):
    user: str
    revision: int  # of the book when the caller was made known


class BadTokenOptions(Exception):
    """--auth-token cannot be used as given; str() says why."""


class Tokens(Protocol):
    def make(self, user: str, revision: int) -> str: ...

    def caller(self, token: str, revision: int) -> Caller | None:
        """`revision`: the book's, now. None for a token that is not valid."""
        ...

    def forget(self, user: str | None = None) -> None:
        """All tokens of a user, or of all."""
        ...


class SimpleTokens:
    def __init__(self, clock: Clock, ttl_s: float = _SIMPLE_TTL_S) -> None:
        self._clock, self._ttl_s = clock, ttl_s
        self._users: dict[str, tuple[str, float]] = {}  # token: user, end
        self._made = 0

    def make(self, user: str, revision: int) -> str:
        if len(self._users) >= _SIMPLE_TOKENS_MAX:
            self._drop_ended()
        self._made += 1
        token = "".join(self._clock.random.choices(_LETTERS, k=16)) + f".{self._made}"
        self._users[token] = (user, self._clock.monotonic() + self._ttl_s)
        return token

    def _drop_ended(self) -> None:
        now = self._clock.monotonic()
        self._users = {token: found for token, found in self._users.items() if found[1] > now}
        while len(self._users) >= _SIMPLE_TOKENS_MAX:
            del self._users[next(iter(self._users))]

    def caller(self, token: str, revision: int) -> Caller | None:
        found = self._users.get(token)
        if found is None:
            return None
        user, end = found
        now = self._clock.monotonic()
        if now >= end:
            del self._users[token]
            return None
        self._users[token] = (user, now + self._ttl_s)
        return Caller(user, revision)

    def forget(self, user: str | None = None) -> None:
        self._users = {t: found for t, found in self._users.items() if user is not None and found[0] != user}


@dataclass(slots=True)
class JwtTokens:
    """Claims: username, revision, exp."""

    clock: Clock
    algorithm: str
    sign_key: Any  # None: tokens of others are checked, none are made
    verify_key: Any
    ttl_s: float

    def make(self, user: str, revision: int) -> str:
        import jwt

        if self.sign_key is None:
            raise BadTokenOptions("the JWT options hold no private key, so no tokens can be made")
        claims = {"username": user, "revision": revision, "exp": int(self.clock.now() + self.ttl_s)}
        return jwt.encode(claims, self.sign_key, self.algorithm)

    def caller(self, token: str, revision: int) -> Caller | None:
        import jwt

        try:
            options: Any = {"verify_exp": False, "require": ["exp"]}
            claims = jwt.decode(token, self.verify_key, [self.algorithm], options=options)
            if float(claims["exp"]) < self.clock.now():
                return None
            return Caller(str(claims["username"]), int(claims["revision"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, ValueError):
            return None

    def forget(self, user: str | None = None) -> None:
        """A signed token holds until it ends; one from before a change is refused by its revision."""


def tokens_of(text: str, clock: Clock, simple_ttl_s: float = _SIMPLE_TTL_S) -> Tokens:
    """Of --auth-token: `simple`, or `jwt,sign-method=RS256,pub-key=FILE,priv-key=FILE,ttl=5m`. Raises BadTokenOptions."""
    kind, *pairs = text.split(",")
    options = dict(pair.split("=") for pair in pairs if pair.count("=") == 1)
    if len(options) < len(pairs):
        raise BadTokenOptions("auth: invalid auth options")
    if kind in ("simple", ""):
        return SimpleTokens(clock, simple_ttl_s)
    if kind != "jwt":
        raise BadTokenOptions(f'--auth-token: unknown kind "{kind}"; use simple or jwt')
    algorithm = options.get("sign-method", "")
    if not algorithm:
        raise BadTokenOptions("--auth-token: jwt needs sign-method, for example sign-method=RS256")
    private, public = _read(options.get("priv-key")), _read(options.get("pub-key"))
    if private is None and public is None:
        raise BadTokenOptions("--auth-token: jwt needs priv-key or pub-key")
    if algorithm.startswith("HS"):
        return JwtTokens(clock, algorithm, private, private, _ttl_s(options.get("ttl", "5m")))
    return JwtTokens(clock, algorithm, private, public or _public_of(private), _ttl_s(options.get("ttl", "5m")))


def _read(path: str | None) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadTokenOptions(f"--auth-token: cannot read {path}: {error.strerror}") from None


def _public_of(private: bytes | None) -> bytes:
    from cryptography.hazmat.primitives import serialization

    assert private is not None
    try:
        key = serialization.load_pem_private_key(private, None)
    except (ValueError, TypeError) as error:
        raise BadTokenOptions(f"--auth-token: priv-key is not a PEM key without a password: {error}") from None
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _ttl_s(text: str) -> float:
    try:
        return float(text[:-1]) * _UNITS_S[text[-1]]
    except (KeyError, ValueError, IndexError):
        raise BadTokenOptions(f'--auth-token: "{text}" is not a time, for example 5m') from None
