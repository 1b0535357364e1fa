"""HPACK against the `hpack` package, in both directions."""

from __future__ import annotations

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.store.wire.hpack import BadBlock, Decoder, encode

_NAMES = st.sampled_from([b":path", b":method", b"content-type", b"grpc-timeout", b"x-one", b"user-agent"])
_VALUES = st.one_of(st.sampled_from([b"POST", b"/etcdserverpb.KV/Put", b"application/grpc"]), st.binary(max_size=40))
_BLOCKS = st.lists(st.lists(st.tuples(_NAMES, _VALUES, st.booleans()), max_size=8), max_size=12)


@given(_BLOCKS, st.sampled_from([4096, 200, 60, 0]))
def test_decodes_what_the_library_encodes(blocks: list[list[tuple[bytes, bytes, bool]]], table_bytes: int) -> None:
    encoder, decoder = hpack.Encoder(), Decoder()
    encoder.header_table_size = table_bytes
    for number, block in enumerate(blocks):
        data = encoder.encode(block, huffman=number % 2 == 0)
        assert decoder.decode(data) == tuple((name, value) for name, value, _ in block)


@given(st.lists(st.tuples(_NAMES, st.binary(max_size=300)), max_size=8))
def test_encodes_what_the_library_decodes(block: list[tuple[bytes, bytes]]) -> None:
    found = hpack.Decoder().decode(encode(block), raw=True)
    assert [tuple(field) for field in found] == block


def test_a_block_that_repeats_is_decoded_once() -> None:
    encoder, decoder = hpack.Encoder(), Decoder()
    headers = [(b":path", b"/a"), (b"x-one", b"1")]
    decoder.decode(encoder.encode(headers))
    repeated = encoder.encode(headers)
    first = decoder.decode(repeated)
    assert decoder.decode(repeated) is first
    decoder.decode(encoder.encode([(b"x-two", b"2")]))  # moves the table on
    assert decoder.decode(encoder.encode(headers)) == first


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (b"\x80", "an index beyond the table"),
        (b"\xbe", "an index beyond the table"),
        (b"\xff\xff\xff\xff\xff\xff\xff", "an integer too large"),
        (b"\x40\x0aab", "a string that ends early"),
        (b"\x40", "a header block that ends early"),
        (b"\x82\x20", "a change of the table's size after a header"),
        (b"\x3f\xff\xff\x7f", "a table larger than allowed"),
        (b"\x40\x01a\x84\xff\xff\xff\xff", "a broken Huffman code"),
    ],
)
def test_refuses(block: bytes, reason: str) -> None:
    with pytest.raises(BadBlock, match=reason):
        Decoder().decode(block)


@given(st.binary(max_size=200))
def test_noise_is_decoded_or_refused(block: bytes) -> None:
    try:
        Decoder().decode(block)
    except BadBlock:
        pass


def test_a_bomb_is_refused() -> None:
    decoder = Decoder()
    decoder.decode(b"\x40\x01a\x7f\x80\x0f" + b"b" * 2047)
    with pytest.raises(BadBlock, match="larger than allowed"):
        decoder.decode(b"\xbe" * 100)
