"""CronJobs and their schedules."""

import json
from pathlib import Path

import pytest
from fake_cluster import workload
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.api.schedules import ScheduleError, parse
from pilothouse.clock import format_time, parse_time

NAMES = ("cronjob-controller", "job-controller", "garbage-collector-controller")
ROWS = json.loads(
    Path(__file__).with_name("schedules.json").read_text()
)  # what robfig/cron answers, summer time included


@pytest.mark.parametrize("row", ROWS, ids=[r["spec"] for r in ROWS])
def test_schedules_are_upstreams(row):
    if "error" in row:
        with pytest.raises(ScheduleError) as failure:
            parse(row["spec"])
        assert str(failure.value) == row["error"]
        return
    schedule = parse(row["spec"])
    for start, expected in row["next"].items():
        at, found = parse_time(start), []
        for _ in expected:
            at = schedule.next(at)
            found.append(format_time(at))
        assert found == expected


def test_a_day_that_never_comes():
    assert parse("0 0 31 2 *").next(0.0) is None


@given(st.text(alphabet="0123456789*/,-? @TZ=every hmsjan", max_size=30))
def test_any_text_is_a_schedule_or_an_error(text):
    try:
        parse(text)
    except ScheduleError:
        pass


@given(
    st.floats(0, 4e9),
    st.sampled_from(["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "UTC", "Africa/Cairo"]),
)
def test_the_next_time_is_later(start, zone):
    for text in ("0 0 * * *", "*/7 3,23 * * 0", "30 2 29 2 *"):
        following = parse(text, zone).next(start)
        assert following is None or following > start


def cron_job(schedule="*/1 * * * *", seconds=None, **spec):
    job = workload("Job", api_version="batch/v1", replicas=None, template={"restartPolicy": "Never"})["spec"]
    del job["selector"]
    job.update(completions=1, parallelism=1, backoffLimit=0, suspend=False, completionMode="NonIndexed")
    job["selector"] = {"matchLabels": {"app": "web"}}
    spec = {"schedule": schedule, "concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3,
            "failedJobsHistoryLimit": 1, "jobTemplate": {"metadata": {"labels": {"x": "y"}}, "spec": job}, **spec}  # fmt: skip
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "cron", "namespace": "default"},
        "spec": spec,
    }


def test_a_job_each_minute_and_three_of_them_kept(simulate):
    async def story(c):
        c.kubelet(decide=lambda _: "Succeeded", start_s=2)
        await c.create("cronjobs", cron_job())
        await c.settle(61)
        (job,) = await c.list("jobs")
        minute = int(c.clock.now() // 60)
        assert job["metadata"]["name"] == f"cron-{minute}"
        assert job["metadata"]["labels"] == {"x": "y"}
        stamp = job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert parse_time(stamp) == minute * 60
        assert job["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
        status = (await c.get("cronjobs", "cron"))["status"]
        assert status["active"][0]["name"] == job["metadata"]["name"]
        assert status["lastScheduleTime"] == format_time(minute * 60)
        await c.settle(20)
        status = (await c.get("cronjobs", "cron"))["status"]
        assert "active" not in status
        assert status["lastSuccessfulTime"]
        (event,) = await c.events("SawCompletedJob")
        assert event["message"] == f"Saw completed job: cron-{minute}, condition: Complete"
        await c.settle(600)
        jobs = await c.list("jobs")
        assert len(jobs) == 3
        assert len(await c.pods()) == 3
        assert await c.events("SuccessfulDelete")

    simulate(story, *NAMES)


@pytest.mark.parametrize(("policy", "running", "names"), [("Allow", 3, 3), ("Forbid", 1, 1), ("Replace", 1, 1)])
def test_jobs_that_outlast_the_schedule(simulate, policy, running, names):
    async def story(c):
        c.kubelet()
        await c.create("cronjobs", cron_job(concurrencyPolicy=policy))
        await c.settle(185)
        jobs = await c.list("jobs")
        assert len(jobs) == running
        newest = f"cron-{int(c.clock.now() // 60)}"
        if policy == "Forbid":
            assert jobs[0]["metadata"]["name"] != newest
            assert await c.events("JobAlreadyActive")
        else:
            assert newest in {j["metadata"]["name"] for j in jobs}
        assert len((await c.get("cronjobs", "cron"))["status"]["active"]) == names

    simulate(story, *NAMES)


def test_nothing_starts_while_suspended_and_too_late_is_too_late(simulate):
    async def story(c):
        await c.create("cronjobs", cron_job(suspend=True, startingDeadlineSeconds=20))
        await c.settle(635)
        assert await c.list("jobs") == []
        await c.patch("cronjobs", "cron", {"spec": {"suspend": False}})
        await c.settle(2)
        assert await c.list("jobs") == []
        await c.settle(60)
        assert len(await c.list("jobs")) == 1

    simulate(story, *NAMES)


def test_of_many_missed_times_only_the_last_is_served(simulate):
    async def story(c):
        await c.create("cronjobs", cron_job(suspend=True))
        await c.settle(200 * 60 + 30)
        await c.patch("cronjobs", "cron", {"spec": {"suspend": False}})
        await c.settle(2)
        assert len(await c.list("jobs")) == 1
        assert await c.events("TooManyMissedTimes")

    simulate(story, *NAMES)


def test_what_cannot_be_read_is_said(simulate):
    async def story(c):
        await c.create("cronjobs", cron_job("61 * * * *"))
        await c.settle(120)
        assert await c.list("jobs") == []
        event = (await c.events("UnparseableSchedule"))[0]
        assert event["message"] == 'unparseable schedule: "61 * * * *" : end of range (61) above maximum (59): 61'

    simulate(story, *NAMES)


def test_the_time_zone_counts(simulate):
    async def story(c):
        await c.create("cronjobs", cron_job("30 8 * * *", timeZone="Asia/Kolkata"))  # 03:00 UTC: when this begins
        await c.settle(3600)
        assert await c.list("jobs") == []
        await c.settle(23 * 3600 + 60)
        (job,) = await c.list("jobs")
        stamp = job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
        assert stamp.endswith("T08:30:00+05:30")

    simulate(story, *NAMES)


def test_a_job_that_was_made_before_the_status_was_lost_is_taken_in(simulate):
    async def story(c):
        from pilothouse.api import errors

        lost = [2]

        def lose(request):
            if request.method == "PUT" and request.path.endswith("/cronjobs/cron/status") and lost[0]:
                lost[0] -= 1
                return errors.unavailable("lost")
            return None

        c.server.faults.append(lose)
        await c.create("cronjobs", cron_job())
        await c.settle(70)
        assert len(await c.list("jobs")) == 1
        assert len((await c.get("cronjobs", "cron"))["status"]["active"]) == 1

    simulate(story, "cronjob-controller")
