"""The embedded store: etcd's semantics in this process, durable in one directory. docs/store.md describes it."""

from pilothouse.store.embedded.engine import EmbeddedStore, open_store

__all__ = ["EmbeddedStore", "open_store"]
