"""What is said of stored objects that a conversion webhook did not convert.

Source: upstream's apiserver/pkg/storage (errors.go, etcd3/corrupt_obj_deleter.go) and what kube-apiserver 1.37 answers.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.apiserver.registry.entries import Entry

_MOST_TOLD: Final = 100


def refusal(verb: str, group: str, resource: str, entries: list[Entry], why: str) -> StatusError:
    """`entries`: those that were not converted. What it is depends on where upstream comes upon them."""
    if verb in ("get", "delete"):
        return errors.internal(_corrupt(entries[0].key.removeprefix("/registry"), entries[0], why))
    if verb in ("update", "patch"):
        return StatusError(500, "", _undecodable(entries[0], why))
    causes: list[Obj] = [
        {"reason": "UnexpectedServerResponse", "message": _corrupt(entry.key, entry, why), "field": entry.key}
        for entry in entries[:_MOST_TOLD]
    ]
    more = f" (and {len(causes) - 1} more)" if len(causes) > 1 else ""
    told = f"failed to read one or more {resource}.{group} from the storage: {causes[0]['message']}{more}"
    if verb == "deletecollection":
        details = {"name": "list", "group": group, "kind": resource, "causes": causes}
        return StatusError(500, "StorageReadError", told, details)
    # Upstream's watch cache cannot be filled.
    return errors.too_many_requests(f"storage is (re)initializing: failed to list <unspecified>: {told}", 1)


def _undecodable(entry: Entry, why: str) -> str:
    return f"object not decodable revision={entry.revision}: {why}"


def _corrupt(key: str, entry: Entry, why: str) -> str:
    told = _undecodable(entry, why)
    return f"StorageError: corrupt object, Code: 7, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: {told}"
