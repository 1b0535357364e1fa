"""The services over a store in memory, asked by grpcio."""

from __future__ import annotations

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import grpc.aio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.clock import RealClock, VirtualClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.etcd.compaction import compact_by_age, compact_by_revision
from pilothouse.store.etcd.config import Config
from pilothouse.store.etcd.front import Front
from pilothouse.store.etcd.values import BadConfig
from pilothouse.store.interface import Put, StoreError
from pilothouse.store.remote import Options
from pilothouse.store.remote.snapshot import download
from pilothouse.store.rpc import messages, services
from pilothouse.store.rpc.messages import etcdserverpb as pb
from pilothouse.store.rpc.messages import health, v3electionpb, v3lockpb


@dataclass
class Served:
    store: EmbeddedStore
    front: Front
    port: int
    channel: grpc.aio.Channel

    def method(self, service: str, name: str) -> Any:
        found = services.method(service, name)
        kind = f"{'stream' if found.client_streams else 'unary'}_{'stream' if found.server_streams else 'unary'}"
        return getattr(self.channel, kind)(
            found.path,
            request_serializer=lambda message: message if isinstance(message, bytes) else message.SerializeToString(),
            response_deserializer=messages.of(found.response).FromString,
        )

    def __call__(self, name: str, request: Any, **more: Any) -> Any:
        service, method = name.split("/")
        return self.method(service if "." in service else f"etcdserverpb.{service}", method)(request, timeout=5, **more)


@asynccontextmanager
async def served(**config: Any) -> AsyncIterator[Served]:
    clock = RealClock()
    store = await open_store(None, clock)
    front = Front(store, Config(listen_client_urls=["http://127.0.0.1:0"], bcrypt_cost=4, **config), clock)
    try:
        [port] = await front.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Served(store, front, port, channel)
    finally:
        await front.close()
        await store.close()


async def test_unix_sockets(tmp_path: Path) -> None:
    clock, path = RealClock(), tmp_path / "a.sock"
    path.write_text("of a server that was killed")
    store = await open_store(None, clock)
    urls = [f"unix://{path}", "http://127.0.0.1:0"]
    front = Front(store, Config(listen_client_urls=urls, listen_metrics_urls=[f"unix://{path}.metrics"]), clock)
    assert (await front.start())[0] == 0
    async with grpc.aio.insecure_channel(f"unix:{path}") as channel:
        put = Served(store, front, 0, channel)("KV/Put", pb.PutRequest(key=b"a", value=b"1"))
        assert (await put).header.revision == 2
    for suffix, where in (("", "/health"), (".metrics", "/metrics")):
        async with aiohttp.ClientSession(connector=aiohttp.UnixConnector(f"{path}{suffix}")) as session:
            assert (await session.get(f"http://localhost{where}")).status == 200
    await front.close()
    await store.close()
    assert list(tmp_path.iterdir()) == []


async def _code(call: Any) -> tuple[str, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code().name, caught.value.details() or ""


async def test_range_stream() -> None:
    async with served() as etcd:
        for number in range(1000):
            await etcd.store.put(Put(b"k%04d" % number, b"v" * 2000))
        request = pb.RangeRequest(key=b"k", range_end=b"l", limit=900)
        whole = await etcd("KV/Range", request)
        chunks = [chunk async for chunk in etcd("KV/RangeStream", request)]
        assert len(chunks) > 3
        assert len(chunks[0].range_response.kvs) == 10
        assert not any(chunk.range_response.HasField("header") for chunk in chunks[:-1])
        merged = pb.RangeResponse()
        for chunk in chunks:
            merged.MergeFrom(chunk.range_response)
        assert merged == whole
        refused = etcd("KV/RangeStream", pb.RangeRequest(key=b"k", range_end=b"l", sort_order=2))
        with pytest.raises(grpc.aio.AioRpcError, match="does not support custom sort orders"):
            await refused.read()


def _create(**more: Any) -> Any:
    return pb.WatchRequest(create_request=pb.WatchCreateRequest(**more))


_PROGRESS = pb.WatchRequest(progress_request=pb.WatchProgressRequest())


async def test_a_progress_request_is_answered_for_all_watches_at_once() -> None:
    async with served() as etcd:
        stream = etcd.method("etcdserverpb.Watch", "Watch")()
        await stream.write(_PROGRESS)  # without a watch there is nothing to tell
        for key in (b"a", b"b", b"c"):
            await stream.write(_create(key=key))
            assert (await stream.read()).created
        await stream.write(_create(key=b"a", start_revision=1))
        assert (await stream.read()).watch_id == 3
        result = await etcd("KV/Put", pb.PutRequest(key=b"a", value=b"1"))
        found = {(await stream.read()).watch_id for _ in range(2)}
        assert found == {0, 3}
        for _ in range(3):  # more before the first is answered are one
            await stream.write(_PROGRESS)
        answer = await stream.read()
        assert (answer.watch_id, answer.header.revision, len(answer.events)) == (-1, result.header.revision, 0)
        stream.cancel()


async def test_progress_is_told_where_nothing_else_was() -> None:
    async with served(watch_progress_notify_interval="100ms") as etcd:
        stream = etcd.method("etcdserverpb.Watch", "Watch")()
        await stream.write(_create(key=b"a", progress_notify=True))
        await stream.write(_create(key=b"a"))
        assert [(await stream.read()).watch_id for _ in range(2)] == [0, 1]
        result = await etcd("KV/Put", pb.PutRequest(key=b"b"))
        answers = [await stream.read() for _ in range(2)]
        assert {answer.watch_id for answer in answers} == {0}
        assert answers[-1].header.revision == result.header.revision
        stream.cancel()


async def test_large_batches_are_cut_where_asked() -> None:
    async with served(max_request_bytes=100_000) as etcd:
        ops = [pb.RequestOp(request_put=pb.PutRequest(key=b"k%d" % n, value=b"v" * 900)) for n in range(100)]
        await etcd("KV/Txn", pb.TxnRequest(success=ops))
        for number in range(100):
            await etcd.store.put(Put(b"k%d" % number, b"w" * 2000))
        stream = etcd.method("etcdserverpb.Watch", "Watch")()
        await stream.write(_create(key=b"k", range_end=b"l", start_revision=1, fragment=True))
        assert (await stream.read()).created
        events, fragments = 0, 0
        while events < 200:
            answer = await stream.read()
            assert answer.ByteSize() < 110_000
            events += len(answer.events)
            fragments += answer.fragment
        assert fragments
        stream.cancel()


async def test_a_client_that_does_not_read_misses_nothing() -> None:
    """Many watches on one stream share its room: none is forgotten, and what waits is bounded."""
    async with served() as etcd:
        stream = etcd.method("etcdserverpb.Watch", "Watch")()
        for _ in range(30):
            await stream.write(_create(key=b"a"))
            assert (await stream.read()).created
        for number in range(300):
            await etcd.store.put(Put(b"a", b"%03d" % number * 1000))
        await asyncio.sleep(0.2)
        [connection] = etcd.front.server.connections
        [call] = connection.streams.values()
        assert 0 < call._backlog < 5 << 20
        found: dict[int, list[bytes]] = {}
        while sum(map(len, found.values())) < 30 * 300:
            answer = await stream.read()
            found.setdefault(answer.watch_id, []).extend(event.kv.value[:3] for event in answer.events)
        assert all(values == [b"%03d" % number for number in range(300)] for values in found.values())
        stream.cancel()


async def test_a_client_that_asks_for_no_more_still_hears() -> None:
    async with served() as etcd:
        stream = etcd.method("etcdserverpb.Watch", "Watch")()
        await stream.write(_create(key=b"a"))
        assert (await stream.read()).created
        await stream.done_writing()
        await etcd.store.put(Put(b"a", b"1"))
        assert (await stream.read()).events[0].kv.value == b"1"
        stream.cancel()


async def test_a_watch_is_gone_with_its_stream() -> None:
    async with served() as etcd:
        stream = etcd.method("etcdserverpb.Watch", "Watch")()
        for _ in range(50):
            await stream.write(_create(key=b"a"))
            await stream.read()
        assert len(etcd.store._hub._watches) == 50
        stream.cancel()
        async with asyncio.timeout(2):
            while etcd.store._hub._watches or etcd.store._hub._groups:
                await asyncio.sleep(0.01)


async def test_watches_that_keep_up_cost_no_task() -> None:
    async with served() as etcd:
        await etcd.store.put(Put(b"a", b"0"))
        stream = etcd.method("etcdserverpb.Watch", "Watch")()
        before = len(asyncio.all_tasks())
        for number in range(20):
            await stream.write(_create(key=b"a", start_revision=2 * (number % 2)))
            assert (await stream.read()).created
            if number % 2:
                assert (await stream.read()).events
        for value in (b"1", b"2"):
            await etcd.store.put(Put(b"a", value))
            answers = [await stream.read() for _ in range(20)]
            assert sorted(answer.watch_id for answer in answers) == list(range(20))
            assert {event.kv.value for answer in answers for event in answer.events} == {value}
        assert len(asyncio.all_tasks()) < before + 5
        stream.cancel()


async def test_leases_are_kept_alive() -> None:
    async with served() as etcd:
        lease = (await etcd("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=30))).ID
        stream = etcd.method("etcdserverpb.Lease", "LeaseKeepAlive")()
        for wanted, ttl in ((lease, 30), (lease + 1, 0), (lease, 30)):
            await stream.write(pb.LeaseKeepAliveRequest(ID=wanted))
            answer = await stream.read()
            assert (wanted, ttl) == (answer.ID, answer.TTL)
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF


async def test_locks_are_had_in_turn() -> None:
    async with served() as etcd:
        first, second = [(await etcd("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=30))).ID for _ in range(2)]
        lock = await etcd("v3lockpb.Lock/Lock", v3lockpb.LockRequest(name=b"l", lease=first))
        assert lock.key == b"l/%x" % first
        again = await etcd("v3lockpb.Lock/Lock", v3lockpb.LockRequest(name=b"l", lease=first))
        assert again.key == lock.key
        waiting = asyncio.ensure_future(etcd("v3lockpb.Lock/Lock", v3lockpb.LockRequest(name=b"l", lease=second)))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await etcd("v3lockpb.Lock/Unlock", v3lockpb.UnlockRequest(key=lock.key))
        assert (await waiting).key == b"l/%x" % second
        left = etcd("v3lockpb.Lock/Lock", v3lockpb.LockRequest(name=b"l", lease=first))
        await asyncio.sleep(0.1)
        left.cancel()  # whoever does not wait any more stands in nobody's way
        async with asyncio.timeout(2):
            while (await etcd("KV/Range", pb.RangeRequest(key=b"l/", range_end=b"l0"))).count != 1:
                await asyncio.sleep(0.01)


async def test_elections() -> None:
    async with served() as etcd:

        def call(name: str, request: Any) -> Any:
            return etcd(f"v3electionpb.Election/{name}", request)

        assert (await _code(call("Leader", v3electionpb.LeaderRequest(name=b"e"))))[1] == "election: no leader"
        observed = etcd.method("v3electionpb.Election", "Observe")(v3electionpb.LeaderRequest(name=b"e"))
        await asyncio.sleep(0.05)
        won = await call("Campaign", v3electionpb.CampaignRequest(name=b"e", value=b"one"))
        assert (await observed.read()).kv.value == b"one"
        second = asyncio.ensure_future(call("Campaign", v3electionpb.CampaignRequest(name=b"e", value=b"two")))
        await call("Proclaim", v3electionpb.ProclaimRequest(leader=won.leader, value=b"one more"))
        assert (await observed.read()).kv.value == b"one more"
        assert not second.done()
        await call("Resign", v3electionpb.ResignRequest(leader=won.leader))
        assert (await second).leader.name == b"e"
        assert (await observed.read()).kv.value == b"two"
        old = call("Proclaim", v3electionpb.ProclaimRequest(leader=won.leader, value=b"x"))
        assert await _code(old) == ("UNKNOWN", "election: not leader")
        assert await _code(call("Resign", v3electionpb.ResignRequest())) == (
            "UNKNOWN",
            '"leader" field must be provided',
        )
        observed.cancel()


async def test_what_locks_and_elections_are_refused_has_no_code() -> None:
    """As with etcd, where they are clients of its other services."""
    async with served() as etcd:
        lock, campaign = v3lockpb.LockRequest(name=b"l", lease=9), v3electionpb.CampaignRequest(name=b"l", lease=9)
        for name, request in (("v3lockpb.Lock/Lock", lock), ("v3electionpb.Election/Campaign", campaign)):
            assert await _code(etcd(name, request)) == ("UNKNOWN", "etcdserver: requested lease not found")
        nothing = etcd("v3lockpb.Lock/Unlock", v3lockpb.UnlockRequest())
        assert await _code(nothing) == ("UNKNOWN", "etcdserver: key is not provided")


async def test_health() -> None:
    async with served() as etcd:
        assert (await etcd("grpc.health.v1.Health/Check", health.HealthCheckRequest())).status == 1
        unknown = etcd("grpc.health.v1.Health/Check", health.HealthCheckRequest(service="x"))
        assert await _code(unknown) == ("NOT_FOUND", "unknown service")
        watch = etcd.method("grpc.health.v1.Health", "Watch")(health.HealthCheckRequest())
        assert (await watch.read()).status == 1
        watch.cancel()


async def test_a_stopped_store_is_unavailable() -> None:
    async with served() as etcd:
        await etcd.store.close()
        assert await _code(etcd("KV/Put", pb.PutRequest(key=b"a"))) == ("UNAVAILABLE", "etcdserver: server stopped")
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{etcd.port}/health") as answer,
        ):
            assert (answer.status, await answer.json(content_type=None)) == (
                503,
                {"health": "false", "reason": "RANGE ERROR:etcdserver: server stopped"},
            )


async def test_calls_that_take_a_user() -> None:
    async with served() as etcd:
        await etcd("Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="p"))
        await etcd("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
        await etcd("Auth/AuthEnable", pb.AuthEnableRequest())
        nobody = ("INVALID_ARGUMENT", "etcdserver: user name is empty")
        for name, request in (
            ("KV/Compact", pb.CompactionRequest(revision=1)),
            ("KV/RangeStream", pb.RangeRequest(key=b"a")),
            ("Lease/LeaseGrant", pb.LeaseGrantRequest(TTL=5)),
            ("Lease/LeaseLeases", pb.LeaseLeasesRequest()),
            ("Lease/LeaseRevoke", pb.LeaseRevokeRequest(ID=99)),
            ("Lease/LeaseTimeToLive", pb.LeaseTimeToLiveRequest(ID=1)),
            ("Maintenance/Alarm", pb.AlarmRequest(action=1, alarm=1)),
            ("Maintenance/Status", pb.StatusRequest()),
            ("Maintenance/Snapshot", pb.SnapshotRequest()),
            ("Cluster/MemberList", pb.MemberListRequest()),
        ):
            call = etcd(name, request)
            assert await _code(call.read() if hasattr(call, "read") else call) == nobody, name
        for name, request in (
            ("v3lockpb.Lock/Lock", v3lockpb.LockRequest(name=b"l")),
            ("v3electionpb.Election/Leader", v3electionpb.LeaderRequest(name=b"l")),
        ):
            assert await _code(etcd(name, request)) == ("UNKNOWN", nobody[1]), name
        observed = etcd("v3electionpb.Election/Observe", v3electionpb.LeaderRequest(name=b"l"))
        assert await observed.read() is grpc.aio.EOF
        assert (await etcd("Auth/AuthStatus", pb.AuthStatusRequest())).enabled
        for sent in ((("token", "x"),), (("token", ""),), (("authorization", "Bearer x"),)):
            refused = await _code(etcd("Auth/AuthStatus", pb.AuthStatusRequest(), metadata=sent))
            assert refused == ("UNAUTHENTICATED", "etcdserver: invalid auth token")
        token = (await etcd("Auth/Authenticate", pb.AuthenticateRequest(name="root", password="p"))).token
        mine = (("token", token),)
        await etcd("KV/Put", pb.PutRequest(key=b"a"), metadata=mine)
        await etcd("KV/Put", pb.PutRequest(key=b"a"), metadata=(("authorization", f"Bearer {token}"),))
        await etcd(
            "Auth/UserChangePassword", pb.AuthUserChangePasswordRequest(name="root", password="q"), metadata=mine
        )
        old = etcd("KV/Put", pb.PutRequest(key=b"a"), metadata=mine)
        assert await _code(old) == ("UNAUTHENTICATED", "etcdserver: invalid auth token")


async def test_who_may_write_a_leases_keys_may_keep_it_alive() -> None:
    async with served() as etcd:
        for name in ("root", "jane"):
            await etcd("Auth/UserAdd", pb.AuthUserAddRequest(name=name, password="p"))
        await etcd("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
        await etcd("Lease/LeaseGrant", pb.LeaseGrantRequest(ID=7, TTL=60))
        await etcd("KV/Put", pb.PutRequest(key=b"a", lease=7))
        await etcd("Auth/AuthEnable", pb.AuthEnableRequest())

        async def keep(name: str) -> Any:
            token = (await etcd("Auth/Authenticate", pb.AuthenticateRequest(name=name, password="p"))).token
            stream = etcd.method("etcdserverpb.Lease", "LeaseKeepAlive")(metadata=(("token", token),))
            await stream.write(pb.LeaseKeepAliveRequest(ID=7))
            return await stream.read()

        assert (await keep("root")).TTL == 60
        assert await _code(keep("jane")) == ("PERMISSION_DENIED", "etcdserver: permission denied")


_ALL = [method for service in services.services().values() for method in service.values()]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(_ALL), st.binary(max_size=24)), min_size=1, max_size=12))
def test_noise_in_messages_is_answered(calls: list[tuple[services.Method, bytes]]) -> None:
    """Every method, with bytes that may or may not be a message: an answer or a refusal, never an unexpected failure."""

    async def run() -> None:
        async with served() as etcd:
            for method, data in calls:
                call = etcd.method(method.service, method.name)
                try:
                    if method.client_streams:
                        stream = call(timeout=0.05)
                        await stream.write(data)
                        await stream.done_writing()
                        await stream.read()
                    elif method.server_streams:
                        await call(data, timeout=0.05).read()
                    else:
                        await call(data, timeout=0.3)
                except grpc.aio.AioRpcError as error:
                    internal = error.code() is grpc.StatusCode.INTERNAL
                    assert not internal or "cannot parse" in (error.details() or ""), (method, data, error)
                except asyncio.InvalidStateError:
                    pass  # the call ended before the request was written
            assert (await etcd("KV/Range", pb.RangeRequest(key=b"a"))).header.revision

    asyncio.run(run())


def _certificates(directory: Path) -> None:
    """ca.crt; server.crt for 127.0.0.1; client.crt of the user jane."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test-ca")])
    now = datetime.datetime.now(datetime.UTC)
    for name, subject in (("ca", "test-ca"), ("server", "etcd"), ("client", "jane")):
        key = ca_key if name == "ca" else ec.generate_private_key(ec.SECP256R1())
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, subject)]))
            .issuer_name(ca_name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
            .add_extension(
                x509.KeyUsage(True, False, False, False, False, name == "ca", False, False, False), critical=True
            )
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
        )
        (directory / f"{name}.crt").write_bytes(
            builder.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )
        (directory / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )


async def test_tls_with_certificates_as_users(tmp_path: Path) -> None:
    _certificates(tmp_path)
    clock = RealClock()
    store = await open_store(None, clock)
    files = {name: str(tmp_path / name) for name in ("ca.crt", "server.crt", "server.key")}
    config = Config(
        listen_client_urls=["https://127.0.0.1:0"], cert_file=files["server.crt"], key_file=files["server.key"],
        trusted_ca_file=files["ca.crt"], client_cert_auth=True, bcrypt_cost=4, listen_metrics_urls=["https://127.0.0.1:0"],
    )  # fmt: skip
    front = Front(store, config, clock)
    [port] = await front.start()
    read = {name: (tmp_path / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt")}
    secure = grpc.ssl_channel_credentials(read["ca.crt"], read["client.key"], read["client.crt"])
    try:
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", secure) as channel:
            etcd = Served(store, front, port, channel)
            await etcd("Auth/UserAdd", pb.AuthUserAddRequest(name="root", password="p"))
            await etcd("Auth/UserAdd", pb.AuthUserAddRequest(name="jane", options={"no_password": True}))
            await etcd("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="root", role="root"))
            await etcd("Auth/RoleAdd", pb.AuthRoleAddRequest(name="r"))
            await etcd("Auth/RoleGrantPermission", pb.AuthRoleGrantPermissionRequest(name="r", perm={"key": b"a"}))
            await etcd("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user="jane", role="r"))
            await etcd("Auth/AuthEnable", pb.AuthEnableRequest())
            assert (await etcd("KV/Range", pb.RangeRequest(key=b"a"))).count == 0
            denied = ("PERMISSION_DENIED", "etcdserver: permission denied")
            assert await _code(etcd("KV/Range", pb.RangeRequest(key=b"b"))) == denied
            assert await _code(etcd("KV/Put", pb.PutRequest(key=b"a"))) == denied
        anonymous = grpc.ssl_channel_credentials(read["ca.crt"])
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", anonymous) as channel:
            etcd = Served(store, front, port, channel)
            assert (await _code(etcd("KV/Range", pb.RangeRequest(key=b"a"))))[0] == "UNAVAILABLE"
        context = ssl.create_default_context(cafile=files["ca.crt"])
        context.load_cert_chain(tmp_path / "client.crt", tmp_path / "client.key")
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"https://127.0.0.1:{port}/v3/kv/range", ssl=context, json={"key": "YQ=="}) as answer,
        ):  # the gateway takes no user from a certificate
            said = "CommonName of client sending a request against gateway will be ignored and not used as expected\n"
            assert (answer.status, await answer.text()) == (400, said)
        context.set_alpn_protocols(["h2"])  # which Go's clients insist on; not that of another address
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
        writer.close()
    finally:
        await front.close()
        await store.close()


def _revocations(directory: Path, *names: str) -> bytes:
    """A list by the authority of `_certificates` in DER, as etcd reads it."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization

    now = datetime.datetime.now(datetime.UTC)
    authority = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now - datetime.timedelta(days=2))
    )
    builder = builder.next_update(now - datetime.timedelta(days=1))  # outdated, which is nothing to etcd
    for name in names:
        serial = x509.load_pem_x509_certificate((directory / name).read_bytes()).serial_number
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now)
        builder = builder.add_revoked_certificate(revoked.build())
    key: Any = serialization.load_pem_private_key((directory / "ca.key").read_bytes(), None)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.mark.parametrize("revoked", [False, True])
async def test_certificates_that_were_revoked(tmp_path: Path, revoked: bool) -> None:
    _certificates(tmp_path)
    (tmp_path / "list").write_bytes(_revocations(tmp_path, *(["client.crt"] if revoked else [])))
    files = {name: str(tmp_path / name) for name in ("ca.crt", "server.crt", "server.key", "list")}
    store = await open_store(None, RealClock())
    config = Config(
        listen_client_urls=["https://127.0.0.1:0"], cert_file=files["server.crt"], key_file=files["server.key"],
        trusted_ca_file=files["ca.crt"], client_cert_auth=True, client_crl_file=files["list"],
    )  # fmt: skip
    front = Front(store, config, RealClock())
    [port] = await front.start()
    read = [(tmp_path / name).read_bytes() for name in ("ca.crt", "client.key", "client.crt")]
    try:
        async with grpc.aio.secure_channel(f"127.0.0.1:{port}", grpc.ssl_channel_credentials(*read)) as channel:
            call = Served(store, front, port, channel)("KV/Range", pb.RangeRequest(key=b"a"))
            if revoked:
                assert (await _code(call))[0] == "UNAVAILABLE"
            else:
                assert (await call).count == 0
    finally:
        await front.close()
        await store.close()


async def test_what_cannot_be_served() -> None:
    clock = RealClock()
    async with served() as etcd:
        taken = Front(etcd.store, Config(listen_client_urls=[f"http://127.0.0.1:{etcd.port}"]), clock)
        with pytest.raises(BadConfig, match=r"cannot listen on .*: Address already in use"):
            await taken.start()
        await taken.close()
        config = Config(listen_client_urls=["https://127.0.0.1:0"], cert_file="/nowhere", key_file="/nowhere")
        with pytest.raises(BadConfig, match="cannot use /nowhere: No such file or directory"):
            await Front(etcd.store, config, clock).start()


async def test_a_snapshot_for_a_user(tmp_path: Path) -> None:
    async with served() as etcd:
        for name, role in (("root", "root"), ("jane", "")):
            await etcd("Auth/UserAdd", pb.AuthUserAddRequest(name=name, password="p:w"))
            if role:
                await etcd("Auth/UserGrantRole", pb.AuthUserGrantRoleRequest(user=name, role=role))
        await etcd("Auth/AuthEnable", pb.AuthEnableRequest())
        options, path = Options((f"http://127.0.0.1:{etcd.port}",)), tmp_path / "s.db"
        for user, why in (
            (None, "user name is empty"),
            (("root", "wrong"), "authentication failed, invalid user ID or password"),
            (("jane", "p:w"), "permission denied"),
        ):
            with pytest.raises(StoreError, match=why):
                await download(options, path, lambda *_: None, user)
            assert not path.exists()
        assert await download(options, path, lambda *_: None, ("root", "p:w")) == path.stat().st_size


def test_automatic_compaction() -> None:
    clock = VirtualClock()

    async def run() -> None:
        store = await open_store(None, clock)
        by_age = asyncio.create_task(compact_by_age(store, clock, 600))
        for number in range(40):  # a revision a minute
            await store.put(Put(b"a", b"%d" % number))
            await clock.sleep(60)
        by_age.cancel()
        kept = (await store.revision()) - store._state.compacted  # type: ignore[attr-defined]
        assert 9 <= kept <= 21
        by_revision = asyncio.create_task(compact_by_revision(store, clock, 5))
        await clock.sleep(301)
        by_revision.cancel()
        assert (await store.revision()) - store._state.compacted == 5  # type: ignore[attr-defined]
        await store.close()

    clock.run(run())
