"""Who asks: certificates, tokens, proxies; and who then acts as whom."""

from __future__ import annotations

import base64
import datetime
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID, ObjectIdentifier
from security_fakes import FakeObjects

from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request, UserInfo
from pilothouse.apiserver import authentication, authorization
from pilothouse.apiserver.authentication import Authentication, certificates, jwt
from pilothouse.apiserver.authentication.failures import Refused
from pilothouse.apiserver.bootstrap.desired import fixed
from pilothouse.apiserver.config import Config, TokenEntry
from pilothouse.apiserver.contracts import Attributes
from pilothouse.clock import VirtualClock

DAY = datetime.timedelta(days=1)


def pem(key: Any) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return bytes(key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption()))


EC_KEY = pem(ec.generate_private_key(ec.SECP256R1()))
RSA_KEY = pem(rsa.generate_private_key(65537, 2048))


class Authority:
    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = self.sign(self.name, self.key.public_key()).public_bytes(serialization.Encoding.PEM)

    def sign(self, subject: x509.Name, public: Any) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self.name).public_key(public)
        builder = builder.serial_number(1).not_valid_before(now - DAY).not_valid_after(now + DAY)
        return builder.sign(self.key, hashes.SHA256())

    def client(self, *attributes: tuple[ObjectIdentifier, str]) -> bytes:
        subject = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
        key = ec.generate_private_key(ec.SECP256R1())
        return self.sign(subject, key.public_key()).public_bytes(serialization.Encoding.DER)


CA, PROXY_CA = Authority("ca"), Authority("proxy-ca")


def server(objects: FakeObjects | None = None, **settings: Any) -> tuple[Authentication, VirtualClock]:
    clock = VirtualClock()
    static = TokenEntry("jane-token", UserInfo("jane", "7", ("dev",)))
    config = Config(client_ca=CA.pem, service_account_signing_key=EC_KEY, tokens=(static,), **settings)
    return authentication.build(config, objects or FakeObjects(), clock), clock


def request(token: str = "", certificate: bytes = b"", **headers: str) -> Request:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        given["authorization"] = f"Bearer {token}"
    return Request("GET", "/api", headers=given, peer_certificates=(certificate,) if certificate else ())


async def test_a_certificate_names_user_and_groups() -> None:
    der = CA.client((NameOID.COMMON_NAME, "ann"), (NameOID.ORGANIZATION_NAME, "a"), (NameOID.ORGANIZATION_NAME, "b"))
    user = await server()[0].authenticate(request(certificate=der))
    assert user is not None
    assert (user.name, user.groups) == ("ann", ("a", "b", "system:authenticated"))
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


async def test_a_certificate_names_a_uid() -> None:
    der = CA.client((NameOID.COMMON_NAME, "ann"), (ObjectIdentifier("1.3.6.1.4.1.57683.2"), "42"))
    user = await server()[0].authenticate(request(certificate=der))
    assert user is not None
    assert user.uid == "42"


@pytest.mark.parametrize("der", [b"", b"0", b"0\x84", b"0\x80", b"0\x03\x02\x01\x01", b"\xff" * 40, b"0\x820\x82"])
def test_what_is_no_certificate_is_refused(der: bytes) -> None:
    with pytest.raises(certificates.BadCertificate):
        certificates.subject(der)


async def test_static_tokens_and_none_and_bad_ones() -> None:
    authenticator, _ = server()
    user = await authenticator.authenticate(request("jane-token"))
    assert user == UserInfo("jane", "7", ("dev", "system:authenticated"))
    anonymous = UserInfo("system:anonymous", groups=("system:unauthenticated",))
    assert await authenticator.authenticate(request()) == anonymous
    assert await authenticator.authenticate(request(authorization="Basic abc")) == anonymous
    for token in ("nix", "a.b.c", "..", "é.é.é", "e30.e30.e30"):
        with pytest.raises(StatusError) as caught:
            await authenticator.authenticate(request(token))
        assert caught.value.code == 401


async def test_anonymous_can_be_turned_off() -> None:
    with pytest.raises(StatusError):
        await server(anonymous=False)[0].authenticate(request())


async def test_a_proxy_speaks_for_others_and_others_do_not() -> None:
    settings = {"requestheader_client_ca": PROXY_CA.pem, "requestheader_allowed_names": ("front",)}
    authenticator, _ = server(**settings)
    headers = {"x_remote_user": "eve", "x_remote_group": "g1\ng2", "x_remote_extra_scopes%2fx": "s"}
    front = PROXY_CA.client((NameOID.COMMON_NAME, "front"))
    user = await authenticator.authenticate(request(certificate=front, **headers))
    assert user == UserInfo("eve", "", ("g1", "g2", "system:authenticated"), {"scopes/x": ("s",)})
    ann = CA.client((NameOID.COMMON_NAME, "ann"))
    user = await authenticator.authenticate(request(certificate=ann, **headers))
    assert user is not None
    assert user.name == "ann"
    other = PROXY_CA.client((NameOID.COMMON_NAME, "other"))
    with pytest.raises(StatusError):
        await authenticator.authenticate(request(certificate=other, **headers))


async def test_a_websocket_carries_its_token_in_a_subprotocol() -> None:
    name = "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(b"jane-token").decode().rstrip("=")
    headers = {"upgrade": "websocket", "sec_websocket_protocol": f"{name}, v4.channel.k8s.io"}
    user = await server()[0].authenticate(request(**headers))
    assert user is not None
    assert user.name == "jane"


def account(uid: str = "u1") -> dict[str, Any]:
    return {"kind": "ServiceAccount", "metadata": {"namespace": "dev", "name": "robot", "uid": uid}}


@pytest.mark.parametrize("key", [EC_KEY, RSA_KEY], ids=["ec", "rsa"])
async def test_a_service_accounts_token_holds_until_it_expires(key: bytes) -> None:
    objects = FakeObjects(("", "serviceaccounts", account()))
    clock = VirtualClock()
    authenticator = authentication.build(Config(service_account_signing_key=key), objects, clock)
    token = authenticator.service_accounts.issue(account(), 600, ["https://kubernetes.default.svc"])
    user = await authenticator.authenticate(request(token))
    assert user is not None
    assert user.name == "system:serviceaccount:dev:robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:dev", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")
    clock._elapsed_s += 661
    with pytest.raises(Refused, match=r"^\[invalid bearer token, service account token has expired\]$"):
        await authenticator.token(token)


async def test_a_token_ends_with_its_account_and_its_pod() -> None:
    objects = FakeObjects(("", "serviceaccounts", account()))
    authenticator, _ = server(objects)
    pod = objects.put("", "pods", {"kind": "Pod", "metadata": {"namespace": "dev", "name": "p", "uid": "pu"}})
    token = authenticator.service_accounts.issue(account(), 600, authenticator.service_accounts.audiences, pod=pod)
    user = await authenticator.authenticate(request(token))
    assert user is not None
    assert user.extra["authentication.kubernetes.io/pod-name"] == ("p",)
    await objects.delete("", "pods", "dev", "p")
    with pytest.raises(Refused, match="service account token has been invalidated"):
        await authenticator.token(token)
    objects.put("", "pods", {"kind": "Pod", "metadata": {"namespace": "dev", "name": "p", "uid": "other"}})
    with pytest.raises(Refused, match=r"pod UID \(other\) does not match service account pod ref claim \(pu\)"):
        await authenticator.token(token)
    objects.put("", "serviceaccounts", account("u2"))
    with pytest.raises(Refused, match=r"service account UID \(u2\) does not match claim \(u1\)"):
        await authenticator.token(token)


async def test_a_token_is_for_its_audience_alone() -> None:
    authenticator, _ = server(FakeObjects(("", "serviceaccounts", account())))
    token = authenticator.service_accounts.issue(account(), 600, ["vault"])
    with pytest.raises(Refused, match=r'token audiences \["vault"\] is invalid for the target audiences'):
        await authenticator.token(token)
    assert (await authenticator.token(token, ["vault", "x"])).audiences == ("vault",)


async def test_a_forged_token_is_refused() -> None:
    authenticator, _ = server(FakeObjects(("", "serviceaccounts", account())))
    token = authenticator.service_accounts.issue(account(), 600, ["vault"])
    head, claims, _ = token.split(".")
    for forged in (f"{head}.{claims}.", f"{head}.{claims}.AAAA", f"{jwt.encode(b'{}')}.{claims}.AAAA"):
        with pytest.raises(Refused):
            await authenticator.token(forged, ["vault"])


async def test_a_legacy_token_holds_while_its_secret_has_it() -> None:
    objects = FakeObjects(("", "serviceaccounts", account()))
    authenticator, _ = server(objects)
    prefix = "kubernetes.io/serviceaccount/"
    token = jwt.Key(EC_KEY).sign({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:dev:robot", prefix + "namespace": "dev",
        prefix + "secret.name": "s", prefix + "service-account.name": "robot", prefix + "service-account.uid": "u1",
    })  # fmt: skip
    with pytest.raises(Refused, match="service account token has been invalidated"):
        await authenticator.token(token)
    data = {"token": base64.b64encode(token.encode()).decode()}
    objects.put("", "secrets", {"metadata": {"namespace": "dev", "name": "s"}, "data": data})
    assert (await authenticator.token(token)).user.name == "system:serviceaccount:dev:robot"


async def test_bootstrap_tokens() -> None:
    def encoded(**data: str) -> dict[str, str]:
        return {k.replace("_", "-"): base64.b64encode(v.encode()).decode() for k, v in data.items()}

    good = {"token_id": "abcdef", "token_secret": "0123456789abcdef", "usage_bootstrap_authentication": "true"}
    secret = {
        "metadata": {"namespace": "kube-system", "name": "bootstrap-token-abcdef"},
        "type": "bootstrap.kubernetes.io/token", "data": encoded(**good, auth_extra_groups="system:bootstrappers:x"),
    }  # fmt: skip
    objects = FakeObjects(("", "secrets", secret))
    authenticator, _ = server(objects)
    user = await authenticator.authenticate(request("abcdef.0123456789abcdef"))
    groups = ("system:bootstrappers", "system:bootstrappers:x", "system:authenticated")
    assert user == UserInfo("system:bootstrap:abcdef", groups=groups)
    objects.put("", "secrets", {**secret, "data": encoded(**good, expiration="2020-01-01T00:00:00Z")})
    with pytest.raises(StatusError):
        await authenticator.authenticate(request("abcdef.0123456789abcdef"))


# Impersonation. The messages are those of kube-apiserver 1.37.2.

JANE = UserInfo("jane", groups=("dev", "system:authenticated"))
ROOT = UserInfo("root", groups=("system:masters",))
LIST_PODS = Attributes(JANE, "list", "/api/v1/pods", True, "", "v1", "pods")


async def act(user: UserInfo, rules: list[dict[str, Any]], **headers: str) -> UserInfo | None:
    group = "rbac.authorization.k8s.io"
    objects = FakeObjects(*((d.group, d.resource, d.obj) for d in fixed() if d.group == group))
    objects.put(group, "clusterroles", {"metadata": {"name": "r"}, "rules": rules})
    ref = {"kind": "ClusterRole", "name": "r"}
    subjects = [{"kind": "User", "name": "jane"}]
    binding = {"metadata": {"name": "b"}, "roleRef": ref, "subjects": subjects}
    objects.put(group, "clusterrolebindings", binding)
    authorizer = authorization.build(Config(), objects)
    asked = request(**headers)
    return await authentication.impersonate(asked, user, replace(LIST_PODS, user=user), authorizer)


def rule(verbs: list[str], group: str, resources: list[str], **more: Any) -> dict[str, Any]:
    return {"verbs": verbs, "apiGroups": [group], "resources": resources, **more}


@pytest.mark.parametrize(
    ("user", "mode"),
    [("bob", "user-info"), ("system:node:n1", "arbitrary-node"), ("system:serviceaccount:a:b", "serviceaccount")],
)
async def test_who_may_not_impersonate_reads_of_the_constrained_mode(user: str, mode: str) -> None:
    with pytest.raises(StatusError) as caught:
        await act(JANE, [], impersonate_user=user)
    start = f'pods is forbidden: User "jane" cannot impersonate-on:{mode}:list resource "pods" in API group ""'
    assert caught.value.message == f"{start} at the cluster scope"


async def test_impersonation_without_a_user() -> None:
    with pytest.raises(StatusError) as caught:
        await act(JANE, [], impersonate_group="g", impersonate_extra_foo="g", impersonate_uid="7")
    assert caught.value.code == 400
    assert caught.value.message == (
        'requested &user.DefaultInfo{Name:"", UID:"7", Groups:[]string{"g"}, '
        'Extra:map[string][]string{"foo":[]string{"g"}}} without impersonating a user name'
    )


async def test_impersonation_as_it_always_was() -> None:
    assert await act(ROOT, []) is None
    user = await act(ROOT, [], impersonate_user="bob", impersonate_group="a\nb")
    assert user == UserInfo("bob", groups=("a", "b", "system:authenticated"))
    user = await act(ROOT, [], impersonate_user="system:anonymous")
    assert user == UserInfo("system:anonymous", groups=("system:unauthenticated",))
    rules = [rule(["impersonate"], "", ["serviceaccounts"])]
    user = await act(JANE, rules, impersonate_user="system:serviceaccount:a:b")
    groups = ("system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated")
    assert user == UserInfo("system:serviceaccount:a:b", groups=groups)


async def test_constrained_impersonation_is_held_to_its_verbs() -> None:
    rules = [
        rule(["impersonate:user-info"], "authentication.k8s.io", ["users"], resourceNames=["bob"]),
        rule(["impersonate-on:user-info:list"], "", ["pods"]),
    ]
    assert await act(JANE, rules, impersonate_user="bob") == UserInfo("bob", groups=("system:authenticated",))
    with pytest.raises(StatusError, match=r'cannot impersonate:user-info resource "users"'):
        await act(JANE, rules, impersonate_user="eve")
    with pytest.raises(StatusError, match="impersonating the system:masters group is not allowed"):
        await act(JANE, rules, impersonate_user="bob", impersonate_group="system:masters")
