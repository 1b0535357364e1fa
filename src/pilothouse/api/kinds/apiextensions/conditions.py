"""The status of a CustomResourceDefinition as its controllers make it: accepted names and conditions.

Source: upstream's apiextensions-apiserver/pkg/controller (status, establish, nonstructuralschema, apiapproval, finalizer).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from pilothouse.api.field import ErrorList, invalid, quote
from pilothouse.api.kinds.apiextensions import approval
from pilothouse.api.objects import Obj, copy
from pilothouse.api.structural import structure

FINALIZER: Final = "customresourcecleanup.apiextensions.k8s.io"
_APPROVAL_REASONS: Final = {
    "invalid": ("False", "InvalidAnnotation"), "missing": ("False", "MissingAnnotation"),
    "approved": ("True", "ApprovedAnnotation"), "bypassed": ("False", "UnapprovedAnnotation"),
}  # fmt: skip


class Condition(NamedTuple):
    type: str
    status: str
    reason: str
    message: str


ESTABLISHED: Final = Condition("Established", "True", "InitialNamesAccepted", "the initial names have been accepted")
DELETING: Final = Condition(
    "Terminating", "True", "InstanceDeletionInProgress", "CustomResource deletion is in progress"
)
DELETED: Final = Condition("Terminating", "False", "InstanceDeletionCompleted", "removed all instances")
NEVER_ESTABLISHED: Final = Condition("Terminating", "False", "NeverEstablished", "resource was never established")
_INSTALLING: Final = Condition("Established", "False", "Installing", "the initial names have been accepted")
_NOT_ACCEPTED: Final = Condition("Established", "False", "NotAccepted", "not all names are accepted")
_MARKED: Final = Condition(
    "Terminating", "True", "InstanceDeletionPending",
    "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
)  # fmt: skip


def find(definition: Obj, kind: str) -> Obj | None:
    conditions = (definition.get("status") or {}).get("conditions") or ()
    return next((c for c in conditions if c.get("type") == kind), None)


def holds(definition: Obj, kind: str) -> bool:
    found = find(definition, kind)
    return found is not None and found.get("status") == "True"


def put(definition: Obj, wanted: Condition, now: str) -> None:
    """Changes definition, the caller's own copy."""
    status = definition.setdefault("status", {})
    conditions = status["conditions"] = list(status.get("conditions") or ())
    made = {
        "type": wanted.type, "status": wanted.status, "lastTransitionTime": now, "reason": wanted.reason,
        "message": wanted.message,
    }  # fmt: skip
    for i, condition in enumerate(conditions):
        if condition.get("type") == wanted.type:
            if condition.get("status") == wanted.status and condition.get("lastTransitionTime"):
                made["lastTransitionTime"] = condition["lastTransitionTime"]
            conditions[i] = made
            return
    conditions.append(made)


def says(definition: Obj, wanted: Condition) -> bool:
    """The condition is there already, whatever its time."""
    found = find(definition, wanted.type)
    return found is not None and wanted[1:] == (found.get("status"), found.get("reason"), found.get("message"))


def marked_for_deletion(definition: Obj, now: str) -> Obj:
    """A copy as the first DELETE leaves it."""
    marked: Obj = copy(definition)
    metadata = marked["metadata"]
    metadata["deletionTimestamp"] = now
    if FINALIZER not in (metadata.get("finalizers") or ()):
        metadata["finalizers"] = [*(metadata.get("finalizers") or ()), FINALIZER]
    put(marked, _MARKED, now)
    return marked


def with_names(definition: Obj, others: Iterable[Obj], now: str) -> Obj | None:
    """A copy with the names that it may have, given the other definitions of its group; None where nothing changes."""
    status = definition.get("status") or {}
    wanted, had = definition["spec"].get("names") or {}, status.get("acceptedNames") or {}
    if _bare(wanted) == _bare(had):
        return None
    resources, kinds = _taken(others)
    names = dict(had)
    conflict: tuple[str, str] | None = None
    for name, reason, taken in (
        ("plural", "PluralConflict", resources), ("singular", "SingularConflict", resources),
        ("shortNames", "ShortNamesConflict", resources), ("kind", "KindConflict", kinds),
        ("listKind", "ListKindConflict", kinds),
    ):  # fmt: skip
        why = _in_use(wanted.get(name), had.get(name), taken)
        if why:
            conflict = (reason, why)
        elif wanted.get(name):
            names[name] = wanted[name]
        else:
            names.pop(name, None)
    names.pop("categories", None)
    if wanted.get("categories"):
        names["categories"] = wanted["categories"]
    accepted = Condition("NamesAccepted", "True", "NoConflicts", "no conflicts found")
    if conflict:
        accepted = Condition("NamesAccepted", "False", *conflict)
    if _bare(names) == _bare(had) and says(definition, accepted):
        return None
    changed: Obj = copy(definition)
    changed["status"] = {**(changed.get("status") or {}), "acceptedNames": names}
    put(changed, accepted, now)
    if not holds(definition, "Established"):
        if not conflict:
            put(changed, _INSTALLING, now)
        elif find(definition, "Established") is None:
            put(changed, _NOT_ACCEPTED, now)
    return changed


def _bare(names: Obj) -> Obj:
    return {k: v for k, v in names.items() if v}


def _taken(others: Iterable[Obj]) -> tuple[set[str], set[str]]:
    resources: set[str] = set()
    kinds: set[str] = set()
    for other in others:
        names = (other.get("status") or {}).get("acceptedNames") or {}
        resources |= {names.get("plural") or "", names.get("singular") or "", *(names.get("shortNames") or ())}
        kinds |= {names.get("kind") or "", names.get("listKind") or ""}
    return resources, kinds


def _in_use(wanted: str | list[str] | None, had: str | list[str] | None, taken: set[str]) -> str:
    if isinstance(wanted, list):
        used = dict.fromkeys(f"{quote(n)} is already in use" for n in wanted if n not in (had or ()) and n in taken)
        return next(iter(used)) if len(used) == 1 else f"[{', '.join(used)}]" if used else ""
    wanted = wanted or ""
    return f"{quote(wanted)} is already in use" if wanted != (had or "") and wanted in taken else ""


def with_judgements(definition: Obj, now: str) -> Obj | None:
    """A copy with the conditions NonStructuralSchema and KubernetesAPIApprovalPolicyConformant; None where they are there."""
    changed: Obj = copy(definition)
    for kind, wanted in (
        ("NonStructuralSchema", _structural(definition)),
        ("KubernetesAPIApprovalPolicyConformant", _approved(definition)),
    ):
        if wanted is not None and not says(definition, wanted):
            put(changed, wanted, now)
        elif wanted is None and kind == "NonStructuralSchema" and find(definition, kind) is not None:
            status = changed["status"]
            status["conditions"] = [c for c in status["conditions"] if c.get("type") != kind]
    return None if changed == definition else changed


def _structural(definition: Obj) -> Condition | None:
    spec, found = definition["spec"], _preserves(definition)
    for i, version in enumerate(spec.get("versions") or ()):
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        if schema is None:
            continue
        why = structure.unconvertible(schema)
        if why:
            message = f"failed to check validation schema for version {version.get('name')}: {why}"
            return Condition("NonStructuralSchema", "Unknown", "StructuralError", message)
        found += structure.validate(f"spec.versions[{i}].schema.openAPIV3Schema", schema)
    texts = list(dict.fromkeys(map(str, found)))
    if not texts:
        return None
    message = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return Condition("NonStructuralSchema", "True", "Violations", message)


def _preserves(definition: Obj) -> ErrorList:
    if not definition["spec"].get("preserveUnknownFields"):
        return []
    return [invalid("spec.preserveUnknownFields", True, "must be false")]


def _approved(definition: Obj) -> Condition | None:
    if not approval.is_protected(definition["spec"].get("group") or ""):
        return None
    state, why = approval.state_of(definition)
    status, reason = _APPROVAL_REASONS[state]
    return Condition("KubernetesAPIApprovalPolicyConformant", status, reason, why)
