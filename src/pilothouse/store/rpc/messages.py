"""Message classes of etcd's protocol, made by google.protobuf (upb) from `table` on first use: importing this costs nothing.

    from pilothouse.store.rpc.messages import etcdserverpb as pb
    pb.RangeRequest(key=b"a").SerializeToString()
    pb.RangeRequest.SortOrder.ASCEND        # enums hang on their message; a package's own on the package: pb.AlarmType.NOSPACE

The descriptors live in a pool of their own, so that another package's description of the same protocol does no harm.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from .table import MESSAGES

if TYPE_CHECKING:
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.descriptor_pool import DescriptorPool

_FIELD = re.compile(r"(?P<name>\w+):(?P<map>map<)?(?P<type>[\w.]+)>?(?P<repeated>\*?)=(?P<number>\d+)")


class Package:
    """A protocol package: its classes are its attributes."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            made = of(f"{self._name}.{name}")
        except KeyError:
            raise AttributeError(f"{self._name} has no {name}") from None
        setattr(self, name, made)
        return made


mvccpb = Package("mvccpb")
authpb = Package("authpb")
leasepb = Package("leasepb")
etcdserverpb = Package("etcdserverpb")
v3lockpb = Package("v3lockpb")
v3electionpb = Package("v3electionpb")
health = Package("grpc.health.v1")


@cache
def of(name: str) -> Any:
    """The class of a message ("etcdserverpb.RangeRequest") or an enum of a package; KeyError where there is none."""
    from google.protobuf import message_factory
    from google.protobuf.internal.enum_type_wrapper import EnumTypeWrapper

    pool = _pool()
    try:
        return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    except KeyError:
        return EnumTypeWrapper(pool.FindEnumTypeByName(name))


@cache
def _pool() -> DescriptorPool:
    from google.protobuf.descriptor_pool import DescriptorPool

    pool = DescriptorPool()
    names = {f"{package}.{line.split()[0]}" for package in MESSAGES for line in _lines(package) if not _is_enum(line)}
    enums = {f"{package}.{line.split()[1]}" for package in MESSAGES for line in _lines(package) if _is_enum(line)}
    for package in MESSAGES:  # in order: each only refers to those before it
        pool.AddSerializedFile(_file(package, names, enums).SerializeToString())
    return pool


def _lines(package: str) -> list[str]:
    return MESSAGES[package].strip().replace("\n    ", " ").splitlines()


def _is_enum(line: str) -> bool:
    return line.startswith("enum ")


def _file(package: str, names: set[str], enums: set[str]) -> FileDescriptorProto:
    from google.protobuf import descriptor_pb2

    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.table", package=package, syntax="proto3")
    made: dict[str, Any] = {}
    for line in _lines(package):
        if not _is_enum(line):
            name, *fields = line.split()
            made[name] = file.message_type.add(name=name)
            _fields(made[name], package, fields, names, enums)
            for other in {f.type_name.split(".")[1] for f in made[name].field if f.type_name}:
                if other in MESSAGES and other != package and f"{other}.table" not in file.dependency:
                    file.dependency.append(f"{other}.table")
            continue
        _, name, *values = line.split()
        message, _, own = name.rpartition(".")
        enum = (made[message] if message else file).enum_type.add(name=own)
        for value in values:
            label, _, number = value.partition("=")
            enum.value.add(name=label, number=int(number))
    return file


def _fields(message: Any, package: str, fields: list[str], names: set[str], enums: set[str]) -> None:
    """Adds `fields`, as in the table, to a DescriptorProto."""
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    union = None
    for text in fields:
        if text.endswith("("):
            union = len(message.oneof_decl)
            message.oneof_decl.add(name=text[:-1])
            continue
        found = _FIELD.fullmatch(text.rstrip(")"))
        assert found is not None, text
        kind = found["type"]
        field = message.field.add(name=found["name"], number=int(found["number"]), label=Field.LABEL_OPTIONAL)
        if found["map"]:  # string to a message
            entry = message.nested_type.add(name=f"{found['name'].capitalize()}Entry")
            entry.options.map_entry = True
            _fields(entry, package, ["key:string=1", f"value:{kind}=2"], names, enums)
            kind = f"{message.name}.{entry.name}"
            names.add(f"{package}.{kind}")
        if found["repeated"] or found["map"]:
            field.label = Field.LABEL_REPEATED
        if union is not None:
            field.oneof_index = union
        if text.endswith(")"):
            union = None
        scalar = getattr(Field, f"TYPE_{kind.upper()}", None) if kind.islower() else None
        if scalar is not None:
            field.type = scalar
            continue
        full = next(
            n for n in (f"{package}.{message.name}.{kind}", f"{package}.{kind}", kind) if n in names or n in enums
        )
        field.type = Field.TYPE_ENUM if full in enums else Field.TYPE_MESSAGE
        field.type_name = f".{full}"
