"""The conditions of a namespace that is being deleted.

Source: upstream's pkg/controller/namespace/deletion/status_condition_utils.go.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVR

# Type → (reason, message) when there is nothing to complain about, in the order in which they are written.
_FINE: Final = {
    "NamespaceDeletionDiscoveryFailure": ("ResourcesDiscovered", "All resources successfully discovered"),
    "NamespaceDeletionGroupVersionParsingFailure": ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
}


@dataclass(slots=True)
class Findings:
    """What one attempt to empty a namespace found."""

    undiscovered: str = ""
    failures: list[str] = field(default_factory=list)
    remaining: dict[GVR, int] = field(default_factory=dict)
    finalizers: Counter[str] = field(default_factory=Counter)

    def conditions(self, old: list[Obj], now: str, *, complete: bool = True) -> list[Obj]:
        """The namespace's conditions by these findings; `old` itself where nothing changed. What remains is told only once
        all content was looked at (`complete`), not while pods are still waited for."""
        found: dict[str, tuple[str, str]] = {}
        if self.undiscovered:
            found["NamespaceDeletionDiscoveryFailure"] = ("DiscoveryFailed", self.undiscovered)
        if self.failures:
            text = ", ".join(sorted(self.failures))
            found["NamespaceDeletionContentFailure"] = (
                "ContentDeletionFailed",
                f"Failed to delete all resource types, {len(self.failures)} remaining: {text}",
            )
        if complete and self.remaining:
            lines = sorted(f"{g.resource}.{g.group} has {n} resource instances" for g, n in self.remaining.items())
            found["NamespaceContentRemaining"] = (
                "SomeResourcesRemain",
                f"Some resources are remaining: {', '.join(lines)}",
            )
        if complete and self.finalizers:
            lines = sorted(f"{name} in {n} resource instances" for name, n in self.finalizers.items())
            found["NamespaceFinalizersRemaining"] = (
                "SomeFinalizersRemain",
                f"Some content in the namespace has finalizers remaining: {', '.join(lines)}",
            )
        return _merged(old, found, now)


def _merged(old: list[Obj], found: dict[str, tuple[str, str]], now: str) -> list[Obj]:
    out, changed = list(old), False
    for kind, fine in _FINE.items():
        status = "True" if kind in found else "False"
        reason, message = found.get(kind, fine)
        at = next((i for i, c in enumerate(out) if c.get("type") == kind), None)
        new = {"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}
        if at is None:
            out.append(new)
        else:
            was = out[at]
            if (was.get("status"), was.get("reason"), was.get("message")) == (status, reason, message):
                continue
            if was.get("status") == status:
                new["lastTransitionTime"] = was.get("lastTransitionTime") or now
            out[at] = new
        changed = True
    return out if changed else old
