"""StatefulSets: pods with names, ordinals and volumes of their own.

Source: upstream's pkg/controller/statefulset (KEP-961 maxUnavailable, KEP-1847 claim retention, KEP-3335 start ordinal).
`identity` and the rules of `claims` are pure, `sync` is one look at one set, `controller` when it happens.
"""

from pilothouse.controllers.statefulset.controller import StatefulSetController

__all__ = ["StatefulSetController"]
