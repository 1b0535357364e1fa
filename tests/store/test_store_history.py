"""`History` against a plain dict: across chunks, gaps and what was forgotten."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.store.embedded.history import History
from pilothouse.store.interface import Event, KeyValue


def _events(revision: int, count: int) -> list[Event]:
    return [Event("PUT", KeyValue(b"k%d" % at, b"v", revision, revision, 1)) for at in range(count)]


@given(
    st.integers(2, 5_000),
    st.lists(
        st.tuples(st.sampled_from([1, 1, 1, 7, 1_500, 10**9]), st.integers(1, 3), st.integers(0, 40)), max_size=60
    ),
)
def test_it_holds_what_was_put(first: int, steps: list[tuple[int, int, int]]) -> None:
    history, held, newest, floor = History(), dict[int, list[Event]](), first - 1, first
    assert history.first() is None
    for gap, count, forget in steps:
        for revision in range(newest + gap, newest + gap + 400 * count):
            held[revision] = _events(revision, count)
            history.put(revision, held[revision][:])
        newest = max(held)
        if floor not in held:
            floor = min(held)
        assert history.first() is not None
        for revision in range(floor, min(floor + forget, newest) + 1):
            assert list(history.pop(revision)) == held.pop(revision, [])
            floor = revision + 1
        for revision in (floor - 1, floor, newest - 500, newest - 1, newest, newest + 1, newest + 2_000):
            assert list(history.get(revision)) == held.get(revision, [])
    assert (history.first() is None) == (not held)
