"""YAML texts as JSON values and back, as sigs.k8s.io/yaml does both.

libyaml composes and emits; what plain scalars mean is go-yaml's: YAML 1.1 booleans, numbers of Go's forms, no base 60, and
timestamps that stay text.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pilothouse.api.codec.text import DEPTH_MOST, Malformed, check_depth
from pilothouse.api.field import quote

if TYPE_CHECKING:
    import yaml

_TAG: Final = "tag:yaml.org,2002:"
_PLAIN: Final = "!plain"
_EXPANDED_MOST: Final = 100_000  # nodes that aliases may blow a document up to, if it is not as large itself
_WORDS: Final[dict[str, Any]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
}
_NO_NUMBERS: Final = {
    **dict.fromkeys((".nan", ".NaN", ".NAN"), "NaN"),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), "+Inf"),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), "-Inf"),
}
_INTEGER: Final = re.compile(r"[-+]?(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO]?[0-7]*|[1-9][0-9]*)", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_TIMESTAMP: Final = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([Tt ].*)?", re.ASCII)
_ALIAS: Final = re.compile(r"\*([\w-]+)")
_BASE_60: Final = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?", re.ASCII)


def resolve(text: str) -> Any:
    """What a plain scalar means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if text in _NO_NUMBERS:
        raise Malformed(f"json: unsupported value: {_NO_NUMBERS[text]}")
    plain = text.replace("_", "") if text[0] != "." else text
    if _INTEGER.fullmatch(plain):
        number = _integer(plain)
        if number is not None:
            return number
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        if abs(value) != float("inf"):
            return int(value) if value.is_integer() and abs(value) < 1 << 63 else value
    return text


def _integer(text: str) -> int | None:
    digits = text.lstrip("+-")
    base = {"0x": 16, "0b": 2, "0o": 8}.get(digits[:2].lower(), 8 if digits[0] == "0" and digits != "0" else 10)
    body = digits[2:] if digits[1:2].lower() in ("x", "b", "o") else digits
    if len(body) > 64:
        return None
    value = int(body, base) * (-1 if text[0] == "-" else 1)
    return value if -(1 << 63) <= value < 1 << 64 else None


class _Composer:
    """From libyaml's events to nodes. The library's own composer descends as deep as the text does, until the stack is full."""

    def __init__(self, loader: Any) -> None:
        import yaml

        self._yaml: Any = yaml
        self._next = loader.get_event
        self._anchors: dict[str, Any] = {}

    def document(self) -> yaml.Node | None:
        """The first one. Raises yaml.YAMLError, and Malformed for what nests too deep."""
        kinds = self._yaml
        self._next()  # the stream begins
        if isinstance(self._next(), kinds.StreamEndEvent):
            return None
        root: yaml.Node | None = None
        open_: list[yaml.CollectionNode] = []
        while root is None or open_:
            event = self._next()
            if isinstance(event, kinds.CollectionEndEvent):
                ended = open_.pop()
                if isinstance(ended, kinds.MappingNode):
                    parts = iter(ended.value)
                    ended.value = list(zip(parts, parts, strict=True))
                continue
            node = self._node(event)
            if open_:
                open_[-1].value.append(node)
            else:
                root = node
            if isinstance(event, kinds.CollectionStartEvent):
                open_.append(node)
                if len(open_) > DEPTH_MOST:
                    raise Malformed("yaml: exceeded max depth")
        self._next()  # the document ends
        return root

    def _node(self, event: Any) -> Any:
        kinds = self._yaml
        if isinstance(event, kinds.AliasEvent):
            found = self._anchors.get(event.anchor)
            if found is None:
                raise kinds.composer.ComposerError(None, None, "found undefined alias", event.start_mark)
            return found
        if isinstance(event, kinds.ScalarEvent):
            node = kinds.ScalarNode(_tag_of(event), event.value, event.start_mark, event.end_mark, style=event.style)
        else:
            kind = kinds.SequenceNode if isinstance(event, kinds.SequenceStartEvent) else kinds.MappingNode
            node = kind(event.tag or "", [], event.start_mark, event.end_mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node


def _tag_of(event: yaml.ScalarEvent) -> str:
    if event.tag not in (None, "!"):
        return str(event.tag)
    if not event.implicit[0]:
        return f"{_TAG}str"
    return f"{_TAG}merge" if event.value == "<<" else _PLAIN


def from_yaml(body: bytes, duplicates: list[str] | None = None) -> Any:
    """The first document. `duplicates` takes what is said of keys given twice, the last of which counts. Raises Malformed."""
    import yaml

    loader = None
    try:
        loader = yaml.CSafeLoader(body)
        node = _Composer(loader).document()
        found = _Reader(duplicates).value(node) if node is not None else None
    except yaml.MarkedYAMLError as error:
        raise Malformed(_words(error, body)) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise Malformed(f"yaml: {getattr(error, 'reason', None) or error}") from None
    except RecursionError:
        raise Malformed("yaml: exceeded max depth") from None
    finally:
        if loader is not None:
            loader.dispose()
    check_depth(found)
    return found


def _words(error: yaml.MarkedYAMLError, body: bytes) -> str:
    import yaml

    line = 0
    if error.problem_mark is not None and error.problem_mark.line:
        line = error.problem_mark.line + isinstance(error, yaml.scanner.ScannerError)
    elif error.context_mark is not None:
        line = error.context_mark.line
    problem = error.problem or "unknown problem parsing YAML content"
    if problem == "found undefined alias" and error.problem_mark is not None:
        mark = error.problem_mark
        name = _ALIAS.match(body.decode("utf-8", "replace").split("\n")[mark.line][mark.column :])
        return f"yaml: unknown anchor '{name[1] if name else ''}' referenced"
    return f"yaml: line {line}: {problem}" if line else f"yaml: {problem}"


class _Reader:
    """From libyaml's nodes to values."""

    def __init__(self, duplicates: list[str] | None) -> None:
        import yaml

        self._scalar_node, self._mapping_node = yaml.ScalarNode, yaml.MappingNode
        self._duplicates = duplicates
        self._seen: set[int] = set()
        self._expanded = 0
        self._depth = 0

    def value(self, node: yaml.Node) -> Any:
        self._expanded += 1
        self._seen.add(id(node))
        if self._expanded > _EXPANDED_MOST and self._expanded > 4 * len(self._seen):
            raise Malformed("yaml: document contains excessive aliasing")
        if isinstance(node, self._scalar_node):
            return _scalar(node)
        self._depth += 1
        if self._depth > DEPTH_MOST:
            raise Malformed("yaml: exceeded max depth")
        found = self._mapping(node) if isinstance(node, self._mapping_node) else [self.value(v) for v in node.value]
        self._depth -= 1
        return found

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        out: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                for one in [value_node] if isinstance(value_node, self._mapping_node) else value_node.value:
                    if not isinstance(one, self._mapping_node):
                        raise Malformed("yaml: map merge requires map or sequence of maps as the value")
                    for key, value in self._mapping(one).items():
                        merged.setdefault(key, value)
                continue
            if not isinstance(key_node, self._scalar_node):
                raise Malformed(f"yaml: invalid map key: {_go_syntax(self.value(key_node))}")
            key = _key(key_node, value_node)
            if key in out and self._duplicates is not None:
                shown = quote(key) if isinstance(_scalar(key_node), str) else key
                self._duplicates.append(f"line {value_node.start_mark.line + 1}: key {shown} already set in map")
            out[key] = self.value(value_node)
        for key, value in merged.items():
            out.setdefault(key, value)
        return out


def _scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    tag = node.tag.removeprefix(_TAG)
    if tag == _PLAIN:
        return resolve(text)
    if tag == "binary":
        import base64

        try:
            return base64.b64decode(text).decode("utf-8", "replace")
        except ValueError:
            raise Malformed("yaml: !!binary value contains invalid base64 data") from None
    if tag in ("int", "float", "bool", "null"):
        found = resolve(text)
        fits = {"int": int, "float": (int, float), "bool": bool, "null": type(None)}[tag]
        if not isinstance(found, fits):  # type: ignore[arg-type]
            raise Malformed(f"yaml: cannot decode !!str `{text}` as a !!{tag}")
        return found
    return text


def _key(node: yaml.ScalarNode, value: yaml.Node) -> str:
    found = _scalar(node)
    if isinstance(found, str):
        return found
    if isinstance(found, bool):
        return "true" if found else "false"
    if found is None:
        shown = quote(value.value) if isinstance(value.value, str) else "…"
        raise Malformed(f"unsupported map key of type: %!s(<nil>), key: <nil>, value: {shown}")
    return str(found)


def _go_syntax(value: Any) -> str:
    """Go's %#v."""
    if isinstance(value, list):
        return f"[]interface {{}}{{{', '.join(map(_go_syntax, value))}}}"
    if isinstance(value, dict):
        inner = ", ".join(f"{_go_syntax(k)}:{_go_syntax(v)}" for k, v in value.items())
        return f"map[interface {{}}]interface {{}}{{{inner}}}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "interface {}(nil)" if value is None else quote(value) if isinstance(value, str) else str(value)


@cache
def _dumper() -> Any:
    import yaml

    class Dumper(yaml.CSafeDumper):
        # Nothing but text is ever taken for something else, so the emitter need not ask.
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: Any, data: str) -> Any:
        if "\n" in data:
            style = "|"
        elif data == "<<" or _BASE_60.fullmatch(data) or _TIMESTAMP.fullmatch(data) or not _stays_text(data):
            style = '"'
        else:
            style = ""
        return dumper.represent_scalar(f"{_TAG}str", data, style=style)

    Dumper.yaml_implicit_resolvers = {
        first: [
            (tag, pattern)
            for tag, pattern in rules
            if tag in (f"{_TAG}bool", f"{_TAG}null", f"{_TAG}int", f"{_TAG}float")
        ]
        for first, rules in yaml.CSafeDumper.yaml_implicit_resolvers.items()
    }
    Dumper.add_representer(str, text)
    return Dumper


def _stays_text(data: str) -> bool:
    try:
        return isinstance(resolve(data), str)
    except Malformed:
        return False


def to_yaml(value: Any) -> bytes:
    """Keys in go-yaml's order, which sorts numbers within names as numbers."""
    import yaml

    out: bytes = yaml.dump(
        _sorted(value),
        Dumper=_dumper(),
        default_flow_style=False,
        allow_unicode=True,
        encoding="utf-8",
        sort_keys=False,
    )
    return out


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _sorted(value[k]) for k in sorted(value, key=_natural)}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


_CHUNK: Final = re.compile(r"\d+|\D")


@cache
def _rank(c: str) -> int:
    return 2 if c.isalpha() else 0


def _natural(key: str) -> list[tuple[int, int, str]]:
    chunks: list[str] = _CHUNK.findall(key)
    return [(1, int(c[:18]), c) if c[0].isdecimal() else (_rank(c), 0, c) for c in chunks]
