"""The horizontal pod autoscaler."""

import pytest

from pilothouse.api.exchange import Response
from pilothouse.controllers.autoscaling.limits import History
from pilothouse.controllers.autoscaling.metrics import MetricError, Sample, propose

NOW = 1_767_322_800.0


def pod(name, phase="Running", cpu="100m", ready=True):
    condition = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": "2026-01-02T01:00:00Z"}
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu} if cpu else {}}}]},
        "status": {"phase": phase, "startTime": "2026-01-02T01:00:00Z", "conditions": [condition]},
    }


def size(used, pods=None, utilization=50, average=0, tolerance=0.1):
    pods = pods or [pod(f"p{n}") for n in range(len(used))]
    found = {f"p{n}": Sample(milli, NOW, 30) for n, milli in enumerate(used) if milli is not None}
    return propose(
        found, pods, "cpu", "", len(used), NOW,
        utilization=None if average else utilization, average_milli=average, tolerances=(tolerance, tolerance),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("used", "wanted"),
    [
        ([50, 50], 2), ([54, 54], 2), ([100, 100], 4), ([10, 10, 10, 10], 1),
        ([100, None], 2),  # of the missing one nothing is known: it may use nothing
        ([10, None], 2),  # or all that it asked for
    ],
)  # fmt: skip
def test_sizes_by_utilization(used, wanted):
    assert size(used).replicas == wanted


def test_unready_pods_count_as_using_nothing_on_the_way_up():
    pods = [pod("p0"), pod("p1", phase="Pending")]
    assert size([200, None], pods).replicas == 4
    assert size([60, None], pods).replicas == 2


def test_an_average_needs_no_requests():
    assert size([100, 100], [pod("p0", cpu=None), pod("p1", cpu=None)], average=50).replicas == 4
    with pytest.raises(MetricError, match="missing request for cpu in container c of Pod p0"):
        size([100], [pod("p0", cpu=None)])


def test_scaling_down_waits_for_five_minutes():
    history = History()
    assert history.plain(0, 10, 10, 1, 20, 300).replicas == 10
    found = history.plain(100, 10, 2, 1, 20, 300)
    assert (found.replicas, found.able[0]) == (10, "ScaleDownStabilized")
    assert history.plain(301, 10, 2, 1, 20, 300).replicas == 2
    assert history.plain(302, 2, 50, 1, 100, 300)[::2] == (
        4, (True, "ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate"),
    )  # fmt: skip


def test_policies_bound_the_change_of_a_period():
    behavior = {
        "scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}], "selectPolicy": "Max"},
        "scaleDown": {"selectPolicy": "Disabled", "stabilizationWindowSeconds": 0},
    }
    history = History()
    assert history.by_behavior(0, 3, 9, 1, 20, behavior, 300).replicas == 5
    history.changes.append((0, 2))
    assert history.by_behavior(30, 5, 9, 1, 20, behavior, 300).replicas == 5
    assert history.by_behavior(61, 5, 9, 1, 20, behavior, 300).replicas == 7
    assert history.by_behavior(62, 7, 1, 1, 20, behavior, 300).replicas == 7


def cluster(c, replicas):
    """Gives Deployments a scale, which the plain server has not."""
    state = {"replicas": replicas}
    handle = c.server.handle

    async def with_scale(request):
        if not request.path.endswith("/scale"):
            return await handle(request)
        if request.method == "PUT":
            state["replicas"] = request.object["spec"]["replicas"]
        metadata = {"name": "web", "namespace": "default"}
        found = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata}
        return Response(200, object={
            **found, "spec": {"replicas": state["replicas"]}, "status": {"replicas": 1, "selector": "app=web"},
        })  # fmt: skip

    c.client.transport._handle = with_scale
    return state


async def autoscaler(c, **spec):
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    target = {"type": "Utilization", "averageUtilization": 50}
    metrics = [{"type": "Resource", "resource": {"name": "cpu", "target": target}}]
    made = {"metadata": {"name": "web", "namespace": "default"}}
    await c.create("horizontalpodautoscalers", {**made, "spec": {
        "scaleTargetRef": ref, "maxReplicas": 5, "metrics": metrics, **spec}})  # fmt: skip
    await c.settle()
    status = (await c.get("horizontalpodautoscalers", "web"))["status"]
    return {x["type"]: (x["status"], x["reason"], x["message"]) for x in status["conditions"]}


def test_without_a_metrics_api_it_says_so(simulate):
    async def story(c):
        cluster(c, 2)
        conditions = await autoscaler(c)
        why = (
            "failed to get cpu utilization: unable to get metrics for resource cpu: unable to fetch metrics from resource "
            "metrics API: the server could not find the requested resource (get pods.metrics.k8s.io)"
        )
        assert conditions["AbleToScale"][1] == "SucceededGetScale"
        assert conditions["ScalingActive"] == (
            "False", "FailedGetResourceMetric", f"the HPA was unable to compute the replica count: {why}",
        )  # fmt: skip
        assert [e["message"] for e in await c.events("FailedGetResourceMetric")] == [why]
        (event,) = await c.events("FailedComputeMetricsReplicas")
        assert event["message"] == (
            f"invalid metrics (1 invalid out of 1), first error is: failed to get cpu resource metric value: {why}"
        )

    simulate(story, "horizontal-pod-autoscaler-controller")


@pytest.mark.parametrize(("replicas", "least", "wanted"), [(9, 1, 5), (1, 3, 3), (0, 1, 0)])
def test_the_bounds_hold_without_metrics(simulate, replicas, least, wanted):
    async def story(c):
        state = cluster(c, replicas)
        conditions = await autoscaler(c, minReplicas=least)
        assert state["replicas"] == wanted
        if wanted:
            assert conditions["AbleToScale"][1] == "SucceededRescale"
            assert (await c.events("SuccessfulRescale"))[0]["message"].startswith(
                f"New size: {wanted}; reason: Current"
            )
        else:
            assert conditions["ScalingActive"][1] == "ScalingDisabled"

    simulate(story, "horizontal-pod-autoscaler-controller")


def test_a_target_that_is_not_there(simulate):
    async def story(c):
        conditions = await autoscaler(c)
        status, reason, message = conditions["AbleToScale"]
        assert (status, reason) == ("False", "FailedGetScale")
        assert message.endswith('deployments.apps "web" not found')

    simulate(story, "horizontal-pod-autoscaler-controller")
