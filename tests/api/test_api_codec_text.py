"""JSON and YAML texts: what they mean, and upstream's words for what cannot be read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api.codec import text, yamltext
from pilothouse.api.codec.text import Malformed
from pilothouse.go import jsonsyntax

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "unexpected end of JSON input"),
        (b"{", "unexpected end of JSON input"),
        (b"{not json", "invalid character 'n' looking for beginning of object key string"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b"}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b'{"a":tru}', "invalid character '}' in literal true (expecting 'e')"),
        (b'{"a":"\x01"}', "invalid character '\\x01' in string literal"),
        (b'{"a":"\\q"}', "invalid character 'q' in string escape code"),
        (b'{"a":"\\u12g4"}', "invalid character 'g' in \\u hexadecimal character escape"),
        (b'{"a":01}', "invalid character '1' after object key:value pair"),
        (b'{"a":-}', "invalid character '}' in numeric literal"),
        (b'{"a":1.}', "invalid character '}' after decimal point in numeric literal"),
        (b'{"a":1e}', "invalid character '}' in exponent of numeric literal"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
        (b"\xff\xfe", "invalid character '\u00ff' looking for beginning of value"),
        (b"[" * 10001, "invalid character '[' exceeded max depth"),
        (b"[" * 600 + b"]" * 600, "exceeded max depth"),
    ],
)
def test_malformed_json(body: bytes, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        text.from_json(body)
    assert str(caught.value) == message


def test_what_is_no_utf8_becomes_the_replacement_character() -> None:
    assert text.from_json(b'{"a":"\xff"}') == {"a": "\ufffd"}
    assert text.from_json(b'{"a":"\\ud800"}') == {"a": "\ufffd"}


@given(st.binary(max_size=20) | st.text(max_size=20).map(str.encode))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        text.from_json(body)
    except Malformed as error:
        assert str(error)


@given(JSON)
def test_the_scanner_finds_nothing_wrong_with_json(value: Any) -> None:
    assert jsonsyntax.fault(json.dumps(value).encode()) == ""
    assert jsonsyntax.fault(json.dumps(value, indent=1, ensure_ascii=False).encode()) == ""


def test_fields_given_twice() -> None:
    body = b'{"a":1,"a":2,"b":[{"c":1},{"c":1,"c":2,"c":3}]}'
    assert text.duplicates(body) == ['duplicate field "a"', 'duplicate field "b[1].c"']


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("yes", True), ("off", False), ("y", True), ("~", None), ("", None), ("12", 12), ("-1", -1), ("017", 15), ("0x1F", 31),
        ("0b11", 3), ("1_000", 1000), ("1e3", 1000), ("1.5", 1.5), (".5", 0.5), ("1:30", "1:30"), ("2001-01-01", "2001-01-01"),
        ("1.2.3", "1.2.3"), ("v1", "v1"), ("99999999999999999999", 1e20), ("0o7", 7), ("08", 8), ("=", "="),
    ],
)  # fmt: skip
def test_plain_scalars(plain: str, value: Any) -> None:
    found = yamltext.from_yaml(f"a: {plain}\n".encode())["a"]
    assert (found, type(found)) == (value, type(value))


def test_yaml_as_upstream_reads_it() -> None:
    assert yamltext.from_yaml(b"a: 1\n---\nb: 2\n") == {"a": 1}  # the first document only
    assert yamltext.from_yaml(b"") is None
    assert yamltext.from_yaml(b"x: &x {a: 1, b: 2}\nz:\n  <<: *x\n  b: 3\n")["z"] == {"b": 3, "a": 1}
    assert yamltext.from_yaml(b"1: a\n1.5: b\nyes: c\n") == {"1": "a", "1.5": "b", "true": "c"}
    assert yamltext.from_yaml(b'{"kind": "X", "a": [1, "2"]}') == {"kind": "X", "a": [1, "2"]}
    twice: list[str] = []
    assert yamltext.from_yaml(b"a: 1\nb:\n  c: 1\n  c: 2\n", twice)["b"] == {"c": 2}
    assert twice == ['line 4: key "c" already set in map']


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"a: [1\nb: }", "yaml: line 1: did not find expected ',' or ']'"),
        (b"\ta: 1", "yaml: found character that cannot start any token"),
        (b"a: b: c", "yaml: mapping values are not allowed in this context"),
        (b"a: *x", "yaml: unknown anchor 'x' referenced"),
        (b'"a\nb": {', "yaml: line 2: mapping values are not allowed in this context"),
        (b"a: .nan", "json: unsupported value: NaN"),
        (b"? [a]\n: b", 'yaml: invalid map key: []interface {}{"a"}'),
        (b"~: b", 'unsupported map key of type: %!s(<nil>), key: <nil>, value: "b"'),
    ],
)
def test_malformed_yaml(body: bytes, message: str) -> None:
    with pytest.raises(Malformed) as caught:
        yamltext.from_yaml(body)
    assert str(caught.value) == message


def test_aliases_cannot_blow_a_document_up() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    with pytest.raises(Malformed, match="excessive aliasing"):
        yamltext.from_yaml("\n".join(lines).encode())
    with pytest.raises(Malformed, match="max depth"):
        yamltext.from_yaml(b"a: &a [*a]")


def test_yaml_as_upstream_writes_it() -> None:
    value = {
        "kind": "X",
        "a10": 1,
        "a2": "yes",
        "t": "2020-01-01T00:00:00Z",
        "c": "x: y",
        "d": "l1\nl2\n",
        "e": None,
        "f": [],
    }
    assert yamltext.to_yaml(value) == (
        b'a2: "yes"\na10: 1\nc: \'x: y\'\nd: |\n  l1\n  l2\ne: null\nf: []\nkind: X\nt: "2020-01-01T00:00:00Z"\n'
    )


@given(JSON)
def test_yaml_round_trip(value: Any) -> None:
    try:
        assert yamltext.from_yaml(yamltext.to_yaml(value)) == value
    except Malformed as error:
        # libyaml refuses to read some of what it writes: control characters within literal blocks.
        assert "control characters" in str(error) or "cannot start" in str(error)


def test_numbers_beside_bad_bytes_are_read_as_elsewhere() -> None:
    plain = b'{"a":[1,-9223372036854775808,18446744073709551615,18446744073709551616,1e3]}'
    broken = plain.replace(b'"a"', b'"a\xff"')
    assert text.from_json(broken) == {"a\ufffd": text.from_json(plain)["a"]}
    for number in (b"1e999", b"9" * 400, b"9" * 5000):
        for key in (b'"a"', b'"\xff"'):
            with pytest.raises(Malformed, match="infinity"):
                text.from_json(b"{%b:%b}" % (key, number))


@pytest.mark.parametrize("part", [b"[", b"{a: ", b"- ", b"? ", b"&a ["])
def test_depth_costs_neither_time_nor_the_process(part: bytes) -> None:
    """libyaml's own composer overflows the stack."""
    with pytest.raises(text.Malformed, match="exceeded max depth"):
        yamltext.from_yaml(part * 200_000)


def test_anchors() -> None:
    assert yamltext.from_yaml(b"a: &x 1\nb: &x 2\nc: *x\n") == {"a": 1, "b": 2, "c": 2}  # the last one of a name
    with pytest.raises(text.Malformed, match="unknown anchor 'y' referenced"):
        yamltext.from_yaml(b"a: *y")
    with pytest.raises(text.Malformed, match="exceeded max depth"):
        yamltext.from_yaml(b"&x [*x]")
