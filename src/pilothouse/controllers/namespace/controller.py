"""Deleted namespaces are emptied, and finalized when nothing is left in them.

Source: upstream's pkg/controller/namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, get
from pilothouse.client import RateLimiter, WorkQueue
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.namespace.content import Content
from pilothouse.controllers.pods import is_deleted, time_of

_FINALIZER: Final = "kubernetes"
_GRACE_S: Final = 5.0
"""Other API servers must have seen the deletion first, so that nothing new comes into the namespace."""

_RETRY_MOST_S: Final = 60.0


class NamespaceController(Controller):
    name = "namespace-controller"
    workers = 10

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.queue = WorkQueue(self.clock, RateLimiter(self.clock, most_s=_RETRY_MOST_S))
        self.namespaces = self.informer("", "v1", "namespaces")
        self._api = self.client.resource("", "v1", "namespaces")
        self._content = Content(self.client, self.clock)
        self.namespaces.add_handler(self._seen, lambda _, new: self._seen(new))

    def _seen(self, namespace: Obj) -> None:
        if is_deleted(namespace):
            self.enqueue_after(namespace, _GRACE_S)

    async def reconcile(self, key: str) -> None:
        if self.namespaces.lister.get("", key) is None:
            return
        try:
            await self._end(key)
        except StatusError as error:
            if error.code != 404:
                raise

    async def _end(self, name: str) -> None:
        namespace = await self._api.get(name)
        if is_deleted(namespace) and get(namespace, "status", "phase") != "Terminating":
            namespace = await self._write(namespace, lambda status: {**status, "phase": "Terminating"})
        if not is_deleted(namespace) or not get(namespace, "spec", "finalizers"):
            return
        found, wait_s, complete = await self._content.delete(name, time_of(namespace["metadata"]["deletionTimestamp"]))
        status = namespace.get("status") or {}
        old = status.get("conditions") or []
        conditions = found.conditions(old, self.clock.timestamp(), complete=complete)
        if conditions is not old:
            try:
                namespace = await self._api.update(
                    {**namespace, "status": {**status, "conditions": conditions}}, "status"
                )
            except StatusError as error:
                self.log.debug("conditions of %s: %s", name, error)
        if found.failures or found.undiscovered:
            raise StatusError(500, "", "; ".join([*found.failures, found.undiscovered]).rstrip("; "))
        if wait_s:
            self.enqueue_after(name, wait_s // 2 + 1)
            return
        await self._finalize(namespace)

    async def _write(self, namespace: Obj, change: Callable[[Obj], Obj]) -> Obj:
        """Changes the status, upon the fresh namespace where another has written meanwhile."""
        while True:
            try:
                return await self._api.update({**namespace, "status": change(namespace.get("status") or {})}, "status")
            except StatusError as error:
                if error.code != 409:
                    raise
            namespace = await self._fresh(namespace)
            if not is_deleted(namespace):
                return namespace

    async def _finalize(self, namespace: Obj) -> None:
        while True:
            spec = namespace.get("spec") or {}
            left = sorted({f for f in spec.get("finalizers") or () if f != _FINALIZER})
            try:
                await self._api.update({**namespace, "spec": {**spec, "finalizers": left}}, "finalize")
                return
            except StatusError as error:
                if error.code != 409:
                    raise
            namespace = await self._fresh(namespace)

    async def _fresh(self, namespace: Obj) -> Obj:
        fresh = await self._api.get(namespace["metadata"]["name"])
        if fresh["metadata"]["uid"] != namespace["metadata"]["uid"]:
            raise StatusError(409, "Conflict", "namespace uid has changed across retries")
        return fresh
