"""A client of an external etcd cluster, as a Store."""

from pilothouse.store.remote.endpoints import Options
from pilothouse.store.remote.store import RemoteStore, open_remote

__all__ = ["Options", "RemoteStore", "open_remote"]
