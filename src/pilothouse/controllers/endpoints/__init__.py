"""Where a service's pods are: Endpoints, EndpointSlices, and slices that mirror Endpoints which users write.

`membership` says which pods belong to a service and what of them is told, `staleness` whether a cache has seen our own writes.
"""

from pilothouse.controllers.endpoints.endpoints import EndpointsController
from pilothouse.controllers.endpoints.mirroring import EndpointSliceMirroringController
from pilothouse.controllers.endpoints.slices import EndpointSliceController

__all__ = ["EndpointSliceController", "EndpointSliceMirroringController", "EndpointsController"]
