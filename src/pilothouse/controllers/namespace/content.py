"""Emptying a namespace: everything in it that can be deleted is, pods first.

Source: upstream's pkg/controller/namespace/deletion/namespaced_resources_deleter.go.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, get
from pilothouse.api.scheme import GVR
from pilothouse.client import Client
from pilothouse.client.discovery import Discovered, Served, discover
from pilothouse.clock import Clock
from pilothouse.controllers.namespace.conditions import Findings
from pilothouse.controllers.pods import is_terminal

_PODS: Final = GVR("", "v1", "pods")
_FINALIZER_S: Final = 15
"""How long a finalizer is expected to take."""


class Content:
    """What namespaces hold."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock

    async def delete(self, namespace: str, deleted_at_s: float) -> tuple[Findings, int, bool]:
        """Deletes all that there is. Returns what was found, the seconds after which the rest may be gone (0: nothing is left
        to wait for), and whether it looked further than at pods."""
        findings = Findings()
        try:
            discovered = await discover(self._client)
        except StatusError as error:
            findings.undiscovered = str(error)
            discovered = Discovered([], frozenset())
        if discovered.failed:
            findings.undiscovered = _partial(discovered)
        resources = [r for r in discovered.preferred("delete") if r.namespaced]
        wait_s = 0
        for pods_only in (True, False):
            for served in resources:
                if (served.gvr == _PODS) is pods_only:
                    wait_s = max(wait_s, await self._delete_all(served, namespace, deleted_at_s, findings))
            # Volumes, secrets and accounts are the pods': they stay until the last pod has ended.
            if pods_only and findings.remaining:
                return findings, wait_s, False
        return findings, wait_s, True

    async def _delete_all(self, served: Served, namespace: str, deleted_at_s: float, findings: Findings) -> int:
        resource = self._client.resource(*served.gvr)
        wait_s = 0
        try:
            if served.gvr == _PODS:
                wait_s = await self._grace_s(namespace, deleted_at_s)
            deleted = False
            if "deletecollection" in served.verbs:
                try:
                    await resource.delete_collection(namespace, propagation="Background")
                    deleted = True
                except StatusError as error:
                    if error.code not in (404, 405):
                        raise
            left = await self._list(served, namespace)
            if not deleted and left:
                for item in left:
                    try:
                        await resource.delete(item["metadata"]["name"], namespace, propagation="Background")
                    except StatusError as error:
                        if error.code not in (404, 405):
                            raise
                left = await self._list(served, namespace)
        except StatusError as error:
            findings.failures.append(str(error))
            return wait_s
        if not left:
            return 0
        findings.remaining[served.gvr] = len(left)
        finalizers = [f for item in left for f in item["metadata"].get("finalizers") or ()]
        findings.finalizers.update(finalizers)
        if wait_s == 0 and finalizers:
            return _FINALIZER_S
        if wait_s == 0:
            group, version, name = served.gvr
            findings.failures.append(
                f"unexpected items still remain in namespace: {namespace} for gvr: {group}/{version}, Resource={name}"
            )
        return wait_s

    async def _list(self, served: Served, namespace: str) -> list[Obj]:
        if "list" not in served.verbs:
            return []
        try:
            found = await self._client.resource(*served.gvr).list(namespace)
        except StatusError as error:
            if error.code in (404, 405):
                return []
            raise
        return found.get("items") or []

    async def _grace_s(self, namespace: str, deleted_at_s: float) -> int:
        """The longest time that a pod has to end; 0 once that has passed since the namespace was deleted."""
        pods = (await self._client.resource(*_PODS).list(namespace)).get("items") or []
        longest: int = max(
            (get(pod, "spec", "terminationGracePeriodSeconds", default=0) for pod in pods if not is_terminal(pod)),
            default=0,
        )
        return longest if self._clock.now() - deleted_at_s < longest else 0


def _partial(discovered: Discovered) -> str:
    names = sorted(f"{group}/{version}" if group else version for group, version in discovered.failed)
    told = ", ".join(f"{name}: stale GroupVersion discovery: {name}" for name in names)
    return (
        f"Discovery failed for some groups, {len(names)} failing: "
        f"unable to retrieve the complete list of server APIs: {told}"
    )
