"""Which pod is which: ordinals, names, labels, revisions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pilothouse.api.objects import Obj, copy, get
from pilothouse.controllers import pods as p
from pilothouse.controllers.history import HASH_LABEL, template_of

NAME_LABEL: Final = "statefulset.kubernetes.io/pod-name"
INDEX_LABEL: Final = "apps.kubernetes.io/pod-index"
_NAME: Final = re.compile(r"(.*)-([0-9]+)", re.DOTALL | re.ASCII)


def split(pod_name: str) -> tuple[str, int]:
    """(name of the set, ordinal); ("", -1) where it is no such name."""
    match = _NAME.fullmatch(pod_name)
    if match is None or len(match[2]) > 10:
        return "", -1
    ordinal = int(match[2])
    return match[1], ordinal if ordinal < 1 << 31 else -1


def ordinal_of(pod: Obj) -> int:
    return split(pod["metadata"]["name"])[1]


def is_member(owner: Obj, pod: Obj) -> bool:
    return bool(split(pod["metadata"]["name"])[0] == owner["metadata"]["name"])


def pod_name(owner: Obj, ordinal: int) -> str:
    return f"{owner['metadata']['name']}-{ordinal}"


def replicas(owner: Obj) -> int:
    value = owner["spec"].get("replicas")
    return 1 if value is None else int(value)


def start(owner: Obj) -> int:
    return int(get(owner, "spec", "ordinals", "start", default=0))


def in_range(owner: Obj, pod: Obj) -> bool:
    """Its ordinal is one of those that the set has now."""
    return start(owner) <= ordinal_of(pod) < start(owner) + replicas(owner)


def revision_of(pod: Obj) -> str:
    return str((pod["metadata"].get("labels") or {}).get(HASH_LABEL, ""))


def is_created(pod: Obj) -> bool:
    """The server has it; else it is one that a sync has only thought of."""
    return bool(p.phase(pod))


def is_running_and_ready(pod: Obj) -> bool:
    return p.phase(pod) == "Running" and p.is_ready(pod)


def has_identity(owner: Obj, pod: Obj) -> bool:
    metadata = pod["metadata"]
    parent, ordinal = split(metadata["name"])
    return (
        ordinal >= 0
        and parent == owner["metadata"]["name"]
        and metadata["name"] == pod_name(owner, ordinal)
        and (metadata.get("labels") or {}).get(NAME_LABEL) == metadata["name"]
    )


def give_identity(owner: Obj, pod: Obj) -> None:
    """Changes the pod's labels to those of its ordinal."""
    metadata = pod["metadata"]
    ordinal = ordinal_of(pod)
    metadata["labels"] = {
        **(metadata.get("labels") or {}),
        NAME_LABEL: pod_name(owner, ordinal),
        INDEX_LABEL: str(ordinal),
    }


def claim_name(template: Obj, owner: Obj, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{owner['metadata']['name']}-{ordinal}"


def claim_templates(owner: Obj) -> list[Obj]:
    found: list[Obj] = owner["spec"].get("volumeClaimTemplates") or []
    return found


def has_storage(owner: Obj, pod: Obj) -> bool:
    """Its volumes are its own claims."""
    ordinal = ordinal_of(pod)
    volumes = {v.get("name"): v for v in pod["spec"].get("volumes") or ()}
    return all(
        get(volumes.get(t["metadata"]["name"]), "persistentVolumeClaim", "claimName") == claim_name(t, owner, ordinal)
        for t in claim_templates(owner)
    )


def give_storage(owner: Obj, pod: Obj) -> None:
    """Changes the pod's volumes so that those of claim templates are its own claims."""
    ordinal = ordinal_of(pod)
    own = {
        t["metadata"]["name"]: {
            "name": t["metadata"]["name"],
            "persistentVolumeClaim": {"claimName": claim_name(t, owner, ordinal)},
        }
        for t in claim_templates(owner)
    }
    volumes = [*own.values(), *(v for v in pod["spec"].get("volumes") or () if v.get("name") not in own)]
    if volumes:
        pod["spec"]["volumes"] = volumes


def with_template(owner: Obj, revision: Obj) -> Obj:
    """The set as it was at a revision."""
    return {**owner, "spec": {**owner["spec"], "template": template_of(revision)}}


def new_pod(owner: Obj, ordinal: int, revision: str) -> Obj:
    """The pod of an ordinal by the set's template, not yet created."""
    pod = p.from_template(owner["spec"]["template"], owner)
    metadata = pod["metadata"]
    del metadata["generateName"]
    metadata["name"] = pod_name(owner, ordinal)
    give_identity(owner, pod)
    metadata["labels"][HASH_LABEL] = revision
    pod["spec"]["hostname"] = metadata["name"]
    if owner["spec"].get("serviceName"):
        pod["spec"]["subdomain"] = owner["spec"]["serviceName"]
    give_storage(owner, pod)
    return pod


def is_rolling(owner: Obj) -> bool:
    return bool(get(owner, "spec", "updateStrategy", "type", default="RollingUpdate") == "RollingUpdate")


def partition(owner: Obj) -> int:
    """Ordinals below it (counted from the start) keep the old revision."""
    return int(get(owner, "spec", "updateStrategy", "rollingUpdate", "partition", default=0))


def new_versioned_pod(owner: Obj, current: Obj, update: Obj, ordinal: int) -> Obj:
    """The pod of an ordinal by the revision that it should have now."""
    old = False
    if is_rolling(owner):
        if get(owner, "spec", "updateStrategy", "rollingUpdate") is None:
            below = int(get(owner, "status", "currentReplicas", default=0))
        else:
            below = partition(owner)
        old = ordinal < start(owner) + below
    revision = current if old else update
    return new_pod(with_template(owner, revision), ordinal, revision["metadata"]["name"])


def claims_of(owner: Obj, pod: Obj) -> Iterable[Obj]:
    """The claims that a pod should have, as they would be created."""
    ordinal = ordinal_of(pod)
    for template in claim_templates(owner):
        claim = copy(template)
        labels = {
            **(claim["metadata"].get("labels") or {}), **(get(owner, "spec", "selector", "matchLabels", default={})),
        }  # fmt: skip
        claim["metadata"] = {
            **{k: v for k, v in claim["metadata"].items() if k in ("annotations", "finalizers")},
            "name": claim_name(template, owner, ordinal),
            "namespace": owner["metadata"]["namespace"],
            "labels": labels,
        }
        claim.pop("status", None)
        yield {**claim, "apiVersion": "v1", "kind": "PersistentVolumeClaim"}
