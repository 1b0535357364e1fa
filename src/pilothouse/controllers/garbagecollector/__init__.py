"""The garbage collector: deletes what nobody owns any more, and carries out foreground deletion and orphaning.

Source: upstream's pkg/controller/garbagecollector and the documentation of "Garbage Collection". `graph` is who owns whom,
as the informers tell it; `controller` acts on it, always after a look at the live objects.
"""

from pilothouse.controllers.garbagecollector.controller import GarbageCollector

__all__ = ["GarbageCollector"]
