"""What every controller is made of: `Context`, which it is given, and `Controller`, which it extends.

A controller is level-triggered: handlers of informers only put keys in its queue; `reconcile(key)` reads from listers and
makes the world as it should be. An exception puts the key back with a growing delay.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, key_of
from pilothouse.client import Client, Informer, Informers, QueueClosed, Recorder, WorkQueue
from pilothouse.clock import Clock

T = TypeVar("T")

_LOOP_AGAIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Context:
    """What a controller works with. `config` holds kube-controller-manager's options by their flags' names, without dashes
    in front: `{"terminated-pod-gc-threshold": 12500}`; what is absent has upstream's default. Keys and
    certificates are PEM bytes, under the flags' names without `-file`: `root-ca`, `cluster-signing-cert`, `cluster-signing-key`,
    `service-account-private-key`."""

    client: Client
    informers: Informers
    clock: Clock
    config: Mapping[str, Any] = field(default_factory=dict)
    client_of: Callable[[str], Client] | None = None  # controller → its client, where each has an identity of its own

    def option(self, flag: str, default: T) -> T:
        value: T = self.config.get(flag, default)
        return value

    def for_controller(self, name: str) -> Context:
        """The context of one controller: the same, with a client under its name."""
        if self.client_of is not None:
            return replace(self, client=self.client_of(name))
        return replace(self, client=self.client.named(f"kube-controller-manager/{name}"))


class Controller:
    """One controller. Subclasses set `name`, ask for informers in `__init__`, and implement `reconcile`."""

    name: ClassVar[str]
    """Upstream's name: `deployment-controller`."""

    component: ClassVar[str] = ""
    """The source of its events; empty: its name."""

    workers: int = 5
    """How many keys are reconciled at the same time."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.client, self.clock = context.client, context.clock
        self.log = logging.getLogger(f"pilothouse.controllers.{self.name}")
        self.queue: WorkQueue[str] = WorkQueue(self.clock)
        self.recorder = Recorder(self.client, self.clock, self.component or self.name)
        self.loops: list[Callable[[], Coroutine[Any, Any, None]]] = []
        self._informers: list[Informer] = []

    def informer(self, group: str, version: str, resource: str) -> Informer:
        """The shared informer of a resource; the controller starts to work when it is synced."""
        found = self.context.informers.of(group, version, resource)
        if found not in self._informers:
            self._informers.append(found)
        return found

    def enqueue(self, what: Obj | str) -> None:
        """Reconciles a key, or the key of an object, soon."""
        self.queue.add(what if isinstance(what, str) else key_of(what))

    def enqueue_after(self, what: Obj | str, delay_s: float) -> None:
        self.queue.add_after(what if isinstance(what, str) else key_of(what), delay_s)

    async def reconcile(self, key: str) -> None:
        """Makes what belongs to `key` (`namespace/name` or `name`) as it should be. Must bear being called at any time."""

    async def synced(self) -> None:
        """Called once the informers are synced, before the first `reconcile`."""

    async def run(self) -> None:
        """Works until cancelled. The informers are started by whoever made the context."""
        for informer in self._informers:
            await informer.wait_synced()
        await self.synced()
        self.recorder.start()
        try:
            async with asyncio.TaskGroup() as tasks:
                for number in range(self.workers):
                    tasks.create_task(self._work(), name=f"{self.name} worker {number}")
                for loop in self.loops:
                    tasks.create_task(self._keep(loop), name=f"{self.name} {getattr(loop, '__name__', 'loop')}")
        finally:
            self.queue.shut_down()
            await self.recorder.stop()

    async def _work(self) -> None:
        while True:
            try:
                key = await self.queue.get()
            except QueueClosed:
                return
            try:
                await self.reconcile(key)
            except Exception as error:
                self.failed(key, error)
            else:
                self.queue.forget(key)
            finally:
                self.queue.done(key)

    def failed(self, key: str, error: Exception) -> None:
        """Says why a key failed and puts it back."""
        self.tell(key, error)
        self.queue.add_rate_limited(key)

    def tell(self, what: str, error: Exception) -> None:
        """Logs why something failed: with its traceback, unless the API server said so."""
        if isinstance(error, StatusError):
            level = logging.DEBUG if error.code in (404, 409, 429) else logging.INFO
            self.log.log(level, "%s: %s", what, error)
        else:
            self.log.error("%s", what, exc_info=error)

    async def _keep(self, loop: Callable[[], Coroutine[Any, Any, None]]) -> None:
        while True:
            try:
                await loop()
                return
            except Exception:
                self.log.exception("%s", getattr(loop, "__name__", "loop"))
                await self.clock.sleep(_LOOP_AGAIN_S)
