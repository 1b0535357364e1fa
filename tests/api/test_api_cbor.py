"""CBOR documents: what goes in comes out, and what JSON has no form for is refused."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api.codec import cbor
from pilothouse.api.codec.text import Malformed

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_what_goes_in_comes_out(obj: Any) -> None:
    data = cbor.encode(obj)
    assert data.startswith(cbor.MAGIC)
    assert cbor.decode(data) == obj


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=300 // 9))
def test_a_list_in_parts_is_a_list(items: list[Any]) -> None:
    head = {"kind": "ThingList", "apiVersion": "a/v1", "metadata": {"resourceVersion": "1"}}
    data = b"".join(cbor.list_parts(head, None, items, len(items)))
    assert cbor.decode(data) == {**head, "items": items}


@pytest.mark.parametrize("count", [0, 23, 24, 255, 256, 65535, 65536])
def test_lists_of_any_length(count: int) -> None:
    data = b"".join(cbor.list_parts({}, None, ({} for _ in range(count)), count))
    assert len(cbor.decode(data)["items"]) == count


def test_bytes_of_typed_objects_are_bytes() -> None:
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "aGk="}, "type": "Opaque"}
    plain = cbor2.loads(cbor.encode(secret)[len(cbor.MAGIC) :])
    assert plain[b"data"][b"k"] == cbor2.CBORTag(22, b"hi")
    assert plain[b"type"] == b"Opaque"
    assert cbor.decode(cbor.encode(secret)) == secret
    assert cbor.decode(cbor.encode({**secret, "apiVersion": "g/v1"}))["data"] == {"k": "aGk="}


@pytest.mark.parametrize(
    ("data", "want"),
    [
        ("d64161", "YQ=="), ("d54161", "YQ"), ("d74161", "61"), ("5f41614162ff", "ab"), ("9f01ff", [1]),
        ("c11a514b67b0", "2013-03-21T20:04:00Z"), ("d81c80", []), ("fb3ff8000000000000", 1.5), ("d9d9f7d9d9f7a0", {}),
        ("41ff", "�"),
    ],
)  # fmt: skip
def test_what_others_write(data: str, want: Any) -> None:
    assert cbor.decode(bytes.fromhex(data)) == want


@pytest.mark.parametrize(
    "data",
    [
        "", "a1", "7b", "a2416101416102", "a2416101616102", "a1f501", "f7", "f0", "f97e00", "f97c00", "a0a0", "61ff",
        "c249010000000000000000", "1bffffffffffffffff", "3bffffffffffffffff", "81" * 300 + "01", "ff",
    ],
)  # fmt: skip
def test_what_is_refused(data: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(data))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        cbor.decode(data)
    except Malformed:
        pass
