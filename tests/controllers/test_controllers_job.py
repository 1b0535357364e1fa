"""Jobs: completions, failures, policies, suspension, and that nothing is counted twice."""

import itertools

import pytest
from fake_cluster import workload
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.controllers.job.census import FINALIZER
from pilothouse.controllers.job.indexes import Intervals

NAME = "job-controller"
GC = "garbage-collector-controller"


def job(name="job", completions=1, parallelism=1, backoff=6, restart="Never", **spec):
    obj = workload("Job", name=name, api_version="batch/v1", replicas=None, template={"restartPolicy": restart})
    obj["spec"].update(parallelism=parallelism, backoffLimit=backoff, suspend=spec.pop("suspend", False), **spec)
    if completions is not None:
        obj["spec"]["completions"] = completions
    obj["spec"].setdefault("completionMode", "NonIndexed")
    return obj


def indexed(**spec):
    return job(completionMode="Indexed", **spec)


async def conditions(c, name="job"):
    status = (await c.get("jobs", name)).get("status") or {}
    return {x["type"]: x for x in status.get("conditions", ()) if x["status"] == "True"}


async def status(c, name="job"):
    return (await c.get("jobs", name))["status"]


def test_a_job_runs_to_completion(simulate):
    async def story(c):
        c.kubelet(decide=lambda _: "Succeeded", start_s=2)
        await c.create("jobs", job(completions=5, parallelism=2))
        await c.settle(0.5)
        pods = await c.pods()
        assert len(pods) == 2
        assert pods[0]["metadata"]["finalizers"] == [FINALIZER]
        s = await status(c)
        assert (s["active"], s["ready"], s["terminating"]) == (2, 0, 0)
        assert s["startTime"]
        await c.settle(60)
        s = await status(c)
        assert s["succeeded"] == 5
        assert "active" not in s
        assert s["uncountedTerminatedPods"] == {}
        assert s["completionTime"]
        found = await conditions(c)
        assert list(found) == ["SuccessCriteriaMet", "Complete"]
        assert (found["Complete"]["reason"], found["Complete"]["message"]) == (
            "CompletionsReached", "Reached expected number of succeeded pods",
        )  # fmt: skip
        pods = await c.pods()
        assert len(pods) == 5
        assert not any(p["metadata"].get("finalizers") for p in pods)
        assert [e["message"] for e in await c.events("Completed")] == ["Job completed"]
        assert len(await c.events("SuccessfulCreate")) == 5

    simulate(story, NAME)


def test_without_completions_one_success_ends_the_work(simulate):
    async def story(c):
        await c.create("jobs", job(completions=None, parallelism=3))
        await c.settle(3)
        first, *others = await c.pods()
        await c.run_all()
        await c.end_pod(first)
        await c.settle(3)
        assert "Complete" not in await conditions(c)
        assert len(await c.pods()) == 3
        for pod in others:
            await c.end_pod(pod)
        await c.settle(3)
        assert "Complete" in await conditions(c)
        assert (await status(c))["succeeded"] == 3

    simulate(story, NAME)


def test_failures_are_retried_with_growing_delays_up_to_the_limit(simulate):
    async def story(c):
        c.kubelet(decide=lambda _: "Failed")
        await c.create("jobs", job(backoff=3))
        await c.settle(400)
        s = await status(c)
        assert s["failed"] == 4
        found = await conditions(c)
        assert list(found) == ["FailureTarget", "Failed"]
        assert (found["Failed"]["reason"], found["Failed"]["message"]) == (
            "BackoffLimitExceeded", "Job has reached the specified backoff limit",
        )  # fmt: skip
        made = list(await c.list("pods"))
        from pilothouse.clock import parse_time

        times = sorted(parse_time(p["metadata"]["creationTimestamp"]) for p in made)
        gaps = [round(b - a) for a, b in itertools.pairwise(times)]
        assert gaps == sorted(gaps)
        assert [abs(gap - want) <= 2 for gap, want in zip(gaps, (10, 20, 40), strict=True)] == [True] * 3
        assert (await c.events("BackoffLimitExceeded"))[0]["type"] == "Warning"

    simulate(story, NAME)


def test_restarts_count_with_on_failure(simulate):
    async def story(c):
        await c.create("jobs", job(backoff=2, restart="OnFailure"))
        await c.settle(2)
        (pod,) = await c.pods()
        await c.run_pod(pod, containerStatuses=[{"name": "main", "restartCount": 2}])
        await c.settle(3)
        assert await c.pods() == []
        await c.reap(pod)
        await c.settle(3)
        assert (await conditions(c))["Failed"]["reason"] == "BackoffLimitExceeded"

    simulate(story, NAME)


def test_a_deadline_ends_a_job(simulate):
    async def story(c):
        c.kubelet()
        await c.create("jobs", job(activeDeadlineSeconds=30))
        await c.settle(25)
        assert len(await c.pods()) == 1
        await c.settle(15)
        found = await conditions(c)
        assert found["Failed"]["message"] == "Job was active longer than specified deadline"
        assert await c.pods(active=False) == []

    simulate(story, NAME)


def test_a_suspended_job_has_no_pods(simulate):
    async def story(c):
        c.kubelet()
        await c.create("jobs", job(suspend=True, activeDeadlineSeconds=50))
        await c.settle(3)
        assert await c.pods() == []
        assert (await conditions(c))["Suspended"]["message"] == "Job suspended"
        assert "startTime" not in await status(c)
        await c.settle(100)
        await c.patch("jobs", "job", {"spec": {"suspend": False}})
        await c.settle(3)
        assert len(await c.pods()) == 1
        assert "Suspended" not in await conditions(c)
        assert (await status(c))["startTime"]
        await c.patch("jobs", "job", {"spec": {"suspend": True}})
        await c.settle(5)
        assert await c.pods(active=False) == []
        s = await status(c)
        assert s.get("failed", 0) == 0
        assert len(await c.events("Suspended")) + len(await c.events("Resumed")) >= 2

    simulate(story, NAME)


def test_an_indexed_job_runs_each_index_once(simulate):
    async def story(c):
        c.kubelet(decide=lambda _: "Succeeded")
        await c.create("jobs", indexed(completions=6, parallelism=3))
        await c.settle(0.4)
        pods = sorted(await c.pods(), key=lambda p: p["metadata"]["name"])
        one = pods[1]
        assert one["metadata"]["name"].startswith("job-1-")
        assert one["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "1"
        assert one["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == "1"
        assert one["spec"]["hostname"] == "job-1"
        assert one["spec"]["containers"][0]["env"] == [{
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-completion-index']"}},
        }]  # fmt: skip
        await c.settle(30)
        s = await status(c)
        assert (s["completedIndexes"], s["succeeded"]) == ("0-5", 6)
        assert "Complete" in await conditions(c)
        assert len(await c.pods()) == 6

    simulate(story, NAME)


def test_each_index_has_its_own_backoff_limit(simulate):
    async def story(c):
        def fate(pod):
            index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"]
            return "Failed" if index == "1" else "Succeeded"

        c.kubelet(decide=fate)
        await c.create("jobs", indexed(completions=3, parallelism=3, backoff=1000, backoffLimitPerIndex=1))
        await c.settle(120)
        s = await status(c)
        assert (s["completedIndexes"], s["failedIndexes"], s["failed"]) == ("0,2", "1", 2)
        assert (await conditions(c))["Failed"]["reason"] == "FailedIndexes"
        counts = sorted(
            p["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] for p in await c.pods()
        )
        assert counts == ["0", "0", "0", "1"]

    simulate(story, NAME)


def test_too_many_failed_indexes_end_a_job(simulate):
    async def story(c):
        c.kubelet(decide=lambda _: "Failed")
        await c.create("jobs", indexed(
            completions=10, parallelism=2, backoff=1000, backoffLimitPerIndex=0, maxFailedIndexes=3,
        ))  # fmt: skip
        await c.settle(120)
        assert (await conditions(c))["Failed"]["reason"] == "MaxFailedIndexesExceeded"
        assert (await status(c))["failedIndexes"] in ("0-3", "0-4")

    simulate(story, NAME)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"succeededCount": 2}, "Matched rules at index 0"),
        ({"succeededIndexes": "0"}, "Matched rules at index 0"),
        ({"succeededIndexes": "0,3-4", "succeededCount": 1}, "Matched rules at index 0"),
        ({"succeededIndexes": "3-4"}, None),
    ],
)
def test_a_success_policy_ends_a_job_early(simulate, rule, expected):
    async def story(c):
        def fate(pod):
            index = int(pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"])
            return "Succeeded" if index < 2 else "Running"

        c.kubelet(decide=fate)
        await c.create("jobs", indexed(completions=5, parallelism=5, successPolicy={"rules": [rule]}))
        await c.settle(60)
        found = await conditions(c)
        if expected is None:
            assert found == {}
        else:
            assert (found["Complete"]["reason"], found["Complete"]["message"]) == ("SuccessPolicy", expected)
            assert len([p for p in await c.pods() if p["status"]["phase"] == "Running"]) == 0

    simulate(story, NAME)


def failure_policy(action, **match):
    return {"rules": [{"action": action, **match}]}


EXIT_1 = {"onExitCodes": {"containerName": "main", "operator": "In", "values": [1]}}
DISRUPTED = {"onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}


def test_a_failure_policy_fails_the_job_at_once(simulate):
    async def story(c):
        await c.create("jobs", job(completions=2, parallelism=2, podFailurePolicy=failure_policy("FailJob", **EXIT_1)))
        await c.settle(2)
        await c.run_all()
        one, other = await c.pods()
        await c.end_pod(one, "Failed", 1)
        await c.settle(3)
        target = (await conditions(c))["FailureTarget"]
        name = one["metadata"]["name"]
        assert target["reason"] == "PodFailurePolicy"
        assert target["message"] == (
            f"Container main for pod default/{name} failed with exit code 1 matching FailJob rule at index 0"
        )
        assert "Failed" not in await conditions(c)
        await c.reap(other)
        await c.settle(3)
        assert "Failed" in await conditions(c)
        assert (await status(c))["failed"] == 2

    simulate(story, NAME)


def test_a_failure_policy_ignores_failures(simulate):
    async def story(c):
        await c.create("jobs", job(backoff=0, podFailurePolicy=failure_policy("Ignore", **DISRUPTED)))
        await c.settle(2)
        (pod,) = await c.pods()
        condition = {"type": "DisruptionTarget", "status": "True", "lastTransitionTime": c.clock.timestamp()}
        pod = await c.run_pod(pod, phase="Failed")
        await c.of("pods").update(
            {**pod, "status": {**pod["status"], "conditions": [*pod["status"]["conditions"], condition]}}, "status"
        )
        await c.settle(20)
        s = await status(c)
        assert s.get("failed", 0) == 0
        assert s["active"] == 1
        assert await conditions(c) == {}

    simulate(story, NAME)


def test_pods_are_replaced_when_they_terminate_or_only_when_they_have_failed(simulate):
    async def story(c):
        await c.create("jobs", job(name="eager"))
        await c.create("jobs", job(name="patient", podReplacementPolicy="Failed"))
        await c.settle(2)
        await c.run_all()
        for pod in await c.pods():
            await c.of("pods").delete(pod["metadata"]["name"], "default")
        await c.settle(20)
        active = {p["metadata"]["labels"]["app"] for p in await c.pods()}
        assert active == {"eager"}
        assert (await status(c, "patient"))["terminating"] == 1
        for pod in await c.list("pods"):
            if pod["metadata"].get("deletionTimestamp"):
                await c.end_pod(pod, "Failed", 137)
                await c.reap(pod)
        await c.settle(20)
        assert {p["metadata"]["labels"]["app"] for p in await c.pods()} == {"eager", "patient"}

    simulate(story, NAME)


def test_pods_that_vanish_before_they_are_counted_are_counted(simulate):
    async def story(c):
        await c.create("jobs", job(completions=2, parallelism=2))
        await c.settle(2)
        await c.run_all()
        for pod in await c.pods():
            await c.end_pod(pod)
            await c.of("pods").delete(pod["metadata"]["name"], "default")
        await c.settle(5)
        assert await c.list("pods") == []
        assert (await status(c))["succeeded"] == 2
        assert "Complete" in await conditions(c)

    simulate(story, NAME)


@pytest.mark.parametrize("seed", range(6))
def test_counts_are_right_whatever_fails(simulate, seed):
    """Every fourth write fails: at the end each pod is counted once."""

    async def story(c):
        chance = c.clock.random

        def fault(request):
            if (
                request.method in ("PUT", "PATCH")
                and "kubelet" not in request.headers["user-agent"]
                and chance.random() < 0.25
            ):
                return errors.unavailable("try again")
            return None

        c.kubelet(decide=lambda pod: "Failed" if chance.random() < 0.2 else "Succeeded")
        c.server.faults.append(lambda r: fault(r) if "kube-controller-manager" in r.headers["user-agent"] else None)
        await c.create("jobs", job(completions=20, parallelism=5, backoff=100))
        for _ in range(60):
            await c.settle(60)
            if "Complete" in await conditions(c):
                break
        s = await status(c)
        failed = len([p for p in await c.list("pods") if p["status"]["phase"] == "Failed"])
        succeeded = len([p for p in await c.list("pods") if p["status"]["phase"] == "Succeeded"])
        assert "Complete" in await conditions(c)
        assert (s["succeeded"], s.get("failed", 0)) == (succeeded, failed)
        assert succeeded >= 20

    simulate(story, NAME, seed=seed)


def test_a_deleted_job_lets_its_pods_go(simulate):
    async def story(c):
        c.kubelet()
        await c.create("jobs", job(completions=3, parallelism=3))
        await c.settle(5)
        await c.of("jobs").delete("job", "default", propagation="Foreground")
        await c.settle(10)
        assert await c.list("pods") == []
        assert await c.list("jobs") == []
        await c.create("jobs", job(completions=3, parallelism=3))
        await c.settle(5)
        await c.of("jobs").delete("job", "default", propagation="Orphan")
        await c.settle(10)
        pods = await c.pods()
        assert len(pods) == 3
        assert not any(p["metadata"].get("finalizers") for p in pods)

    simulate(story, NAME, GC)


def test_a_job_of_another_manager_is_left_alone(simulate):
    async def story(c):
        await c.create("jobs", job(managedBy="example.com/other"))
        await c.settle(5)
        assert await c.pods() == []

    simulate(story, NAME)


def test_raising_parallelism_of_a_running_job(simulate):
    async def story(c):
        c.kubelet()
        await c.create("jobs", job(completions=10, parallelism=2))
        await c.settle(3)
        await c.patch("jobs", "job", {"spec": {"parallelism": 5}})
        await c.settle(3)
        assert len(await c.pods()) == 5
        await c.patch("jobs", "job", {"spec": {"parallelism": 1}})
        await c.settle(3)
        assert len(await c.pods()) == 1
        assert (await status(c)).get("failed", 0) == 0

    simulate(story, NAME)


def test_where_no_pod_can_be_made_it_says_why(simulate):
    async def story(c):
        def refuse(request):
            if request.method == "POST" and request.path.endswith("/pods"):
                return StatusError(403, "Forbidden", "pods is forbidden: quota")
            return None

        c.server.faults.append(refuse)
        await c.create("jobs", job(completions=50, parallelism=50))
        await c.settle(5)
        event = (await c.events("FailedCreate"))[0]
        assert event["message"] == "Error creating: pods is forbidden: quota"
        assert "active" not in await status(c)

    simulate(story, NAME)


# Intervals

indexes = st.sets(st.integers(0, 40))


@given(indexes, indexes)
def test_intervals_are_sets(one, other):
    a, b = Intervals().with_indexes(one), Intervals().with_indexes(other)
    assert len(a) == len(one)
    assert all((i in a) == (i in one) for i in range(45))
    assert a | b == Intervals().with_indexes(one | other)
    assert a.overlap(b) == len(one & other)
    assert Intervals.parse(str(a), 100) == a


@given(indexes, st.integers(0, 10), st.integers(0, 45))
def test_the_first_missing_indexes(taken, count, completions):
    expected = [i for i in range(completions) if i not in taken][:count]
    assert Intervals().with_indexes(taken).first_missing(count, completions) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("1,3-5,7", "1,3-5,7"),
        ("1,2,3", "1-3"),
        ("1,2", "1,2"),
        ("a,2-x,4", "4"),
        ("5-200", "5-9"),
        ("99", ""),
        ("-1,3", "3"),
    ],
)
def test_intervals_are_read_with_care(text, expected):
    assert str(Intervals.parse(text, 10)) == expected
