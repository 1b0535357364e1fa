"""Which ReplicaSet is of which revision, and the annotations that say so."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from pilothouse.api.objects import Obj
from pilothouse.controllers.pods import time_of

HASH_LABEL: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
REVISION_HISTORY: Final = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS: Final = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS: Final = "deployment.kubernetes.io/max-replicas"
ROLLBACK_TO: Final = "deprecated.deployment.rollback.to"
_OWN: Final = frozenset({
    "kubectl.kubernetes.io/last-applied-configuration", REVISION, REVISION_HISTORY, DESIRED_REPLICAS, MAX_REPLICAS, ROLLBACK_TO,
})  # fmt: skip
_HISTORY_CHARS_MAX: Final = 2000
_MAPS: Final = frozenset({"labels", "annotations", "nodeSelector", "matchLabels", "limits", "requests", "overhead"})


def annotations_of(obj: Obj) -> dict[str, str]:
    found: dict[str, str] = obj["metadata"].get("annotations") or {}
    return found


def parse_int(text: str | None) -> int | None:
    """A Go int64 in decimal; None where it is none."""
    if text is None or not (digits := text[1:] if text[:1] in ("-", "+") else text).isascii() or not digits.isdigit():
        return None
    value = int(text) if len(digits) < 20 else 1 << 64
    return value if -(1 << 63) <= value < 1 << 63 else None


def revision_of(replica_set: Obj) -> int:
    """0 where it has none, or one that is no number."""
    return parse_int(annotations_of(replica_set).get(REVISION)) or 0


def max_revision(replica_sets: Iterable[Obj]) -> int:
    return max((revision_of(rs) for rs in replica_sets), default=0)


def last_revision(replica_sets: Iterable[Obj]) -> int:
    """The second highest: what a rollback without a number goes back to."""
    highest = second = 0
    for revision in map(revision_of, replica_sets):
        if revision >= highest:
            highest, second = revision, highest
        elif revision > second:
            second = revision
    return second


def _normal(value: Any) -> Any:
    """The value without what Go's Semantic.DeepEqual does not tell from absence: nulls, empty lists and empty maps."""
    if isinstance(value, dict):
        out = {}
        for k, v in value.items():
            v = _normal(v)
            if v is None or v == [] or (v == {} and k in _MAPS):
                continue
            out[k] = v
        return out
    if isinstance(value, list):
        return [_normal(v) for v in value]
    return value


def same_template(one: Obj, other: Obj) -> bool:
    """The same pods come of both templates: equal but for the hash label."""
    if one.get("spec") != other.get("spec") and _normal(one.get("spec")) != _normal(other.get("spec")):
        return False
    metadata = []
    for template in (one, other):
        found = dict(template.get("metadata") or {})
        found["labels"] = {k: v for k, v in (found.get("labels") or {}).items() if k != HASH_LABEL}
        metadata.append(_normal(found))
    return bool(metadata[0] == metadata[1])


def by_creation(replica_set: Obj) -> tuple[float, str]:
    """Sort key: oldest first."""
    metadata = replica_set["metadata"]
    return time_of(metadata.get("creationTimestamp")), metadata["name"]


def by_revision(replica_set: Obj) -> tuple[int, float, str]:
    return (revision_of(replica_set), *by_creation(replica_set))


def find_new(deployment: Obj, replica_sets: Iterable[Obj]) -> Obj | None:
    """The oldest ReplicaSet with the deployment's present template."""
    template = deployment["spec"]["template"]
    for replica_set in sorted(replica_sets, key=by_creation):
        if same_template(replica_set["spec"]["template"], template):
            return replica_set
    return None


def annotate_new(deployment: Obj, replica_set: Obj, revision: int, *, exists: bool, desired: int, most: int) -> bool:
    """Changes the annotations of `replica_set`: the deployment's, the revision and what it was before. Says if any changed."""
    annotations = dict(annotations_of(replica_set))
    before = dict(annotations)
    annotations.update((k, v) for k, v in annotations_of(deployment).items() if k not in _OWN)
    replica_set["metadata"]["annotations"] = annotations
    old = annotations.get(REVISION)
    number = 0 if not old else parse_int(old)
    if number is None:
        return False
    if number < revision:
        annotations[REVISION] = str(revision)
        if old is not None:
            history = [r for r in annotations.get(REVISION_HISTORY, "").split(",") if r]
            history.append(old)
            while len(",".join(history)) > _HISTORY_CHARS_MAX and len(history) > 1:
                del history[0]
            annotations[REVISION_HISTORY] = ",".join(history)
    if not exists:
        annotations[DESIRED_REPLICAS], annotations[MAX_REPLICAS] = str(desired), str(most)
    return annotations != before


def annotate_sizes(replica_set: Obj, desired: int, most: int) -> None:
    """Changes the annotations of `replica_set` that say what its size was reckoned from."""
    sizes = {DESIRED_REPLICAS: str(desired), MAX_REPLICAS: str(most)}
    replica_set["metadata"]["annotations"] = {**annotations_of(replica_set), **sizes}


def sizes_differ(replica_set: Obj, desired: int, most: int) -> bool:
    found = annotations_of(replica_set)
    return found.get(DESIRED_REPLICAS) != str(desired) or found.get(MAX_REPLICAS) != str(most)


def size_annotation(replica_set: Obj, name: str) -> int | None:
    """The number in one of these annotations; None where it is absent or broken."""
    text = annotations_of(replica_set).get(name)
    value = parse_int(text) if text is not None and text.isdigit() else None
    return value if value is not None and value < 1 << 31 else None


def restored_annotations(deployment: Obj, replica_set: Obj) -> dict[str, str]:
    """The deployment's annotations after a rollback to `replica_set`: its own kept, the rest the revision's."""
    kept = {k: v for k, v in annotations_of(deployment).items() if k in _OWN and k != ROLLBACK_TO}
    return {**kept, **{k: v for k, v in annotations_of(replica_set).items() if k not in _OWN}}
