"""The claims of a set's pods: made before the pods, kept or deleted with them as `persistentVolumeClaimRetentionPolicy` says.

A claim is deleted by the garbage collector, through owner references to the set or, once the set was scaled down, to the pod.
"""

from __future__ import annotations

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy, get
from pilothouse.client import Informer, Recorder, ResourceClient
from pilothouse.controllers import pods as p
from pilothouse.controllers.statefulset import identity as i


def _deletes(owner: Obj, when: str) -> bool:
    return bool(get(owner, "spec", "persistentVolumeClaimRetentionPolicy", when, default="Retain") == "Delete")


def _refs(claim: Obj) -> list[Obj]:
    found: list[Obj] = claim["metadata"].get("ownerReferences") or []
    return found


def _names(ref: Obj, obj: Obj, api_version: str, kind: str) -> bool:
    return (ref.get("apiVersion"), ref.get("kind"), ref.get("name")) == (api_version, kind, obj["metadata"]["name"])


def _names_set(ref: Obj, owner: Obj) -> bool:
    return _names(ref, owner, "apps/v1", "StatefulSet")


def _names_pod(ref: Obj, pod: Obj) -> bool:
    return _names(ref, pod, "v1", "Pod")


def _uid(obj: Obj) -> str:
    return str(obj["metadata"].get("uid", ""))


def is_stale(claim: Obj, obj: Obj, *, pod: bool) -> bool:
    """It belongs to an earlier object of the same name, with which it will be deleted."""
    for ref in _refs(claim):
        if _names_pod(ref, obj) if pod else _names_set(ref, obj):
            return ref.get("uid") != _uid(obj)
    return False


def has_other_controller(claim: Obj, owner: Obj, pod: Obj) -> bool:
    """Something else manages the claim, which the retention policy must respect."""
    if not _deletes(owner, "whenScaled") and not _deletes(owner, "whenDeleted"):
        return False
    for ref in _refs(claim):
        if _names_set(ref, owner) or _names_pod(ref, pod):
            if ref.get("uid") not in (_uid(owner), _uid(pod)):
                return True
        elif ref.get("controller"):
            return True
    return False


def wanted_owners(owner: Obj, pod: Obj) -> tuple[bool, bool]:
    """(the set owns the claim, the pod owns it)"""
    scaled, deleted = _deletes(owner, "whenScaled"), _deletes(owner, "whenDeleted")
    condemned = not i.in_range(owner, pod)
    return deleted and not (scaled and condemned), scaled and condemned


def is_right(claim: Obj, owner: Obj, pod: Obj) -> bool:
    """The claim's owners are what the policy says, or are not ours to change."""
    if is_stale(claim, owner, pod=False) or is_stale(claim, pod, pod=True):
        return True
    by_set = any(r.get("uid") == _uid(owner) for r in _refs(claim))
    by_pod = any(r.get("uid") == _uid(pod) for r in _refs(claim))
    if has_other_controller(claim, owner, pod):
        return not by_set and not by_pod
    if any(r.get("uid") in (_uid(owner), _uid(pod)) and not r.get("controller") for r in _refs(claim)):
        return False
    return (by_set, by_pod) == wanted_owners(owner, pod)


def right_refs(claim: Obj, owner: Obj, pod: Obj) -> list[Obj]:
    """The claim's owner references as the policy says."""
    refs = [r for r in _refs(claim) if not _names_set(r, owner) and not _names_pod(r, pod)]
    if has_other_controller(claim, owner, pod):
        return refs
    by_set, by_pod = wanted_owners(owner, pod)
    for wanted, obj in ((by_pod, {**pod, "apiVersion": "v1", "kind": "Pod"}), (by_set, owner)):
        if wanted and not any(r.get("uid") == _uid(obj) for r in refs):
            refs.append(p.controller_ref(obj))
    return refs


class Claims:
    def __init__(self, api: ResourceClient, informer: Informer, recorder: Recorder) -> None:
        self._api, self._informer, self._recorder = api, informer, recorder

    def _known(self, owner: Obj, pod: Obj) -> list[Obj]:
        """The claims of the pod that are there."""
        ordinal, namespace = i.ordinal_of(pod), owner["metadata"]["namespace"]
        names = (i.claim_name(t, owner, ordinal) for t in i.claim_templates(owner))
        return [c for name in names if (c := self._informer.lister.get(namespace, name)) is not None]

    def are_right(self, owner: Obj, pod: Obj) -> bool:
        return all(is_right(claim, owner, pod) for claim in self._known(owner, pod))

    def are_stale(self, owner: Obj, pod: Obj) -> bool:
        """A claim of the pod is about to be deleted with an earlier pod of its name: it must not be used again."""
        return _deletes(owner, "whenScaled") and any(is_stale(c, pod, pod=True) for c in self._known(owner, pod))

    async def put_right(self, owner: Obj, pod: Obj) -> None:
        for claim in self._known(owner, pod):
            name = claim["metadata"]["name"]
            if has_other_controller(claim, owner, pod):
                message = (
                    f"PersistentVolumeClaim {name} has a conflicting OwnerReference that acts as a manging controller, "
                    "the retention policy is ignored for this claim"
                )
                self._recorder.event(owner, "Warning", "ConflictingController", message)
            if not is_right(claim, owner, pod):
                changed = copy(claim)
                changed["metadata"]["ownerReferences"] = right_refs(claim, owner, pod)
                await self._api.update(changed)

    async def create(self, owner: Obj, pod: Obj) -> None:
        """Makes the claims of the pod that are missing. Raises the first failure, after all have been tried."""
        failure: StatusError | None = None
        for claim in i.claims_of(owner, pod):
            metadata = claim["metadata"]
            name = metadata["name"]
            there = self._informer.lister.get(metadata["namespace"], name)
            if there is not None:
                if p.is_deleted(there):
                    failure = failure or StatusError(409, "Conflict", f"pvc {name} is being deleted")
                continue
            about = f"StatefulSet {owner['metadata']['name']}"
            pod_name = pod["metadata"]["name"]
            try:
                await self._api.create(claim)
            except StatusError as error:
                if error.reason != "AlreadyExists":
                    message = f"Create Claim {name} for Pod {pod_name} in {about} failed error: {error}"
                    self._recorder.event(owner, "Warning", "FailedCreate", message)
                error.message = f"failed to create PVC {name}: {error.message}"
                error.args = (error.message,)
                failure = failure or error
            else:
                message = f"Create Claim {name} Pod {pod_name} in {about} success"
                self._recorder.event(owner, "Normal", "SuccessfulCreate", message)
        if failure is not None:
            raise failure
