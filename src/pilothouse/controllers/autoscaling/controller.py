"""The horizontal pod autoscaler: every 15 seconds each target gets the size that its metrics ask for.

Source: upstream's pkg/controller/podautoscaler. Resource and container resource metrics are read; custom and external metrics
APIs are not, so such a metric counts as one that cannot be had.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import selectors
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy, get
from pilothouse.api.quantity import Quantity
from pilothouse.api.scheme import split_api_version
from pilothouse.client import ResourceClient
from pilothouse.client.discovery import discover
from pilothouse.controllers.autoscaling import metrics as mt
from pilothouse.controllers.autoscaling.limits import History
from pilothouse.controllers.autoscaling.metrics import MetricError
from pilothouse.controllers.base import Context, Controller

_PERIOD_S: Final = 15.0
_KNOWN: Final = {
    ("apps", "Deployment"): ("apps", "v1", "deployments"),
    ("apps", "ReplicaSet"): ("apps", "v1", "replicasets"),
    ("apps", "StatefulSet"): ("apps", "v1", "statefulsets"),
    ("", "ReplicationController"): ("", "v1", "replicationcontrollers"),
}
_OTHERS: Final = {
    "Pods": ("FailedGetPodsMetric", "pods metric value", "custom"),
    "Object": ("FailedGetObjectMetric", "object metric value", "custom"),
    "External": ("FailedGetExternalMetric", "external metric value", "external"),
}


class _Failed(Exception):
    """The size cannot be computed; the conditions say why."""


class HorizontalPodAutoscalerController(Controller):
    name = "horizontal-pod-autoscaler-controller"
    component = "horizontal-pod-autoscaler"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.autoscalers = self.informer("autoscaling", "v2", "horizontalpodautoscalers")
        self.pods = self.informer("", "v1", "pods")
        self._api = self.client.resource("autoscaling", "v2", "horizontalpodautoscalers")
        self._period_s: float = context.option("horizontal-pod-autoscaler-sync-period", _PERIOD_S)
        self._window_s: float = context.option("horizontal-pod-autoscaler-downscale-stabilization", 300.0)
        self._tolerance: float = context.option("horizontal-pod-autoscaler-tolerance", 0.1)
        self._history: dict[str, History] = {}
        self.autoscalers.add_handler(self.enqueue, self._updated, self.enqueue)

    def _updated(self, old: Obj, new: Obj) -> None:
        if old.get("spec") != new.get("spec"):
            self.enqueue(new)

    async def reconcile(self, key: str) -> None:
        found = self.autoscalers.lister.by_key(key)
        if found is None:
            self._history.pop(key, None)
            return
        self.enqueue_after(key, self._period_s)
        scaler = copy(found)
        status = scaler.setdefault("status", {})
        status.setdefault("desiredReplicas", 0)
        status.setdefault("currentMetrics", None)
        try:
            await self._scale(key, scaler)
        except _Failed as error:
            self.log.debug("%s: %s", key, error)
        if status != found.get("status"):
            await self._api.update(scaler, "status")

    def _say(self, scaler: Obj, kind: str, status: str, reason: str, message: str) -> None:
        conditions: list[Obj] = scaler["status"].setdefault("conditions", [])
        found = next((c for c in conditions if c.get("type") == kind), None)
        if found is None:
            found = {"type": kind}
            conditions.append(found)
        if found.get("status") != status:
            found["lastTransitionTime"] = self.clock.timestamp()
        found.update(status=status, reason=reason, message=message)

    async def _target(self, scaler: Obj) -> tuple[ResourceClient, Obj]:
        """The target's resource and its scale."""
        ref, namespace = scaler["spec"]["scaleTargetRef"], scaler["metadata"]["namespace"]
        group, _ = split_api_version(ref.get("apiVersion") or "")
        try:
            gvr: Any = _KNOWN.get((group, ref["kind"]))
            if gvr is None:
                served = [s for s in (await discover(self.client)).preferred() if s.gvk[0::2] == (group, ref["kind"])]
                if not served:
                    raise StatusError(404, "", f'no matches for kind "{ref["kind"]}" in group "{group}"')
                gvr = served[0].gvr
            resource = self.client.resource(*gvr)
            return resource, await resource.get(ref["name"], namespace, subresource="scale")
        except StatusError as error:
            self.recorder.event(scaler, "Warning", "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            self._say(scaler, "AbleToScale", "False", "FailedGetScale", text)
            raise _Failed(str(error)) from error

    async def _scale(self, key: str, scaler: Obj) -> None:
        spec, status = scaler["spec"], scaler["status"]
        resource, scale = await self._target(scaler)
        text = "the HPA controller was able to get the target's current scale"
        self._say(scaler, "AbleToScale", "True", "SucceededGetScale", text)
        current: int = get(scale, "spec", "replicas", default=0)
        least: int = spec["minReplicas"] if spec.get("minReplicas") is not None else 1
        most: int = spec["maxReplicas"]
        history = self._history.setdefault(key, History())
        if not history.recommendations:
            history.recommendations.append((self.clock.monotonic(), current))
        wanted, reason, told = current, "", status.get("currentMetrics")
        if current == 0 and least != 0:
            text = "scaling is disabled since the replica count of the target is zero"
            self._say(scaler, "ScalingActive", "False", "ScalingDisabled", text)
        elif current > most:
            wanted, reason = most, "Current number of replicas above Spec.MaxReplicas"
        elif current < least:
            wanted, reason = least, "Current number of replicas below Spec.MinReplicas"
        else:
            proposed, metric, told = await self._compute(scaler, scale, current)
            if proposed > current:
                reason = f"{metric} above target"
            elif proposed < current:
                reason = "All metrics below target"
            wanted = self._limit(scaler, history, current, proposed, least, most)
        if wanted != current:
            await self._resize(scaler, resource, scale, history, current, wanted, reason)
            status["lastScaleTime"] = self.clock.timestamp()
        status.update(currentReplicas=current, desiredReplicas=wanted, currentMetrics=told)
        if scaler["metadata"].get("generation"):
            status["observedGeneration"] = scaler["metadata"]["generation"]

    def _limit(self, scaler: Obj, history: History, current: int, proposed: int, least: int, most: int) -> int:
        behavior, now_s = scaler["spec"].get("behavior"), self.clock.monotonic()
        if behavior is None:
            found = history.plain(now_s, current, proposed, least, most, self._window_s)
        else:
            found = history.by_behavior(now_s, current, proposed, least, most, behavior, self._window_s)
        self._say(scaler, "AbleToScale", "True", *found.able)
        is_limited, reason, message = found.limited
        self._say(scaler, "ScalingLimited", "True" if is_limited else "False", reason, message)
        return found.replicas

    async def _resize(
        self,
        scaler: Obj,
        resource: ResourceClient,
        scale: Obj,
        history: History,
        current: int,
        wanted: int,
        reason: str,
    ) -> None:
        try:
            await resource.update({**scale, "spec": {**(scale.get("spec") or {}), "replicas": wanted}}, "scale")
        except StatusError as error:
            text = f"New size: {wanted}; reason: {reason}; error: {error}"
            self.recorder.event(scaler, "Warning", "FailedRescale", text)
            text = f"the HPA controller was unable to update the target scale: {error}"
            self._say(scaler, "AbleToScale", "False", "FailedUpdateScale", text)
            raise _Failed(str(error)) from error
        text = f"the HPA controller was able to update the target scale to {wanted}"
        self._say(scaler, "AbleToScale", "True", "SucceededRescale", text)
        self.recorder.event(scaler, "Normal", "SuccessfulRescale", f"New size: {wanted}; reason: {reason}")
        history.changes.append((self.clock.monotonic(), wanted - current))

    # Metrics

    async def _compute(self, scaler: Obj, scale: Obj, current: int) -> tuple[int, str, list[Obj] | None]:
        """The largest size that a metric asks for, that metric's name, and what the status tells of all."""
        selector: str = get(scale, "status", "selector", default="")
        if not selector:
            self.recorder.event(scaler, "Warning", "SelectorRequired", "selector is required")
            text = "the HPA target's scale is missing a selector"
            self._say(scaler, "ScalingActive", "False", "InvalidSelector", text)
            self._fail(scaler, "selector is required", current)
        best, name, told = 0, "", []
        failures: list[tuple[str, str, str]] = []
        wanted = scaler["spec"].get("metrics") or []
        for metric in wanted:
            try:
                proposal, label, shown = await self._by_metric(scaler, metric, selector, current)
            except MetricError as error:
                failures.append(self._unavailable(scaler, metric, str(error)))
                told.append({"type": ""})
                continue
            told.append(shown)
            if best == 0 or proposal > best:
                best, name = proposal, label
        if failures and (len(failures) == len(wanted) or best < current):
            reason, message, text = failures[0]
            self._say(scaler, "ScalingActive", "False", reason, message)
            scaler["status"]["currentMetrics"] = told or None
            self._fail(
                scaler,
                f"invalid metrics ({len(failures)} invalid out of {len(wanted)}), first error is: {text}",
                current,
            )
        text = f"the HPA was able to successfully calculate a replica count from {name}"
        self._say(scaler, "ScalingActive", "True", "ValidMetricFound", text)
        return best, name, told

    def _fail(self, scaler: Obj, text: str, current: int) -> None:
        scaler["status"]["currentReplicas"] = current
        self.recorder.event(scaler, "Warning", "FailedComputeMetricsReplicas", text)
        raise _Failed(text)

    def _unavailable(self, scaler: Obj, metric: Obj, error: str) -> tuple[str, str, str]:
        kind = metric["type"]
        if kind == "Resource":
            reason, what = "FailedGetResourceMetric", f"{metric['resource']['name']} resource metric value"
        elif kind == "ContainerResource":
            reason = "FailedGetContainerResourceMetric"
            what = f"{metric['containerResource']['container']} container metric value"
        else:
            reason, what, _ = _OTHERS[kind]
            if kind == "External":
                what = f"{get(metric, 'external', 'metric', 'name', default='')} external metric value"
        self.recorder.event(scaler, "Warning", reason, error)
        return reason, f"the HPA was unable to compute the replica count: {error}", f"failed to get {what}: {error}"

    async def _by_metric(self, scaler: Obj, metric: Obj, selector: str, current: int) -> tuple[int, str, Obj]:
        field = {"Resource": "resource", "ContainerResource": "containerResource"}.get(metric["type"])
        if field is None:
            source = metric.get(metric["type"][0].lower() + metric["type"][1:]) or {}
            named, api = get(source, "metric", "name", default=""), _OTHERS[metric["type"]][2]
            raise MetricError(
                f"unable to get metric {named}: unable to fetch metrics from {api} metrics API: "
                "the server could not find the requested resource"
            )
        source = metric[field]
        target, resource, container = source["target"], source["name"], source.get("container") or ""
        average, utilization = target.get("averageValue"), target.get("averageUtilization")
        what = "usage" if average is not None else "utilization"
        namespace = scaler["metadata"]["namespace"]
        try:
            try:
                found = await mt.samples(self.client, namespace, selector, resource, container)
            except MetricError as error:
                raise MetricError(f"unable to get metrics for resource {resource}: {error}") from error
            proposal = mt.propose(
                found, self._selected(namespace, selector), resource, container, current, self.clock.now(),
                utilization=None if average is not None else utilization,
                average_milli=Quantity.parse(str(average)).milli() if average is not None else 0,
                tolerances=self._tolerances(scaler),
            )  # fmt: skip
        except MetricError as error:
            raise MetricError(f"failed to get {resource} {what}: {error}") from error
        shown: Obj = {"averageValue": _quantity(resource, proposal.average_milli)}
        if proposal.utilization is not None:
            shown["averageUtilization"] = proposal.utilization
        told: Obj = {"name": resource, "current": shown}
        label = f"{resource} resource"
        if average is None:
            kind = "container resource" if container else "resource"
            label = f"{resource} {kind} utilization (percentage of request)"
        if container:
            told["container"] = container
        return proposal.replicas, label, {"type": metric["type"], field: told}

    def _tolerances(self, scaler: Obj) -> tuple[float, float]:
        """By how much the use may differ, (below, above), before anything is done."""
        behavior = scaler["spec"].get("behavior") or {}
        down, up = (get(behavior, direction, "tolerance") for direction in ("scaleDown", "scaleUp"))
        return (
            float(Quantity.parse(str(down)).amount) if down is not None else self._tolerance,
            float(Quantity.parse(str(up)).amount) if up is not None else self._tolerance,
        )

    def _selected(self, namespace: str, selector: str) -> list[Obj]:
        return self.pods.lister.list(namespace, selectors.parse(selector))


def _quantity(resource: str, milli: int) -> str:
    if resource == "memory":
        return str(Quantity.parse(str(milli // 1000)))
    return str(Quantity.parse(f"{milli}m"))
