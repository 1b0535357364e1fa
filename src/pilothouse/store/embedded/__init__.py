"""The embedded engine: the cluster's state in one directory of this machine, durable at every acknowledged write.

`open_store(path, clock)` opens it; without a path the state lives in memory alone, for tests and simulations.
"""

from pilothouse.store.embedded.engine import EmbeddedStore, open_store

__all__ = ["EmbeddedStore", "open_store"]
