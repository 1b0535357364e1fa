"""Claims that ask for more than their volume has are handed to the driver's resizer outside, with an event that says so.

Source: upstream's pkg/controller/volume/expand (for CSI volumes).
"""

from __future__ import annotations

from pilothouse.api.objects import Obj, get
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.volumes.match import storage


class VolumeExpander(Controller):
    name = "persistentvolume-expander-controller"
    component = "volume_expand"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.claims = self.informer("", "v1", "persistentvolumeclaims")
        self.volumes = self.informer("", "v1", "persistentvolumes")
        self.claims.add_handler(self._changed, self._updated)

    def _updated(self, old: Obj, new: Obj) -> None:
        if get(old, "spec", "resources") != get(new, "spec", "resources"):
            self._changed(new)

    def _changed(self, claim: Obj) -> None:
        wanted, held = get(claim, "spec", "resources", "requests"), get(claim, "status", "capacity")
        if get(claim, "status", "phase") == "Bound" and held is not None and storage(wanted) > storage(held):
            self.enqueue(claim)

    async def reconcile(self, key: str) -> None:
        claim = self.claims.lister.by_key(key)
        volume = (
            self.volumes.lister.get("", get(claim, "spec", "volumeName", default="")) if claim is not None else None
        )
        if claim is None or volume is None:
            return
        self.recorder.event(
            claim, "Normal", "ExternalExpanding", "waiting for an external controller to expand this PVC"
        )
