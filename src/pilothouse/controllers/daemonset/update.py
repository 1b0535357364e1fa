"""The next step of a rolling update: which old pods go now, and which nodes get a new pod beside the old one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from pilothouse.api.objects import Obj
from pilothouse.controllers.daemonset.nodes import is_updated
from pilothouse.controllers.pods import is_deleted


class Step(NamedTuple):
    delete: list[Obj]
    create_on: list[str]


class _Pair(NamedTuple):
    new: Obj | None
    old: Obj | None


def _pair(daemon: Obj, pods: list[Obj], digest: str) -> _Pair | None:
    """The new and the old pod of a node; None where there are more, which is for the main loop to put right."""
    new = old = None
    for pod in pods:
        if is_deleted(pod):
            continue
        if is_updated(daemon, pod, digest):
            if new is not None:
                return None
            new = pod
        else:
            if old is not None:
                return None
            old = pod
    return _Pair(new, old)


def without_surge(
    daemon: Obj, by_node: Mapping[str, list[Obj]], digest: str, max_unavailable: int, available: Callable[[Obj], bool]
) -> Step:
    """Old pods that are unavailable go at once, others as far as `max_unavailable` allows."""
    unavailable, broken, candidates = 0, [], []
    for pods in by_node.values():
        pair = _pair(daemon, pods, digest)
        if pair is None or (pair.new is None) == (pair.old is None):
            unavailable += 1  # none, or both: the node is in between
        elif pair.new is not None:
            unavailable += not available(pair.new)
        elif pair.old is not None and not available(pair.old):
            broken.append(pair.old)
            unavailable += 1
        elif pair.old is not None:
            candidates.append(pair.old)
    return Step([*broken, *candidates[: max(0, max_unavailable - unavailable)]], [])


def with_surge(
    daemon: Obj, by_node: Mapping[str, list[Obj]], digest: str, max_surge: int, desired: int,
    available: Callable[[Obj], bool], should_run: Callable[[str], bool],
) -> Step:  # fmt: skip
    """New pods are started beside the old ones, `max_surge` at a time; an old pod goes when its successor is available."""
    delete: list[Obj] = []
    leaving: list[Obj] = []  # on nodes where the daemon should no longer run
    now_nodes: list[str] = []
    candidates: list[str] = []
    surging = available_count = 0
    for name, pods in by_node.items():
        pair = _pair(daemon, pods, digest)
        if pair is None:
            surging += 1
            continue
        new, old = pair
        present = old or new
        available_count += present is not None and available(present)
        if old is None:
            continue
        if new is not None:
            if available(new):
                delete.append(old)
            else:
                surging += 1
        elif not should_run(name):
            (leaving if available(old) else delete).append(old)
        elif not available(old):
            now_nodes.append(name)
        else:
            candidates.append(name)
    delete += leaving[: max(0, available_count - desired)]
    return Step(delete, [*now_nodes, *candidates[: max(0, max_surge - surging)]])
