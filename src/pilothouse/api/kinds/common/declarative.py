"""Declarative validation: checks that upstream generates from tags on its types, as a tree of rules.

Upstream (KEP-5073) runs these after the hand-written rules of a kind and shows those past alpha. What they have in common lives
here: on update a part that did not change is not looked at again, and some checks keep those below them from running.
A rule tree is `fields({...})`; `merged` walks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, ErrorType, FieldError

Run: TypeAlias = Callable[[str, Any, Any, bool], ErrorList]
"""(path, new, old, updating): old is None where nothing corresponds."""


@dataclass(slots=True)
class Covered(FieldError):
    """A hand-written error that gives way to a declarative one of the same type, field and origin. In declarative errors `origin`
    says which check they come from."""

    origin: str = ""


class Check(NamedTuple):
    run: Run
    stops: bool = False  # a failure keeps the checks that do not stop from running
    silent: bool = False  # a failure is no error: only stops


def covered(error: FieldError, origin: str = "") -> Covered:
    return Covered(error.type, error.field, error.value, error.detail, origin)


def merged(found: ErrorList, rules: Run, new: Any, old: Any = None) -> ErrorList:
    """Hand-written errors that have no declarative counterpart, and the declarative ones; `old` is given on update."""
    declared = rules("", new, old, old is not None)
    if not declared:
        return found
    taken = {_identity(e) for e in declared}
    return [e for e in found if not (isinstance(e, Covered) and _identity(e) in taken)] + declared


def _identity(error: FieldError) -> tuple[ErrorType, str, str]:
    return error.type, error.field, error.origin if isinstance(error, Covered) else ""


def _invalid(path: str, value: Any, detail: str, origin: str) -> Covered:
    return Covered(ErrorType.INVALID, path, value, detail, origin)


def fields(rules: Mapping[str, Sequence[Check]]) -> Run:
    """Rules of a struct, field by field in the order given; an absent struct counts as an empty one."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        found: ErrorList = []
        new = new or {}
        for name, checks in rules.items():
            value = new.get(name)
            before = old.get(name) if old is not None else None
            if updating and old is not None and _or_none(value) == _or_none(before):
                continue
            found += _checked(checks, f"{path}.{name}" if path else name, value, before, updating)
        return found

    return run


def _or_none(value: Any) -> Any:
    """An empty text, list or map is none; a zero or an empty struct that is there stands behind a pointer."""
    return value if value or isinstance(value, int) or type(value) is dict else None


def _checked(checks: Sequence[Check], path: str, new: Any, old: Any, updating: bool) -> ErrorList:
    found: ErrorList = []
    stop = False
    for check in checks:
        if check.stops:
            wrong = check.run(path, new, old, updating)
            stop = stop or bool(wrong)
            if not check.silent:
                found += wrong
    if stop:
        return found
    for check in checks:
        if not check.stops:
            found += check.run(path, new, old, updating)
    return found


def struct(rules: Run) -> Check:
    """The field's own struct."""
    return Check(rules)


def each(*checks: Check, key: Callable[[Any], Any] | None = None) -> Check:
    """Every element of a list; `key` finds the element of the old list that an element corresponds to."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        found: ErrorList = []
        before = {key(item): item for item in reversed(old or ())} if key else {}
        for i, item in enumerate(new or ()):
            was = before.get(key(item)) if key else None
            if updating and was is not None and was == item:
                continue
            found += _checked(checks, f"{path}[{i}]", item, was, updating)
        return found

    return Check(run)


def each_value(*checks: Check) -> Check:
    """Every value of a map."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        found: ErrorList = []
        for name, value in (new or {}).items():
            was = (old or {}).get(name)
            if updating and was is not None and was == value:
                continue
            found += _checked(checks, f"{path}[{name}]", value, was, updating)
        return found

    return Check(run)


def each_key(*checks: Check) -> Check:
    """Every key of a map; the errors name the map."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        found: ErrorList = []
        for name in new or {}:
            if not (updating and name in (old or {})):
                found += _checked(checks, path, name, None, updating)
        return found

    return Check(run)


def unique(key: Callable[[Any], Any]) -> Check:
    """No two elements of a list have the same key."""

    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        found: ErrorList = []
        seen: set[Any] = set()
        for i, item in enumerate(new or ()):
            k = key(item)
            if k in seen:
                found.append(field.duplicate(f"{path}[{i}]", item))
            seen.add(k)
        return found

    return Check(run)


def _required(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
    return [] if new else [field.required(path)]


def _required_pointer(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
    return [field.required(path)] if new is None else []


def _forbidden(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
    return [] if new is None else [field.forbidden(path, "")]


def _immutable(path: str, _new: Any, _old: Any, updating: bool) -> ErrorList:
    return [_invalid(path, None, "field is immutable", "immutable")] if updating else []


required = Check(_required, stops=True)  # of a value, a list or a map: not its zero
required_pointer = Check(_required_pointer, stops=True)
optional = Check(_required, stops=True, silent=True)
optional_pointer = Check(_required_pointer, stops=True, silent=True)
forbidden_pointer = Check(_forbidden, stops=True)
immutable = Check(_immutable, stops=True)


alpha_immutable = Check(_immutable, stops=True, silent=True)  # not enforced yet: only stops


def refuse(*, set: bool = False, unset: bool = False) -> Check:
    """Of a pointer: what an update may not do to it."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        if not updating:
            return []
        if set and old is None and new is not None:
            return [_invalid(path, None, "field cannot be set once created", "update")]
        if unset and old is not None and new is None:
            return [_invalid(path, None, "field cannot be cleared once set", "update")]
        return []

    return Check(run, stops=True)


def same_items(key: Callable[[Any], Any]) -> Check:
    """An update adds no items to a list, and removes none."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        if not updating:
            return []
        before, now = [key(item) for item in old or ()], [key(item) for item in new or ()]
        added = [field.forbidden(f"{path}[{i}]", "item may not be added") for i, k in enumerate(now) if k not in before]
        return added + [field.forbidden(path, "item may not be removed") for k in before if k not in now]

    return Check(run, stops=True)


def text(details: Callable[[str], list[str]], origin: str) -> Check:
    """A string's form: `details` says what is wrong with it."""

    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        return [] if new is None else [_invalid(path, new, d, origin) for d in details(new)]

    return Check(run)


short_name = text(lambda v: in_bytes(names.dns1123_label(v)), "format=k8s-short-name")
long_name = text(lambda v: in_bytes(names.dns1123_subdomain(v)), "format=k8s-long-name")
long_name_caseless = text(names.dns1123_subdomain_caseless, "format=k8s-long-name-caseless")


def in_bytes(details: list[str]) -> list[str]:
    """Declarative checks count in bytes where the hand-written ones say characters."""
    return [d.replace(" characters", " bytes") if d.startswith("must be no more than ") else d for d in details]


def max_length(limit: int) -> Check:
    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        if new is None or len(new) <= limit:
            return []
        unit = "character" if limit == 1 else "characters"
        detail = f"may not be more than {limit} {unit}"
        return [Covered(ErrorType.TOO_LONG, path, field.OMIT, detail, "maxLength")]

    return Check(run)


def max_bytes(limit: int) -> Check:
    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        return [covered(field.too_long(path, limit), "maxBytes")] if new and len(new.encode()) > limit else []

    return Check(run)


def max_items(limit: int) -> Check:
    """Of a list or a map. Stops, as upstream's does."""

    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        return [covered(field.too_many(path, len(new), limit), "maxItems")] if new and len(new) > limit else []

    return Check(run, stops=True)


def min_items(least: int) -> Check:
    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        count = len(new or ())
        return [covered(field.too_few(path, count, least), "minItems")] if count < least else []

    return Check(run, stops=True)


def minimum(least: int, zero: bool = False) -> Check:
    """`zero`: the field is no pointer, so that an absent one counts as 0."""

    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        value = 0 if new is None and zero else new
        if value is None or value >= least:
            return []
        return [_invalid(path, value, f"must be greater than or equal to {least}", "minimum")]

    return Check(run)


def maximum(most: int) -> Check:
    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        if new is None or new <= most:
            return []
        return [_invalid(path, new, f"must be less than or equal to {most}", "maximum")]

    return Check(run)


def _rising(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
    if not updating or new is None or old is None or new >= old:
        return []
    return [_invalid(path, new, f"may not be decreased from {old}", "monotonic")]


rising = Check(_rising)  # of a number: an update does not decrease it


def enum(*values: str, zero: bool = True) -> Check:
    """One of `values`; where the field is no pointer (`zero`) an absent one counts as the empty string."""
    supported = sorted(values)

    def run(path: str, new: Any, _old: Any, _updating: bool) -> ErrorList:
        value = "" if new is None and zero else new
        return [] if value is None or value in supported else [field.not_supported(path, value, supported)]

    return Check(run)


def discriminated(
    member: str, discriminator: str, rules: Mapping[str, Sequence[Check]], otherwise: Sequence[Check]
) -> Run:
    """A struct's rule on one member that depends on the value of another."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        new = new or {}
        value, kind = new.get(member), new.get(discriminator) or ""
        before, was = (old.get(member), old.get(discriminator) or "") if old is not None else (None, "")
        if updating and old is not None and kind == was and value == before:
            return []
        return _checked(rules.get(kind, otherwise), field.child(path, member), value, before, updating)

    return run


def union(members: Sequence[str], *, at_most: bool = False) -> Run:
    """A struct's rule that exactly one of its members is set (or at most one)."""
    listed = ", ".join(f"`{m}`" for m in members)

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        given = [m for m in members if _is_set((new or {}).get(m))]
        if updating and old is not None and given == [m for m in members if _is_set(old.get(m))]:
            return []
        if len(given) > 1:
            many = "must specify at most one of" if at_most else "must specify exactly one of"
            origin = "zeroOrOneOf" if at_most else "union"
            return [_invalid(path, "{" + ", ".join(given) + "}", f"{many}: {listed}", origin)]
        if not given and not at_most:
            return [_invalid(path, "", f"must specify one of: {listed}", "union")]
        return []

    return run


def _is_set(value: Any) -> bool:
    return value is not None and value != []


def every(*rules: Run) -> Run:
    """Several rules of one struct, in order."""

    def run(path: str, new: Any, old: Any, updating: bool) -> ErrorList:
        return [e for rule in rules for e in rule(path, new, old, updating)]

    return run
