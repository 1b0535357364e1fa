"""JSON and YAML bodies as values, with upstream's refusals; and which fields a body names twice."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

_DUPLICATES_MAX: Final = 100


class Malformed(ValueError):
    """str() says what is wrong with the text."""


def from_json(body: bytes) -> Any:
    """Raises Malformed."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Malformed(_go_words(body, error)) from None


def _go_words(body: bytes, error: orjson.JSONDecodeError) -> str:
    text = body.decode("utf-8", "replace")
    if not text.strip():
        return "unexpected end of JSON input"
    at = error.pos
    if at >= len(text.rstrip()):
        return "unexpected end of JSON input"
    c = text[at]
    shown = {"'": "'\\''", '"': "'\"'"}.get(c, f"'{c}'")
    first = next((ch for ch in text if not ch.isspace()), "")
    if first not in '{["tfn-0123456789':
        return f"invalid character '{first}' looking for beginning of value"
    return f"invalid character {shown} looking for beginning of value"


def from_yaml(body: bytes) -> Any:
    """One document, read as sigs.k8s.io/yaml does: into JSON. Raises Malformed."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        found = yaml.load(body, Loader=_loader(loader))
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError, ValueError) as error:
        problem = getattr(error, "problem", None) or str(error)
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark is not None else ""
        raise Malformed(f"error converting YAML to JSON: yaml: {line}{problem}") from None
    return _jsonable(found)


def _loader(base: Any) -> Any:
    """Timestamps stay text, as in upstream's reader."""

    class Loader(base):  # type: ignore[misc]
        yaml_implicit_resolvers = {
            first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
            for first, rules in base.yaml_implicit_resolvers.items()
        }

    return Loader


def _jsonable(value: Any) -> Any:
    if isinstance(value, dict):
        return {_key(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_jsonable(v) for v in value]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, bytes):
        return value.decode("latin-1")
    raise Malformed(f"error converting YAML to JSON: yaml: a {type(value).__name__} is no JSON value")


def _key(key: Any) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, (int, float)):
        return str(key)
    raise Malformed(f"error converting YAML to JSON: yaml: invalid map key: {key!r}")


class _Pairs:
    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def duplicates(body: bytes) -> list[str]:
    """`duplicate field "spec.replicas"`, for every field that a JSON body names twice."""
    try:
        tree = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    found: list[str] = []
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting and len(found) < _DUPLICATES_MAX:
        path, value = waiting.pop()
        if isinstance(value, _Pairs):
            seen: set[str] = set()
            below = []
            for key, inner in value.pairs:
                place = f"{path}.{key}" if path else key
                if key in seen:
                    found.append(f'duplicate field "{place}"')
                seen.add(key)
                if isinstance(inner, (_Pairs, list)):
                    below.append((place, inner))
            waiting.extend(reversed(below))
        elif isinstance(value, list):
            waiting.extend(
                (f"{path}[{i}]", v) for i, v in reversed(list(enumerate(value))) if isinstance(v, (_Pairs, list))
            )
    return found
