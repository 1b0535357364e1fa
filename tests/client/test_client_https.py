"""What is particular to the wire: kubeconfigs, certificates, tokens, broken answers."""

import base64
import datetime
import ipaddress
import ssl

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fake_apiserver import FakeServer
from fake_wire import over_http

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request
from pilothouse.client import Client
from pilothouse.client.https import Https, tls_context
from pilothouse.clock import RealClock


def certificate(name, issuer=None, *, ca=False):
    """(PEM of the certificate, PEM of the key, the pair itself)"""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)

    builder = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key()).serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key((issuer[1] if issuer else key).public_key()), critical=False
        )
        .add_extension(
            x509.KeyUsage(
                digital_signature=True, key_cert_sign=ca, crl_sign=ca, content_commitment=False, key_encipherment=False,
                data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
            ),
            critical=True,
        )
    )  # fmt: skip
    made = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    key_pem = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), key_pem, (made, key)


def encoded(data):
    return base64.b64encode(data).decode()


async def test_a_kubeconfig_with_a_client_certificate(tmp_path):
    ca, _, issuer = certificate("ca", ca=True)
    server_pem, server_key, _ = certificate("server", issuer)
    client_pem, client_key, _ = certificate("jane", issuer)
    (tmp_path / "server.pem").write_bytes(server_pem + server_key)
    (tmp_path / "ca.pem").write_bytes(ca)
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(tmp_path / "server.pem")
    server_tls.load_verify_locations(tmp_path / "ca.pem")
    server_tls.verify_mode = ssl.CERT_REQUIRED
    seen = []

    async def front(request):
        peer = request.transport.get_extra_info("peercert")
        seen.append(dict(x[0] for x in peer["subject"])["commonName"])
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": []})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=server_tls).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}"
    config = {
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{
            "name": "c",
            "cluster": {"server": url, "certificate-authority": str(tmp_path / "ca.pem")},
        }],
        "users": [{
            "name": "u", "user": {"client-certificate-data": encoded(client_pem), "client-key-data": encoded(client_key)},
        }],
    }  # fmt: skip
    client = Client(Https.from_kubeconfig(config), RealClock())
    assert (await client.resource("", "v1", "pods").list())["items"] == []
    assert seen == ["jane"]
    await client.close()
    stranger = Https(url, ssl_context=tls_context())
    with pytest.raises(StatusError) as failure:
        await stranger.send(Request("GET", "/api/v1/pods"))
    assert failure.value.code == 503
    await stranger.close()
    await runner.cleanup()


async def test_a_token_is_sent():
    seen = []

    async def handle(request):
        seen.append(request.headers.get("authorization"))
        return await server.handle(request)

    server = FakeServer(RealClock(1))
    async with over_http(handle) as url:
        config = {
            "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": url}}], "users": [{"name": "u", "user": {"token": "secret"}}],
        }  # fmt: skip
        client = Client(Https.from_kubeconfig(config), RealClock())
        await client.resource("", "v1", "pods").list()
        await client.close()
    assert seen == ["Bearer secret"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, 'the kubeconfig has no context ""'),
        ({"current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "c"}}]}, 'no cluster "c"'),
        (
            {
                "current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "c"}}],
                "clusters": [{"name": "c", "cluster": {"server": "https://x", "certificate-authority-data": "%%%"}}],
            },
            "certificate-authority-data is not base64",
        ),
    ],
)  # fmt: skip
def test_a_broken_kubeconfig_says_what_is_wrong(config, message):
    with pytest.raises(ValueError, match=message):
        Https.from_kubeconfig(config)


@pytest.mark.parametrize(
    ("body", "content_type", "status", "expected"),
    [
        (b"{broken", "application/json", 200, "broken JSON"),
        (b"upstream sent nothing", "text/plain", 502, "upstream sent nothing"),
        (b"", "text/plain", 500, "the server answered with status 500"),
        (b'{"kind": "Status", "code": 404, "reason": "NotFound", "message": "gone"}', "application/json", 404, "gone"),
        (b'["not", "a", "status"]', "application/json", 500, "not"),
    ],
)
async def test_answers_of_a_broken_server_are_status_errors(body, content_type, status, expected):
    async def front(_):
        return web.Response(body=body, content_type=content_type, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = Client(Https(f"http://127.0.0.1:{runner.addresses[0][1]}"), RealClock())
    with pytest.raises(StatusError, match=expected):
        await client.resource("", "v1", "pods").get("a", "default")
    await client.close()
    await runner.cleanup()


@pytest.mark.parametrize("line", [b"{broken\n", b'{"type": "ADDED"}\n', b"[]\n"])
async def test_a_broken_watch_is_a_status_error(line):
    async def front(request):
        stream = web.StreamResponse()
        await stream.prepare(request)
        await stream.write(line)
        return stream

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", front)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    client = Client(Https(f"http://127.0.0.1:{runner.addresses[0][1]}"), RealClock())
    with pytest.raises(StatusError, match="broken watch event"):
        async for _ in client.resource("", "v1", "pods").watch():
            pass
    await client.close()
    await runner.cleanup()
