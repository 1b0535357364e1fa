"""The cluster's state: a durable MVCC key-value store with etcd's semantics."""
