"""What becomes of nodes that are silent: `controller` watches their heartbeats, `zones` says how fast to act, `taints` writes,
`eviction` deletes the pods of tainted nodes."""

from pilothouse.controllers.nodelifecycle.controller import NodeLifecycleController
from pilothouse.controllers.nodelifecycle.eviction import TaintEvictionController

__all__ = ["NodeLifecycleController", "TaintEvictionController"]
