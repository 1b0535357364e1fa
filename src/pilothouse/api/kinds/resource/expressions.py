"""CEL of devices: selectors that say which device fits.

Source: upstream's k8s.io/dynamic-resource-allocation/cel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.cel.environment import CompileError, Environment, InstantiationError, Program
from pilothouse.api.cel.library import implements
from pilothouse.api.cel.sizes import Path, Range
from pilothouse.api.cel.types import ANY, BOOL, QUANTITY, STRING, Type, map_of, struct
from pilothouse.api.cel.values import Record, Semver
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.resource.forms import DOMAIN_MAX, ID_MAX
from pilothouse.api.objects import Obj
from pilothouse.api.quantity import Quantity

LENGTH_MAX: Final = 10 * 1024
COST_MAX: Final = 1_000_000
VALUE_MAX: Final = 64
PER_DEVICE_MAX: Final = 32  # attributes and capacities
_ATTRIBUTES: Final = map_of(STRING, map_of(STRING, ANY))
_CAPACITY: Final = map_of(STRING, map_of(STRING, QUANTITY))
_DEVICE: Final = {"driver": STRING, "allowMultipleAllocations": BOOL, "attributes": _ATTRIBUTES, "capacity": _CAPACITY}


@lru_cache(maxsize=1)
def environment() -> Environment:
    device = "kubernetes.DRADevice"
    return Environment({"device": struct(device)}, {device: _DEVICE}, bindings=True)


def size_of(path: Path, _: Type) -> Range | None:
    if not path or path[0] != "device":
        return None
    if len(path) == 1:
        return Range(0, 0)
    known = {
        "driver": DOMAIN_MAX,
        "allowMultipleAllocations": 1,
        "attributes": PER_DEVICE_MAX,
        "capacity": PER_DEVICE_MAX,
    }
    if path[1] not in known or len(path) > 4:
        return None
    if len(path) == 2:
        return Range(0, known[path[1]])
    if path[1] not in ("attributes", "capacity") or path[2] not in ("@keys", "@values"):
        return None
    if len(path) == 3:
        return Range(0, DOMAIN_MAX if path[2] == "@keys" else PER_DEVICE_MAX)
    if path[3] == "@keys":
        return Range(0, ID_MAX)
    if path[1] == "attributes":
        return Range(0, VALUE_MAX)
    return Range(0, 0) if path[3] == "@values" else None


@lru_cache(maxsize=512)
def compiled(expression: str) -> tuple[Program | None, str]:
    """(the expression, what upstream says is wrong with it)."""
    try:
        program = environment().compile(expression)
    except InstantiationError as e:
        return None, f"program instantiation failed: {e}"
    except CompileError as e:
        return None, f"compilation failed: {e}"
    if program.type not in (BOOL, ANY):
        return None, f"must evaluate to bool or the unknown type, not {program.type}"
    return program, ""


def selector(expression: str, path: str) -> ErrorList:
    if len(expression.encode()) > LENGTH_MAX:
        return [field.too_long(path, LENGTH_MAX)]
    program, wrong = compiled(expression)
    if program is None:
        return [field.invalid(path, expression, wrong)]
    if program.cost(size_of).max > COST_MAX:
        return [field.forbidden(path, "too complex, exceeds cost limit")]
    return []


class _Domains(dict[str, dict[str, Any]]):
    """Attributes or capacities by domain: of a domain that is not there, none."""

    def __missing__(self, key: str) -> dict[str, Any]:
        return {}

    def __contains__(self, key: object) -> bool:
        return True


class _Device(Record):
    __slots__ = ("fields",)
    kind = "kubernetes.DRADevice"

    def __init__(self, fields: dict[str, Any]) -> None:
        self.fields = fields

    def get(self, name: str) -> Any:
        return self.fields[name]


def matches(expression: str, device: Obj, driver: str) -> bool:
    """Whether a device of a ResourceSlice fits. Raises CelError, CostLimitExceeded, and ValueError for what does not compile."""
    program, wrong = compiled(expression)
    if program is None:
        raise ValueError(wrong)
    attributes, capacity = _Domains(), _Domains()
    for name, attribute in (device.get("attributes") or {}).items():
        domain, own = _domain(name, driver)
        attributes.setdefault(domain, {})[own] = _attribute(attribute)
    for name, amount in (device.get("capacity") or {}).items():
        domain, own = _domain(name, driver)
        capacity.setdefault(domain, {})[own] = Quantity.parse(str(amount.get("value", "0")))
    fields = {
        "driver": driver,
        "allowMultipleAllocations": bool(device.get("allowMultipleAllocations")),
        "attributes": attributes,
        "capacity": capacity,
    }
    value, _ = program.evaluate({"device": _Device(fields)}, COST_MAX)
    return value is True


def _domain(name: str, driver: str) -> tuple[str, str]:
    domain, slash, own = name.partition("/")
    return (domain, own) if slash else (driver, name)


def _attribute(attribute: Obj) -> Any:
    for name in ("ints", "bools", "strings", "int", "bool", "string"):
        if attribute.get(name) is not None:
            return attribute[name]
    if attribute.get("versions") is not None:
        return [_version(v) for v in attribute["versions"]]
    return _version(attribute.get("version") or "")


def _version(text: str) -> Semver:
    from pilothouse.api.cel.library import call

    version = call("semver", [text])
    assert isinstance(version, Semver)
    return version


__all__ = ["compiled", "environment", "implements", "matches", "selector", "size_of"]
