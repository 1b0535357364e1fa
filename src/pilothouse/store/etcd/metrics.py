"""/metrics under etcd's names, types and labels, of what there is here: one member, no raft log, no Go."""

from __future__ import annotations

import math
import os
import resource
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pilothouse.store.durations import Durations
from pilothouse.store.etcd.context import CLUSTER_VERSION, VERSION, Context
from pilothouse.store.interface import Range

if TYPE_CHECKING:
    from pilothouse.store.wire.server import Server

_GO_NAMES: Final = {"OK": "OK", "CANCELLED": "Canceled", "UNKNOWN": "Unknown"}
_NEVER: Final = {  # what a cluster of one member never does
    "etcd_server_heartbeat_send_failures_total": "leader heartbeat send failures (likely overloaded from slow disk)",
    "etcd_server_learner_promote_successes": "successful learner promotions while this member is leader",
    "etcd_server_proposals_failed_total": "failed proposals seen",
    "etcd_server_read_indexes_failed_total": "failed read indexes seen",
    "etcd_server_slow_apply_total": "slow apply requests (likely overloaded from slow disk)",
    "etcd_server_slow_read_indexes_total": "pending read indexes not in sync with leader's or timed out read index requests",
}


class _Text:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, kind: str, text: str, values: Iterable[tuple[str, float]]) -> None:
        self.lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
        self.lines += (f"{name}{labels} {value:.16g}" for labels, value in values)

    def gauge(self, name: str, text: str, value: float, labels: str = "") -> None:
        self.add(name, "gauge", text, [(labels, value)])

    def histogram(self, name: str, text: str, found: Durations) -> None:
        self.lines += (f"# HELP {name} {text}", f"# TYPE {name} histogram")
        below = 0
        for bound, count in zip((*found.bounds, math.inf), found.counts, strict=True):
            below += count
            self.lines.append(f'{name}_bucket{{le="{"+Inf" if bound == math.inf else f"{bound:.12g}"}"}} {below}')
        self.lines += (f"{name}_sum {found.total:.9g}", f"{name}_count {below}")

    def counter(self, name: str, text: str, value: float) -> None:
        self.add(name, "counter", text, [("", value)])


def _go_name(status: str) -> str:
    return _GO_NAMES.get(status) or status.title().replace("_", "")


async def render(context: Context, server: Server | None) -> str:
    """The whole document."""
    out = _Text()
    await _server(out, context)
    await _keys(out, context)
    _leases_and_watches(out, context)
    _disk(out, context)
    if server is not None:
        _calls(out, server)
    _process(out)
    return "\n".join([*out.lines, ""])


async def _server(out: _Text, context: Context) -> None:
    status, counts, member = await context.store.status(), context.counts, f"{context.header.member_id:x}"
    out.gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.", 1)
    out.gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.", 1)
    out.gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", 0)
    out.counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen.", 1)
    proposals = "The total number of consensus proposals"
    out.gauge("etcd_server_proposals_committed_total", f"{proposals} committed.", status.index)
    out.gauge("etcd_server_proposals_applied_total", f"{proposals} applied.", status.index)
    out.gauge("etcd_server_proposals_pending", "The current number of pending proposals to commit.", 0)
    for name, text in _NEVER.items():
        out.counter(name, f"The total number of {text}.", 0)
    out.gauge(
        "etcd_server_snapshot_apply_in_progress_total",
        "1 if the server is applying the incoming snapshot. 0 if none.",
        0,
    )
    out.counter("etcd_server_health_success", "The total number of successful health checks", counts.healthy)
    out.counter("etcd_server_health_failures", "The total number of failed health checks", counts.unhealthy)
    quota = context.config.quota_bytes
    out.gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", quota)
    which = "Which version is running. 1 for"
    text = f"{which} 'server_version' label with current version."
    out.gauge("etcd_server_version", text, 1, f'{{server_version="{VERSION}"}}')
    text = f"{which} 'cluster_version' label with current cluster version"
    out.gauge("etcd_cluster_version", text, 1, f'{{cluster_version="{CLUSTER_VERSION}"}}')
    text = "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID."
    out.gauge("etcd_server_id", text, 1, f'{{server_id="{member}"}}')
    peers = f'{{Local="{member}",Remote="{member}"}}'
    out.gauge("etcd_network_known_peers", "The current number of known peers.", 1, peers)
    alarms = [(f'{{alarm_type="{name}",server_id="{member}"}}', 1.0) for name in sorted(context.store.alarms)]
    out.add("etcd_debugging_server_alarms", "gauge", "Alarms for every member in cluster.", alarms)
    revision = context.guard.book.revision
    out.gauge("etcd_debugging_auth_revision", "The current revision of auth store.", revision)


async def _keys(out: _Text, context: Context) -> None:
    status, counts = await context.store.status(), context.counts
    keys = await context.store.range(Range(b"\0", b"\0", count_only=True))
    size = "Total size of the underlying database"
    out.gauge("etcd_mvcc_db_total_size_in_bytes", f"{size} physically allocated in bytes.", status.size_bytes)
    out.gauge("etcd_mvcc_db_total_size_in_use_in_bytes", f"{size} logically in use in bytes.", status.in_use_bytes)
    for kind, count in (
        ("put", counts.puts), ("range", counts.ranges), ("delete", counts.deletes), ("txn", counts.txns),
    ):  # fmt: skip
        out.counter(f"etcd_mvcc_{kind}_total", f"Total number of {kind}s seen by this member.", count)
    out.gauge(
        "etcd_debugging_mvcc_total_put_size_in_bytes",
        "The total size of put kv pairs seen by this member.",
        counts.put_bytes,
    )
    out.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", keys.count)
    out.gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", status.revision)
    compacted = "The revision of the last compaction in store."
    out.gauge("etcd_debugging_mvcc_compact_revision", compacted, status.compacted)
    took = "The latency distribution of storage hash"
    out.histogram("etcd_mvcc_hash_duration_seconds", f"{took} operation.", counts.hashes)
    out.histogram("etcd_mvcc_hash_rev_duration_seconds", f"{took} by revision operation.", counts.hashes_of_revisions)


def _leases_and_watches(out: _Text, context: Context) -> None:
    counts, watching = context.counts, context.store.watching()
    out.counter("etcd_debugging_lease_granted_total", "The total number of granted leases.", counts.granted)
    renewed = "The number of renewed leases seen by the leader."
    out.counter("etcd_debugging_lease_renewed_total", renewed, counts.renewed)
    out.counter("etcd_debugging_lease_revoked_total", "The total number of revoked leases.", counts.revoked)
    expired = context.store.leases_expired
    out.counter("etcd_debugging_server_lease_expired_total", "The total number of expired leases.", expired)
    out.histogram("etcd_debugging_lease_ttl_total", "Bucketed histogram of lease TTLs.", counts.ttls)
    out.counter("etcd_debugging_mvcc_events_total", "Total number of events sent by this member.", counts.events)
    out.gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", watching.watches)
    out.gauge("etcd_debugging_mvcc_slow_watcher_total", "Total number of unsynced slow watchers.", watching.slow)
    pending = "Total number of pending events to be sent."
    out.gauge("etcd_debugging_mvcc_pending_events_total", pending, watching.pending)


def _disk(out: _Text, context: Context) -> None:
    counts, took = context.counts, "The latency distribution"
    commits = context.store.commits_took  # one commit is both here
    out.histogram("etcd_disk_wal_fsync_duration_seconds", f"{took}s of fsync called by WAL.", commits)
    out.histogram("etcd_disk_backend_commit_duration_seconds", f"{took}s of commit called by backend.", commits)
    name = "etcd_disk_backend_defrag_duration_seconds"
    out.histogram(name, f"{took} of backend defragmentation.", counts.defragmentations)
    out.histogram("etcd_disk_backend_snapshot_duration_seconds", f"{took} of backend snapshots.", counts.snapshots)
    active = bool(counts.defragmenting)
    out.gauge(
        "etcd_disk_defrag_inflight",
        "Whether or not defrag is active on the member. 1 means active, 0 means not.",
        active,
    )


def _calls(out: _Text, server: Server) -> None:
    started, received, sent, handled = [], [], [], []
    for path, method in sorted(server.methods.items()):
        service, name = path[1:].split("/")
        labels = f'grpc_method="{name}",grpc_service="{service}",grpc_type="{method.kind}"}}'
        calls = method.calls
        started.append(("{" + labels, float(calls.started)))
        received.append(("{" + labels, float(calls.received)))
        sent.append(("{" + labels, float(calls.sent)))
        handled += [(f'{{grpc_code="{_go_name(s.name)}",{labels}', float(n)) for s, n in sorted(calls.ended.items())]
    rpcs = "Total number of RPCs"
    out.add("grpc_server_started_total", "counter", f"{rpcs} started on the server.", started)
    text = f"{rpcs} completed on the server, regardless of success or failure."
    out.add("grpc_server_handled_total", "counter", text, handled)
    out.add(
        "grpc_server_msg_received_total",
        "counter",
        "Total number of RPC stream messages received on the server.",
        received,
    )
    text = "Total number of gRPC stream messages sent by the server."
    out.add("grpc_server_msg_sent_total", "counter", text, sent)
    watching = server.methods["/etcdserverpb.Watch/Watch"].calls
    open_ = watching.started - sum(watching.ended.values())
    out.gauge("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.", open_)
    bytes_in = server.received_bytes + sum(connection.received_bytes for connection in server.connections)
    bytes_out = server.sent_bytes + sum(connection.sent_bytes for connection in server.connections)
    text = "The total number of bytes"
    out.counter("etcd_network_client_grpc_received_bytes_total", f"{text} received from grpc clients.", bytes_in)
    out.counter("etcd_network_client_grpc_sent_bytes_total", f"{text} sent to grpc clients.", bytes_out)


def _process(out: _Text) -> None:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s, page = usage.ru_utime + usage.ru_stime, resource.getpagesize()
    out.counter("process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", cpu_s)
    with open("/proc/self/statm") as file:
        virtual, resident = (int(pages) * page for pages in file.read().split()[:2])
    out.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", resident)
    out.gauge("process_virtual_memory_bytes", "Virtual memory size in bytes.", virtual)
    limit = resource.getrlimit(resource.RLIMIT_AS)[0] % (1 << 64)  # none is all bits
    out.gauge("process_virtual_memory_max_bytes", "Maximum amount of virtual memory available in bytes.", limit)
    files, most = len(os.listdir("/proc/self/fd")), resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    out.gauge("process_open_fds", "Number of open file descriptors.", files)
    out.gauge("process_max_fds", "Maximum number of open file descriptors.", most)
    out.gauge("os_fd_used", "The number of used file descriptors.", files)
    out.gauge("os_fd_limit", "The file descriptor limit.", most)
    out.gauge("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", _started_s())


def _started_s() -> float:
    with open("/proc/self/stat") as file:
        ticks = int(file.read().rpartition(")")[2].split()[19])  # since the machine started
    with open("/proc/stat") as file:
        booted_s = next(int(line.split()[1]) for line in file if line.startswith("btime "))
    return booted_s + ticks / os.sysconf("SC_CLK_TCK")
