"""Automatic compaction: of what is older than a time, or than a number of revisions. Source: etcd's
server/etcdserver/api/v3compactor.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import Final

from pilothouse.clock import Clock
from pilothouse.store.interface import Compacted, Store, StoreError

log = logging.getLogger(__name__)

_REVISION_EVERY_S: Final = 300.0
_HOUR_S: Final = 3600.0
_SAMPLES: Final = 10  # of the revision, in an interval


async def compact_by_revision(store: Store, clock: Clock, keep: int) -> None:
    """Every five minutes, all but the last `keep` revisions. Runs until cancelled."""
    done = 0
    while True:
        await clock.sleep(_REVISION_EVERY_S)
        revision = await store.revision() - keep
        if revision > done and await _compact(store, revision):
            done = revision


async def compact_by_age(store: Store, clock: Clock, age_s: float) -> None:
    """Every `age_s` seconds, an hour at most, what was replaced before `age_s`. Runs until cancelled."""
    every_s = min(age_s, _HOUR_S)
    step_s = every_s / _SAMPLES
    samples: deque[int] = deque(maxlen=max(_SAMPLES, round(age_s / step_s)) + 1)
    done, elapsed = 0, 0
    while True:
        samples.append(await store.revision())
        await clock.sleep(step_s)
        elapsed += 1
        if elapsed % _SAMPLES or len(samples) < samples.maxlen - 1:  # type: ignore[operator]
            continue
        revision = samples[0]
        if revision > done and await _compact(store, revision):
            done = revision


async def _compact(store: Store, revision: int) -> bool:
    try:
        await store.compact(revision)
    except Compacted:
        return True
    except StoreError as error:
        log.warning("automatic compaction at revision %d failed: %s", revision, error)
        return False
    log.info("compacted at revision %d", revision)
    return True
