"""Feature gates: their names, defaults and locks, and `--feature-gates`.

Source: upstream's component-base/featuregate; the table facts/features.json holds each gate that kube-apiserver 1.37 knows: its
default, its stage (empty: GA), whether it is locked, and the gates that it needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, NamedTuple

from pilothouse.api.scheme import load_facts

_SPECIAL: Final = {"AllAlpha": "ALPHA", "AllBeta": "BETA"}
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class BadFlag(Exception):
    """str() is what upstream says of it."""


class Gate(NamedTuple):
    default: bool
    stage: str
    locked: bool
    needs: tuple[str, ...]


@cache
def gates() -> Mapping[str, Gate]:
    return {
        name: Gate(default, stage, locked, tuple(needs))
        for name, (default, stage, locked, needs) in load_facts("features").items()
    }


def parse_bool(text: str) -> bool | None:
    """Go's strconv.ParseBool; None: not one."""
    return True if text in _TRUE else False if text in _FALSE else None


def no_bool(text: str) -> str:
    return f'strconv.ParseBool: parsing "{text}": invalid syntax'


def of_errors(errors: list[str]) -> BadFlag:
    return BadFlag(errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]")


def parse(text: str) -> dict[str, bool]:
    """The settings in `A=true,B=false`. Raises BadFlag."""
    found: dict[str, bool] = {}
    for part in text.split(","):
        if not part:
            continue
        name, equals, value = part.partition("=")
        name, value = name.strip(), value.strip()
        if not equals:
            raise BadFlag(f"missing bool value for {name}")
        on = parse_bool(value)
        if on is None:
            raise BadFlag(f"invalid value of {name}={value}, err: {no_bool(value)}")
        found[name] = on
    enabled(found)
    return found


def enabled(settings: Mapping[str, bool]) -> frozenset[str]:
    """The gates that are open. Raises BadFlag."""
    known = gates()
    errors: list[str] = []
    for name, on in sorted(settings.items()):
        if name not in known:
            raise of_errors([*errors, f"unrecognized feature gate: {name}"])
        gate = known[name]
        if gate.locked and on != gate.default:
            default = str(gate.default).lower()
            errors.append(f"cannot set feature gate {name} to {str(on).lower()}, feature is locked to {default}")
    if errors:
        raise of_errors(errors)
    by_stage = {stage: settings[special] for special, stage in _SPECIAL.items() if special in settings}
    found = frozenset(n for n, g in known.items() if settings.get(n, by_stage.get(g.stage, g.default)))
    for name in sorted(found):
        missing = [need for need in known[name].needs if need not in found]
        if missing:
            errors.append(f"{name} is enabled, but depends on features that are disabled: [{' '.join(missing)}]")
    if errors:
        raise of_errors(errors)
    return found
