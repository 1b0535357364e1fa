"""/metrics under etcd's names, of what there is here: no peers, no raft, no Go."""

from __future__ import annotations

import math
import resource
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pilothouse.store.durations import BOUNDS_S, Durations
from pilothouse.store.etcd.context import VERSION, Context
from pilothouse.store.interface import Range

if TYPE_CHECKING:
    from pilothouse.store.wire.server import Server

_GO_NAMES: Final = {"OK": "OK", "CANCELLED": "Canceled", "UNKNOWN": "Unknown"}
_DISK: Final = {
    "etcd_disk_wal_fsync_duration_seconds": "The latency distributions of fsync called by WAL.",
    "etcd_disk_backend_commit_duration_seconds": "The latency distributions of commit called by backend.",
}
_KV: Final = {"Put": "put", "Range": "range", "DeleteRange": "delete", "Txn": "txn"}


class _Text:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, name: str, kind: str, text: str, values: Iterable[tuple[str, float]]) -> None:
        self.lines += (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
        self.lines += (f"{name}{labels} {value:.16g}" for labels, value in values)

    def gauge(self, name: str, text: str, value: float, labels: str = "") -> None:
        self.add(name, "gauge", text, [(labels, value)])

    def histogram(self, name: str, text: str, durations: Durations) -> None:
        self.lines += (f"# HELP {name} {text}", f"# TYPE {name} histogram")
        below = 0
        for bound, count in zip((*BOUNDS_S, math.inf), durations.counts, strict=True):
            below += count
            self.lines.append(f'{name}_bucket{{le="{"+Inf" if bound == math.inf else f"{bound:.12g}"}"}} {below}')
        self.lines += (f"{name}_sum {durations.total_s:.9g}", f"{name}_count {below}")

    def counter(self, name: str, text: str, value: float) -> None:
        self.add(name, "counter", text, [("", value)])


def _go_name(status: str) -> str:
    return _GO_NAMES.get(status) or status.title().replace("_", "")


async def render(context: Context, server: Server | None) -> str:
    """The whole document."""
    status = await context.store.status()
    keys = await context.store.range(Range(b"\0", b"\0", count_only=True))
    leases = await context.store.lease_list()
    out = _Text()
    out.gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.", 1)
    out.gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.", 1)
    out.gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", 0)
    out.counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen.", 1)
    out.counter(
        "etcd_server_proposals_committed_total", "The total number of consensus proposals committed.", status.index
    )
    out.counter("etcd_server_proposals_applied_total", "The total number of consensus proposals applied.", status.index)
    out.gauge("etcd_server_proposals_pending", "The current number of pending proposals to commit.", 0)
    out.counter("etcd_server_proposals_failed_total", "The total number of failed proposals seen.", 0)
    out.gauge(
        "etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", context.config.quota_bytes
    )
    out.gauge("etcd_server_version", "Which version is running.", 1, f'{{server_version="{VERSION}"}}')
    out.gauge("etcd_cluster_version", "Which version is running.", 1, f'{{cluster_version="{VERSION[:3]}"}}')
    out.gauge(
        "etcd_server_id",
        "Server or member ID in hexadecimal format.",
        1,
        f'{{server_id="{context.header.member_id:x}"}}',
    )
    alarms = [
        (f'{{alarm_type="{name}",server_id="{context.header.member_id:x}"}}', 1.0)
        for name in sorted(context.store.alarms)
    ]
    out.add("etcd_debugging_server_alarms", "gauge", "Alarms for every member in cluster.", alarms)
    out.gauge(
        "etcd_mvcc_db_total_size_in_bytes",
        "Total size of the underlying database physically allocated in bytes.",
        status.size_bytes,
    )
    out.gauge(
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Total size of the underlying database logically in use in bytes.",
        status.in_use_bytes,
    )
    out.gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", keys.count)
    out.gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", status.revision)
    out.gauge("etcd_debugging_lease_active", "The number of leases.", len(leases))
    for name, text in _DISK.items():  # one commit is both here
        out.histogram(name, text, context.store.commits_took)
    if server is not None:
        _calls(out, server)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    out.counter(
        "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", usage.ru_utime + usage.ru_stime
    )
    out.gauge("process_resident_memory_bytes", "Resident memory size in bytes.", _resident_bytes())
    return "\n".join([*out.lines, ""])


def _calls(out: _Text, server: Server) -> None:
    handled, by_kind = [], dict.fromkeys(_KV.values(), 0)
    for (path, status), count in sorted(server.counts.items()):
        service, method = path[1:].split("/")
        handled.append(
            (f'{{grpc_code="{_go_name(status)}",grpc_method="{method}",grpc_service="{service}"}}', float(count))
        )
        if service == "etcdserverpb.KV" and status == "OK" and method in _KV:
            by_kind[_KV[method]] += count
    out.add(
        "grpc_server_handled_total",
        "counter",
        "Total number of RPCs completed on the server, regardless of success or failure.",
        handled,
    )
    for kind, count in by_kind.items():
        out.counter(f"etcd_mvcc_{kind}_total", f"Total number of {kind}s seen by this member.", count)
    watching = [
        stream
        for connection in server.connections
        for stream in connection.streams.values()
        if getattr(getattr(stream, "method", None), "path", "") == "/etcdserverpb.Watch/Watch"
    ]
    out.gauge("etcd_debugging_mvcc_watch_stream_total", "Total number of watch streams.", len(watching))
    received = server.received_bytes + sum(connection.received_bytes for connection in server.connections)
    sent = server.sent_bytes + sum(connection.sent_bytes for connection in server.connections)
    out.counter(
        "etcd_network_client_grpc_received_bytes_total",
        "The total number of bytes received from grpc clients.",
        received,
    )
    out.counter("etcd_network_client_grpc_sent_bytes_total", "The total number of bytes sent to grpc clients.", sent)


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()
