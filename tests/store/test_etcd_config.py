"""Flags, variables and files of `pilothouse etcd`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.store.etcd.config import read
from pilothouse.store.etcd.front import identity
from pilothouse.store.etcd.values import BadConfig


def test_defaults_are_etcds() -> None:
    config, idle = read([], {})
    assert (config.name, config.directory, config.listen_client_urls) == (
        "default",
        Path("default.etcd"),
        ["http://localhost:2379"],
    )
    assert (config.max_request_bytes, config.max_txn_ops, config.quota_bytes) == (1_572_864, 128, 2 << 30)
    assert idle == []
    assert identity(config) == (0x8E9E05C52164694D, 0xCDF818194E3A8C32)


def test_flags_as_go_reads_them() -> None:
    config, idle = read(
        ["--name=a", "-data-dir", "/d", "--listen-client-urls", "http://127.0.0.1:1,http://127.0.0.1:2",
         "--enable-grpc-gateway=false", "--heartbeat-interval", "100", "--pre-vote", "--snapshot-count=5"],
        {},
    )  # fmt: skip
    assert (config.name, str(config.directory), config.snapshot_count) == ("a", "/d", 5)
    assert config.listen_client_urls == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert config.enable_grpc_gateway is False
    assert idle == ["heartbeat-interval", "pre-vote"]


def test_flags_and_variables() -> None:
    variables = {"ETCD_MAX_TXN_OPS": "7", "ETCD_UNSUPPORTED_ARCH": "arm", "ETCDCTL_API": "3", "ETCD_PRE_VOTE": "1"}
    config, idle = read(["--name", "a"], variables)
    assert (config.name, config.max_txn_ops, idle) == ("a", 7, ["ETCD_UNSUPPORTED_ARCH", "pre-vote"])
    with pytest.raises(BadConfig, match=r"^conflicting environment variable is shadowed .*: ETCD_NAME$"):
        read(["--name", "a"], {"ETCD_NAME": "b"})
    with pytest.raises(BadConfig, match=r'^invalid value "x" for ETCD_MAX_TXN_OPS: parse error$'):
        read([], {"ETCD_MAX_TXN_OPS": "x"})
    with pytest.raises(BadConfig, match=r'^invalid value "maybe" for ETCD_CLIENT_CERT_AUTH: parse error$'):
        read([], {"ETCD_CLIENT_CERT_AUTH": "maybe"})


def test_a_file_is_all_there_is(tmp_path: Path) -> None:
    file = tmp_path / "etcd.yaml"
    file.write_text(
        "name: c\nlisten-client-urls: https://127.0.0.1:5\nquota-backend-bytes: 1000\nauto-compaction-mode: revision\n"
        'auto-compaction-retention: "10"\nclient-transport-security:\n  cert-file: a\n  key-file: b\n  trusted-ca-file: c\n'
        "  client-cert-auth: true\n"
    )
    config, _ = read(["--name", "a", "--config-file", str(file)], {"ETCD_MAX_TXN_OPS": "7"})
    assert (config.name, config.max_txn_ops, config.quota_bytes, config.retention()) == ("c", 128, 1000, 10.0)
    assert (config.cert_file, config.trusted_ca_file, config.client_cert_auth) == ("a", "c", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--nonsense"], "flag provided but not defined: -nonsense; see pilothouse etcd --help"),
        (["--nonsense=1"], "flag provided but not defined: -nonsense; see pilothouse etcd --help"),
        (["stray"], '"stray" is not a valid flag; see pilothouse etcd --help'),
        (["--name"], "flag needs an argument: -name"),
        (["--max-txn-ops=x"], 'invalid value "x" for flag -max-txn-ops: parse error'),
        (["--max-txn-ops=-1"], 'invalid value "-1" for flag -max-txn-ops: parse error'),
        (["--snapshot-count=-1"], 'invalid value "-1" for flag -snapshot-count: parse error'),
        (["--quota-backend-bytes=1.5"], 'invalid value "1.5" for flag -quota-backend-bytes: parse error'),
        (["--heartbeat-interval=x"], 'invalid value "x" for flag -heartbeat-interval: parse error'),
        (["--grpc-keepalive-min-time=5"], 'invalid value "5" for flag -grpc-keepalive-min-time: parse error'),
        (["--max-txn-ops=0"], "--max-txn-ops: must be more than 0"),
        (["--client-cert-auth=perhaps"], 'invalid boolean value "perhaps" for flag -client-cert-auth: parse error'),
        (["--listen-client-urls=127.0.0.1:1"],
         'invalid value "127.0.0.1:1" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: 127.0.0.1:1'),
        (["--listen-client-urls=http://a"],
         'invalid value "http://a" for flag -listen-client-urls: URL address does not have the form "host:port": http://a'),
        (["--listen-client-urls=http://a:1/b"],
         'invalid value "http://a:1/b" for flag -listen-client-urls: URL must not contain a path: http://a:1/b'),
        (["--listen-client-urls=http://a:99999"],
         'invalid value "http://a:99999" for flag -listen-client-urls: invalid port in URL: http://a:99999'),
        (["--listen-client-urls=https://127.0.0.1:1"],
         "TLS key/cert (--cert-file, --key-file) must be provided for client url https://127.0.0.1:1 with HTTPS scheme"),
        (["--cert-file=a"], "--cert-file and --key-file belong together; give both or neither"),
        (["--client-cert-auth"],
         "--client-cert-auth needs --trusted-ca-file, the authority that signs the clients' certificates"),
        (["--initial-cluster=a=http://1:1,b=http://2:2"],
         "--initial-cluster: this store is a cluster of one member; run etcd itself for more"),
        (["--auto-compaction-mode=daily"], 'unknown auto-compaction-mode "daily": must be "periodic" or "revision"'),
        (["--auto-compaction-retention=soon"],
         'error parsing CompactionRetention: time: invalid duration "soon"'),
        (["--unsafe-no-fsync"], "--unsafe-no-fsync is not possible here: an acknowledged write is always on disk"),
        (["--config-file=/nowhere"], "--config-file: cannot read /nowhere: No such file or directory"),
        (["--bcrypt-cost=3"], "--bcrypt-cost: must be from 4 to 31"),
        (["--log-level=loud"], "--log-level: must be one of debug, info, warn, error, panic, fatal"),
    ],
)  # fmt: skip
def test_what_cannot_be(arguments: list[str], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(arguments, {})
    assert str(caught.value) == message


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("5", 18_000), ("1h30m", 5400), ("10m", 600), ("1.5s", 1.5)])
def test_retention(text: str, seconds: float) -> None:
    assert read([f"--auto-compaction-retention={text}"], {})[0].retention() == seconds


def test_what_a_file_cannot_say(tmp_path: Path) -> None:
    file = tmp_path / "etcd.yaml"
    for text, message in {
        "max-txn-ops: x": f'invalid value "x" in {file} for max-txn-ops: parse error',
        "- a": f"--config-file: {file} does not hold settings",
        "grpc-keepalive-min-time: 5x": f'invalid value "5x" in {file} for grpc-keepalive-min-time: parse error',
    }.items():
        file.write_text(text)
        with pytest.raises(BadConfig) as caught:
            read(["--config-file", str(file)], {})
        assert str(caught.value) == message
    file.write_text("nothing-known: 1\nname: b\n")  # as etcd, which takes it
    config, idle = read(["--config-file", str(file)], {})
    assert (config.name, idle) == ("b", ["nothing-known"])
