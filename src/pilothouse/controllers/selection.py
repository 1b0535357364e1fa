"""Label selectors of workloads, compiled once a selector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pilothouse.api.objects import Obj


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """A metav1.LabelSelector. One that is absent matches nothing, an empty one everything."""

    nothing: bool
    labels: tuple[tuple[str, str], ...]
    expressions: tuple[tuple[str, str, frozenset[str]], ...]

    @property
    def empty(self) -> bool:
        return not self.nothing and not self.labels and not self.expressions

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.nothing or any(labels.get(k) != v for k, v in self.labels):
            return False
        for key, operator, values in self.expressions:
            value = labels.get(key)
            if operator == "In":
                fits = value in values
            elif operator == "NotIn":
                fits = value not in values
            elif operator == "Exists":
                fits = value is not None
            else:
                fits = value is None
            if not fits:
                return False
        return True


def selector_of(selector: Obj | None) -> LabelSelector:
    if selector is None:
        return LabelSelector(True, (), ())
    return LabelSelector(
        False,
        tuple((selector.get("matchLabels") or {}).items()),
        tuple(
            (e["key"], e["operator"], frozenset(e.get("values") or ())) for e in selector.get("matchExpressions") or ()
        ),
    )
