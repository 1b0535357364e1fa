"""Going through a pod's containers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilothouse.api.objects import Obj

FIELDS: Final = ("initContainers", "containers", "ephemeralContainers")
"""In the order in which upstream visits them."""

PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
HOOKS: Final = ("postStart", "preStop")


def every(spec: Obj, *fields: str) -> Iterator[Obj]:
    """The containers of the fields named, of all three without."""
    for name in fields or FIELDS:
        yield from spec.get(name) or ()


def located(spec: Obj, path: str, *fields: str) -> Iterator[tuple[Obj, str]]:
    """The same with their paths."""
    for name in fields or FIELDS:
        for i, container in enumerate(spec.get(name) or ()):
            yield container, f"{path}.{name}[{i}]"


def is_restartable(container: Obj) -> bool:
    """A sidecar: an init container that goes on running."""
    return container.get("restartPolicy") == "Always"


def http_actions(container: Obj) -> Iterator[Obj]:
    """The HTTP requests of a container's probes and hooks."""
    lifecycle = container.get("lifecycle") or {}
    handlers = [container.get(p) for p in PROBES] + [lifecycle.get(h) for h in HOOKS]
    for handler in handlers:
        if handler and handler.get("httpGet") is not None:
            yield handler["httpGet"]


def grpc_actions(container: Obj) -> Iterator[Obj]:
    for probe in PROBES:
        handler = container.get(probe)
        if handler and handler.get("grpc") is not None:
            yield handler["grpc"]
