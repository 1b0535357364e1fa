"""What a list, a watch or a deletecollection is of: namespace, label selector, field selector, or one single key."""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse.api import errors, selectors
from pilothouse.api.objects import Obj
from pilothouse.api.selectors import FieldSelector, Selector, SelectorError
from pilothouse.apiserver.handlers.options import ListOptions
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.watchcache import Predicate

_OF_ALL = frozenset({"metadata.name", "metadata.namespace"})


@dataclass(frozen=True, slots=True)
class Selection:
    namespace: str = ""
    key: str = ""  # of the one object that can match
    predicate: Predicate | None = None

    def matches(self, entry: Entry) -> bool:
        return self.predicate is None or self.predicate(entry)

    def root(self, scope: Scope) -> str:
        prefix = scope.served.stored.prefix
        return f"{prefix}{self.namespace}/" if self.namespace else prefix


def select(scope: Scope, options: ListOptions) -> Selection:
    """Raises 400 for a selector that cannot be read or names a field that the resource does not have."""
    namespace, stored = scope.namespace, scope.served.stored
    labels = fields = None
    if options.label_selector:
        try:
            labels = selectors.parse(options.label_selector)
        except SelectorError as error:
            raise errors.bad_request(str(error)) from None
    if options.field_selector:
        try:
            fields = selectors.parse_fields(options.field_selector)
        except SelectorError as error:
            raise errors.bad_request(str(error)) from None
        for term in fields.terms:
            if term.name not in _OF_ALL and term.name not in stored.kind.field_names:
                raise errors.bad_request(f"field label not supported: {term.name}")
    name = scope.info.name if scope.info.path_name else ""
    wanted = name or (fields.exact("metadata.name") if fields else None) or ""
    key = stored.key(namespace, wanted) if wanted and (namespace or not stored.namespaced) else ""
    return Selection(namespace, key, _predicate(scope, labels, fields))


def _predicate(scope: Scope, labels: Selector | None, fields: FieldSelector | None) -> Predicate | None:
    if labels is not None and labels.empty:
        labels = None
    if fields is not None and not fields.terms:
        fields = None
    if labels is None and fields is None:
        return None
    values_of = scope.served.stored.kind.fields

    def matches(entry: Entry) -> bool:
        obj = entry.obj
        if labels is not None and not labels.matches(labels_of(obj)):
            return False
        if fields is None:
            return True
        meta = obj["metadata"]
        own = {"metadata.name": meta.get("name", ""), "metadata.namespace": meta.get("namespace", "")}
        return fields.matches({**values_of(obj), **own})

    return matches


def labels_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}
