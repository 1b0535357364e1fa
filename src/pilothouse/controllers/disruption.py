"""How many pods of a PodDisruptionBudget may be disrupted now.

Source: upstream's pkg/controller/disruption (KEP-85, KEP-3329).
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import selectors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, controller_of, copy, get, key_of
from pilothouse.api.scheme import split_api_version
from pilothouse.client.discovery import discover
from pilothouse.controllers import pods as p
from pilothouse.controllers.base import Context, Controller
from pilothouse.controllers.intorpercent import scaled

_DELETION_S: Final = 120.0
"""How long an eviction that was allowed counts as a disruption before the pod is seen to be deleted."""

_STALE_S: Final = 120.0
"""After this time a pod that was to be disrupted, and was not, is no longer a target."""

_PODS_KEY: Final = "pod/"
_SCALED: Final = {
    ("ReplicationController", ""): "replicationcontrollers",
    ("ReplicaSet", "apps"): "replicasets",
    ("StatefulSet", "apps"): "statefulsets",
    ("Deployment", "apps"): "deployments",
}


class DisruptionController(Controller):
    """Keys are budgets', and `pod/namespace/name` of pods with a stale DisruptionTarget."""

    name = "disruption-controller"
    component = "controllermanager"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.budgets = self.informer("policy", "v1", "poddisruptionbudgets")
        self.pods = self.informer("", "v1", "pods")
        self._owners = {
            at: self.informer(at[1], "v1", resource)
            for at, resource in _SCALED.items()
        }  # fmt: skip
        self._api = self.client.resource("policy", "v1", "poddisruptionbudgets")
        self._pods_api = self.client.resource("", "v1", "pods")
        self.budgets.add_handler(self.enqueue, lambda _, new: self.enqueue(new), self.enqueue)
        self.pods.add_handler(self._pod_changed, self._pod_updated, self._pod_changed)

    # Which budget a pod is under

    def _pod_updated(self, old: Obj, new: Obj) -> None:
        self._pod_changed(new)
        if old["metadata"].get("labels") != new["metadata"].get("labels"):
            self._pod_changed(old)

    def _pod_changed(self, pod: Obj) -> None:
        labels = pod["metadata"].get("labels") or {}
        found = [
            budget
            for budget in self.budgets.lister.list(pod["metadata"]["namespace"])
            if (selector := _selector(budget)) is not None and selector.matches(labels)
        ]
        if len(found) > 1:
            metadata = pod["metadata"]
            text = (
                f'Pod "{metadata["namespace"]}"/"{metadata["name"]}" matches multiple PodDisruptionBudgets.  '
                f'Chose "{found[0]["metadata"]["name"]}" arbitrarily.'
            )
            self.recorder.event(pod, "Warning", "MultiplePodDisruptionBudgets", text)
        for budget in found:
            self.enqueue(budget)
        stale_s = self._stale_in_s(pod)
        if stale_s is not None:
            self.enqueue_after(f"{_PODS_KEY}{key_of(pod)}", stale_s)

    async def reconcile(self, key: str) -> None:
        if key.startswith(_PODS_KEY):
            await self._clear_stale(key.removeprefix(_PODS_KEY))
            return
        budget = self.budgets.lister.by_key(key)
        if budget is None:
            return
        try:
            await self._sync(budget)
        except StatusError as error:
            if error.code in (404, 409):
                raise
            await self._fail(budget, str(error))
        except ValueError as error:
            await self._fail(budget, str(error))

    async def _sync(self, budget: Obj) -> None:
        selector = _selector(budget)
        pods = self.pods.lister.list(budget["metadata"]["namespace"], selector) if selector is not None else []
        if not pods:
            self.recorder.event(budget, "Normal", "NoPods", "No matching pods found")
        try:
            expected, desired = await self._expected(budget, pods)
        except (StatusError, ValueError) as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self.recorder.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            raise
        disrupted, recheck_s = self._disrupted(budget, pods)
        healthy = sum(
            1 for pod in pods if not p.is_deleted(pod) and pod["metadata"]["name"] not in disrupted and p.is_ready(pod)
        )
        await self._write(budget, healthy, desired, expected, disrupted)
        if recheck_s is not None:
            self.enqueue_after(budget, recheck_s)

    async def _expected(self, budget: Obj, pods: list[Obj]) -> tuple[int, int]:
        """How many pods there should be, and how many of them have to be healthy."""
        spec = budget["spec"]
        most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
        if most is not None:
            expected = await self._scale(budget, pods)
            return expected, max(0, expected - scaled(most, expected, up=True))
        if isinstance(least, str):
            expected = await self._scale(budget, pods)
            return expected, scaled(least, expected, up=True)
        if least is not None:
            return len(pods), int(least)
        return 0, 0

    async def _scale(self, budget: Obj, pods: list[Obj]) -> int:
        """The sum of what the pods' controllers want."""
        scale_of: dict[str, int] = {}
        unmanaged = False
        seen: set[str] = set()
        for pod in pods:
            ref = controller_of(pod)
            if ref is None:
                unmanaged = True
            elif ref["uid"] not in seen:
                seen.add(ref["uid"])
                uid, replicas = await self._scale_of(ref, pod)
                scale_of[uid] = replicas
        if unmanaged:
            text = (
                f"Pods selected by this PodDisruptionBudget (selector: {_shown(budget)}) were found to be unmanaged. "
                "As a result, the status of the PDB cannot be calculated correctly, which may result in undefined behavior. "
                'To account for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
            )
            self.recorder.event(budget, "Warning", "UnmanagedPods", text)
        return sum(scale_of.values())

    async def _scale_of(self, ref: Obj, pod: Obj) -> tuple[str, int]:
        namespace = pod["metadata"]["namespace"]
        group, _ = split_api_version(ref.get("apiVersion") or "")
        informer = self._owners.get((ref.get("kind") or "", group))
        if informer is not None:
            owner = informer.lister.get(namespace, ref["name"])
            if owner is not None and owner["metadata"]["uid"] == ref["uid"]:
                above = controller_of(owner)
                if above is not None and ref["kind"] == "ReplicaSet" and above.get("kind") == "Deployment":
                    deployment = self._owners["Deployment", "apps"].lister.get(namespace, above["name"])
                    if deployment is not None and deployment["metadata"]["uid"] == above["uid"]:
                        owner = deployment
                return owner["metadata"]["uid"], int(get(owner, "spec", "replicas", default=1))
            raise ValueError(f'found no controllers for pod "{pod["metadata"]["name"]}"')
        return await self._scale_subresource(ref, namespace, pod)

    async def _scale_subresource(self, ref: Obj, namespace: str, pod: Obj) -> tuple[str, int]:
        group, version = split_api_version(ref.get("apiVersion") or "")
        for served in (await discover(self.client)).resources:
            if served.gvk == (group, version, ref.get("kind")):
                resource = self.client.resource(*served.gvr)
                try:
                    found = await resource.get(ref["name"], namespace, subresource="scale")
                except StatusError as error:
                    if error.code != 404:
                        raise
                    kind, gr = ref.get("kind"), served.gvr.group_resource
                    try:
                        await resource.get(ref["name"], namespace)
                    except StatusError:
                        break
                    raise ValueError(f"{gr} does not implement the scale subresource: {kind}") from error
                if found["metadata"].get("uid") == ref["uid"]:
                    return ref["uid"], int(get(found, "spec", "replicas", default=0))
        raise ValueError(f'found no controllers for pod "{pod["metadata"]["name"]}"')

    def _disrupted(self, budget: Obj, pods: list[Obj]) -> tuple[dict[str, str], float | None]:
        """The evictions that still count, and when the first of them no longer does."""
        listed: dict[str, str] = get(budget, "status", "disruptedPods", default={})
        left: dict[str, str] = {}
        recheck_s: float | None = None
        now_s = self.clock.now()
        for pod in pods:
            name = pod["metadata"]["name"]
            if p.is_deleted(pod) or name not in listed:
                continue
            wait_s = p.time_of(listed[name]) + _DELETION_S - now_s
            if wait_s <= 0:
                space = budget["metadata"]["namespace"]
                text = f"Pod was expected by PDB {space}/{space} to be deleted but it wasn't"
                self.recorder.event(pod, "Warning", "NotDeleted", text)
                continue
            left[name] = listed[name]
            recheck_s = wait_s if recheck_s is None else min(recheck_s, wait_s)
        return left, recheck_s

    async def _write(self, budget: Obj, healthy: int, desired: int, expected: int, disrupted: dict[str, str]) -> None:
        allowed = max(0, healthy - desired) if expected > 0 else 0
        generation = budget["metadata"].get("generation", 0)
        old = budget.get("status") or {}
        new: Obj = {
            "observedGeneration": generation, "disruptionsAllowed": allowed, "currentHealthy": healthy,
            "desiredHealthy": desired, "expectedPods": expected,
        }  # fmt: skip
        if disrupted:
            new["disruptedPods"] = disrupted
        reason = "SufficientPods" if allowed else "InsufficientPods"
        new["conditions"] = self._condition(old, "True" if allowed else "False", reason, "", generation)
        if {k: v or 0 for k, v in old.items()} != {k: v or 0 for k, v in new.items()}:
            await self._api.update({**budget, "status": new}, "status")

    async def _fail(self, budget: Obj, why: str) -> None:
        """What cannot be counted must not be disrupted."""
        old = budget.get("status") or {}
        generation = old.get("observedGeneration", 0)
        conditions = self._condition(old, "False", "SyncFailed", why, generation)
        new = {**old, "disruptionsAllowed": 0, "conditions": conditions}
        if new != old:
            await self._api.update({**budget, "status": new}, "status")

    def _condition(self, old: Obj, status: str, reason: str, message: str, generation: int) -> list[Obj]:
        conditions: list[Obj] = copy(old.get("conditions") or [])
        found = next((c for c in conditions if c.get("type") == "DisruptionAllowed"), None)
        if found is None:
            found = {"type": "DisruptionAllowed", "status": "", "lastTransitionTime": ""}
            conditions.append(found)
        if found["status"] != status:
            found["status"], found["lastTransitionTime"] = status, self.clock.timestamp()
        found["reason"], found["message"] = reason, message
        if generation:
            found["observedGeneration"] = generation
        return conditions

    # Pods that were to be disrupted and were not

    def _stale_in_s(self, pod: Obj) -> float | None:
        found = p.condition(pod, "DisruptionTarget")
        if p.is_deleted(pod) or p.is_terminal(pod) or found is None or found.get("status") != "True":
            return None
        if found.get("reason") == "TerminationByKubelet":
            return None
        return max(0.0, p.time_of(found.get("lastTransitionTime")) + _STALE_S - self.clock.now())

    async def _clear_stale(self, key: str) -> None:
        pod = self.pods.lister.by_key(key)
        wait_s = self._stale_in_s(pod) if pod is not None else None
        if pod is None or wait_s is None:
            return
        if wait_s > 0:
            self.enqueue_after(f"{_PODS_KEY}{key}", wait_s)
            return
        status = copy(pod["status"])
        made: Obj = {"type": "DisruptionTarget", "status": "False", "lastTransitionTime": self.clock.timestamp()}
        if pod["metadata"].get("generation"):
            made["observedGeneration"] = pod["metadata"]["generation"]
        status["conditions"] = [made if c.get("type") == "DisruptionTarget" else c for c in status["conditions"]]
        await self._pods_api.update({**pod, "status": status}, "status")


def _selector(budget: Obj) -> selectors.Selector | None:
    selector = get(budget, "spec", "selector")
    return selectors.of_object(selector) if selector is not None else None


def _shown(budget: Obj) -> str:
    """The selector as Go prints a pointer to one."""
    selector = get(budget, "spec", "selector", default={})
    labels = " ".join(f"{k}: {v}," for k, v in sorted((selector.get("matchLabels") or {}).items()))
    expressions = "".join(
        f"LabelSelectorRequirement{{Key:{e['key']},Operator:{e['operator']},Values:[{' '.join(e.get('values') or ())}],}},"
        for e in selector.get("matchExpressions") or ()
    )
    return (
        f"&LabelSelector{{MatchLabels:map[string]string{{{labels}}},"
        f"MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
