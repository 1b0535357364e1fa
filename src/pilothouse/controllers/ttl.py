"""Nodes are told for how long they may keep secrets and config maps: the longer, the more nodes there are.

Source: upstream's pkg/controller/ttl. The bounds overlap, so that a node more or less does not change all nodes.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.controllers.base import Context, Controller

_ANNOTATION: Final = "node.alpha.kubernetes.io/ttl"
_STEPS: Final = ((0, 100, 0), (90, 500, 15), (450, 1000, 30), (900, 2000, 60), (1800, 1 << 62, 300))
"""(nodes at least, nodes at most, seconds)"""


class TTLController(Controller):
    name = "ttl-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.nodes = self.informer("", "v1", "nodes")
        self._api = self.client.resource("", "v1", "nodes")
        self._step = 0
        self.nodes.add_handler(self._counted, lambda _, new: self._updated(new), self._counted)

    def _counted(self, node: Obj) -> None:
        count, step = len(self.nodes.lister), self._step
        while count > _STEPS[step][1]:
            step += 1
        while step and count < _STEPS[step][0]:
            step -= 1
        if step != self._step:
            self._step = step
            for other in self.nodes.lister.list():
                self.enqueue(other)
        self._updated(node)

    def _updated(self, node: Obj) -> None:
        if not self._is_right(node):
            self.enqueue(node)

    def _is_right(self, node: Obj) -> bool:
        return (node["metadata"].get("annotations") or {}).get(_ANNOTATION) == str(_STEPS[self._step][2])

    async def reconcile(self, key: str) -> None:
        node = self.nodes.lister.get("", key)
        if node is None or self._is_right(node):
            return
        try:
            change = {"metadata": {"annotations": {_ANNOTATION: str(_STEPS[self._step][2])}}}
            await self._api.patch(key, "", change, "strategic")
        except StatusError as error:
            if error.code != 404:
                raise
