"""pods/ephemeralcontainers and pods/resize: what of a running pod's spec they may change."""

from __future__ import annotations

from pilothouse.api.kinds.core import pod_changes
from pilothouse.apiserver.contracts import SubresourceStrategy

EPHEMERAL_CONTAINERS = SubresourceStrategy(
    prepare=pod_changes.prepare_ephemeral_containers, validate=pod_changes.validate_ephemeral_containers
)
RESIZE = SubresourceStrategy(prepare=pod_changes.prepare_resize, validate=pod_changes.validate_resize)
