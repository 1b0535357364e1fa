"""RBAC rules as pure functions: what a rule allows, what it covers, and how messages describe it.

Source: upstream's documentation "Using RBAC Authorization", and k8s.io/component-helpers/auth/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pilothouse.api.field import quote
from pilothouse.api.objects import Obj
from pilothouse.apiserver.contracts import Attributes

ALL = "*"


class Rule:
    """A PolicyRule, compiled for questions."""

    __slots__ = ("groups", "names", "resources", "source", "urls", "verbs")

    def __init__(self, rule: Obj) -> None:
        self.source = rule
        self.verbs = _any_or_set(rule.get("verbs"))
        self.groups = _any_or_set(rule.get("apiGroups"))
        self.resources = _any_or_set(rule.get("resources"))
        self.names = frozenset(rule.get("resourceNames") or ())
        self.urls: tuple[str, ...] = tuple(rule.get("nonResourceURLs") or ())

    def allows(self, a: Attributes) -> bool:
        if self.verbs is not None and a.verb not in self.verbs:
            return False
        if not a.resource_request:
            return any(url in (ALL, a.path) or covers_url(url, a.path) for url in self.urls)
        if self.groups is not None and a.group not in self.groups:
            return False
        if self.names and a.name not in self.names:
            return False
        if self.resources is None:
            return True
        if not a.subresource:
            return a.resource in self.resources
        return f"{a.resource}/{a.subresource}" in self.resources or f"*/{a.subresource}" in self.resources

    def covers(self, one: Obj) -> bool:
        """Whether all that `one`, a rule of `breakdown`, allows is allowed here."""
        if self.verbs is not None and not self.verbs.issuperset(one["verbs"]):
            return False
        urls = one.get("nonResourceURLs")
        if urls:
            return not one.get("resources") and any(own == urls[0] or covers_url(own, urls[0]) for own in self.urls)
        if self.groups is not None and not self.groups.issuperset(one["apiGroups"]):
            return False
        if self.names and not (one.get("resourceNames") and self.names.issuperset(one["resourceNames"])):
            return False
        if self.resources is None:
            return True
        resource = one["resources"][0]
        return resource in self.resources or ("/" in resource and f"*/{resource.partition('/')[2]}" in self.resources)


def _any_or_set(values: Iterable[str] | None) -> frozenset[str] | None:
    """None where the values contain the star, which matches all."""
    found = frozenset(values or ())
    return None if ALL in found else found


def covers_url(own: str, path: str) -> bool:
    return own.endswith("*") and path.startswith(own.rstrip("*"))


def breakdown(rules: Iterable[Obj]) -> Iterator[Obj]:
    """Each rule as rules of one verb, one resource (or URL) and at most one name."""
    for rule in rules:
        verbs = rule.get("verbs") or ()
        names = rule.get("resourceNames") or ()
        for group in rule.get("apiGroups") or ():
            for resource in rule.get("resources") or ():
                for verb in verbs:
                    one = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                    if names:
                        yield from ({**one, "resourceNames": [name]} for name in names)
                    else:
                        yield one
        for url in rule.get("nonResourceURLs") or ():
            for verb in verbs:
                yield {"verbs": [verb], "nonResourceURLs": [url]}


def uncovered(own: Sequence[Obj], wanted: Sequence[Obj]) -> list[Obj]:
    """What `wanted` allows and `own` does not, broken down."""
    if own == wanted:
        return []
    compiled = [Rule(rule) for rule in own]
    return [one for one in breakdown(wanted) if not any(rule.covers(one) for rule in compiled)]


def compact(rules: Iterable[Obj]) -> list[Obj]:
    """Broken down rules of one resource joined, so that only their verbs are listed."""
    out: list[Obj] = []
    simple: dict[tuple[str, str, str | None], Obj] = {}
    for rule in rules:
        if "nonResourceURLs" in rule:
            out.append(rule)
            continue
        names = rule.get("resourceNames")
        key = (rule["apiGroups"][0], rule["resources"][0], names[0] if names else None)
        if key in simple:
            simple[key]["verbs"] += rule["verbs"]
        else:
            simple[key] = {**rule, "verbs": list(rule["verbs"])}
    return out + list(simple.values())


_DESCRIBED = {
    "apiGroups": "APIGroups", "resources": "Resources", "nonResourceURLs": "NonResourceURLs",
    "resourceNames": "ResourceNames", "verbs": "Verbs",
}  # fmt: skip


def describe(rule: Obj) -> str:
    """`{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`"""
    return "{" + ", ".join(f"{text}:{quoted(rule[name])}" for name, text in _DESCRIBED.items() if rule.get(name)) + "}"


def quoted(values: Iterable[str]) -> str:
    """Go's %q of a list of strings."""
    return "[" + " ".join(quote(v) for v in values) + "]"
