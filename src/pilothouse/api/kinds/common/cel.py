"""Whether a CEL expression compiles, and what is wrong when it does not.

Source: the documentation's page on CEL in Kubernetes. The parser and type checker are those of cel-expr-python (cel-cpp); its
messages are brought into the form of upstream's (cel-go), which differs in where it points for names with dots.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pilothouse.api.kinds.common.cel_library import FUNCTIONS

if TYPE_CHECKING:
    from cel_expr_python.cel import Env, FunctionDecl
    from cel_expr_python.cel import Type as CelType

Fields: TypeAlias = tuple[tuple[str, "Shape"], ...]
Shape: TypeAlias = "str | Fields"
"""`string`, `bool`, `int`, `dyn`; with `[]` before it a list, with `{}` before it a map of strings; or a struct's fields."""

_ERROR: Final = re.compile(r"^ERROR: <input>:(\d+):(\d+): ", re.MULTILINE)
_UNDECLARED: Final = re.compile(r"undeclared reference to '([^']+)' \(in container ''\)")
_UNDEFINED: Final = re.compile(r"(undefined field '[^']*') not found in struct '[^']*'")
_SIZE_MAX: Final = 100_000  # of one expression; upstream's parser has the same limit
_SCALARS: Final = {"string": 9, "bool": 8, "int": 3, "double": 1}  # types of protobuf's descriptors
_VALUE: Final = ".google.protobuf.Value"


@dataclass(frozen=True, slots=True)
class Declarations:
    """What an expression can name."""

    variables: tuple[tuple[str, Shape], ...]


def compile_error(expression: str, declarations: Declarations, returns: tuple[str, ...]) -> str:
    """What is wrong with an expression, as upstream tells it, or nothing. `returns`: the types that it may have."""
    if len(expression) > _SIZE_MAX:
        shown = f"size: {len(expression)}, limit: {_SIZE_MAX}"
        return f"compilation failed: ERROR: <input>:-1:0: expression code point size exceeds limit: {shown}"
    wrong, kind = _compile(expression, declarations)
    if wrong:
        return f"compilation failed: {wrong}"
    if kind in returns or kind == "dyn":
        return ""
    return f"must evaluate to {returns[0]} but got {kind}"


def result_type(expression: str, declarations: Declarations) -> str:
    """The type of an expression that compiles; empty where it does not."""
    wrong, kind = _compile(expression, declarations)
    return "" if wrong else kind


@lru_cache(maxsize=1024)
def _compile(expression: str, declarations: Declarations) -> tuple[str, str]:
    """(what is wrong, type)."""
    environment = _environment(declarations)
    try:
        compiled = environment.compile(expression)
    except RuntimeError as e:
        return _as_upstream(str(e), expression), ""
    return "", _type_name(compiled.return_type())


def _type_name(kind: CelType) -> str:
    return str(kind.name()).lower().replace("<", "(").replace(">", ")")


def _as_upstream(text: str, expression: str) -> str:
    text = text.removeprefix("INVALID_ARGUMENT: ").removesuffix(" [INVALID_ARGUMENT]")
    if not expression:
        return text.replace("<input>:1:1:", "<input>:1:0:", 1)
    text = _UNDEFINED.sub(r"\1", text)
    starts = [m.start() for m in _ERROR.finditer(text)]
    parts = [text[a:b] for a, b in zip(starts, [*starts[1:], len(text)], strict=False)]
    errors = sorted((_point_to_root(part.rstrip("\n"), expression) for part in parts), key=_position)
    return "\n".join(errors) or text


def _position(error: str) -> tuple[int, int]:
    match = _ERROR.match(error)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _point_to_root(error: str, expression: str) -> str:
    """Of `a.b` that is not declared, upstream names `a` and points to it."""
    head, name = _ERROR.match(error), _UNDECLARED.search(error)
    if head is None or name is None or "." not in name[1].strip("."):
        return error
    line, column = int(head[1]), int(head[2])
    source = expression.split("\n")[line - 1]
    root, _, rest = name[1].partition(".")
    before = source[: column - 1].replace(" ", "")
    written = f".{rest}".rpartition(".")[0]
    if not before.endswith(root + written):
        return error
    at = source[: column - 1].rfind(root)
    return f"ERROR: <input>:{line}:{at + 1}: undeclared reference to '{root}' (in container '')\n | {source}\n | {'.' * at}^"


@lru_cache(maxsize=64)
def _environment(declarations: Declarations) -> Env:
    from cel_expr_python import cel
    from cel_expr_python.ext import ext_optional, ext_strings
    from google.protobuf import descriptor_pb2, descriptor_pool, struct_pb2

    file = descriptor_pb2.FileDescriptorProto(name="names.proto", package="names", syntax="proto3")
    file.dependency.append("google/protobuf/struct.proto")
    variables: dict[str, Any] = {}
    for number, (name, shape) in enumerate(declarations.variables):
        if isinstance(shape, str):
            variables[name] = _cel_type(shape)
        else:
            variables[name] = cel.Type(f"names.T{number}")
            _message(file.message_type.add(name=f"T{number}"), f".names.T{number}", shape)
    pool = descriptor_pool.DescriptorPool()
    struct = descriptor_pb2.FileDescriptorProto()
    struct_pb2.DESCRIPTOR.CopyToProto(struct)
    pool.Add(struct)
    pool.Add(file)
    extensions = [ext_strings.ExtStrings(), ext_optional.ExtOptional()]
    return cel.NewEnv(descriptor_pool=pool, variables=variables, functions=_functions(), extensions=extensions)


def _message(message: Any, path: str, fields: Fields) -> None:
    for number, (name, shape) in enumerate(fields, 1):
        added = message.field.add(name=name, json_name=name, number=number, label=1)
        if isinstance(shape, tuple):
            inner = f"S{number}"
            _message(message.nested_type.add(name=inner), f"{path}.{inner}", shape)
            added.type, added.type_name = 11, f"{path}.{inner}"
        elif shape.startswith("[]"):
            added.label = 3
            _typed(added, shape[2:])
        elif shape.startswith("{}"):
            entry = message.nested_type.add(name=f"{name[:1].upper()}{name[1:]}Entry")
            entry.options.map_entry = True
            entry.field.add(name="key", number=1, label=1, type=9)
            _typed(entry.field.add(name="value", number=2, label=1), shape[2:])
            added.label, added.type, added.type_name = 3, 11, f"{path}.{entry.name}"
        else:
            _typed(added, shape)


def _typed(added: Any, shape: str) -> None:
    if shape in _SCALARS:
        added.type = _SCALARS[shape]
    else:
        added.type, added.type_name = 11, _VALUE


def _cel_type(name: str) -> CelType:
    from cel_expr_python.cel import Type

    if name.startswith("[]"):
        return Type.List(_cel_type(name[2:]))
    if name.startswith("{}"):
        return Type.Map(Type.STRING, _cel_type(name[2:]))
    plain = {
        "string": Type.STRING, "bool": Type.BOOL, "int": Type.INT, "double": Type.DOUBLE, "dyn": Type.DYN,
        "bytes": Type.BYTES, "list": Type.LIST, "map": Type.MAP, "timestamp": Type.TIMESTAMP,
        "duration": Type.DURATION, "uint": Type.UINT,
    }  # fmt: skip
    return plain[name] if name in plain else Type.AbstractType(name)


_SIGNATURE: Final = re.compile(r"(?:(\S+)\.)?(\w+)\(([^)]*)\) (\S+)")


@lru_cache(maxsize=1)
def _functions() -> list[FunctionDecl]:
    """Kubernetes' own functions, for the type checker alone."""
    from cel_expr_python import cel

    overloads: dict[str, list[Any]] = {}
    for line in FUNCTIONS.split("\n"):
        match = _SIGNATURE.fullmatch(line.strip())
        if match is None:
            continue
        receiver, name, arguments, result = match.groups()
        kinds = ([receiver] if receiver else []) + [a.strip() for a in arguments.split(",") if a.strip()]
        made = cel.Overload(
            id=re.sub(r"\W+", "_", line.strip()),
            return_type=_cel_type(result),
            parameters=[_cel_type(k) for k in kinds],
            is_member=bool(receiver),
        )
        overloads.setdefault(name, []).append(made)
    return [cel.FunctionDecl(name, made) for name, made in overloads.items()]
