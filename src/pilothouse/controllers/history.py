"""ControllerRevisions: the templates that DaemonSets and StatefulSets have had.

Source: upstream's pkg/controller/history and KEP "ControllerRevision".
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from pilothouse.api.codec.text import to_json
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy
from pilothouse.client import ResourceClient
from pilothouse.controllers.pods import controller_ref, time_of
from pilothouse.controllers.templatehash import safe_encode

HASH_LABEL: Final = "controller-revision-hash"
_PREFIX_MAX: Final = 223


def template_patch(owner: Obj) -> Obj:
    """What a revision holds: a patch that gives a workload this template. Its keys are sorted: upstream compares bytes."""
    return {"spec": {"template": _sorted({**owner["spec"]["template"], "$patch": "replace"})}}


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _sorted(v) for k, v in sorted(value.items())}
    return [_sorted(v) for v in value] if isinstance(value, list) else value


def template_of(revision: Obj) -> Obj:
    """The pod template of a revision."""
    template = (((revision.get("data") or {}).get("spec") or {}).get("template")) or {}
    return {k: v for k, v in template.items() if k != "$patch"}


def same(one: Obj, other: Obj) -> bool:
    return bool(one.get("data") == other.get("data"))


def by_revision(revision: Obj) -> tuple[int, float, str]:
    metadata = revision["metadata"]
    return revision.get("revision", 0), time_of(metadata.get("creationTimestamp")), metadata["name"]


def next_number(revisions: list[Obj]) -> int:
    return max((r.get("revision", 0) for r in revisions), default=0) + 1


def data_hash(data: Obj, collisions: int) -> str:
    """Upstream's hash of a revision's data: FNV-1 of its JSON as Go writes it, and of the count of collisions."""
    text = to_json(data, orjson.OPT_SORT_KEYS)
    value = 0x811C9DC5
    for byte in text + str(collisions).encode():
        value = ((value * 0x01000193) & 0xFFFFFFFF) ^ byte
    return safe_encode(str(value))


def new_revision(owner: Obj, name: str, digest: str, number: int) -> Obj:
    """A revision of the owner's present template, not yet created."""
    labels = {**((owner["spec"]["template"].get("metadata") or {}).get("labels") or {}), HASH_LABEL: digest}
    metadata: Obj = {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": labels,
        "ownerReferences": [controller_ref(owner)],
    }
    if owner["metadata"].get("annotations"):
        metadata["annotations"] = dict(owner["metadata"]["annotations"])
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata,
        "data": template_patch(owner),
        "revision": number,
    }


def revision_name(owner: Obj, digest: str) -> str:
    return f"{owner['metadata']['name'][:_PREFIX_MAX]}-{digest}"


async def renumber(api: ResourceClient, revision: Obj, number: int) -> Obj:
    """The revision with another number; tried once more upon a conflict."""
    for retry in (True, False):
        if revision.get("revision") == number:
            return revision
        try:
            return await api.update({**copy(revision), "revision": number})
        except StatusError as error:
            if error.code != 409 or not retry:
                raise
        metadata = revision["metadata"]
        revision = await api.get(metadata["name"], metadata["namespace"])
    raise AssertionError("unreachable")
