"""/metrics: upstream's names for what the server counts. Counting is cheap sums; prometheus_client writes them out when asked."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from pilothouse.api.exchange import Response
from pilothouse.apiserver.registry.storage import Storage
from pilothouse.apiserver.requestinfo import RequestInfo

_BUCKETS: Final = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 15.0, 20.0, 30.0,
    45.0, 60.0,
)  # fmt: skip
_REQUEST_LABELS: Final = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_VERBS: Final = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT", "patch": "PATCH",
    "delete": "DELETE", "deletecollection": "DELETECOLLECTION", "proxy": "CONNECT", "post": "POST", "put": "PUT",
    "head": "GET", "options": "OPTIONS",
}  # fmt: skip
_SERIES_MOST: Final = 5000  # of one metric; past it new ones are not counted


class _Histogram:
    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(_BUCKETS) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(_BUCKETS, value)] += 1
        self.sum += value


def _scope(info: RequestInfo) -> str:
    if not info.resource_request:
        return ""
    if info.name:
        return "resource"
    return "namespace" if info.namespace else "cluster"


class Metrics:
    def __init__(self, started_s: float) -> None:
        self._started_s = int(started_s)
        self._durations: dict[tuple[str, ...], _Histogram] = {}
        self._codes: dict[tuple[str, ...], int] = {}

    def request(self, info: RequestInfo, response: Response, seconds: float) -> None:
        """One answered request. A watch counts when it begins."""
        if response.status == 404 and not info.resource_request:
            path = ""  # any text may stand in the path
        else:
            path = "" if info.resource_request else info.path
        labels = (
            _VERBS.get(info.verb, "other"), "", info.group, info.version, info.resource,
            info.subresource or path, _scope(info), "apiserver",
        )  # fmt: skip
        if response.status >= 400 and labels not in self._durations and response.status in (403, 404, 405, 401):
            labels = (labels[0], "", "", "", "", "", "", "apiserver")
        histogram = self._durations.get(labels)
        if histogram is None:
            if len(self._durations) >= _SERIES_MOST:
                return
            histogram = self._durations[labels] = _Histogram()
        histogram.observe(seconds)
        counted = (*labels, str(response.status))
        self._codes[counted] = self._codes.get(counted, 0) + 1

    def reset(self) -> None:
        self._durations.clear()
        self._codes.clear()

    def response(self, collect: Callable[[], Iterator[Any]], *, process: bool = False) -> Response:
        """In the exposition format; `process`: with what there is to say of the process."""
        from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, exposition

        registry = CollectorRegistry(auto_describe=False)
        if process:
            ProcessCollector(registry=registry)
            PlatformCollector(registry=registry)
            GCCollector(registry=registry)
        registry.register(_Collector(collect))
        headers = {"Content-Type": f"{exposition.CONTENT_TYPE_PLAIN_0_0_4}; escaping=underscores"}
        headers["Process-Start-Time-Unix"] = str(self._started_s)
        return Response(200, headers, exposition.generate_latest(registry, escaping="underscores"))

    def collect(self, inflight: Mapping[str, int], storages: Iterable[Storage]) -> Iterator[Any]:
        """`inflight`: requests under way, by kind."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        total = CounterMetricFamily(
            "apiserver_request",
            "Answered requests by verb, resource and status code.",
            labels=(*_REQUEST_LABELS, "code"),
        )
        for counted, count in self._codes.items():
            total.add_metric(counted, count)
        yield total
        durations = HistogramMetricFamily(
            "apiserver_request_duration_seconds", "How long answers took, in seconds.", labels=_REQUEST_LABELS
        )
        for labels, histogram in self._durations.items():
            running, buckets = 0, []
            for bound, count in zip((*map(str, _BUCKETS), "+Inf"), histogram.counts, strict=True):
                running += count
                buckets.append((bound, running))
            durations.add_metric(labels, buckets, histogram.sum)
        yield durations
        current = GaugeMetricFamily(
            "apiserver_current_inflight_requests", "Requests under way by kind.", labels=("request_kind",)
        )
        for kind, used in inflight.items():
            current.add_metric((kind,), used)
        yield current
        objects = GaugeMetricFamily(
            "apiserver_storage_objects", "Objects in the store by resource.", labels=("resource",)
        )
        watchers = GaugeMetricFamily(
            "apiserver_registered_watchers", "Watches under way by resource.", labels=("group", "version", "kind")
        )
        for storage in storages:
            stored = storage.stored
            name = f"{stored.resource}.{stored.group}" if stored.group else stored.resource
            objects.add_metric((name,), len(storage.cache))
            count = len(storage.cache.watchers)
            if count:
                watchers.add_metric((stored.gvk.group, stored.gvk.version, stored.gvk.kind), count)
        yield objects
        yield watchers


class _Collector:
    """What prometheus_client asks."""

    def __init__(self, collect: Callable[[], Iterator[Any]]) -> None:
        self.collect = collect
