"""Rules that ask the authorizer, the clock or other objects: claims of devices, certificates of pods."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asking import JSON, Call
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver.server import APIServer

CLAIMS = "/apis/resource.k8s.io/v1/namespaces/n/resourceclaims"
REQUESTS = "/apis/certificates.k8s.io/v1/namespaces/n/podcertificaterequests"
MERGE = "application/merge-patch+json"
JANE = UserInfo("jane", groups=("system:authenticated",))


async def _grant(server: APIServer, call: Call, *rules: Any) -> None:
    place = "/apis/rbac.authorization.k8s.io/v1"
    await call("POST", f"{place}/clusterroles", {"metadata": {"name": "jane"}, "rules": list(rules)})
    subject = {"kind": "User", "name": "jane", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "jane"}
    binding = {"metadata": {"name": "jane"}, "roleRef": role, "subjects": [subject]}
    await call("POST", f"{place}/clusterrolebindings", binding)
    await server.objects.fresh()


def _claim(name: str, *, admin: bool) -> Any:
    exactly = {"deviceClassName": "x", **({"adminAccess": True} if admin else {})}
    return {"metadata": {"name": name}, "spec": {"devices": {"requests": [{"name": "a", "exactly": exactly}]}}}


@pytest.mark.parametrize("labelled", [True, False])
async def test_admin_access_needs_the_label_of_the_namespace(call: Call, labelled: bool) -> None:
    labels = {"resource.kubernetes.io/admin-access": "true"} if labelled else {}
    await call("POST", "/api/v1/namespaces", {"metadata": {"name": "n", "labels": labels}})
    answer = await call("POST", CLAIMS, _claim("a", admin=True))
    assert answer.status == (201 if labelled else 422)
    if not labelled:
        assert "spec.devices.requests[0].adminAccess: Forbidden: admin access to devices" in answer.object["message"]
    assert (await call("POST", CLAIMS, _claim("b", admin=False))).status == 201


async def test_who_says_what_of_a_claim(server: APIServer, call: Call) -> None:
    await call("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    await call("POST", CLAIMS, _claim("a", admin=False))
    await _grant(
        server, call, {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims/status"], "verbs": ["*"]}
    )
    results = [{"request": "a", "driver": "d.example.com", "pool": "p", "device": "d"}]
    allocation = {"status": {"allocation": {"devices": {"results": results}}}}
    refused = await call("PATCH", f"{CLAIMS}/a/status", allocation, user=JANE, content_type=MERGE)
    assert refused.status == 422
    assert 'requires resource="resourceclaims/binding", verb="patch" permission' in refused.object["message"]
    assert (await call("PATCH", f"{CLAIMS}/a/status", allocation, content_type=MERGE)).status == 200
    devices = {"status": {"devices": [{"driver": "d.example.com", "pool": "p", "device": "d"}]}}
    refused = await call("PATCH", f"{CLAIMS}/a/status", devices, user=JANE, content_type=MERGE)
    assert 'verb="[arbitrary-node:patch]" permission' in refused.object["message"]


def _request(key: ec.EllipticCurvePrivateKey) -> Any:
    stub = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    spec = {
        "signerName": "example.com/a", "podName": "p", "podUID": "u", "serviceAccountName": "s",
        "serviceAccountUID": "v", "nodeName": "n", "nodeUID": "w",
        "stubPKCS10Request": base64.b64encode(stub.public_bytes(Encoding.DER)).decode(),
    }  # fmt: skip
    return {"metadata": {"name": "a"}, "spec": spec}


def _issued(key: ec.EllipticCurvePrivateKey, begin: datetime) -> Any:
    end = begin + timedelta(hours=2)
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")])
    builder = x509.CertificateBuilder(issuer, x509.Name([]), key.public_key(), 7, begin, end)
    chain = builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    shown = [f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in (begin, begin + timedelta(hours=1), end)]
    condition = {"type": "Issued", "status": "True", "reason": "R", "lastTransitionTime": shown[0]}
    times = dict(zip(("notBefore", "beginRefreshAt", "notAfter"), shown, strict=True))
    return {"status": {"conditions": [condition], "certificateChain": chain, **times}}


async def test_a_certificate_for_a_pod(server: APIServer, call: Call) -> None:
    await call("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    key = ec.generate_private_key(ec.SECP256R1())
    assert (await call("POST", REQUESTS, _request(key))).status == 201
    now = datetime.now(UTC).replace(microsecond=0)
    late = await call("PATCH", f"{REQUESTS}/a/status", _issued(key, now - timedelta(hours=1)), content_type=MERGE)
    assert "must be set to within 5 minutes of kube-apiserver's current time" in late.object["message"]
    other = _issued(ec.generate_private_key(ec.SECP256R1()), now)
    wrong = await call("PATCH", f"{REQUESTS}/a/status", other, content_type=MERGE)
    assert "leaf certificate was not issued to the requested public key" in wrong.object["message"]
    rule = {"apiGroups": ["certificates.k8s.io"], "resources": ["podcertificaterequests/status"], "verbs": ["patch"]}
    await _grant(server, call, rule)
    refused = await call("PATCH", f"{REQUESTS}/a/status", _issued(key, now), user=JANE, content_type=MERGE)
    told = 'spec.signerName: Forbidden: User "jane" is not permitted to "sign" for signer "example.com/a"'
    assert told in refused.object["message"]
    assert (await call("PATCH", f"{REQUESTS}/a/status", _issued(key, now), content_type=MERGE)).status == 200
    again = await call("PATCH", f"{REQUESTS}/a/status", {"status": {"certificateChain": "x"}}, content_type=MERGE)
    assert "immutable after PodCertificateRequest is issued, denied, or failed" in again.object["message"]


async def test_specs_of_certificate_requests(call: Call) -> None:
    await call("POST", "/api/v1/namespaces", {"metadata": {"name": "n"}})
    body = _request(ec.generate_private_key(ec.SECP224R1()))
    answer = await call("POST", REQUESTS, body, content_type=JSON)
    assert 'stubPKCS10Request: Invalid value: "curve P-224"' in answer.object["message"]
    body["spec"]["stubPKCS10Request"] = ""
    answer = await call("POST", REQUESTS, body)
    assert "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession)" in answer.object["message"]
