"""What an update may keep, though today's rules refuse it, because the stored object has it already.

Source: upstream's pkg/api/pod (GetValidationOptionsFromPodSpecAndMeta).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_cost = re.compile("-[0-9]{1,10}|0|[1-9][0-9]{0,9}")
DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leniency:
    """Each: that kind of fault may stay."""

    in_pod: bool = False
    """Not a fault: the spec is that of a pod, not of a template."""

    deletion_cost: bool = False
    selector_values: bool = False
    node_affinity_values: bool = False
    huge_pages: bool = False
    spread_selectors: bool = False
    spread_keys: bool = False
    token_paths: bool = False
    host_sysctls: bool = False
    user_namespaces_with_devices: bool = False
    user_namespaces_with_host_network: bool = False
    comparing_tolerations: bool = False
    restarting_all: bool = False
    env_files: bool = False
    restarting_init_containers: bool = False
    empty_image_volumes: bool = False
    sys_admin: bool = False


def is_deletion_cost(text: str) -> bool:
    return _cost.fullmatch(text) is not None and -(2**31) <= int(text) < 2**31
