"""Flags, variables and files of `pilothouse etcd`."""

from __future__ import annotations

from pathlib import Path

import pytest

from pilothouse.store.etcd.config import read
from pilothouse.store.etcd.front import identity
from pilothouse.store.etcd.tls import tls_context
from pilothouse.store.etcd.values import BadConfig, duration_s


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
        (["--max-request-bytes=0"], "--max-request-bytes: must be more than 0"),
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
        (["--listen-client-urls=https://127.0.0.1:1", "--cert-file=a"],
         "KeyFile and CertFile must both be present[key: , cert: a]"),
        (["--listen-metrics-urls=https://127.0.0.1:1"],
         "client TLS key/cert (--cert-file, --key-file) must be provided for metrics secure url"),
        (["--listen-client-urls=http://example.com:1"], "expected IP in URL for binding (http://example.com:1)"),
        (["--advertise-client-urls=unix:///x,http://a:1"],
         '--advertise-client-urls "http://a:1,unix:///x" must be "host:port" (missing port in address)'),
        (["--initial-advertise-peer-urls=unix://x.sock"],
         '--initial-advertise-peer-urls "unix://x.sock" must be "host:port" (address x.sock: missing port in address)'),
        (["--tls-min-version=TLS1.3", "--tls-max-version=TLS1.2"],
         "min version (TLS1.3) is greater than max version (TLS1.2)"),
        (["--tls-min-version=TLS1.3", "--cipher-suites=TLS_RSA_WITH_AES_128_GCM_SHA256"],
         "cipher suites cannot be configured when only TLS1.3 is enabled"),
        (["--cors=a"], 'invalid value "a" for flag -cors: URL scheme must be http, https, unix, or unixs: a'),
        (["--config-file=/nowhere", "--max-txn-ops=x"], 'invalid value "x" for flag -max-txn-ops: parse error'),
        (["--initial-cluster=a=http://1:1,b=http://2:2"],
         "--initial-cluster: this store is a cluster of one member; run etcd itself for more"),
        (["--auto-compaction-mode=daily"], 'unknown auto-compaction-mode "daily"'),
        (["--auto-compaction-mode="], "undefined auto-compaction-mode"),
        (["--auto-compaction-retention=9999999h"],
         'error parsing CompactionRetention: time: invalid duration "9999999h"'),
        (["--auto-compaction-retention=soon"],
         'error parsing CompactionRetention: time: invalid duration "soon"'),
        (["--unsafe-no-fsync"], "--unsafe-no-fsync is not possible here: an acknowledged write is always on disk"),
        (["--config-file=/nowhere"], "--config-file: cannot read /nowhere: No such file or directory"),
        (["--log-level=loud"], 'unrecognized level: "loud"'),
    ],
)  # fmt: skip
def test_what_cannot_be(arguments: list[str], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(arguments, {})
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "seconds", "revisions"),
    [("0", 0, 0), ("", 0, 0), ("5", 18_000, 5), ("+5", 18_000, 5), ("1h30m", 5400, 5400e9), ("10m", 600, 600e9),
     ("1.5s", 1.5, 1.5e9), ("1us", 1e-6, 1000)],
)  # fmt: skip
def test_retention(text: str, seconds: float, revisions: float) -> None:
    flag = f"--auto-compaction-retention={text}"
    assert read([flag], {})[0].retention() == seconds
    assert read([flag, "--auto-compaction-mode=revision"], {})[0].retention() == revisions


def test_what_etcd_takes() -> None:
    """Certificates where nothing is served over TLS, no limit as 0, levels in capitals, an address twice, empty variables."""
    url = "http://127.0.0.1:1"
    config, _ = read(
        ["--client-cert-auth", "--cert-file=/none", "--max-concurrent-streams=0", "--max-txn-ops=0", "--bcrypt-cost=3",
         "--log-level=INFO", f"--listen-client-urls={url},{url}", "--cors=http://a:1,*"],
        {"ETCD_MAX_REQUEST_BYTES": "", "ETCD_PRE_VOTE": "", "ETCD_AUTO_COMPACTION_RETENTION": ""},
    )  # fmt: skip
    assert tls_context(config) is None
    assert (config.streams, config.max_txn_ops, config.bcrypt_rounds) == ((1 << 32) - 1, 0, 10)
    assert (config.listen_client_urls, config.cors) == ([url], ["http://a:1", "*"])


def test_cipher_suites() -> None:
    names = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_AES_128_GCM_SHA256"
    assert tls_context(read([f"--cipher-suites={names}"], {})[0]) is None
    with pytest.raises(BadConfig, match=r'^unexpected TLS cipher suite "x"$'):
        tls_context(read(["--cipher-suites=x"], {})[0])


def test_what_a_file_cannot_say(tmp_path: Path) -> None:
    file = tmp_path / "etcd.yaml"
    go = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal"
    into = "into Go struct field configYAML."
    for text, message in {
        "max-txn-ops: x": f"{go} string {into}Config.max-txn-ops of type uint",
        "max-txn-ops: -1": f"{go} number -1 {into}Config.max-txn-ops of type uint",
        "quota-backend-bytes: 1.5": f"{go} number 1.5 {into}Config.quota-backend-bytes of type int64",
        "name: 5": f"{go} number {into}Config.name of type string",
        "pre-vote: 'true'": f"{go} string {into}Config.pre-vote of type bool",
        "grpc-keepalive-min-time: 5s": f"{go} string {into}Config.grpc-keepalive-min-time of type time.Duration",
        "listen-client-urls: [a]": f"{go} array {into}configJSON.listen-client-urls of type string",
        "cipher-suites: a": f"{go} string {into}Config.cipher-suites of type []string",
        "client-transport-security: x":
            f"{go} string {into}configJSON.client-transport-security of type embed.securityConfig",
        "client-transport-security: {client-cert-auth: 1}":
            f"{go} number {into}configJSON.client-transport-security.client-cert-auth of type bool",
        "listen-client-urls: a": f'invalid value "a" in {file} for listen-client-urls: '
            "URL scheme must be http, https, unix, or unixs: a",
        "- a": f"--config-file: {file} does not hold settings",
    }.items():  # fmt: skip
        file.write_text(text)
        with pytest.raises(BadConfig) as caught:
            read(["--config-file", str(file)], {})
        assert str(caught.value) == message


def test_what_a_file_says(tmp_path: Path) -> None:
    """Durations in nanoseconds, names in any case; what etcd does not know there it passes over, and so does this."""
    file = tmp_path / "etcd.yaml"
    file.write_text("nothing-known: 1\nNAME: b\ngrpc-keepalive-min-time: 5000000000\ncert-file: /none\nmax-txn-ops:\n")
    config, idle = read(["--config-file", str(file)], {})
    assert (config.name, config.cert_file, config.max_txn_ops) == ("b", "", 128)
    assert duration_s(config.grpc_keepalive_min_time) == 5
    assert idle == [f"nothing-known in {file}", f"cert-file in {file}"]
    file.write_text("")
    assert read(["--config-file", str(file)], {}) == read([], {})
