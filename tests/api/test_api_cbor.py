"""CBOR documents: what goes in comes out, and what JSON has no form for is refused."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api.codec import cbor, cborread, magic
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
    assert data.startswith(magic.CBOR)
    assert cborread.decode(data) == obj


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3), max_size=300 // 9))
def test_a_list_in_parts_is_a_list(items: list[Any]) -> None:
    head = {"kind": "ThingList", "apiVersion": "a/v1", "metadata": {"resourceVersion": "1"}}
    data = b"".join(cbor.list_parts(head, None, items, len(items)))
    assert cborread.decode(data) == {**head, "items": items}


@pytest.mark.parametrize("count", [0, 23, 24, 255, 256, 65535, 65536])
def test_lists_of_any_length(count: int) -> None:
    data = b"".join(cbor.list_parts({}, None, ({} for _ in range(count)), count))
    assert len(cborread.decode(data)["items"]) == count


def test_bytes_of_typed_objects_are_bytes() -> None:
    secret = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "aGk="}, "type": "Opaque"}
    plain = cbor2.loads(cbor.encode(secret)[len(magic.CBOR) :])
    assert plain[b"data"][b"k"] == cbor2.CBORTag(22, b"hi")
    assert plain[b"type"] == b"Opaque"
    assert cborread.decode(cbor.encode(secret)) == secret
    assert cborread.decode(cbor.encode({**secret, "apiVersion": "g/v1"}))["data"] == {"k": "aGk="}


@pytest.mark.parametrize(
    ("data", "want"),
    [
        ("d64161", "YQ=="), ("d54161", "YQ"), ("d74161", "61"), ("5f41614162ff", "ab"), ("9f01ff", [1]),
        ("c11a514b67b0", "2013-03-21T20:04:00Z"), ("d81c80", []), ("fb3ff8000000000000", 1.5), ("d9d9f7d9d9f7a0", {}),
        ("41ff", "�"),
    ],
)  # fmt: skip
def test_what_others_write(data: str, want: Any) -> None:
    assert cborread.decode(bytes.fromhex(data)) == want


@pytest.mark.parametrize(
    "data",
    [
        "", "a1", "7b", "a2416101416102", "a2416101616102", "a1f501", "f7", "f0", "f97e00", "f97c00", "a0a0", "61ff",
        "c249010000000000000000", "1bffffffffffffffff", "3bffffffffffffffff", "81" * 300 + "01", "ff",
    ],
)  # fmt: skip
def test_what_is_refused(data: str) -> None:
    with pytest.raises(Malformed):
        cborread.decode(bytes.fromhex(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("", "EOF"), ("a1", "unexpected EOF"), ("a0a0", "cbor: 1 bytes of extraneous data starting at index 1"),
        ("a2616101616102", 'cbor: found duplicate map key "a" at map element index 1'),
        ("a16161a2416101616102", 'cbor: found duplicate map key "a" at map element index 1'),
        ("61ff", "cbor: invalid UTF-8 string"), ("ff", 'cbor: unexpected "break" code'),
        ("1c", "cbor: invalid additional information 28 for type positive integer"),
        ("f7", "cbor: data item of cbor type primitives is not accepted by protocol: simple value 23 is not recognized"),
        ("f97e00", "cbor: data item of cbor type primitives is not accepted by protocol: floating-point NaN"),
        ("fa7f800000", "cbor: data item of cbor type primitives is not accepted by protocol: floating-point infinity"),
        ("c2420100", "cbor: data item of cbor type tag is not accepted by protocol: bignum"),
        ("c001", "cbor: tag number 0 must be followed by text string, got positive integer"),
        ("7f6161416161ff", "cbor: wrong element type byte string for indefinite-length UTF-8 text string"),
        ("bf6161ff", 'cbor: unexpected "break" code'), ("f81f", "cbor: invalid simple value 31 for type primitives"),
        ("9bffffffffffffffff", "cbor: array length 18446744073709551615 is too large, it would cause integer overflow"),
        ("5bffffffffffffffff", "cbor: byte string length 18446744073709551615 is too large, causing integer overflow"),
        ("1bffffffffffffffff", "cbor: cannot unmarshal positive integer into Go value of type int64 (18446744073709551615 "
         "overflows Go's int64)"),
        ("a16161a10102", "cbor: cannot unmarshal positive integer into Go value of type string"),
    ],
)  # fmt: skip
def test_words_of_refusals_are_upstreams(data: str, words: str) -> None:
    with pytest.raises(Malformed) as caught:
        cborread.decode(bytes.fromhex(data))
    assert str(caught.value) == words


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ("a16161a2616101616102", 'cbor: found duplicate map key "a" at map element index 1'),
        ("a1616161ff", "cbor: invalid UTF-8 string"), ("a16161f7", "cbor: data item of cbor type primitives"),
    ],
)  # fmt: skip
def test_a_kind_can_be_told_although_something_is_wrong(data: str, fault: str) -> None:
    assert cborread.read_object(bytes.fromhex(data)).fault.startswith(fault)


@pytest.mark.parametrize("data", ["a2616101616102", "a161ff01", "8101", "01", "f7", "a1446b696e6401"])
def test_no_kind_can_be_told(data: str) -> None:
    with pytest.raises(Malformed, match=r"^unable to determine group/version/kind: "):
        cborread.read_object(bytes.fromhex(data))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


def test_what_is_no_map() -> None:
    assert cborread.decode_map(b"\xf6") is None
    with pytest.raises(Malformed, match="cannot unmarshal array into Go value of type map"):
        cborread.decode_map(b"\x81\x01")


@given(JSON)
def test_what_the_library_writes_is_read(value: Any) -> None:
    assert cborread.decode(cbor2.dumps(value)) == value
    assert cborread.decode(cbor2.dumps(value, indefinite_containers=True)) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        cborread.decode(data)
    except Malformed:
        pass
