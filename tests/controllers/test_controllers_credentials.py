"""Tokens of service accounts, certificate signing requests."""

from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pilothouse.controllers.certificates import requests as r


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@pytest.fixture(scope="module")
def authority():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubernetes")])
    now = datetime(2026, 1, 1, tzinfo=UTC)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now).not_valid_after(now + timedelta(days=3650))
        .add_extension(x509.BasicConstraints(True, None), True).sign(key, hashes.SHA256())
    )  # fmt: skip
    return certificate, key


def config(authority):
    certificate, key = authority
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return {
        "root-ca": pem, "cluster-signing-cert": pem, "cluster-signing-key": private_pem(key),
        "service-account-private-key": private_pem(key),
    }  # fmt: skip


def asked(name="system:node:n1", organization="system:nodes", dns=()):
    key = ec.generate_private_key(ec.SECP256R1())
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(parts))
    if dns:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(d) for d in dns]), False)
    pem = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return b64encode(pem).decode()


def request(signer=r.KUBELET_CLIENT, usages=("digital signature", "client auth"), approved=True, **csr):
    made = {
        "metadata": {"name": "csr"},
        "spec": {"signerName": signer, "usages": list(usages), "request": asked(**csr), "username": "system:node:n1"},
    }
    if approved:
        made["status"] = {"conditions": [{"type": "Approved", "status": "True"}]}
    return made


def test_an_approved_request_is_signed(simulate, authority):
    async def story(c):
        await c.create("certificatesigningrequests", request(approved=False))
        await c.settle()
        found = await c.get("certificatesigningrequests", "csr", "")
        assert not found.get("status")
        condition = {"type": "Approved", "status": "True", "lastUpdateTime": c.clock.timestamp()}
        await c.of("certificatesigningrequests").update({**found, "status": {"conditions": [condition]}}, "status")
        await c.settle()
        found = await c.get("certificatesigningrequests", "csr", "")
        certificate = x509.load_pem_x509_certificate(b64decode(found["status"]["certificate"]))
        certificate.verify_directly_issued_by(authority[0])
        assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:n1"
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
        assert certificate.not_valid_before_utc.timestamp() == pytest.approx(c.clock.now() - 300, abs=5)
        assert (certificate.not_valid_after_utc - certificate.not_valid_before_utc).days == 365
        await c.settle(7200 + 60)
        assert await c.find("certificatesigningrequests", "csr", "") is None

    names = ("certificatesigningrequest-signing-controller", "certificatesigningrequest-cleaner-controller")
    simulate(story, *names, config=config(authority))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ({"organization": "other"}, "subject organization is not system:nodes"),
        ({"name": "n1"}, "subject common name does not begin with system:node:"),
        ({"dns": ["n1"]}, "DNS subjectAltNames are not allowed"),
        ({"usages": ["server auth"]}, "usages did not match [client auth digital signature key encipherment]"),
        ({"signer": r.KUBELET_SERVING}, "DNS or IP subjectAltName is required"),
        ({"signer": r.CLIENT, "usages": ["server auth"]}, "invalid usage for client certificate: server auth"),
    ],
)
def test_a_request_that_a_signer_refuses_has_failed(simulate, authority, made, why):
    async def story(c):
        await c.create("certificatesigningrequests", request(**made))
        await c.settle()
        status = (await c.get("certificatesigningrequests", "csr", ""))["status"]
        assert "certificate" not in status
        failed = next(x for x in status["conditions"] if x["type"] == "Failed")
        assert (failed["reason"], failed["message"]) == ("SignerValidationFailure", why)

    simulate(story, "certificatesigningrequest-signing-controller", config=config(authority))


def test_token_secrets_are_filled_and_go_with_their_account(simulate, authority):
    import jwt

    async def story(c):
        account = await c.create("serviceaccounts", {"metadata": {"name": "robot", "namespace": "default"}})
        annotations = {"kubernetes.io/service-account.name": "robot"}
        secret = {"type": "kubernetes.io/service-account-token"}
        secret["metadata"] = {"name": "robot-token", "namespace": "default", "annotations": annotations}
        await c.create("secrets", secret)
        await c.create("secrets", {**secret, "metadata": {**secret["metadata"], "name": "lost", "annotations": {
            "kubernetes.io/service-account.name": "nobody"}}})  # fmt: skip
        await c.settle()
        assert await c.names("secrets") == ["robot-token"]
        found = await c.get("secrets", "robot-token")
        assert found["metadata"]["annotations"]["kubernetes.io/service-account.uid"] == account["metadata"]["uid"]
        data = {k: b64decode(v) for k, v in found["data"].items()}
        assert data["namespace"] == b"default"
        assert data["ca.crt"] == config(authority)["root-ca"]
        claims = jwt.decode(data["token"].decode(), authority[1].public_key(), algorithms=["ES256"])
        assert claims["sub"] == "system:serviceaccount:default:robot"
        assert claims["kubernetes.io/serviceaccount/secret.name"] == "robot-token"
        await c.of("serviceaccounts").delete("robot", "default")
        await c.settle()
        assert await c.names("secrets") == []

    simulate(story, "serviceaccount-token-controller", config=config(authority))


@pytest.mark.parametrize(
    "text", ["", "!!", b64encode(b"no pem").decode(), b64encode(b"-----BEGIN CERTIFICATE REQUEST-----").decode()]
)
def test_broken_requests_are_errors_of_value(text):
    with pytest.raises(ValueError):
        r.parse(text)


def test_bootstrap_tokens_sign_until_they_end(simulate):
    import hashlib
    import hmac
    from base64 import urlsafe_b64decode, urlsafe_b64encode

    from pilothouse.clock import format_time

    async def story(c):
        info = {"metadata": {"name": "cluster-info", "namespace": "kube-public"}, "data": {"kubeconfig": "text"}}
        await c.create("configmaps", info)
        entries = {
            "token-id": "abcdef", "token-secret": "0123456789abcdef", "usage-bootstrap-signing": "true",
            "expiration": format_time(c.clock.now() + 60),
        }  # fmt: skip
        data = {k: b64encode(v.encode()).decode() for k, v in entries.items()}
        metadata = {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}
        await c.create("secrets", {"metadata": metadata, "type": "bootstrap.kubernetes.io/token", "data": data})
        await c.settle()
        signed = (await c.get("configmaps", "cluster-info", "kube-public"))["data"]["jws-kubeconfig-abcdef"]
        header, _, mac = signed.split(".")
        text = f"{header}.{urlsafe_b64encode(b'text').rstrip(b'=').decode()}".encode()
        assert urlsafe_b64decode(mac + "==") == hmac.new(b"0123456789abcdef", text, hashlib.sha256).digest()
        await c.settle(60)
        assert await c.names("secrets", "kube-system") == []
        assert (await c.get("configmaps", "cluster-info", "kube-public"))["data"] == {"kubeconfig": "text"}

    simulate(story, "bootstrap-signer-controller", "token-cleaner-controller")
