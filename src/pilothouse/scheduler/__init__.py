"""The scheduler: finds a node for each pod that has none. `Scheduler(client, informers, clock).run()`.

`queue` says which pod is next, `cache` what the nodes have left, `framework` asks the plugins (`plugins/`, one file each),
`preemption` makes room, `scheduler` binds.
"""

from pilothouse.scheduler.scheduler import Scheduler

__all__ = ["Scheduler"]
