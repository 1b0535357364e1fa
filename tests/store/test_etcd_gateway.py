"""JSON as etcd's gateway reads it, and how it answers: by its recorded answers, and beside real etcd."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from etcd_tools import Etcd, ours
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.store.etcd.gatewayjson import messages
from pilothouse.store.rpc.messages import etcdserverpb as pb
from real_etcd import Etcd as RealEtcd
from real_etcd import free_ports


def read(body: str | bytes, of: Any = pb.RangeRequest) -> list[Any]:
    return list(messages(body if isinstance(body, bytes) else body.encode(), of))


# Bodies of a Range, and the message of what etcd refuses.
GOOD = {
    "": [],
    " \n ": [],
    "{}{}": [pb.RangeRequest(), pb.RangeRequest()],
    ' \n {"key":"Zm9v"} \n': [pb.RangeRequest(key=b"foo")],
    '{"key":null,"limit":null}': [pb.RangeRequest()],
    '{"key":"Zm9v","bogus":{"a":[1,2,{}],"b":"}"},"limit":1}': [pb.RangeRequest(key=b"foo", limit=1)],
    '{"[a.b]":1,"":2,"Key":"YQ==","@type":"x"}': [pb.RangeRequest()],
    '{"range_end":"YQ=="}': [pb.RangeRequest(range_end=b"a")],
    '{"rangeEnd":"YQ"}': [pb.RangeRequest(range_end=b"a")],
    '{"key":"-_-_"}': [pb.RangeRequest(key=b"\xfb\xff\xbf")],
    '{"key":"Zm9v\\nYg"}': [pb.RangeRequest(key=b"foob")],
    '{"key":"\\u0041m9v"}': [pb.RangeRequest(key=b"\x02\x6f\x6f")],
    '{"sort_order":"DESCEND","sort_target":2.0}': [pb.RangeRequest(sort_order=2, sort_target=2)],
    '{"sort_order":"descend"}': [pb.RangeRequest()],
    '{"revision":"5e0","limit":100e-2}': [pb.RangeRequest(revision=5, limit=1)],
    '{"revision":-0,"limit":"-3"}': [pb.RangeRequest(limit=-3)],
}
BAD = {
    "nul": "unexpected EOF",
    "{": "unexpected EOF",
    "[1]": "proto: syntax error (line 1:1): unexpected token [",
    "null": "proto: syntax error (line 1:1): unexpected token null",
    '"a"': 'proto: syntax error (line 1:1): unexpected token "a"',
    '{"key"}': "invalid character '}' after object key",
    '{"key":"Zm9v",}': "invalid character '}' looking for beginning of object key string",
    "{'key':1}": "invalid character '\\'' looking for beginning of object key string",
    '{"key":"Zm9v" "revision":1}': "invalid character '\"' after object key:value pair",
    '{"key":"\x01"}': "invalid character '\\x01' in string literal",
    '{"limit":NaN}': "invalid character 'N' looking for beginning of value",
    "\ufeff{}": "invalid character 'ï' looking for beginning of value",
    '{"key":"Zm9v","key":"YQ=="}': 'proto: (line 1:15): duplicate field "key"',
    '{"range_end":"AA==",\n "rangeEnd":"AA=="}': 'proto: (line 2:2): duplicate field "rangeEnd"',
    '{"key":"Zm9v="}': 'proto: (line 1:8): invalid value for bytes field key: "Zm9v="',
    '{"key":"Zm9vYg="}': 'proto: (line 1:8): invalid value for bytes field key: "Zm9vYg="',
    '{"key":"Zm-v+Q"}': 'proto: (line 1:8): invalid value for bytes field key: "Zm-v+Q"',
    '{"key":"===="}': 'proto: (line 1:8): invalid value for bytes field key: "===="',
    '{"key":["a"]}': "proto: (line 1:8): invalid value for bytes field key: [",
    '{"limit":1.5}': "proto: (line 1:10): invalid value for int64 field limit: 1.5",
    '{"limit":"01"}': 'proto: (line 1:10): invalid value for int64 field limit: "01"',
    '{"limit":" 5"}': 'proto: (line 1:10): invalid value for int64 field limit: " 5"',
    '{"limit":1e999999999}': "proto: (line 1:10): invalid value for int64 field limit: 1e999999999",
    '{"limit":9223372036854775808}': "proto: (line 1:10): invalid value for int64 field limit: 9223372036854775808",
    '{"sort_order":2.5}': "proto: (line 1:15): invalid value for enum field sortOrder: 2.5",
    '{"serializable":"true"}': 'proto: (line 1:17): invalid value for bool field serializable: "true"',
    '{"key":"\\ud800"}': "proto: unexpected EOF",
    '{"key":"\\ud800 and more"}': 'proto: syntax error (line 1:8): invalid escape code " and m" in string',
}


@pytest.mark.parametrize("body", GOOD)
def test_what_is_read(body: str) -> None:
    assert read(body) == GOOD[body]


@pytest.mark.parametrize("body", BAD)
def test_what_is_refused(body: str) -> None:
    with pytest.raises(ValueError) as caught:
        read(body)
    assert str(caught.value) == BAD[body]


def test_messages_in_messages() -> None:
    text = '{"compare":[{"key":"YQ==","target":"VALUE","value":"MQ=="}],"success":[{"requestTxn":{}},{"request_range":null}]}'
    compare = pb.Compare(key=b"a", target=3, value=b"1")
    (found,) = read(text, pb.TxnRequest)
    assert found == pb.TxnRequest(
        compare=[compare], success=[pb.RequestOp(request_txn=pb.TxnRequest()), pb.RequestOp()]
    )
    assert found.success[0].WhichOneof("request") == "request_txn"
    for body, message in {
        '{"success":{}}': "proto: syntax error (line 1:12): unexpected token {",
        '{"success":[null]}': "proto: syntax error (line 1:13): unexpected token null",
        '{"compare":[{"value":"MQ==","version":"0"}]}':
            'proto: (line 1:29): error parsing "version", oneof etcdserverpb.Compare.target_union is already set',
        '{"success":[{"requestTxn":' * 500 + "{}" + "}]}" * 500: "proto: exceeded max recursion depth",
    }.items():  # fmt: skip
        with pytest.raises(ValueError) as caught:
            read(body, pb.TxnRequest)
        assert str(caught.value) == message


@given(st.binary(max_size=40) | st.text('{}[]",:\\u 01aeE+-.nulkey', max_size=40).map(str.encode))
def test_noise_is_refused_or_read(body: bytes) -> None:
    try:
        read(body)
    except ValueError as error:
        assert str(error)


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    with ours(tmp_path_factory.mktemp("gateway")) as etcd:
        yield etcd


class Answer:
    def __init__(self, port: int, method: str, path: str, body: str | None = None, **headers: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request(
                method,
                path,
                None if body is None else body.encode(),
                {name.replace("_", "-"): value for name, value in headers.items()},
            )
            answer = connection.getresponse()
            self.status, self.headers = answer.status, answer.headers
            self.text = answer.read().decode().replace("\xa0", " ")  # which of the two is chance with protojson
        finally:
            connection.close()

    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def plain(self) -> tuple[int, Any]:
        """What both programs answer alike."""
        try:
            return self.status, _plain(self.json())
        except ValueError:
            return self.status, self.text


def _plain(found: Any) -> Any:
    if isinstance(found, dict):
        return {k: _plain(v) for k, v in found.items() if k not in ("cluster_id", "member_id", "memberID", "raft_term")}
    return [_plain(one) for one in found] if isinstance(found, list) else found


def test_streams_end_with_what_was_asked(etcd: Etcd) -> None:
    Answer(etcd.port, "POST", "/v3/lease/grant", '{"ID":"70","TTL":"100"}')
    kept = Answer(etcd.port, "POST", "/v3/lease/keepalive", '{"ID":"70"}{"ID":"71"} nonsense')
    lines = [json.loads(line)["result"] for line in kept.text.splitlines()]
    assert [(line["ID"], line.get("TTL")) for line in lines] == [("70", "100"), ("71", None)]
    assert Answer(etcd.port, "POST", "/v3/lease/keepalive", "nonsense").plain == (200, "")


def test_timeouts(etcd: Etcd) -> None:
    late = {"code": 4, "message": "context deadline exceeded"}
    lock = '{"name":"Z2F0ZQ=="}'
    assert Answer(etcd.port, "POST", "/v3/lock/lock", lock).status == 200
    assert Answer(etcd.port, "POST", "/v3/lock/lock", lock, grpc_timeout="100m").plain == (504, late)
    assert Answer(etcd.port, "POST", "/v3/election/observe", "{}", grpc_timeout="100m").plain == (504, {"error": late})
    watch = Answer(etcd.port, "POST", "/v3/watch", '{"create_request":{}}', grpc_timeout="100m")
    assert [list(json.loads(line)) for line in watch.text.splitlines()] == [["result"], ["error"]]
    bad = Answer(etcd.port, "POST", "/v3/kv/range", lock, grpc_timeout="soon")
    assert bad.plain == (400, {"code": 3, "message": "invalid grpc-timeout: soon"})


def test_a_request_that_is_too_large(etcd: Etcd) -> None:
    body = json.dumps({"key": "YQ==", "value": "A" * (3 << 20)})
    message = "grpc: received message larger than max (2359304 vs. 2097152)"
    assert Answer(etcd.port, "POST", "/v3/kv/put", body).plain == (429, {"code": 8, "message": message})


def test_paths(etcd: Etcd) -> None:
    for path, target in {"//version": "/version", "/v3": "/v3/", "/v3/../health?a": "/health?a"}.items():
        moved = Answer(etcd.port, "GET", path)
        assert (moved.status, moved.headers["location"]) == (307, target)
        assert moved.text == f'<a href="{target}">Temporary Redirect</a>.\n\n'
    assert Answer(etcd.port, "GET", "/%76ersion").status == 200
    assert [Answer(etcd.port, "HEAD", path).status for path in ("/version", "/health", "/livez/", "/health/x")] == [
        405, 405, 404, 404,
    ]  # fmt: skip
    variables = Answer(etcd.port, "GET", "/debug/vars").json()
    assert variables["raft.status"]["raftState"] == "StateLeader" and variables["file_descriptor_limit"] > 0
    put = Answer(etcd.port, "POST", "/v3/kv/put", '{"key":"YQ=="}')
    assert put.headers["grpc-metadata-content-type"] == "application/grpc"


_PATHS = [
    "/version0",
    "//health",
    "/v3",
    "/health?exclude=NOSPACE",
    "/livez/",
    "/livez/serializable_read?verbose",
    "/readyz/x",
]


@pytest.mark.slow
def test_the_same_as_etcd(etcd: Etcd, tmp_path: Path) -> None:
    with ExitStack() as stack:
        real = stack.enter_context(RealEtcd(tmp_path))
        assert real.leader() == 0
        ports = real.ports[0], etcd.port
        bodies = [*GOOD, *BAD, '{"key":"Zm9v","revision":"99999"}', '{"key":"Zm9v"} {"key":1}']
        requests = [("POST", "/v3/kv/range", body) for body in bodies]
        requests += [(method, path, None) for path in _PATHS for method in ("GET", "HEAD", "PUT")]
        for method, path, body in requests:
            theirs, mine = (Answer(port, method, path, body).plain for port in ports)
            for found in (theirs, mine):
                if isinstance(found[1], dict):
                    found[1].pop("header", None)
            assert mine == theirs, f"{method} {path} {body}"


def test_addresses_of_their_own(tmp_path: Path) -> None:
    """Those for metrics serve nothing of what is stored; those of gRPC nothing else where HTTP has others."""
    for_http, for_metrics = free_ports(2)
    flags = "--listen-client-http-urls", f"http://127.0.0.1:{for_http}"
    flags += "--listen-metrics-urls", f"http://127.0.0.1:{for_metrics}"
    with ours(tmp_path, *flags) as etcd:
        served = ("/metrics", "/health", "/readyz/data_corruption", "/version", "/debug/vars")
        assert [Answer(for_http, "GET", path).status for path in served] == [200] * 5
        assert [Answer(for_metrics, "GET", path).status for path in served] == [200, 200, 200, 404, 404]
        for path in ("/v3/kv/range", "/metrics/../v3/kv/range", "/livez/%2e%2e/v3/kv/range"):
            assert Answer(for_metrics, "POST", path, '{"key":"YQ=="}').status == 404
        assert Answer(for_http, "POST", "/v3/kv/range", '{"key":"YQ=="}').status == 200
        assert Answer(etcd.port, "POST", "/v3/kv/range", '{"key":"YQ=="}').status == 415
        with grpc.insecure_channel(f"127.0.0.1:{etcd.port}") as channel:
            ask = channel.unary_unary("/etcdserverpb.KV/Range", response_deserializer=pb.RangeResponse.FromString)
            assert ask(pb.RangeRequest(key=b"a").SerializeToString(), timeout=5).count == 0


def test_hosts_that_are_meant(tmp_path: Path) -> None:
    with ours(tmp_path, "--host-whitelist", "good", "--cors", "http://a:1") as etcd:
        assert Answer(etcd.port, "GET", "/version", Host="good:1", Origin="http://a:1").status == 200
        other = Answer(etcd.port, "OPTIONS", "/version", Host="Good")
        assert other.status == 421 and '--host-whitelist "Good"' in other.text
