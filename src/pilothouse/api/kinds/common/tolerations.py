"""Tolerations, of pods and runtime classes."""

from __future__ import annotations

import re
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.objects import Obj

EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")
_INTEGER: Final = "-?(0|[1-9][0-9]*)"


def tolerations(values: list[Obj] | None, path: str, *, comparisons: bool = False) -> ErrorList:
    """`comparisons`: Lt and Gt are known (TaintTolerationComparisonOperators)."""
    found: ErrorList = []
    for i, toleration in enumerate(values or ()):
        found += _toleration(toleration, f"{path}[{i}]", comparisons)
    return found


def _toleration(toleration: Obj, path: str, comparisons: bool) -> ErrorList:
    found: ErrorList = []
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    if key:
        found += label_name(key, f"{path}.key")
    elif operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        found.append(field.invalid(f"{path}.operator", operator, detail))
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        detail = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        found.append(field.invalid(f"{path}.effect", effect, detail))
    if operator in ("Equal", ""):
        details = names.label_value(value)
        if details:
            found.append(field.invalid(f"{path}.operator", value, ";".join(details)))
    elif operator == "Exists":
        if value:
            found.append(field.invalid(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'"))
    elif operator in ("Lt", "Gt") and comparisons:
        found += _number(value, f"{path}.value")
    else:
        supported = ["Equal", "Exists", "Lt", "Gt"] if operator in ("Lt", "Gt") else ["Equal", "Exists"]
        found.append(field.not_supported(f"{path}.operator", operator, supported))
    if effect and effect not in EFFECTS:
        found.append(field.not_supported(f"{path}.effect", effect, EFFECTS))
    return found


def _number(text: str, path: str) -> ErrorList:
    found: ErrorList = []
    if not re.fullmatch(_INTEGER, text) or text == "-0":
        message = "must be a valid decimal integer in canonical form"
        found.append(field.invalid(path, text, names.pattern(message, _INTEGER, "0", "1", "-5", "999")))
    shown = f"strconv.ParseInt: parsing {quote(text)}"
    if not re.fullmatch("[+-]?[0-9]+", text):
        found.append(field.invalid(path, text, f"{shown}: invalid syntax"))
    elif len(text) > 20 or not -(2**63) <= int(text) < 2**63:
        found.append(field.invalid(path, text, f"{shown}: value out of range"))
    return found
