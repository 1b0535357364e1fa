"""A data directory made of a copy of a store: of ours, or of an etcd database."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path

from pilothouse.store.embedded import records
from pilothouse.store.embedded.disk import write_directory
from pilothouse.store.embedded.files import Files
from pilothouse.store.interface import Event, LeaseStatus, Version

_SLICE = 500


def restore(
    path: Path,
    contents: Iterable[Version],
    *,
    revision: int,
    compacted: int = -1,
    term: int = 0,
    leases: Iterable[LeaseStatus] = (),
    meta: Mapping[str, bytes] | None = None,
    files: Files | None = None,
) -> None:
    """Makes a data directory of what an Export holds, `contents` in its order; blocks. `revision` may be later than that of
    the last version (etcdutl's --bump-revision). Raises Unavailable, also where `path` holds a store already."""
    payloads = _payloads(contents, revision, compacted, term, leases, meta or {})
    write_directory(path, payloads, files)


def _payloads(
    contents: Iterable[Version],
    revision: int,
    compacted: int,
    term: int,
    leases: Iterable[LeaseStatus],
    meta: Mapping[str, bytes],
) -> Iterator[bytes]:
    base: dict[bytes, Version] = {}
    groups = groupby(contents, key=lambda version: version.kv.mod_revision)
    first: tuple[int, list[Version]] | None = None
    for number, group in groups:
        versions = list(group)
        # A database that was not compacted to its end holds more than the newest of each key.
        if number > compacted or (number == compacted and [v.sub for v in versions] == list(range(len(versions)))):
            first = number, versions
            break
        for version in versions:
            if version.deleted:
                base.pop(version.kv.key, None)
            else:
                base[version.kv.key] = version
    keys = iter(sorted(base.values(), key=attrgetter("kv.key")))
    while some := list(islice(keys, _SLICE)):
        yield records.encode_keys((v.kv, v.sub) for v in some)
    yield records.encode_compact(compacted)
    if first is not None:
        yield _changes(*first)
    for number, group in groups:
        yield _changes(number, group)
    yield b"".join(records.encode_lease(lease.lease, lease.granted_ttl_s, lease.left_s) for lease in leases)
    yield b"".join(records.encode_meta(name, value) for name, value in meta.items())
    yield records.encode_term(term) + records.encode_end(revision)


def _changes(number: int, versions: Iterable[Version]) -> bytes:
    return b"".join(records.changes(number, [Event("DELETE" if v.deleted else "PUT", v.kv) for v in versions]))
