"""ClusterRoleBinding."""

from __future__ import annotations

from pilothouse.api.kinds.rbac import bindings

KIND = bindings.kind("ClusterRole", namespaced=False)
