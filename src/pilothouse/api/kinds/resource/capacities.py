"""What a device has of something, and in which portions it may be asked for.

Source: upstream's pkg/apis/resource/validation (KEP-5075, consumable capacity).
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common.quantities import compare, parse
from pilothouse.api.kinds.resource.forms import each_once
from pilothouse.api.objects import Obj
from pilothouse.api.quantity import Quantity

_OPTIONS_MAX: Final = 10
_INT_MAX: Final = (1 << 63) - 1


def whole(capacity: Obj, path: str) -> ErrorList:
    """Of a device that has one user."""
    if capacity.get("requestPolicy") is None:
        return []
    return [field.forbidden(f"{path}.requestPolicy", "allowMultipleAllocations must be true")]


def shared(capacity: Obj, path: str) -> ErrorList:
    """Of a device that several can use."""
    policy, at = capacity.get("requestPolicy"), f"{path}.requestPolicy"
    if policy is None:
        return []
    most = str(capacity.get("value") or "0")
    options, between, default = policy.get("validValues"), policy.get("validRange"), policy.get("default")
    if options and between is not None:
        wrong = 'exactly one policy can be specified, cannot specify "validValues" and "validRange" at the same time'
        return [field.forbidden(at, wrong)]
    if options:
        if default is None:
            return [field.required(f"{at}.default", "required when validValues is defined")]
        return _options(default, most, options, f"{at}.validValues")
    if between is not None:
        if default is None:
            return [field.required(f"{at}.default", "required when validRange is defined")]
        return _range(default, most, between, f"{at}.validRange")
    return []


def _options(default: str, most: str, options: list[str], path: str) -> ErrorList:
    found: ErrorList = []
    for i in range(len(options) - 1):
        if compare(options[i], options[i + 1]) > 0:
            wrong = "values must be sorted in ascending order"
            found.append(field.invalid(f"{path}[{i + 1}]", options[i + 1], wrong))

    def judge(option: str, at: str) -> ErrorList:
        if compare(option, most) > 0:
            return [field.invalid(at, option, f"option is larger than capacity value: {most}")]
        return []

    found += each_once(options, _OPTIONS_MAX, judge, lambda o: str(parse(o).value()), path, hidden=False)
    many = len(options) > _OPTIONS_MAX
    if many or not any(compare(o, default) == 0 for o in options):
        found.append(field.invalid(path, default, "default value is not valid according to the requestPolicy"))
    return found


def _range(default: str, most: str, between: Obj, path: str) -> ErrorList:
    least, upper, step = between.get("min"), between.get("max"), between.get("step")
    if least is None:
        return [field.required(f"{path}.min", "required when validRange is defined")]
    found: ErrorList = []
    if compare(least, most) > 0:
        found.append(field.invalid(f"{path}.min", least, f"min is larger than capacity value: {most}"))
    if compare(default, least) < 0:
        found.append(field.invalid(f"{path}.default", default, f"default is less than min: {least}"))
    if upper is not None:
        if compare(least, upper) > 0:
            found.append(field.invalid(f"{path}.max", least, f"min is larger than max: {upper}"))
        if compare(upper, most) > 0:
            found.append(field.invalid(f"{path}.max", upper, f"max is larger than capacity value: {most}"))
        if compare(default, upper) > 0:
            found.append(field.invalid(f"{path}.default", default, f"default is more than max: {upper}"))
    return found if step is None else found + _steps(default, most, least, upper, step, path)


def _steps(default: str, most: str, least: str, upper: str | None, step: str, path: str) -> ErrorList:
    if compare(step, "0") <= 0:
        return [field.invalid(f"{path}.step", step, "must be greater than zero")]
    found: ErrorList = []
    added = Quantity(parse(least).amount + parse(step).amount, parse(least).format)
    if compare(str(added), most) > 0:
        wrong = f"one step {added} is larger than capacity value: {most}"
        found.append(field.invalid(f"{path}.step", step, wrong))
    unsafe: ErrorList = []
    for name, value in (("default", default), ("min", least), ("max", upper), ("step", step)):
        if value is None:
            continue
        if compare(value, "0") < 0:
            unsafe.append(field.invalid(f"{path}.{name}", value, "must be greater than or equal to 0"))
        elif parse(value).amount > _INT_MAX:
            unsafe.append(field.invalid(f"{path}.{name}", value, f"must not be larger than {_INT_MAX}"))
    if unsafe:
        return found + unsafe
    for value in (default, upper):
        if value is not None and (parse(value).value() - parse(least).value()) % parse(step).value():
            wrong = f"value is not a multiple of a given step ({step}) from ({least})"
            found.append(field.invalid(f"{path}.step", value, wrong))
    return found
