"""The one way in to an API server for everything that uses one: typed paths, informers, work queues, leader election, events.

`https` (aiohttp) is imported only by who connects over the wire: `from pilothouse.client.https import Https`.
"""

from pilothouse.client.cache import Lister
from pilothouse.client.client import Client, ResourceClient
from pilothouse.client.events import EventsRecorder, Recorder
from pilothouse.client.informers import Informer, Informers
from pilothouse.client.leader import LeaderElector
from pilothouse.client.queue import QueueClosed, RateLimiter, WorkQueue
from pilothouse.client.transport import InProcess, Transport

__all__ = [
    "Client", "EventsRecorder", "InProcess", "Informer", "Informers", "LeaderElector", "Lister", "QueueClosed", "RateLimiter",
    "Recorder", "ResourceClient", "Transport", "WorkQueue",
]  # fmt: skip
