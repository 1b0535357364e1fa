"""etcdctl 3.6 against `pilothouse etcd`: every command."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from etcd_tools import Etcd, needs_etcdctl, ours

from pilothouse.store.snapshots.restore import inspect, restore

pytestmark = needs_etcdctl


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with ours(tmp_path_factory.mktemp("etcd") / "data") as etcd:
        yield etcd


def _http(etcd: Etcd, path: str, body: Any = None) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(etcd.url + path, data), timeout=5) as answer:
            status, text = answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        status, text = error.code, error.read().decode()
    try:
        return status, json.loads(text)
    except ValueError:
        return status, text


def test_put_get_del(etcd: Etcd) -> None:
    assert etcd("put", "kv/a", "1") == "OK\n"
    assert etcd("put", "kv/a", "2", "--prev-kv") == "OK\nkv/a\n1\n"
    etcd("put", "kv/b", "3")
    assert etcd("get", "kv/", "--prefix") == "kv/a\n2\nkv/b\n3\n"
    assert etcd("get", "kv/", "--prefix", "--keys-only", "--order=DESCEND", "--sort-by=KEY") == "kv/b\n\nkv/a\n\n"
    assert etcd("get", "kv/", "--prefix", "--limit=1") == "kv/a\n2\n"
    assert '"Count" : 2\n' in etcd("get", "kv/", "--prefix", "--count-only", "-w", "fields")
    first = etcd.json("get", "kv/a")["kvs"][0]["create_revision"]
    assert etcd("get", "kv/a", f"--rev={first}") == "kv/a\n1\n"
    assert etcd("put", "kv/a", "--ignore-value", "--ignore-lease") == "OK\n"
    assert etcd("del", "kv/", "--prefix", "--prev-kv") == "2\nkv/a\n2\nkv/b\n3\n"
    assert etcd("get", "kv/", "--prefix") == ""


def test_failures(etcd: Etcd) -> None:
    assert etcd.fails("get", "x", "--rev=999999") == "etcdserver: mvcc: required revision is a future revision"
    assert etcd.fails("put", "x", "--ignore-value") == "etcdserver: key not found"
    assert etcd.fails("put", "x", "1", "--lease=123") == "etcdserver: requested lease not found"
    assert etcd.fails("lease", "revoke", "123").endswith("etcdserver: requested lease not found)")


def test_txn(etcd: Etcd) -> None:
    etcd("put", "txn/a", "1")
    script = 'value("txn/a") = "1"\nversion("txn/b") = "0"\n\nput txn/b yes\nget txn/a\ndel txn/a\n\nget txn/b\n\n'
    assert etcd("txn", stdin=script) == "SUCCESS\n\nOK\n\ntxn/a\n1\n\n1\n"
    assert etcd("txn", stdin=script) == "FAILURE\n\ntxn/b\nyes\n"


def test_watch(etcd: Etcd) -> None:
    etcd("put", "watch/a", "0")
    start = etcd.json("get", "watch/a")["kvs"][0]["mod_revision"]
    with etcd.going("watch", "watch/", "--prefix", f"--rev={start}", "--prev-kv") as watch:
        assert watch.stdout is not None
        lines = (line.strip() for line in watch.stdout)
        assert [next(lines) for _ in range(3)] == ["PUT", "watch/a", "0"]
        etcd("put", "watch/a", "1")
        assert [next(lines) for _ in range(5)] == ["PUT", "watch/a", "0", "watch/a", "1"]


def test_watch_in_order(etcd: Etcd) -> None:
    with etcd.going("watch", "order/", "--prefix") as watch:
        assert watch.stdout is not None
        time.sleep(0.2)
        for number in range(3):
            etcd("put", "order/a", str(number))
        etcd("del", "order/a")
        found = [next(watch.stdout).strip() for _ in range(11)]
    assert found == ["PUT", "order/a", "0", "PUT", "order/a", "1", "PUT", "order/a", "2", "DELETE", "order/a"]


def test_watch_of_a_compacted_revision(etcd: Etcd) -> None:
    for number in range(3):
        etcd("put", "compact/a", str(number))
    revision = etcd.json("get", "compact/a")["header"]["revision"]
    assert etcd("compaction", str(revision)) == f"compacted revision {revision}\n"
    assert etcd.fails("compaction", str(revision)) == "etcdserver: mvcc: required revision has been compacted"
    assert etcd.fails("get", "a", "--rev=1") == "etcdserver: mvcc: required revision has been compacted"
    etcd("put", "compact/a", "more")
    revision = etcd.json("get", "compact/a")["header"]["revision"]
    etcd("compaction", "--physical", str(revision))
    failed = etcd.run("watch", "compact/a", "--rev=1")
    assert "required revision has been compacted" in failed.stderr


def test_leases(etcd: Etcd) -> None:
    lease = etcd("lease", "grant", "60").split()[1]
    etcd("put", "lease/a", "1", f"--lease={lease}")
    assert lease in etcd("lease", "list")
    told = etcd("lease", "timetolive", lease, "--keys")
    assert told.startswith(f"lease {lease} granted with TTL(60s), remaining(") and told.endswith(
        "attached keys([lease/a])\n"
    )
    assert etcd("lease", "keep-alive", "--once", lease) == f"lease {lease} keepalived with TTL(60)\n"
    assert etcd("lease", "revoke", lease) == f"lease {lease} revoked\n"
    assert etcd("get", "lease/a") == ""
    assert etcd("lease", "timetolive", lease) == f"lease {lease} already expired\n"


def test_lock_and_elect(etcd: Etcd) -> None:
    assert etcd("lock", "some-lock", "echo", "held") == "held\n"
    with etcd.going("elect", "some-election", "me") as elect:
        assert elect.stdout is not None
        assert elect.stdout.readline().startswith("some-election/")
        assert elect.stdout.readline() == "me\n"
        with etcd.going("elect", "--listen", "some-election") as listen:
            assert listen.stdout is not None
            assert listen.stdout.readline().startswith("some-election/")
            assert listen.stdout.readline() == "me\n"


def test_maintenance(etcd: Etcd) -> None:
    assert "is healthy" in etcd.run("endpoint", "health").stderr + etcd("endpoint", "health")
    [status] = etcd.json("endpoint", "status")
    assert status["Status"]["leader"] == status["Status"]["header"]["member_id"]
    [hashed] = etcd.json("endpoint", "hashkv")
    assert hashed["HashKV"]["hash"]
    assert etcd("defrag").startswith("Finished defragmenting etcd member")
    assert etcd("alarm", "list") == ""
    assert etcd("alarm", "disarm") == ""
    [member] = etcd.json("member", "list")["members"]
    assert member["clientURLs"] == [etcd.url]
    assert "cluster of one member" in etcd.fails("member", "add", "b", "--peer-urls=http://127.0.0.1:1")
    assert "cluster of one member" in etcd.fails("member", "remove", f"{member['ID']:x}")
    assert etcd.fails("member", "remove", "123") == "etcdserver: member not found"


def test_make_mirror(etcd: Etcd, tmp_path: Path) -> None:
    etcd("put", "mirrored/a", "1")
    with (
        ours(tmp_path / "other") as other,
        etcd.going("make-mirror", other.url.removeprefix("http://"), "--prefix=mirrored/"),
    ):
        deadline = time.monotonic() + 10
        while other("get", "mirrored/a") != "mirrored/a\n1\n":
            assert time.monotonic() < deadline
        etcd("put", "mirrored/b", "2")
        while other("get", "mirrored/b") != "mirrored/b\n2\n":
            assert time.monotonic() < deadline


def test_users_and_roles(tmp_path: Path) -> None:
    data = tmp_path / "data"
    root = ("--user", "root:secret")
    jane = ("--user", "jane:pw")
    with ours(data, "--bcrypt-cost", "4") as etcd:
        assert etcd.fails("auth", "enable") == "etcdserver: root user does not exist"
        assert etcd("user", "add", "root:secret") == "User root created\n"
        assert etcd("user", "add", "jane:pw") == "User jane created\n"
        assert etcd.fails("user", "add", "jane:pw") == "etcdserver: user name already exists"
        assert etcd.fails("user", "grant-role", "jane", "reader") == "etcdserver: role name not found"
        assert etcd("role", "add", "reader") == "Role reader created\n"
        etcd("role", "grant-permission", "reader", "read", "/app/", "--prefix")
        etcd("role", "grant-permission", "reader", "readwrite", "/app/own")
        etcd("user", "grant-role", "jane", "reader")
        etcd("user", "grant-role", "root", "root")
        etcd("put", "/app/x", "1")
        etcd("put", "/other", "1")
        assert etcd("auth", "enable") == "Authentication Enabled\n"
        assert etcd.fails("get", "/app/x") == "etcdserver: user name is empty"
        assert etcd.fails(*root[:1], "root:wrong", "get", "/app/x").endswith("invalid user ID or password")
        assert etcd(*jane, "get", "/app/x") == "/app/x\n1\n"
        assert etcd.fails(*jane, "get", "/other") == "etcdserver: permission denied"
        assert etcd.fails(*jane, "get", "/", "--prefix") == "etcdserver: permission denied"
        assert etcd.fails(*jane, "put", "/app/x", "2") == "etcdserver: permission denied"
        assert etcd(*jane, "put", "/app/own", "2") == "OK\n"
        assert etcd.fails(*jane, "user", "list") == "etcdserver: permission denied"
        assert etcd(*jane, "user", "get", "jane").startswith("User: jane\nRoles: reader")
        watching = etcd.run(*jane, "watch", "/other")
        assert "permission denied" in watching.stderr
        lease = etcd(*root, "lease", "grant", "60").split()[1]
        etcd(*root, "put", "/other", "2", f"--lease={lease}")
        assert "permission denied" in etcd.fails(*jane, "lease", "revoke", lease)
        assert "permission denied" in etcd.fails(*jane, "put", "/app/own", "3", f"--lease={lease}")
    with ours(data) as etcd:  # all of it is stored
        assert etcd.fails(*jane, "get", "/other") == "etcdserver: permission denied"
        assert etcd(*root, "user", "list") == "jane\nroot\n"
        assert etcd(*root, "role", "get", "reader").splitlines()[0] == "Role reader"
        assert etcd.fails(*root, "user", "delete", "root") == "etcdserver: invalid auth management"
        etcd(*root, "role", "revoke-permission", "reader", "/app/", "--prefix")
        assert etcd.fails(*jane, "get", "/app/x") == "etcdserver: permission denied"
        etcd(*root, "user", "passwd", "--interactive=false", "jane", stdin="new\n")
        assert etcd("--user", "jane:new", "get", "/app/own") == "/app/own\n2\n"
        etcd(*root, "role", "delete", "reader")
        assert etcd(*root, "user", "get", "jane").split() == ["User:", "jane", "Roles:"]
        assert etcd(*root, "auth", "status").startswith("Authentication Status: true")
        etcd(*root, "auth", "disable")
        assert etcd("get", "/other") == "/other\n2\n"


def test_quota(tmp_path: Path) -> None:
    with ours(tmp_path / "data", "--quota-backend-bytes", "200000") as etcd:
        value = "x" * 50_000
        failed = ""
        for number in range(10):
            done = etcd.run("put", f"big/{number}", value)
            if done.returncode:
                failed = done.stderr
                break
        assert "etcdserver: mvcc: database space exceeded" in failed
        assert "alarm:NOSPACE" in etcd("alarm", "list")
        assert _http(etcd, "/health") == (503, {"health": "false", "reason": "ALARM NOSPACE"})
        etcd("del", "big/", "--prefix")
        etcd("compaction", str(etcd.json("get", "a")["header"]["revision"]), "--physical")
        etcd("defrag")
        assert "alarm:NOSPACE" in etcd("alarm", "disarm")
        assert etcd("put", "small", "1") == "OK\n"
        assert _http(etcd, "/health")[0] == 200


def test_http(etcd: Etcd) -> None:
    assert _http(etcd, "/health") == (200, {"health": "true", "reason": ""})
    assert _http(etcd, "/readyz") == (200, "ok\n")
    verbose = _http(etcd, "/readyz?verbose&exclude=linearizable_read&exclude=other")[1]
    assert verbose == "[+]data_corruption ok\n[+]serializable_read ok\n[+]non_learner ok\nok\n"
    assert _http(etcd, "/readyz/other") == (404, "404 page not found\n")
    assert _http(etcd, "/health", {}) == (405, "Method Not Allowed\n")
    with urllib.request.urlopen(etcd.url + "/version", timeout=5) as answer:
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert _http(etcd, "/livez/serializable_read?verbose")[1] == "[+]serializable_read ok\nok\n"
    assert _http(etcd, "/version")[1]["etcdserver"] == "3.7.0"
    assert _http(etcd, "/nothing")[0] == 404
    text = _http(etcd, "/metrics")[1]
    for name in (
        "etcd_server_has_leader 1",
        "etcd_mvcc_db_total_size_in_bytes",
        "etcd_debugging_mvcc_keys_total",
        'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"}',
        "etcd_disk_backend_commit_duration_seconds_count",
    ):
        assert name in text


def test_gateway(etcd: Etcd) -> None:
    key, value = "Z2F0ZS9h", "b25l"
    status, put = _http(etcd, "/v3/kv/put", {"key": key, "value": value})
    assert (status, put["header"]["raft_term"]) == (200, "1")
    status, got = _http(etcd, "/v3/kv/range", {"key": key})
    assert (status, got["count"], got["kvs"][0]["value"]) == (200, "1", value)
    status, txn = _http(
        etcd,
        "/v3/kv/txn",
        {
            "compare": [{"key": key, "target": "VALUE", "value": value}],
            "success": [{"requestDeleteRange": {"key": key}}],
        },
    )
    assert (status, txn["succeeded"], txn["responses"][0]["response_delete_range"]["deleted"]) == (200, True, "1")
    for body, message in (
        ({}, "etcdserver: key is not provided"),
        ([1], "proto: syntax error (line 1:1): unexpected token ["),
        ({"key": "!!"}, 'proto: (line 1:9): invalid value for bytes field key: "!!"'),
        ({"key": key, "keys_only": 1}, "proto: (line 1:34): invalid value for bool field keysOnly: 1"),
        ({"key": key, "limit": "x"}, 'proto: (line 1:30): invalid value for int64 field limit: "x"'),
        (
            {"key": key, "limit": 1 << 63},
            "proto: (line 1:30): invalid value for int64 field limit: 9223372036854775808",
        ),
    ):
        assert _http(etcd, "/v3/kv/range", body) == (400, {"code": 3, "message": message})
    assert _http(etcd, "/v3beta/kv/range", {"key": key})[0] == 200
    assert _http(etcd, "/v3/kv/range") == (501, {"code": 12, "message": "Method Not Allowed"})
    assert _http(etcd, "/v3/nothing", {}) == (404, {"code": 5, "message": "Not Found"})
    lock = _http(etcd, "/v3/lock/lock", {"name": "bG9jaw=="})[1]
    assert _http(etcd, "/v3/lock/unlock", {"key": lock["key"]})[0] == 200
    lead = _http(etcd, "/v3/election/campaign", {"name": "ZWxlY3Q=", "value": value})[1]["leader"]
    assert _http(etcd, "/v3/election/leader", {"name": "ZWxlY3Q="})[1]["kv"]["value"] == value
    assert _http(etcd, "/v3/election/proclaim", {"leader": lead, "value": key})[0] == 200
    assert _http(etcd, "/v3/election/resign", {"leader": lead})[0] == 200
    assert _http(etcd, "/v3/election/leader", {"name": "ZWxlY3Q="})[1]["message"] == "election: no leader"


def test_gateway_watch(etcd: Etcd) -> None:
    body = json.dumps({"create_request": {"key": "Z3cv", "range_end": "Z3cw"}}).encode()
    with urllib.request.urlopen(urllib.request.Request(etcd.url + "/v3/watch", body), timeout=5) as answer:
        assert json.loads(answer.readline())["result"]["created"] is True
        etcd("put", "gw/a", "1")
        assert json.loads(answer.readline())["result"]["events"][0]["kv"]["key"] == "Z3cvYQ=="


@pytest.mark.slow
def test_check_perf(etcd: Etcd) -> None:
    assert "PASS: Throughput" in etcd.run("check", "perf", timeout_s=120).stdout
    assert "PASS" in etcd.run("check", "datascale", timeout_s=120).stdout


def test_snapshot(etcd: Etcd, tmp_path: Path) -> None:
    etcd("put", "snapshot/a", "1")
    assert "Snapshot saved at" in etcd("snapshot", "save", str(tmp_path / "s.db"))
    found = inspect(tmp_path / "s.db")
    assert found.revision == etcd.json("get", "snapshot/a")["header"]["revision"]
    assert restore(tmp_path / "s.db", tmp_path / "again") == found.revision


def test_downgrade(etcd: Etcd) -> None:
    assert etcd("downgrade", "validate", "3.6") == "Downgrade validate success, cluster version 3.7\n"
    assert etcd.fails("downgrade", "validate", "3") == "etcdserver: wrong downgrade target version format"
    assert etcd.fails("downgrade", "enable", "3.5") == "etcdserver: invalid downgrade target version"
    assert etcd("downgrade", "enable", "3.6.0") == "Downgrade enable success, cluster version 3.7\n"
    assert etcd.json("endpoint", "status")[0]["Status"]["downgradeInfo"] == {"enabled": True, "targetVersion": "3.6.0"}
    assert etcd.fails("downgrade", "enable", "3.6") == "etcdserver: cluster has a downgrade job in progress"
    for _ in range(2):
        assert etcd("downgrade", "cancel") == "Downgrade cancel success, cluster version 3.7\n"
    assert etcd.json("endpoint", "status")[0]["Status"]["downgradeInfo"] == {}
