"""Persistent volumes and claims: `match` finds a volume for a claim, `binder` binds them, `attach` and `expand` follow."""

from pilothouse.controllers.volumes.attach import AttachDetachController
from pilothouse.controllers.volumes.binder import VolumeBinder
from pilothouse.controllers.volumes.expand import VolumeExpander

__all__ = ["AttachDetachController", "VolumeBinder", "VolumeExpander"]
