"""Adoption and release: the objects that a selector matches come to be controlled by its owner, those that it no longer
matches are let go.

Source: upstream's pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of
from pilothouse.client import ResourceClient
from pilothouse.client.cache import Selects
from pilothouse.controllers.pods import controller_ref, is_deleted


class Claimer:
    """Claims the objects of one resource (`claimed`) for owners of another (`owners`)."""

    def __init__(self, owners: ResourceClient, claimed: ResourceClient) -> None:
        self._owners, self._claimed = owners, claimed

    async def claim(
        self, owner: Obj, selector: Selects, objects: Iterable[Obj], *,
        fits: Callable[[Obj], bool] | None = None, finalizers: tuple[str, ...] = (),
    ) -> list[Obj]:  # fmt: skip
        """Those of `objects` that `owner` controls in the end. `fits` is one more condition for adoption and for keeping;
        `finalizers` are given with adoption and taken with release.

        Raises the first failure, after all have been tried.
        """
        uid = owner["metadata"]["uid"]
        mine: list[Obj] = []
        failure: StatusError | None = None
        may_adopt: bool | None = None
        for obj in objects:
            ref = controller_of(obj)
            wanted = selector.matches(obj["metadata"].get("labels") or {}) and (fits is None or fits(obj))
            try:
                if ref is not None:
                    if ref["uid"] != uid:
                        continue
                    if wanted:
                        mine.append(obj)
                    elif not is_deleted(owner):
                        await self._release(obj, owner, finalizers)
                elif wanted and not is_deleted(owner) and not is_deleted(obj):
                    if may_adopt is None:
                        may_adopt = False
                        await self._recheck(owner)
                        may_adopt = True
                    if may_adopt:
                        mine.append(await self._adopt(obj, owner, finalizers))
            except StatusError as error:
                if error.code != 404:
                    failure = failure or error
        if failure is not None:
            raise failure
        return mine

    async def _recheck(self, owner: Obj) -> None:
        """Asks the server itself whether the owner lives, before anything is adopted on the word of a cache."""
        metadata = owner["metadata"]
        fresh = await self._owners.get(metadata["name"], metadata.get("namespace", ""))
        name = f"{metadata.get('namespace', '')}/{metadata['name']}"
        if fresh["metadata"]["uid"] != metadata["uid"]:
            why = (
                f"original {owner['kind']} {name} is gone: got uid {fresh['metadata']['uid']}, wanted {metadata['uid']}"
            )
            raise StatusError(409, "Conflict", f"can't adopt: {why}")
        if is_deleted(fresh):
            why = f"{name} has just been deleted at {fresh['metadata']['deletionTimestamp']}"
            raise StatusError(409, "Conflict", f"can't adopt: {why}")

    async def _adopt(self, obj: Obj, owner: Obj, finalizers: tuple[str, ...]) -> Obj:
        metadata = obj["metadata"]
        change: Obj = {"uid": metadata["uid"], "ownerReferences": [controller_ref(owner)]}
        if finalizers:
            change["finalizers"] = list(finalizers)
        return await self._claimed.patch(
            metadata["name"], metadata.get("namespace", ""), {"metadata": change}, kind="strategic"
        )

    async def _release(self, obj: Obj, owner: Obj, finalizers: tuple[str, ...]) -> None:
        metadata = obj["metadata"]
        change: Obj = {
            "uid": metadata["uid"],
            "ownerReferences": [{"$patch": "delete", "uid": owner["metadata"]["uid"]}],
        }
        if finalizers:
            change["$deleteFromPrimitiveList/finalizers"] = list(finalizers)
        try:
            await self._claimed.patch(
                metadata["name"], metadata.get("namespace", ""), {"metadata": change}, kind="strategic"
            )
        except StatusError as error:
            if error.code not in (404, 422):  # gone already, or no longer ours: upstream's two reasons to let it be
                raise
