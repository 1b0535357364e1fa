"""Snapshots in etcd's form: its bbolt database, and the SHA-256 of that behind it. `save` makes one of a store that goes on,
`restore` makes a store of one, and `inspect` says what is in one; etcd's own tools take ours, and these take etcd's."""
