"""Users, roles, permissions and tokens."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.clock import VirtualClock
from pilothouse.store.etcd.auth.book import READ, READWRITE, WRITE, Book, Permission
from pilothouse.store.etcd.auth.tokens import BadTokenOptions, Caller, SimpleTokens, tokens_of

_KEYS = st.binary(min_size=1, max_size=2).map(lambda key: bytes(byte % 4 + 97 for byte in key))
_ENDS = st.one_of(st.just(b""), st.just(b"\0"), _KEYS)


@given(st.lists(st.tuples(_KEYS, _ENDS), max_size=6), _KEYS, _ENDS)
def test_a_range_is_permitted_where_the_grants_cover_it(
    grants: list[tuple[bytes, bytes]], key: bytes, end: bytes
) -> None:
    """Against every key of a small universe."""
    book = Book()
    book.add_user("u", b"", True)
    book.add_role("r")
    book.grant_role("u", "r")
    grants = [(k, e) for k, e in grants if not e or e == b"\0" or k < e]
    for k, e in grants:
        book.grant("r", Permission(READ, k, e))
    if end and end != b"\0" and key >= end:
        return
    letters = [bytes([c]) for c in range(97, 102)]
    universe = [a + b + c for a in letters for b in (b"", b"\0", *letters) for c in (b"", b"\0")]
    asked = [k for k in universe if _inside(k, key, end)]
    if asked:
        assert book.permits("u", READ, key, end) == all(any(_inside(k, *grant) for grant in grants) for k in asked)
    assert not book.permits("u", WRITE, key, end)


def _inside(key: bytes, start: bytes, end: bytes) -> bool:
    return key == start if not end else key >= start and (end == b"\0" or key < end)


def test_a_book_is_kept_as_it_is() -> None:
    book = Book()
    book.add_user("root", b"hash", False)
    book.grant_role("root", "root")
    book.add_role("r")
    book.grant("r", Permission(READWRITE, b"\x00\xff", b"\0"))
    book.enable()
    again = Book.load(book.dump())
    assert again == book
    assert Book.load(None) == Book()


def test_each_change_makes_what_was_known_before_old() -> None:
    book = Book()
    revisions = [book.revision]
    for change in (
        lambda: book.add_user("u", b"", True),
        lambda: book.add_role("r"),
        lambda: book.grant("r", Permission(READ, b"a", b"")),
        lambda: book.grant_role("u", "r"),
        lambda: book.revoke("r", b"a", b""),
        lambda: book.revoke_role("u", "r"),
        lambda: book.delete_role("r"),
        lambda: book.delete_user("u"),
    ):
        change()
        revisions.append(book.revision)
    assert revisions == list(range(1, 10))


def test_simple_tokens_end() -> None:
    clock = VirtualClock()

    async def run() -> None:
        tokens = SimpleTokens(clock, ttl_s=300)
        token = tokens.make("jane", 1)
        assert tokens.caller(token, 7) == Caller("jane", 7)
        await clock.sleep(299)
        assert tokens.caller(token, 7) == Caller("jane", 7)  # each use is a new beginning
        await clock.sleep(299)
        assert tokens.caller(token, 7) == Caller("jane", 7)
        await clock.sleep(300)
        assert tokens.caller(token, 7) is None
        first, second = tokens.make("jane", 1), tokens.make("root", 1)
        tokens.forget("jane")
        assert tokens.caller(first, 1) is None
        assert tokens.caller(second, 1) is not None
        assert tokens.caller("guess.1", 1) is None

    clock.run(run())


def test_jwt_tokens(tmp_path: Path) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    keys: dict[str, Any] = {}

    def write(name: str) -> str:
        key = keys[name] = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        (tmp_path / name).write_bytes(pem)
        return str(tmp_path / name)

    clock = VirtualClock()
    tokens = tokens_of(f"jwt,sign-method=ES256,priv-key={write('a')},ttl=5m", clock)
    others = tokens_of(f"jwt,sign-method=ES256,priv-key={write('b')},ttl=1h30m", clock)
    public = (
        keys["a"].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    name = x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    certificate = x509.CertificateBuilder(name, name, keys["a"].public_key(), 1, now, now + datetime.timedelta(1))
    (tmp_path / "a.pub").write_bytes(public)
    (tmp_path / "a.crt").write_bytes(
        certificate.sign(keys["a"], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    )
    readers = [tokens_of(f"jwt,sign-method=ES256,pub-key={tmp_path / file}", clock) for file in ("a.pub", "a.crt")]

    async def run() -> None:
        token = tokens.make("jane", 3)
        assert tokens.caller(token, 9) == Caller("jane", 3)  # of the book as it was then
        assert others.caller(token, 9) is None
        assert [reader.caller(token, 9) for reader in readers] == [Caller("jane", 3)] * 2
        assert tokens.caller(token + "x", 9) is None
        assert tokens.caller("nonsense", 9) is None
        await clock.sleep(301)
        assert tokens.caller(token, 9) is None

    clock.run(run())
    for wrong, message in {
        f"jwt,sign-method=RS256,priv-key={tmp_path / 'a'}": "--auth-token: the keys are not for RS256: ",
        f"jwt,sign-method=ES256,pub-key={tmp_path / 'a'}": "--auth-token: pub-key is neither a public key nor a certificate: ",
        f"jwt,sign-method=ES256,priv-key={tmp_path / 'a.pub'}": "--auth-token: priv-key is not a PEM key without a password: ",
        f"jwt,sign-method=none,priv-key={tmp_path / 'a'}": "--auth-token: ",
        f"jwt,sign-method=X,priv-key={tmp_path / 'a'}": '--auth-token: unknown sign-method "X"',
    }.items():
        with pytest.raises(BadTokenOptions) as caught:
            tokens_of(wrong, clock)
        assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("simple,x", "auth: invalid auth options"),
        ("jwt,sign-method=RS256,sign-method=RS256", "auth: invalid auth options"),
        ("jwt,sign-method=HS256,pub-key=/dev/null", "--auth-token: jwt needs priv-key or pub-key"),
        ("jwt,sign-method=HS256,priv-key=/dev/null,ttl=soon", '--auth-token: ttl "soon" is not a time, for example 5m'),
        ("magic", '--auth-token: unknown kind "magic"; use simple or jwt'),
        ("jwt", "--auth-token: jwt needs sign-method, for example sign-method=RS256"),
        ("jwt,sign-method=RS256", "--auth-token: jwt needs priv-key or pub-key"),
        ("jwt,sign-method=RS256,priv-key=/nowhere", "--auth-token: cannot read /nowhere: No such file or directory"),
    ],
)
def test_token_options_that_cannot_be(text: str, message: str) -> None:
    with pytest.raises(BadTokenOptions) as caught:
        tokens_of(text, VirtualClock())
    assert str(caught.value) == message
