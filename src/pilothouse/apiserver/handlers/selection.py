"""What a list, a watch or a deletecollection is of: namespace, label selector, field selector, or one single key."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilothouse.api import errors, selectors
from pilothouse.api.field import quote
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.scheme import GVK
from pilothouse.api.selectors import FieldSelector, FieldTerm, Selector, SelectorError
from pilothouse.apiserver.handlers.options import ListOptions
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.watching import Predicate, Trigger

OF_ALL: Final = frozenset({"metadata.name", "metadata.namespace"})
_OWN_FIELDS: Final = frozenset({"PodCertificateRequest", "ResourceSlice"})


@dataclass(frozen=True, slots=True)
class Selection:
    namespace: str = ""
    key: str = ""  # of the one object that can match
    predicate: Predicate | None = None
    trigger: Trigger | None = None  # one value of a field that the predicate asks for

    def matches(self, entry: Entry) -> bool:
        return self.predicate is None or self.predicate(entry)

    def root(self, scope: Scope) -> str:
        prefix = scope.served.stored.prefix
        return f"{prefix}{self.namespace}/" if self.namespace else prefix


def select(scope: Scope, options: ListOptions) -> Selection:
    """Raises 400 for a selector that cannot be read or names a field that the resource does not have."""
    namespace, stored = scope.namespace, scope.served.stored
    labels, fields = parsed(options)
    for term in fields.terms if fields is not None else ():
        if not _selectable(scope, term.name):
            raise errors.bad_request(_unknown_field(scope, term.name))
    name = scope.info.name if scope.info.path_name else ""
    if name and fields is not None and fields.terms and fields.exact("metadata.name") != name:
        raise errors.bad_request("fieldSelector metadata.name doesn't match requested name")
    wanted = name or (fields.exact("metadata.name") if fields else None) or ""
    if stored.namespaced and not namespace and fields is not None:
        namespace = fields.exact("metadata.namespace") or ""
    key = stored.key(namespace, wanted) if wanted and (namespace or not stored.namespaced) else ""
    predicate, trigger = _predicate(scope, labels, fields), None
    if fields is not None and not key:
        trigger = _trigger(scope.served.kind, fields)
        if trigger is not None and namespace and predicate is not None:
            predicate = _within(namespace, predicate)
    return Selection(namespace, key, predicate, trigger)


def parsed(options: ListOptions) -> tuple[Selector | None, FieldSelector | None]:
    """The selectors of a query. Raises 400 for one that cannot be read."""
    try:
        labels = selectors.parse(options.label_selector) if options.label_selector else None
        fields = selectors.parse_fields(options.field_selector) if options.field_selector else None
    except SelectorError as error:
        raise errors.bad_request(str(error)) from None
    return labels, fields


def _trigger(kind: Kind, fields: FieldSelector) -> Trigger | None:
    exact = next((t for t in fields.terms if t.equal and t.name not in OF_ALL), None)
    return None if exact is None else Trigger(kind, sorted(kind.field_names).index(exact.name), exact.value)


def _within(namespace: str, predicate: Predicate) -> Predicate:
    return lambda entry: entry.namespace == namespace and predicate(entry)


def _selectable(scope: Scope, name: str) -> bool:
    stored = scope.served.stored
    if name == "metadata.namespace" and (not stored.namespaced or stored.gvk.kind in _OWN_FIELDS):
        return not _has_own_fields(scope.served.kind, stored.gvk)
    return name in OF_ALL or name in scope.served.kind.field_names


def _has_own_fields(kind: Kind, gvk: GVK) -> bool:
    """Whether upstream has a conversion of field labels for the kind, which words its refusal in its own way."""
    return bool(kind.field_names) or gvk.kind in _OWN_FIELDS


def unknown_field(name: str) -> str:
    """What is said of a field of a kind that has none of its own to select by."""
    return f"{quote(name)} is not a known field selector: only {', '.join(map(quote, sorted(OF_ALL)))}"


def _unknown_field(scope: Scope, name: str) -> str:
    stored = scope.served.stored
    if not stored.custom and not _has_own_fields(scope.served.kind, stored.gvk):
        return unknown_field(name)
    if stored.gvk.kind == "Job":
        return f"field label {quote(name)} not supported for Job"
    if stored.gvk.kind == "ResourceSlice":
        return f"field label not supported for {scope.served.gvr.api_version}, Kind=ResourceSlice: {name}"
    return f"field label not supported: {name}"


def _predicate(scope: Scope, labels: Selector | None, fields: FieldSelector | None) -> Predicate | None:
    if labels is not None and labels.empty:
        labels = None
    if fields is not None and not fields.terms:
        fields = None
    if labels is None and fields is None:
        return None
    tests = [_test(scope.served.kind, term) for term in fields.terms] if fields is not None else []
    if labels is None and len(tests) == 1:
        return tests[0]
    if labels is not None and not tests:
        return _labelled(labels)

    def matches(entry: Entry) -> bool:
        return (labels is None or labels.matches(entry.labels)) and all(test(entry) for test in tests)

    return matches


def _labelled(labels: Selector) -> Predicate:
    """Asked of every object of a list, so the common case is one look-up."""
    single = labels.single
    if single is None:
        return lambda entry: labels.matches(entry.labels)
    key, value = single
    return lambda entry: entry.labels.get(key) == value


def _test(kind: Kind, term: FieldTerm) -> Predicate:
    """One term, as a look at what entries keep."""
    value, equal = term.value, term.equal
    if term.name == "metadata.name":
        return lambda entry: (entry.name == value) == equal
    if term.name == "metadata.namespace":
        return lambda entry: (entry.namespace == value) == equal
    at = sorted(kind.field_names).index(term.name)
    return lambda entry: (entry.fields(kind)[at] == value) == equal
