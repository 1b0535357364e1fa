"""Leader election: one leads, another takes over, nobody leads in vain."""

import asyncio

import pytest
from fake_apiserver import FakeServer
from fake_wire import ADMIN

from pilothouse.api import errors
from pilothouse.client import Client, InProcess, LeaderElector
from pilothouse.clock import VirtualClock


class Candidate:
    def __init__(self, clock, server, name, log):
        self.cut_off = False
        self.log, self.name, self.clock = log, name, clock

        async def handle(request):
            if self.cut_off:
                return await _refused()
            return await server.handle(request)

        async def _refused():
            from pilothouse.api.exchange import Response

            return Response(503, object=errors.unavailable("cut off").status())

        client = Client(InProcess(handle, ADMIN), clock)
        self.elector = LeaderElector(client, clock, namespace="kube-system", name="lock", identity=name)
        self.task = asyncio.create_task(self.elector.run(self.lead))

    async def lead(self):
        self.log.append((round(self.clock.monotonic()), self.name, "leads"))
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append((round(self.clock.monotonic()), self.name, "stops"))

    async def stop(self):
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


def run(story):
    clock = VirtualClock(5)

    async def main():
        server, log = FakeServer(clock), []
        candidates = [Candidate(clock, server, name, log) for name in ("a", "b", "c")]
        await clock.sleep(5)
        try:
            await story(clock, server, candidates, log)
        finally:
            for candidate in candidates:
                await candidate.stop()

    clock.run(main())


def leader(log):
    leading = [name for _, name, what in log if what == "leads"]
    stopped = [name for _, name, what in log if what == "stops"]
    assert len(leading) - len(stopped) <= 1
    return leading[-1] if len(leading) > len(stopped) else None


def test_one_leads_and_keeps_leading():
    async def story(clock, server, candidates, log):
        first = leader(log)
        await clock.sleep(600)
        assert leader(log) == first
        assert len(log) == 1
        assert {c.elector.leader for c in candidates} == {first}
        lease = server.objects[(("coordination.k8s.io", "leases"), "kube-system", "lock")]
        assert lease["spec"]["holderIdentity"] == first
        assert lease["spec"]["leaseDurationSeconds"] == 15
        assert lease["spec"]["leaseTransitions"] == 0

    run(story)


def test_who_stops_hands_over_at_once():
    async def story(clock, server, candidates, log):
        first = leader(log)
        await next(c for c in candidates if c.name == first).stop()
        await clock.sleep(6)
        assert leader(log) not in (first, None)
        lease = server.objects[(("coordination.k8s.io", "leases"), "kube-system", "lock")]
        assert lease["spec"]["leaseTransitions"] == 1

    run(story)


def test_who_is_cut_off_stops_before_another_leads():
    async def story(clock, server, candidates, log):
        first = leader(log)
        next(c for c in candidates if c.name == first).cut_off = True
        cut = clock.monotonic()
        await clock.sleep(60)
        stopped = next(t for t, name, what in log if (name, what) == (first, "stops"))
        taken = next(t for t, name, what in log if name != first and what == "leads")
        assert stopped - cut <= 13
        assert cut + 11 <= taken <= cut + 25
        assert stopped <= taken

    run(story)


def test_the_end_of_the_work_ends_the_lead():
    clock = VirtualClock(1)

    async def main():
        server = FakeServer(clock)
        client = Client(InProcess(server.handle, ADMIN), clock)
        elector = LeaderElector(client, clock, namespace="kube-system", name="lock", identity="a")

        async def fail():
            await clock.sleep(3)
            raise ValueError("done for")

        with pytest.raises(ValueError, match="done for"):
            await elector.run(fail)
        assert not elector.is_leader

    clock.run(main())


def test_times_must_fit():
    with pytest.raises(ValueError, match="leaseDuration"):
        LeaderElector(None, None, namespace="n", name="l", identity="i", lease_s=5, renew_deadline_s=10)
