"""What is wrong with a value by a schema, in upstream's words and order.

Source: kube-openapi's pkg/validation/validate and upstream's apiextensions-apiserver/pkg/apiserver/validation. Slow and exact:
`validity` says first, and fast, whether there is anything to explain. With a `Correlated`, errors of places that did not change
are forgiven (KEP-4008).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

from pilothouse.api import field as fields
from pilothouse.api.field import ErrorList, FieldError, quote
from pilothouse.api.gonumbers import is_json_integer, single_precision_max
from pilothouse.api.gotext import go_value
from pilothouse.api.objects import Obj, in_order
from pilothouse.api.structural import formats, regexp
from pilothouse.api.structural.correlation import Correlated, same

_INT64: Final = 1 << 63
NOWHERE: Final = "<nil>"  # the name of no path


@dataclass(slots=True)
class _Fault:
    """An error and the sentence that tells two apart; `path` None: it names no place."""

    text: str
    make: Any = None  # (path) → FieldError; None: an error that names no place
    path: str = ""


@dataclass(slots=True)
class _Result:
    faults: list[_Fault] = field(default_factory=list)
    matches: int = 0

    def add(self, fault: _Fault) -> None:
        if all(fault.text != f.text for f in self.faults):
            self.faults.append(fault)

    def merge(self, other: _Result) -> None:
        for fault in other.faults:
            self.add(fault)
        self.matches += other.matches


@dataclass(frozen=True, slots=True)
class Style:
    """Upstream judges objects and defaults by two translations of a schema."""

    names_either_type: bool  # int-or-string is a type
    knows_formats_only: bool  # unknown formats are dropped

    def types(self, schema: Obj) -> tuple[str, ...]:
        if self.names_either_type and schema.get("x-kubernetes-int-or-string"):
            return ("integer", "string")
        return (schema["type"],) if schema.get("type") else ()

    def format(self, schema: Obj) -> str:
        return formats.effective(schema) if self.knows_formats_only else schema.get("format") or ""


OBJECTS: Final = Style(True, True)
DEFAULTS: Final = Style(False, False)


def explain(
    value: Any, schema: Obj, path: str = "", past: Correlated | None = None, style: Style = OBJECTS
) -> ErrorList:
    """`path` is where the value stands: `` for an object."""
    result = _ratcheted(value, schema, "", past, style)
    return [
        fault.make(_joined(path, fault.path)) if fault.make else fields.invalid(path or NOWHERE, "", fault.text)
        for fault in result.faults
    ]


def _joined(base: str, path: str) -> str:
    path = path.removeprefix(".")
    if not path:
        return base or NOWHERE
    return f"{base}.{path}" if base else path


def _ratcheted(value: Any, schema: Obj, path: str, past: Correlated | None, style: Style) -> _Result:
    result = _judge(value, schema, path, past, style)
    if result.faults and past is not None and past.equal():
        return _Result([], result.matches)
    return result


def _judge(value: Any, schema: Obj, path: str, past: Correlated | None, style: Style) -> _Result:
    result = _Result()
    types, form = style.types(schema), style.format(schema)
    if value is None:
        result.matches += 1
        if types and not schema.get("nullable"):
            result.add(_of_type(path, ",".join(types), "null"))
        _enum(result, value, schema, path)
        return result
    if types or form:
        _type(result, value, types, form, path)
        result.matches += 1
    result.merge(_junctors(value, schema, path, past, style))
    result.matches += 1
    if isinstance(value, str):
        _string(result, value, schema, path)
        result.matches += 1
        if form and (check := formats.checker(form)) is not None:
            if not check(value):
                result.add(_of_type(path, form, value))
            result.matches += 1
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        _number(result, value, types, form, schema, path)
        result.matches += 2
    elif isinstance(value, list):
        _list(result, value, schema, path, past, style)
        result.matches += 2
    _enum(result, value, schema, path)
    result.matches += 1
    if isinstance(value, dict):
        _object(result, value, schema, path, past, style)
        result.matches += 1
    result.matches += 1
    return result


def _name(value: Any) -> tuple[str, str]:
    """(type, format) as upstream sees a value."""
    if isinstance(value, bool):
        return "boolean", ""
    if isinstance(value, int):
        return "integer", "int64"
    if isinstance(value, float):
        return "number", "float64"
    return ("string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"), ""


def _of_type(path: str, wanted: str, value: str) -> _Fault:
    text = f"{path} in body must be of type {wanted}: {quote(value)}"
    return _Fault(text, lambda at: fields.type_invalid(at, value, text), path)


def _type(result: _Result, value: Any, types: tuple[str, ...], form: str, path: str) -> None:
    result.matches += 1
    kind, own = _name(value)
    integral = kind == "number" and "integer" in types and is_json_integer(value)
    widened = kind == "integer" and "number" in types
    fits = kind in types or integral or widened
    texts = isinstance(value, (str, list))
    if not texts and form and not (fits or own == form):
        result.add(_of_type(path, form, own))
    elif form and texts and "number" not in types and "integer" not in types:
        return
    elif not fits:
        result.add(_of_type(path, ",".join(types), kind))


def _junctors(value: Any, schema: Obj, path: str, past: Correlated | None, style: Style) -> _Result:
    result = _Result()
    if schema.get("anyOf"):
        _any_of(result, [_judge(value, s, path, past, style) for s in schema["anyOf"]], path)
    if schema.get("oneOf"):
        _one_of(result, [_judge(value, s, path, past, style) for s in schema["oneOf"]], path)
    if schema.get("allOf"):
        found = [_judge(value, s, path, past, style) for s in schema["allOf"]]
        for one in found:
            result.merge(one)
        valid = sum(not one.faults for one in found)
        if valid != len(found):
            more = "" if valid else ". None validated"
            result.add(_Fault(f"{quote(path)} must validate all the schemas (allOf){more}"))
    if schema.get("not") is not None and not _judge(value, schema["not"], path, past, style).faults:
        result.add(_Fault(f"{quote(path)} must not validate the schema (not)"))
    result.matches += 1
    return result


def _best(failures: list[_Result]) -> _Result:
    """The first of those that came furthest."""
    return max(failures, key=lambda r: r.matches)


def _any_of(result: _Result, found: list[_Result], path: str) -> None:
    valid = next((one for one in found if not one.faults), None)
    if valid is None:
        result.add(_Fault(f"{quote(path)} must validate at least one schema (anyOf)"))
        valid = _best(found)
    result.merge(valid)


def _one_of(result: _Result, found: list[_Result], path: str) -> None:
    valid = [one for one in found if not one.faults]
    if len(valid) == 1:
        result.merge(valid[0])
        return
    more = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
    result.add(_Fault(f"{quote(path)} must validate one and only one schema (oneOf). {more}"))
    if not valid:
        result.merge(_best(found))


def _string(result: _Result, value: str, schema: Obj, path: str) -> None:
    least, most, pattern = schema.get("minLength"), schema.get("maxLength"), schema.get("pattern")
    if most is not None and len(value) > most:
        text = f"{path} in body should be at most {most} chars long"
        result.add(_Fault(text, lambda at: fields.too_long(at, most), path))
    elif least is not None and len(value) < least:
        result.add(_invalid(path, value, f"should be at least {least} chars long"))
    elif pattern:
        try:
            found = regexp.searcher(pattern)(value)
        except ValueError as e:
            result.add(_invalid(path, value, f"should match '{pattern}, but pattern is invalid: {e}'"))
            return
        if found is None:
            result.add(_invalid(path, value, f"should match '{pattern}'"))


def _invalid(path: str, value: Any, what: str) -> _Fault:
    text = f"{path} in body {what}"
    return _Fault(text, lambda at: fields.invalid(at, value, text), path)


def _number(result: _Result, value: float, types: tuple[str, ...], form: str, schema: Obj, path: str) -> None:
    kind = types[0] if len(types) == 1 and types[0] in ("integer", "number") else ""
    if form not in {"integer": ("int32", "int64"), "number": ("float", "double")}.get(kind, ()):
        form = ""
    _in_range(result, value, kind, form, "Checked", path)
    step, most, least = schema.get("multipleOf"), schema.get("maximum"), schema.get("minimum")
    later: list[_Result] = []
    if step is not None:
        later.append(one := _Result())
        _in_range(one, step, kind, form, "MultipleOf", path)
        _multiple(one, value, step, exact=not one.faults and isinstance(value, int), path=path)
    for limit, name, sign, exclusive in (
        (least, "Minimum", -1, schema.get("exclusiveMinimum")), (most, "Maximum", 1, schema.get("exclusiveMaximum")),
    ):  # fmt: skip
        if limit is None:
            continue
        later.append(one := _Result())
        _in_range(one, limit, kind, form, f"{name} boundary", path)
        exact = not one.faults and isinstance(value, int)
        bound = int(limit) if exact else float(limit)
        shown = str(bound) if exact else go_value(bound)
        seen = value if exact else float(value)
        if (seen - bound) * sign > 0 or (exclusive and seen == bound):
            words = "less than" if sign > 0 else "greater than"
            one.add(
                _invalid(
                    path, value if exact else seen, f"should be {words}{'' if exclusive else ' or equal to'} {shown}"
                )
            )
    for one in later:
        result.merge(one)


def _in_range(result: _Result, value: float, kind: str, form: str, prefix: str, path: str) -> None:
    if kind == "integer":
        bound = 1 << 31 if form == "int32" else _INT64
        fine = (isinstance(value, int) or value.is_integer()) and -bound <= value < bound
    else:
        fine = form != "float" or abs(value) <= single_precision_max()
    if not fine:
        with_ = f"with format {form}" if form else "(default format)"
        result.add(_Fault(f"{prefix} value must be of type {kind} {with_} in {path}"))


def _multiple(result: _Result, value: float, step: float, *, exact: bool, path: str) -> None:
    if exact:
        step = int(step)
        if step <= 0:
            result.add(_positive(path, step, str(step)))
        elif value % step:
            result.add(_invalid(path, value, f"should be a multiple of {step}"))
        return
    step, value = float(step), float(value)
    if step <= 0:
        result.add(_positive(path, step, go_value(step)))
    elif not is_json_integer(1 / step * value if step < 1 else value / step):
        result.add(_invalid(path, value, f"should be a multiple of {go_value(step)}"))


def _positive(path: str, step: float, shown: str) -> _Fault:
    text = f"factor MultipleOf declared for {path} must be positive: {shown}"
    return _Fault(text, lambda at: fields.invalid(at, step, text), path)


def _list(result: _Result, value: list[Any], schema: Obj, path: str, past: Correlated | None, style: Style) -> None:
    items, least, most = schema.get("items"), schema.get("minItems"), schema.get("maxItems")
    if isinstance(items, dict):
        for i, item in enumerate(value):
            before = past.item(i) if past is not None else None
            result.merge(_ratcheted(item, items, f"{path}[{i}]", before, style))
    if least is not None and len(value) < least:
        result.add(_invalid(path, len(value), f"should have at least {least} items"))
    if most is not None and len(value) > most:
        text = f"{path} in body should have at most {most} items"
        result.add(_Fault(text, lambda at: fields.too_many(at, len(value), most), path))
    if schema.get("uniqueItems") and any(same(a, b) for i, a in enumerate(value) for b in value[:i]):
        text = f"{path} in body shouldn't contain duplicates"
        result.add(_Fault(text, lambda at: fields.invalid(at, "", text), path))


def in_enum(value: Any, allowed: list[Any]) -> bool:
    """Upstream converts a number to the type of each that is allowed; null is never among them."""
    for one in allowed:
        if isinstance(value, bool) or isinstance(one, bool) or isinstance(value, str) or isinstance(one, str):
            if type(value) is type(one) and value == one:
                return True
        elif isinstance(value, (int, float)) and isinstance(one, (int, float)):
            if isinstance(one, int) and isinstance(value, float):
                if math.isfinite(value) and int(value) == one:
                    return True
            elif float(value) == float(one) if isinstance(one, float) else value == one:
                return True
        elif value is not None and same(value, one):
            return True
    return False


def _enum(result: _Result, value: Any, schema: Obj, path: str) -> None:
    allowed = schema.get("enum")
    if not allowed or in_enum(value, allowed):
        return
    shown = [one if isinstance(one, str) else fields.render([in_order(one)])[1:-1] for one in allowed]

    def make(at: str) -> FieldError:
        return fields.not_supported(at, in_order(value), shown)

    result.add(_Fault(f"{path} in body should be one of {shown}", make, path))


def _object(result: _Result, value: Obj, schema: Obj, path: str, past: Correlated | None, style: Style) -> None:
    least, most = schema.get("minProperties"), schema.get("maxProperties")
    if least is not None and len(value) < least:
        result.add(_invalid(path, len(value), f"should have at least {least} properties"))
    if most is not None and len(value) > most:
        text = f"{path} in body should have at most {most} properties"
        result.add(_Fault(text, lambda at: fields.too_many(at, len(value), most), path))
    properties, rest = schema.get("properties") or {}, schema.get("additionalProperties")
    if rest is False:
        for name in sorted(value.keys() - properties.keys()):
            text = f"{path}.{name} in body is a forbidden property"
            result.add(_Fault(text, _forbidden(name, text), path))
    elif isinstance(rest, dict):
        for name in sorted(value.keys() - properties.keys()):
            result.merge(_ratcheted(value[name], rest, f"{path}.{name}", _before(past, name, path), style))
    for name in sorted(properties.keys() & value.keys()):
        at = f"{path}.{name}" if path else name
        result.merge(_ratcheted(value[name], properties[name], at, _before(past, name, path), style))
    for name in schema.get("required") or ():
        if name not in value:
            at = f"{path}.{name}"
            result.add(_Fault(f"{at} in body is required", lambda p: fields.required(p), at))


def _forbidden(name: str, text: str) -> Any:
    return lambda at: fields.invalid(at, name, text)


def _before(past: Correlated | None, name: str, path: str) -> Correlated | None:
    if past is None or (not path and name in ("kind", "apiVersion")):
        return None
    return past.field(name)
