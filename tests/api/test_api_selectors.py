"""Label and field selectors: upstream's grammar and its words for what is wrong with them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api import selectors
from pilothouse.api.selectors import EVERYTHING, NOTHING, SelectorError, of_map, of_object, parse, parse_fields

_AT = "unable to parse requirement: values[0]"
_LONG = "x" * 64
_OPERATORS = "in, notin, =, ==, !=, gt, lt"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b c", f"unable to parse requirement: found 'b', expected: {_OPERATORS}"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in", "unable to parse requirement: found '' expected: '('"),
        ("a>x", f"{_AT}: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a!b", f"unable to parse requirement: found '!', expected: {_OPERATORS}"),
        ("a in (b))", "found ')', expected: ',' or 'end of string'"),
        ("/a=b", 'unable to parse requirement: <nil>: Invalid value: "/a": prefix part must be non-empty'),
        (_LONG, f'unable to parse requirement: <nil>: Invalid value: "{_LONG}": name part must be no more than 63 bytes'),
        (f"a={_LONG}", f'{_AT}[a]: Invalid value: "{_LONG}": must be no more than 63 bytes'),
    ],
)  # fmt: skip
def test_what_is_no_label_selector(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "matching", "other"),
    [
        ("a", {"a": ""}, {"b": ""}),
        ("!a", {}, {"a": ""}),
        ("a=b", {"a": "b"}, {}),
        ("a==b,c!=d", {"a": "b"}, {"a": "b", "c": "d"}),
        ("a!=b", {"a": "c"}, {"a": "b"}),
        ("a in (b,c)", {"a": "c"}, {}),
        ("a in (,b)", {"a": ""}, {"a": "c"}),
        ("a notin (b,c)", {}, {"a": "b"}),
        ("a>1,a<5", {"a": "3"}, {"a": "5"}),
        ("a>1", {"a": "2"}, {"a": "x"}),
        ("in in (in)", {"in": "in"}, {"in": "out"}),
        ("a=", {"a": ""}, {"a": "b"}),
        ("", {"a": "b"}, None),
    ],
)
def test_what_a_label_selector_matches(text: str, matching: dict[str, str], other: dict[str, str] | None) -> None:
    found = parse(text)
    assert found.matches(matching)
    assert other is None or not found.matches(other)
    assert parse(str(found)) == found


def test_selectors_of_objects() -> None:
    found = of_object({
        "matchLabels": {"a": "b"},
        "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["d", "e"]}, {"key": "f", "operator": "DoesNotExist"},
            {"key": "g", "operator": "NotIn", "values": ["h"]}, {"key": "a", "operator": "Exists"},
        ],
    })  # fmt: skip
    assert found.matches({"a": "b", "c": "e"})
    for wrong in ({"a": "b"}, {"c": "e"}, {"a": "b", "c": "e", "f": ""}, {"a": "b", "c": "e", "g": "h"}):
        assert not found.matches(wrong)
    assert of_object(None) == NOTHING
    assert not NOTHING.matches({})
    assert of_object({}) == EVERYTHING
    assert EVERYTHING.empty
    assert not NOTHING.empty
    assert of_map({"a": "b"}).matches({"a": "b", "c": "d"})
    assert (
        str(of_object({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["c", "b"]}]}))
        == "a notin (b,c)"
    )


WORD = st.from_regex(r"[a-z0-9]([a-z0-9._-]{0,5}[a-z0-9])?", fullmatch=True)


@given(st.dictionaries(WORD, WORD, max_size=4), st.dictionaries(WORD, WORD, max_size=4))
def test_equality_is_what_dicts_say(wanted: dict[str, str], labels: dict[str, str]) -> None:
    expected = all(labels.get(k) == v for k, v in wanted.items())
    assert of_map(wanted).matches(labels) == expected
    assert parse(",".join(f"{k}={v}" for k, v in wanted.items())).matches(labels) == expected
    assert of_object({"matchLabels": wanted}).matches(labels) == expected


def test_one_label_is_told() -> None:
    assert parse("a=b").single == ("a", "b")
    assert parse("a in (b)").single == ("a", "b")
    for more in ("", "a", "!a", "a!=b", "a in (b,c)", "a=b,c=d", "a=b,c"):
        assert parse(more).single is None
    assert NOTHING.single is None


@given(st.text(alphabet="ab=!(),>< in\0\u00e9/.-", max_size=12))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    for read in (parse, parse_fields):
        try:
            read(text)
        except SelectorError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("!a", "invalid selector: '!a'; can't understand '!a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a=b\\x", "invalid field selector: invalid escape sequence: \\x"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
    ],
)
def test_what_is_no_field_selector(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_fields(text)
    assert str(caught.value) == message


def test_field_selectors() -> None:
    found = parse_fields("metadata.name=x,spec.nodeName!=n")
    assert found.matches({"metadata.name": "x"})
    assert not found.matches({"metadata.name": "x", "spec.nodeName": "n"})
    assert found.exact("metadata.name") == "x"
    assert found.exact("spec.nodeName") is None
    assert parse_fields("a=b\\,c").exact("a") == "b,c"
    assert parse_fields("a==b").exact("a") == "b"
    for empty in ("", ",", "="):
        assert parse_fields(empty) == selectors.FieldSelector()
