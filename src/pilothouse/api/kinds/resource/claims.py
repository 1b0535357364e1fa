"""What a claim asks for: its requests, constraints and configuration. ResourceClaim and ResourceClaimTemplate share this.

Source: upstream's pkg/apis/resource/validation and the declarative tags of k8s.io/api/resource/v1.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, gates, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import declarative
from pilothouse.api.kinds.common.declarative import (
    covered,
    enum,
    fields,
    long_name,
    long_name_caseless,
    max_items,
    max_length,
    optional,
    optional_pointer,
    required,
    struct,
    unique,
)
from pilothouse.api.kinds.common.gated import Gated, drop
from pilothouse.api.kinds.common.gated import fields as places
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.resource import expressions, forms
from pilothouse.api.kinds.resource.forms import each, each_once, hide
from pilothouse.api.objects import Obj

REQUESTS_MAX: Final = 32
SELECTORS_MAX: Final = 32
CONSTRAINTS_MAX: Final = 32
CONFIG_MAX: Final = 32
_ALTERNATIVES_MAX: Final = 8
PARAMETERS_MAX: Final = 10 * 1024
_MODES: Final = ("All", "ExactCount")
_OPERATORS: Final = ("Equal", "Exists")
EFFECTS: Final = ("NoExecute", "NoSchedule", "None")

_TOLERATION = fields({
    "key": [optional, forms.label_key],
    "operator": [optional, enum(*_OPERATORS)],
    "effect": [optional, enum(*EFFECTS)],
})  # fmt: skip
TOLERATIONS: Final = declarative.each(struct(_TOLERATION))
OPAQUE: Final = [
    optional_pointer,
    struct(fields({"driver": [required, long_name_caseless, max_length(forms.DOMAIN_MAX)]})),
]
_NAMES: Final = [optional, max_items(REQUESTS_MAX), unique(lambda name: name)]
_ASKED = {
    "selectors": [optional, max_items(SELECTORS_MAX)],
    "allocationMode": [optional, enum(*_MODES)],
    "tolerations": [optional, TOLERATIONS],
}
_EXACTLY = fields(_ASKED)
_ALTERNATIVE = fields({"deviceClassName": [required, long_name], **_ASKED})


def _name_of(item: Any) -> Any:
    return (item or {}).get("name") or ""


_REQUEST = fields({
    "exactly": [optional_pointer, struct(_EXACTLY)],
    "firstAvailable": [
        optional, max_items(_ALTERNATIVES_MAX), unique(_name_of), declarative.each(struct(_ALTERNATIVE), key=_name_of),
    ],
})  # fmt: skip
_CONSTRAINT = fields({
    "requests": _NAMES,
    "matchAttribute": [optional_pointer, forms.fully_qualified_name],
    "distinctAttribute": [optional_pointer, forms.fully_qualified_name],
})  # fmt: skip
CLAIM_RULES: Final = fields({"devices": [struct(fields({
    "requests": [
        optional, max_items(REQUESTS_MAX), unique(_name_of), declarative.each(struct(_REQUEST), key=_name_of),
    ],
    "constraints": [optional, max_items(CONSTRAINTS_MAX), declarative.each(struct(_CONSTRAINT))],
    "config": [
        optional, max_items(CONFIG_MAX), declarative.each(struct(fields({"requests": _NAMES, "opaque": OPAQUE}))),
    ],
}))]})  # fmt: skip


def default(claim: Obj, *, flat: bool = False) -> None:
    """Of a claim's spec: how many devices a request is for, and how tolerations compare. `flat`: v1beta1's form."""
    for request in (claim.get("devices") or {}).get("requests") or ():
        exact = request if flat else request.get("exactly")
        for part in [exact, *(request.get("firstAvailable") or ())]:
            if part is None:
                continue
            if part is not request or part.get("deviceClassName"):
                _default_count(part)
            for toleration in part.get("tolerations") or ():
                if not toleration.get("operator"):
                    toleration["operator"] = "Equal"


def _default_count(part: Obj) -> None:
    if not part.get("allocationMode"):
        part["allocationMode"] = "ExactCount"
    if part["allocationMode"] == "ExactCount" and not part.get("count"):
        part["count"] = 1


def _requested(name: str) -> tuple[str, str]:
    return f"devices.requests.exactly.{name}", f"devices.requests.firstAvailable.{name}"


CONSUMABLE: Final = places("devices.constraints.distinctAttribute", *_requested("capacity"))
_GATED: Final = (
    Gated("DRADeviceTaints", places(*_requested("tolerations"))),
    Gated("DRAConsumableCapacity", CONSUMABLE),
    Gated("DRADerivedAttributes", places(*_requested("derivedAttributes"))),
)


def drop_disabled(claim: Obj, old: Obj | None) -> None:
    """Changes the spec of a claim: what stands behind closed feature gates goes."""
    drop(_GATED, claim, old)


def request_names(spec: Obj) -> dict[str, set[str]]:
    """The names of a claim's requests, each with those of its alternatives."""
    requests = (spec.get("devices") or {}).get("requests") or ()
    return {_name_of(r): {_name_of(s) for s in r.get("firstAvailable") or ()} for r in requests}


def claim(spec: Obj, path: str) -> ErrorList:
    devices = spec.get("devices") or {}
    at, known = f"{path}.devices", request_names(spec)
    found = each_once(devices.get("requests"), REQUESTS_MAX, _request, _name_of, f"{at}.requests")
    found += each(
        devices.get("constraints"), CONSTRAINTS_MAX, lambda c, p: _constraint(c, p, known), f"{at}.constraints"
    )
    return found + each(devices.get("config"), CONFIG_MAX, lambda c, p: _config(c, p, known), f"{at}.config")


def _request(request: Obj, path: str) -> ErrorList:
    found = forms.label(_name_of(request), f"{path}.name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable")
    one = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not alternatives:
        return [*found, field.required(path, one)]
    if exactly is not None and alternatives:
        return [*found, field.invalid(path, None, f"{one}, but multiple fields are set")]
    if exactly is not None:
        at = f"{path}.exactly"
        found += forms.device_class(exactly.get("deviceClassName") or "", f"{at}.deviceClassName")
        return found + _asked(exactly, at)
    judged = each_once(alternatives, _ALTERNATIVES_MAX, _alternative, _name_of, f"{path}.firstAvailable")
    return found + judged


def _alternative(request: Obj, path: str) -> ErrorList:
    found = forms.label(_name_of(request), f"{path}.name")
    class_name = request.get("deviceClassName") or ""
    class_path = f"{path}.deviceClassName"
    origin = "format=k8s-long-name" if class_name else ""
    found += hide(forms.device_class(class_name, class_path), origin)
    return found + _asked(request, path)


def _asked(request: Obj, path: str) -> ErrorList:
    found = selectors(request.get("selectors"), f"{path}.selectors")
    mode, count = request.get("allocationMode") or "", request.get("count") or 0
    if mode == "All":
        if count:
            wrong = "must not be specified when allocationMode is 'All'"
            found.append(field.invalid(f"{path}.count", count, wrong))
    elif mode == "ExactCount":
        if count <= 0:
            found.append(field.invalid(f"{path}.count", count, "must be greater than zero"))
    else:
        found.append(covered(field.not_supported(f"{path}.allocationMode", mode, _MODES)))
    for i, each_toleration in enumerate(request.get("tolerations") or ()):
        found += toleration(each_toleration, f"{path}.tolerations[{i}]")
    return found


def selectors(values: list[Obj] | None, path: str, *, stored: bool = False) -> ErrorList:
    """`stored`: the expressions were accepted before."""

    def judge(value: Obj, at: str) -> ErrorList:
        cel = value.get("cel")
        if cel is None:
            return [field.required(f"{at}.cel")]
        return [] if stored else expressions.selector(cel.get("expression") or "", f"{at}.cel.expression")

    return each(values, SELECTORS_MAX, judge, path)


def toleration(value: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    key, operator, effect = value.get("key") or "", value.get("operator") or "", value.get("effect") or ""
    text = value.get("value") or ""
    if key:
        found += hide(label_name(key, f"{path}.key"), "format=k8s-label-key")
    if operator == "Exists":
        if text:
            found.append(field.invalid(f"{path}.value", text, "must be empty for operator `Exists`"))
    elif operator == "Equal":
        found += [field.invalid(f"{path}.value", text, d) for d in names.label_value(text)]
    elif not operator:
        found.append(covered(field.required(f"{path}.operator")))
    else:
        found.append(covered(field.not_supported(f"{path}.operator", operator, _OPERATORS)))
    if effect and effect not in EFFECTS:
        found.append(covered(field.not_supported(f"{path}.effect", effect, EFFECTS)))
    return found


def _constraint(constraint: Obj, path: str, known: dict[str, set[str]]) -> ErrorList:
    found = _named(constraint.get("requests"), f"{path}.requests", known)
    origin = "format=k8s-resource-fully-qualified-name"
    for name in ("matchAttribute", "distinctAttribute"):
        value = constraint.get(name)
        if value is not None:
            return found + hide(forms.fully_qualified(value, f"{path}.{name}"), origin)
    if not gates.is_open("DRAConsumableCapacity"):
        return [*found, field.required(f"{path}.matchAttribute")]
    wrong = 'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple fields are set'
    return [*found, field.required(path, wrong)]


def _config(config: Obj, path: str, known: dict[str, set[str]]) -> ErrorList:
    return _named(config.get("requests"), f"{path}.requests", known) + configuration(config, path)


def _named(values: list[str] | None, path: str, known: dict[str, set[str]]) -> ErrorList:
    return each_once(values, REQUESTS_MAX, lambda v, p: request_reference(v, p, known), lambda v: v, path)


def request_reference(name: str, path: str, known: dict[str, set[str]]) -> ErrorList:
    """The name of a request, or of one of its alternatives after a slash."""
    parts = name.split("/")
    wrong = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
    unknown = field.invalid(path, name, wrong)
    if len(parts) > 2:
        return [unknown]
    found = [e for part in parts for e in forms.label(part, path)]
    there = parts[0] in known and (len(parts) == 1 or parts[1] in known[parts[0]])
    return found if there else [*found, unknown]


def configuration(config: Obj, path: str, *, stored: bool = False) -> ErrorList:
    opaque = config.get("opaque")
    if opaque is None:
        return [field.required(f"{path}.opaque")]
    found = forms.driver(opaque.get("driver") or "", f"{path}.opaque.driver", hidden=True)
    return found + raw_object(opaque.get("parameters"), f"{path}.opaque.parameters", PARAMETERS_MAX, stored=stored)


def raw_object(value: Any, path: str, most: int, *, stored: bool = False) -> ErrorList:
    """A runtime.RawExtension that must be a JSON object."""
    if value is None:
        return [field.required(path)]
    if not stored:
        import orjson

        if len(orjson.dumps(value)) > most:
            return [field.too_long(path, most)]
    if not isinstance(value, dict):
        return [field.invalid(path, "<value omitted>", "must be a valid JSON object")]
    return []
