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
from pilothouse.store.etcd.values import BadValue, duration_s

_SIMPLE_TTL_S: Final = 300.0
_SIMPLE_TOKENS_MAX: Final = 100_000
_LETTERS: Final = string.ascii_letters


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
    if private is None and (public is None or algorithm.startswith("HS")):
        raise BadTokenOptions("--auth-token: jwt needs priv-key or pub-key")
    ttl_s = _ttl_s(options.get("ttl", "5m"))
    if algorithm.startswith("HS"):
        return JwtTokens(clock, algorithm, private, private, ttl_s)
    sign_key = None if private is None else _private_key(private)
    verify_key = sign_key.public_key() if sign_key is not None and public is None else _public_key(public or b"")
    _check_keys(algorithm, sign_key, verify_key)
    return JwtTokens(clock, algorithm, sign_key, verify_key, ttl_s)


def _read(path: str | None) -> bytes | None:
    if not path:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise BadTokenOptions(f"--auth-token: cannot read {path}: {error.strerror}") from None


def _private_key(data: bytes) -> Any:
    from cryptography.hazmat.primitives import serialization

    try:
        return serialization.load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        raise BadTokenOptions(f"--auth-token: priv-key is not a PEM key without a password: {error}") from None


def _public_key(data: bytes) -> Any:
    """Of a public key, or a certificate."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization

    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return x509.load_pem_x509_certificate(data).public_key()
        return serialization.load_pem_public_key(data)
    except ValueError as error:
        raise BadTokenOptions(f"--auth-token: pub-key is neither a public key nor a certificate: {error}") from None


def _check_keys(algorithm: str, sign_key: Any, verify_key: Any) -> None:
    import jwt

    try:
        method = jwt.get_algorithm_by_name(algorithm)
        for key in (sign_key, verify_key):
            if key is not None:
                method.prepare_key(key)
    except NotImplementedError:
        raise BadTokenOptions(f'--auth-token: unknown sign-method "{algorithm}"') from None
    except (jwt.InvalidKeyError, TypeError) as error:
        raise BadTokenOptions(f"--auth-token: the keys are not for {algorithm}: {error}") from None


def _ttl_s(text: str) -> float:
    try:
        found = duration_s(text)
    except BadValue:
        found = 0.0
    if found <= 0:
        raise BadTokenOptions(f'--auth-token: ttl "{text}" is not a time, for example 5m')
    return found
