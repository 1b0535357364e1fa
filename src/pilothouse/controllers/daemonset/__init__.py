"""DaemonSets: one pod on each node that fits.

Source: upstream's pkg/controller/daemon (KEP-1591 for surge). `nodes` is which node and which pod of it, pure; `update` the
choice of pods in a rolling update, pure; `controller` does it.
"""

from pilothouse.controllers.daemonset.controller import DaemonSetController

__all__ = ["DaemonSetController"]
