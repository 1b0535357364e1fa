"""`ControllerManager`: runs controllers side by side in one process, as kube-controller-manager does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from importlib import import_module

from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.table import CONTROLLERS, OFF_BY_DEFAULT

log = logging.getLogger(__name__)


def load(name: str) -> type[Controller]:
    """The class of a controller by upstream's name."""
    module, _, cls = CONTROLLERS[name].partition(":")
    found = getattr(import_module(module), cls)
    assert isinstance(found, type) and issubclass(found, Controller)
    return found


def chosen(wanted: Iterable[str]) -> list[str]:
    """The controllers that upstream's `--controllers` names: `*` all that are on by default, `foo` that one, `-foo` not it.

    Raises ValueError for a name that there is not.
    """
    wanted = list(wanted)
    for name in wanted:
        if name != "*" and name.removeprefix("-") not in CONTROLLERS:
            raise ValueError(f'"{name.removeprefix("-")}" is not in the list of known controllers')
    out = []
    for name in CONTROLLERS:
        first = next((w for w in wanted if w in (name, f"-{name}")), None)
        if first == name or (first is None and "*" in wanted and name not in OFF_BY_DEFAULT):
            out.append(name)
    return out


class ControllerManager:
    """Makes the controllers, starts their informers and runs them until it is stopped."""

    def __init__(self, context: Context, names: Iterable[str] = ("*",)) -> None:
        self._context = context
        self.controllers = {name: load(name)(context.for_controller(name)) for name in chosen(names)}
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Starts informers and controllers; returns at once. Each works as soon as its own informers are synced."""
        await self._context.informers.start()
        for name, controller in self.controllers.items():
            task = asyncio.create_task(self._run(name, controller), name=name)
            self._tasks.append(task)

    async def _run(self, name: str, controller: Controller) -> None:
        try:
            await controller.run()
        except Exception:
            log.exception("%s ended", name)

    async def stop(self) -> None:
        """Stops the controllers, and the informers that they shared."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        await self._context.informers.stop()

    async def run(self) -> None:
        """Runs until cancelled."""
        await self.start()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            await self.stop()
