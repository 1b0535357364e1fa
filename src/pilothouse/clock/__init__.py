"""The only source of time, sleep, timers and chance.

Every part takes a `Clock`. `RealClock` is the machine's; `VirtualClock` is a simulation's, in which an hour takes as long
as the work in it. Both let the event loop do the waiting: under a `VirtualClock` the loop's own time is virtual, so
`asyncio.timeout`, `loop.call_later` and every library on the loop agree with `Clock.sleep`.
"""

from pilothouse.clock.clock import Clock, RealClock
from pilothouse.clock.timestamps import format_micro_time, format_time, parse_time
from pilothouse.clock.virtual import VirtualClock
from pilothouse.clock.worker import Worker

__all__ = ["Clock", "RealClock", "VirtualClock", "Worker", "format_micro_time", "format_time", "parse_time"]
