"""What a Range answers, put together from slices, against one sort of everything."""

from __future__ import annotations

from operator import attrgetter
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.store.embedded import view
from pilothouse.store.embedded.view import Answer
from pilothouse.store.interface import KeyValue, Range

_FIELDS = {"version": "version", "create": "create_revision", "mod": "mod_revision", "value": "value", "key": "key"}
_NUMBERS = st.integers(0, 4)
_ROWS = st.lists(st.tuples(st.binary(max_size=1), _NUMBERS, _NUMBERS, _NUMBERS), max_size=30)


@given(
    _ROWS, st.sampled_from(["version", "create", "mod", "value", "key"]), st.booleans(), st.booleans(), st.integers(0, 31),
    _NUMBERS, _NUMBERS, st.integers(1, 8), st.integers(1, 8),
)  # fmt: skip
def test_slices_make_what_one_sort_does(
    rows: list[tuple[bytes, int, int, int]],
    target: Literal["key", "version", "create", "mod", "value"],
    descending: bool,
    keys_only: bool,
    limit: int,
    least: int,
    most: int,
    slice_: int,
    run: int,
) -> None:
    kvs = [KeyValue(b"%04d" % i, value, c, m, v) for i, (value, c, m, v) in enumerate(rows)]
    request = Range(
        b"\0", b"\0", limit=limit, keys_only=keys_only, sort_target=target, descending=descending,
        min_mod_revision=least, max_create_revision=most,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view, "_RUN", run)
        answer = Answer(request)
        for at in range(0, len(kvs), slice_):
            answer.add(kvs[at : at + slice_])
        while not answer.order(slice_):
            pass
        found = answer.result(len(kvs), 7)
    wanted = [kv for kv in kvs if kv.mod_revision >= least and (not most or kv.create_revision <= most)]
    wanted.sort(key=attrgetter(_FIELDS[target]), reverse=descending)
    if keys_only:
        wanted = [kv._replace(value=b"") for kv in wanted]
    assert (found.count, found.revision) == (len(kvs), 7)
    assert found.kvs == (wanted[:limit] if limit else wanted)
    assert found.more == (0 < limit < len(wanted))
