"""The endpoints with a behaviour of their own: one file each in this package, found through these tables and imported
when a request first names them.

ENDPOINTS has whole endpoints (`contracts.Endpoint`): what they answer is their own business.
STRATEGIES has subresources that are written as their object is (`contracts.SubresourceStrategy`). `status` has a general
strategy that serves every resource with that subresource, unless a line here says otherwise.
JUDGES has rules of validation that a pure function cannot answer (`contracts.Judge`).
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pilothouse.apiserver.contracts import Endpoint, Judge, SubresourceStrategy

# (group, resource, subresource) → "module:function"; an empty subresource is the resource itself.
ENDPOINTS: dict[tuple[str, str, str], str] = {
    ("", "bindings", ""): "binding:create_binding",
    ("", "pods", "binding"): "binding:create",
    ("", "pods", "eviction"): "eviction:create",
    ("", "pods", "log"): "connect:log",
    ("", "pods", "exec"): "connect:exec_",
    ("", "pods", "attach"): "connect:attach",
    ("", "pods", "portforward"): "connect:portforward",
    ("", "pods", "proxy"): "connect:proxy_pod",
    ("", "services", "proxy"): "connect:proxy_service",
    ("", "nodes", "proxy"): "connect:proxy_node",
    ("", "serviceaccounts", "token"): "token:create",
    ("", "componentstatuses", ""): "componentstatuses:read",
    ("authentication.k8s.io", "selfsubjectreviews", ""): "reviews:self_subject",
    ("authentication.k8s.io", "tokenreviews", ""): "reviews:token",
    ("authorization.k8s.io", "localsubjectaccessreviews", ""): "reviews:local_subject_access",
    ("authorization.k8s.io", "selfsubjectaccessreviews", ""): "reviews:self_subject_access",
    ("authorization.k8s.io", "selfsubjectrulesreviews", ""): "reviews:self_subject_rules",
    ("authorization.k8s.io", "subjectaccessreviews", ""): "reviews:subject_access",
}

# (group, resource, subresource) → "module:STRATEGY"
STRATEGIES: dict[tuple[str, str, str], str] = {
    ("", "namespaces", "finalize"): "finalize:STRATEGY",
    ("", "pods", "ephemeralcontainers"): "pods:EPHEMERAL_CONTAINERS",
    ("", "pods", "resize"): "pods:RESIZE",
    ("", "replicationcontrollers", "scale"): "scale:REPLICATION_CONTROLLER",
    ("apps", "deployments", "scale"): "scale:DEPLOYMENT",
    ("apps", "replicasets", "scale"): "scale:REPLICA_SET",
    ("apps", "statefulsets", "scale"): "scale:STATEFUL_SET",
    ("certificates.k8s.io", "certificatesigningrequests", "approval"): "approval:STRATEGY",
}

# (group, resource, subresource) → "module:function", a `contracts.Judge`
JUDGES: dict[tuple[str, str, str], str] = {
    ("certificates.k8s.io", "podcertificaterequests", "status"): "certificates:pod_request_status",
    ("resource.k8s.io", "resourceclaims", ""): "claims:claim",
    ("resource.k8s.io", "resourceclaims", "status"): "claims:status",
    ("resource.k8s.io", "resourceclaimtemplates", ""): "claims:template",
}


def _load(place: str) -> object:
    module, _, name = place.partition(":")
    return getattr(import_module(f"{__name__}.{module}"), name)


@cache
def endpoint(group: str, resource: str, subresource: str) -> Endpoint | None:
    place = ENDPOINTS.get((group, resource, subresource))
    return _load(place) if place else None  # type: ignore[return-value]


@cache
def judge(group: str, resource: str, subresource: str) -> Judge | None:
    """The rules that ask the authorizer, the clock or other objects; None where there are none, which is the rule."""
    place = JUDGES.get((group, resource, subresource))
    return _load(place) if place else None  # type: ignore[return-value]


@cache
def strategy(group: str, resource: str, subresource: str) -> SubresourceStrategy | None:
    """A built-in subresource's strategy; None where it has only the general one."""
    place = STRATEGIES.get((group, resource, subresource))
    found = _load(place) if place else None
    assert found is None or isinstance(found, SubresourceStrategy)
    return found
