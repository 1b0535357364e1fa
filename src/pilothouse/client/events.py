"""Recorders: what a component has to say about objects, as Event objects that neither delay it nor flood the server.

`Recorder` writes core/v1 events as most of upstream's controllers do (client-go tools/record), `EventsRecorder` those of
events.k8s.io/v1 as the scheduler does (client-go tools/events). Both queue at most 1,000 events and drop what is more.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final, Generic, Literal, TypeAlias, TypeVar

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj
from pilothouse.client.client import Client
from pilothouse.clock import Clock, format_micro_time, format_time

log = logging.getLogger(__name__)

EventType: TypeAlias = Literal["Normal", "Warning"]

_QUEUED_MAX: Final = 1000
_REMEMBERED_MAX: Final = 4096
_SIMILAR_MAX: Final = 10  # messages of one reason within the interval; more are combined into one event
_SIMILAR_S: Final = 600.0
_SPAM_BURST: Final = 25  # events of one source about one object; then one in five minutes
_SPAM_PER_SECOND: Final = 1.0 / 300.0
_TRIES_MAX: Final = 12
_RETRY_S: Final = 10.0
_SERIES_END_S: Final = 360.0
_SERIES_REFRESH_S: Final = 1800.0
_NAME_MAX: Final = 253

V = TypeVar("V")


class _Recent(Generic[V]):
    """The values used last, `_REMEMBERED_MAX` at most."""

    def __init__(self) -> None:
        self._values: OrderedDict[tuple[str, ...], V] = OrderedDict()

    def get(self, key: tuple[str, ...]) -> V | None:
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: tuple[str, ...], value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > _REMEMBERED_MAX:
            self._values.popitem(last=False)


def reference_of(obj: Obj, field_path: str = "") -> Obj:
    """The ObjectReference of an object, as events and endpoints hold it."""
    metadata = obj.get("metadata") or {}
    found = {
        "kind": obj.get("kind", ""),
        "namespace": metadata.get("namespace", ""),
        "name": metadata.get("name", ""),
        "uid": metadata.get("uid", ""),
        "apiVersion": obj.get("apiVersion", ""),
        "resourceVersion": metadata.get("resourceVersion", ""),
        "fieldPath": field_path,
    }
    return {k: v for k, v in found.items() if v}


class _Writer:
    """The queue and the task behind a recorder."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._queue: asyncio.Queue[Obj] = asyncio.Queue(_QUEUED_MAX)
        self._tasks: list[asyncio.Task[None]] = []
        self.dropped = 0
        self._last_ns = 0

    def _name(self, about: str, now_s: float) -> str:
        """The object's name and the time in nanoseconds, as upstream's; told apart within one tick of the clock too."""
        self._last_ns = max(self._last_ns + 1, int(now_s * 1e9) + self._clock.random.getrandbits(16))
        suffix = f".{self._last_ns:x}"
        return about[: _NAME_MAX - len(suffix)] + suffix

    def start(self) -> None:
        """Begins to write. What is recorded before waits in the queue."""
        if not self._tasks:
            self._tasks.append(asyncio.create_task(self._run(), name="event recorder"))

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def flush(self) -> None:
        """Waits until all that was recorded so far is written or given up."""
        await self._queue.join()

    def _put(self, event: Obj) -> None:
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            self.dropped += 1
            if self.dropped & (self.dropped - 1) == 0:
                log.error("too many queued events: %d dropped", self.dropped)

    async def _run(self) -> None:
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except Exception:
                log.exception("event %s", event["metadata"]["name"])
            finally:
                self._queue.task_done()

    async def _write(self, event: Obj) -> None:
        raise NotImplementedError

    async def _try_often(self, event: Obj, send: _Send) -> Obj | None:
        """Sends until the server has answered; what it refuses is given up."""
        for tries in range(_TRIES_MAX):
            if tries:
                await self._clock.sleep(_RETRY_S * (1 + 0.25 * self._clock.random.random()))
            try:
                return await send.send(event)
            except StatusError as error:
                if error.code != 503:
                    level = (
                        logging.DEBUG if error.code in (404, 409) or "being terminated" in str(error) else logging.ERROR
                    )
                    log.log(level, "server rejected event %s: %s", event["metadata"]["name"], error)
                    return None
        log.error("unable to write event %s: retry limit exceeded", event["metadata"]["name"])
        return None


class _Send:
    def __init__(self, client: Client, group: str) -> None:
        self._events = client.resource(group, "v1", "events")

    async def send(self, event: Obj) -> Obj:
        """Creates the event; one that continues another (it has a patch) changes that."""
        metadata, patch = event["metadata"], event.pop("patch", None)
        if patch is not None:
            try:
                return await self._events.patch(metadata["name"], metadata["namespace"], patch, "strategic")
            except StatusError as error:
                if error.code == 503:
                    event["patch"] = patch
                if error.code != 404:
                    raise
        return await self._events.create(event)


@dataclass(slots=True)
class _Similar:
    messages: set[str] = field(default_factory=set)
    last_s: float = 0.0


@dataclass(slots=True)
class _Seen:
    name: str
    count: int
    first: str


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at_s: float


class Recorder(_Writer):
    """Events of core/v1: one that repeats is counted, ten alike but for the message are combined, floods are filtered."""

    def __init__(self, client: Client, clock: Clock, component: str, host: str = "") -> None:
        super().__init__(clock)
        self._send = _Send(client, "")
        self.component, self._host = component, host
        self._similar: _Recent[_Similar] = _Recent()
        self._seen: _Recent[_Seen] = _Recent()
        self._buckets: _Recent[_Bucket] = _Recent()

    def event(self, obj: Obj, type: EventType, reason: str, message: str, *, field_path: str = "") -> None:
        """Says `message` about `obj` (an object or an ObjectReference with `metadata`). Never waits, never raises."""
        self.event_about(reference_of(obj, field_path), type, reason, message)

    def event_about(self, reference: Obj, type: EventType, reason: str, message: str) -> None:
        """The same of a ready ObjectReference."""
        now_s = self._clock.now()
        now = format_time(now_s)
        self._put({
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "name": self._name(reference.get("name", ""), now_s),
                "namespace": reference.get("namespace") or "default",
            },
            "involvedObject": reference,
            "reason": reason,
            "message": message,
            "source": {"component": self.component, **({"host": self._host} if self._host else {})},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": type,
            "eventTime": None,
            "reportingComponent": self.component,
            "reportingInstance": self._host,
        })  # fmt: skip

    async def _write(self, event: Obj) -> None:
        key = self._combine(event)
        if self._is_spam(event):
            return
        seen = self._seen.get(key)
        if seen is not None:
            event["metadata"]["name"], event["firstTimestamp"] = seen.name, seen.first
            event["count"] = seen.count + 1
            event["patch"] = {k: event[k] for k in ("count", "lastTimestamp", "message")}
        seen = _Seen(event["metadata"]["name"], event["count"], event["firstTimestamp"])
        self._seen.put(key, seen)
        await self._try_often(event, self._send)

    @staticmethod
    def _about(event: Obj) -> tuple[str, ...]:
        about = event["involvedObject"]
        return tuple(about.get(k, "") for k in ("kind", "namespace", "name", "uid", "apiVersion"))

    def _combine(self, event: Obj) -> tuple[str, ...]:
        """Turns the tenth and later of similar events into one; returns the key of the event to count it under."""
        about = self._about(event)
        alike = (*about, event["type"], event["reason"])
        now_s = self._clock.now()
        similar = self._similar.get(alike)
        if similar is None or now_s - similar.last_s > _SIMILAR_S:
            similar = _Similar()
            self._similar.put(alike, similar)
        similar.last_s = now_s
        similar.messages.add(event["message"])
        if len(similar.messages) < _SIMILAR_MAX:
            return (*alike, event["involvedObject"].get("fieldPath", ""), event["message"])
        similar.messages.pop()
        event["message"] = "(combined from similar events): " + event["message"]
        return alike

    def _is_spam(self, event: Obj) -> bool:
        key = (*self._about(event), event["type"])
        now_s = self._clock.now()
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = _Bucket(float(_SPAM_BURST), now_s)
            self._buckets.put(key, bucket)
        bucket.tokens = min(_SPAM_BURST, bucket.tokens + (now_s - bucket.filled_at_s) * _SPAM_PER_SECOND)
        bucket.filled_at_s = now_s
        if bucket.tokens < 1:
            return True
        bucket.tokens -= 1
        return False


class EventsRecorder(_Writer):
    """Events of events.k8s.io/v1: one that repeats becomes a series, whose count is written every half hour and at its end."""

    def __init__(self, client: Client, clock: Clock, controller: str, instance: str = "") -> None:
        super().__init__(clock)
        self._send = _Send(client, "events.k8s.io")
        self._controller = controller
        self._instance = instance or controller
        self._known: OrderedDict[tuple[str, ...], Obj] = OrderedDict()

    def start(self) -> None:
        super().start()
        if len(self._tasks) == 1:
            self._tasks.append(asyncio.create_task(self._tend(), name="event series"))

    def event(
        self, regarding: Obj, type: EventType, reason: str, message: str, *, action: str, related: Obj | None = None
    ) -> None:
        """Says `message` about `regarding`. Never waits, never raises."""
        now_s = self._clock.now()
        reference = reference_of(regarding)
        event: Obj = {
            "kind": "Event",
            "apiVersion": "events.k8s.io/v1",
            "metadata": {
                "name": self._name(reference.get("name", ""), now_s),
                "namespace": reference.get("namespace") or "default",
            },
            "eventTime": format_micro_time(now_s),
            "reportingController": self._controller,
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "regarding": reference,
            "note": message[:1024],
            "type": type,
        }
        if related is not None:
            event["related"] = reference_of(related)
        self._put(event)

    async def _write(self, event: Obj) -> None:
        about, other = event["regarding"], event.get("related") or {}
        key = (
            event["type"], event["action"], event["reason"], *(f"{k}={v}" for k, v in about.items()), "",
            *(f"{k}={v}" for k, v in other.items()),
        )  # fmt: skip
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _REMEMBERED_MAX:
                self._known.popitem(last=False)
            self._known[key] = dict(event)
            await self._try_often(event, self._send)
            return
        now = format_micro_time(self._clock.now())
        series = known.get("series")
        if series is not None:
            series["count"] += 1
            series["lastObservedTime"] = now
            return
        known["series"] = {"count": 2, "lastObservedTime": now}
        await self._record_series(known)

    async def _record_series(self, event: Obj) -> None:
        series = dict(event["series"])
        await self._try_often({**event, "series": series, "patch": {"series": series}}, self._send)

    async def _tend(self) -> None:
        """Ends series that have gone quiet, and refreshes the others so that the server keeps them."""
        refreshed_s = self._clock.monotonic()
        while True:
            await self._clock.sleep(_SERIES_END_S)
            quiet = format_micro_time(self._clock.now() - _SERIES_END_S)
            refresh = self._clock.monotonic() - refreshed_s >= _SERIES_REFRESH_S
            if refresh:
                refreshed_s = self._clock.monotonic()
            for key, event in list(self._known.items()):
                series = event.get("series")
                if (series["lastObservedTime"] if series else event["eventTime"]) < quiet:
                    self._known.pop(key, None)
                    if series:
                        await self._record_series(event)
                elif series and refresh:
                    await self._record_series(event)
