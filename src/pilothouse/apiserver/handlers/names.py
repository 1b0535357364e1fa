"""Metadata that the server itself sees to: names, namespaces, owners, system fields.

Source: upstream's registry/rest (meta.go, create.go) and storage/names.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import errors
from pilothouse.api.objects import Obj
from pilothouse.apiserver.handlers.scope import Scope

_ALPHABET: Final = "bcdfghjklmnpqrstvwxz2456789"  # without vowels and what is taken for one
_SUFFIX: Final = 5
_BASE_MOST: Final = 63 - _SUFFIX

_DUPLICATE_OWNERS: Final = (
    ".metadata.ownerReferences contains duplicate entries{}; API server dedups owner references in 1.20+, and may reject "
    "such requests as early as 1.24; please fix your requests; duplicate UID(s) observed: {}"
)


def generate(scope: Scope, base: str) -> str:
    """A name that begins with `base`, as metadata.generateName asks."""
    if not scope.served.kind.random_names:
        return base
    chance = scope.core.clock.random
    return base[:_BASE_MOST] + "".join(chance.choice(_ALPHABET) for _ in range(_SUFFIX))


def wipe_system_fields(meta: Obj) -> None:
    """What no creator may set."""
    for name in ("creationTimestamp", "uid", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"):
        meta.pop(name, None)


def fill_system_fields(scope: Scope, meta: Obj) -> None:
    meta["creationTimestamp"] = scope.core.clock.timestamp()
    meta["uid"] = scope.core.clock.uuid()


def settle_namespace(scope: Scope, meta: Obj) -> None:
    """The object's namespace is the request's. Raises 400 where both are given and differ."""
    wanted = scope.namespace
    given = meta.get("namespace", "")
    if given == wanted:
        if not given:
            meta.pop("namespace", None)
    elif not given:
        meta["namespace"] = wanted
    elif not wanted:
        del meta["namespace"]
    else:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )


def check_name(scope: Scope, meta: Obj) -> None:
    """Raises 400 where the object's name is not the address'."""
    name = meta.get("name", "")
    if not name:
        raise errors.bad_request(
            f"the name of the object ({scope.info.name} based on URL) was undeterminable: name must be provided"
        )
    if name != scope.info.name:
        raise errors.bad_request(
            f"the name of the object ({name}) does not match the name on the URL ({scope.info.name})"
        )


def dedup_owners(scope: Scope, meta: Obj, *, after_admission: bool) -> None:
    """Drops owner references that are given twice, with a warning."""
    references = meta.get("ownerReferences")
    if not references or len(references) < 2:
        return
    kept: list[Obj] = []
    twice: list[str] = []
    for reference in references:
        if reference in kept:
            twice.append(str(reference.get("uid", "")))
        else:
            kept.append(reference)
    if twice:
        when = " after mutating admission happens" if after_admission else ""
        scope.warn(_DUPLICATE_OWNERS.format(when, ", ".join(twice)))
        meta["ownerReferences"] = kept
