"""Work queues: once each, never by two at a time, later, and ever later."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.client import QueueClosed, RateLimiter, WorkQueue
from pilothouse.clock import VirtualClock


def run(story, **options):
    clock = VirtualClock(1)

    async def main():
        queue = WorkQueue(clock, **options)
        await story(clock, queue)

    clock.run(main())


def test_a_key_waits_once_and_in_order():
    async def story(clock, queue):
        for key in ("a", "b", "a", "c"):
            queue.add(key)
        assert len(queue) == 3
        assert [await queue.get() for _ in range(3)] == ["a", "b", "c"]

    run(story)


def test_a_key_in_work_comes_back_when_done():
    async def story(clock, queue):
        queue.add("a")
        assert await queue.get() == "a"
        queue.add("a")
        queue.add("a")
        assert len(queue) == 0
        assert not queue.idle
        queue.done("a")
        assert await queue.get() == "a"
        queue.done("a")
        assert queue.idle

    run(story)


def test_delays_and_the_earliest_counts():
    async def story(clock, queue):
        start = clock.monotonic()
        queue.add_after("late", 10)
        queue.add_after("a", 5)
        queue.add_after("a", 2)
        queue.add_after("a", 7)
        queue.add_after("now", 0)
        assert await queue.get() == "now"
        assert await queue.get() == "a"
        assert clock.monotonic() - start == pytest.approx(2)
        queue.done("a")
        assert await queue.get() == "late"
        assert clock.monotonic() - start == pytest.approx(10)
        assert len(queue) == 0

    run(story)


def test_failures_delay_a_key_until_it_is_forgotten():
    async def story(clock, queue):
        waits = []
        for _ in range(6):
            start = clock.monotonic()
            queue.add_rate_limited("a")
            await queue.get()
            queue.done("a")
            waits.append(clock.monotonic() - start)
        assert waits == pytest.approx([0.005, 0.01, 0.02, 0.04, 0.08, 0.16])
        assert queue.failures("a") == 6
        queue.forget("a")
        assert queue.failures("a") == 0

    run(story)


def test_the_longest_delay_and_the_bucket():
    clock = VirtualClock(1)
    limiter = RateLimiter(clock)
    for _ in range(100):
        last = limiter.delay_s("a")
    assert last == 1000
    limiter = RateLimiter(clock)
    delays = [limiter.delay_s(str(n)) for n in range(120)]
    assert delays[99] == pytest.approx(0.005)
    assert delays[119] == pytest.approx(2.0)


def test_shut_down_ends_the_workers():
    async def story(clock, queue):
        ended = []

        async def work():
            try:
                while True:
                    queue.done(await queue.get())
            except QueueClosed:
                ended.append(1)

        workers = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
        queue.add("a")
        queue.add_after("never", 5)
        queue.shut_down()
        await asyncio.gather(*workers)
        assert len(ended) == 3
        queue.add("b")
        assert len(queue) == 0

    run(story)


def test_a_cancelled_worker_loses_no_wake_up():
    async def story(clock, queue):
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await asyncio.sleep(0)
        queue.add("a")
        first.cancel()
        assert await second == "a"
        assert first.cancelled() or first.exception() is None

    run(story)


def test_it_is_bounded():
    async def story(clock, queue):
        for number in range(3):
            queue.add(str(number))
        with pytest.raises(OverflowError):
            queue.add("more")

    run(story, keys_max=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(0, 5)), max_size=30), st.integers(1, 4))
def test_every_key_is_worked_on_after_it_was_added_and_by_one_at_a_time(additions, workers):
    async def story(clock, queue):
        added, done, working = {}, {}, set()

        async def work():
            while True:
                key = await queue.get()
                assert key not in working
                working.add(key)
                begun = clock.monotonic()
                await clock.sleep(0.7)
                working.discard(key)
                done[key] = begun
                queue.done(key)

        tasks = [asyncio.create_task(work()) for _ in range(workers)]
        for key, delay in additions:
            added[key] = clock.monotonic()
            queue.add_after(key, delay)
            await clock.sleep(0.3)
        await clock.sleep(60)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert done.keys() == added.keys()
        assert all(done[key] >= added[key] for key in added)

    run(story)
