"""What a list, a watch or a deletecollection is of: namespace, label selector, field selector, or one single key."""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse.api.objects import Obj
from pilothouse.apiserver.handlers.options import ListOptions
from pilothouse.apiserver.handlers.scope import Scope
from pilothouse.apiserver.registry.entries import Entry
from pilothouse.apiserver.registry.watchcache import Predicate


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
    namespace = scope.namespace
    stored = scope.served.stored
    name = scope.info.name if scope.info.path_name else ""
    if name and (namespace or not stored.namespaced):
        return Selection(namespace, stored.key(namespace, name))
    return Selection(namespace)


def labels_of(obj: Obj) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}
