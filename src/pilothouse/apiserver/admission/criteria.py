"""Which requests policies and webhooks are about: rules, selectors, and the versions in which they see objects.

Source: the documentation's "Matching requests" and upstream's admission/plugin/policy/matching and webhook/predicates.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.api import errors, selectors
from pilothouse.api.codec.decode import decode
from pilothouse.api.codec.explain import DecodeError
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR
from pilothouse.apiserver.admission.plugin import Cluster
from pilothouse.apiserver.contracts import AdmissionRequest
from pilothouse.apiserver.registry.resources import ServedResource

GROUP: Final = "admissionregistration.k8s.io"
_EXEMPT: Final = frozenset({
    "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding", "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Match:
    """In which version of the resource a policy or webhook sees the object. `served` is None for what has no version but the
    request's (the kinds of subresources)."""

    gvr: GVR
    gvk: GVK
    served: ServedResource | None

    def shown(self, obj: Obj | None) -> Obj | None:
        """An object in memory as this version has it."""
        return obj if obj is None or self.served is None else self.served.outward(obj)


def is_exempt(request: AdmissionRequest) -> bool:
    """What says who may do what cannot forbid its own change."""
    return request.gvk.group == GROUP and request.gvk.kind in _EXEMPT


def kind_of(request: AdmissionRequest) -> GVK:
    return request.subresource_kind or request.gvk


def match(cluster: Cluster, request: AdmissionRequest, criteria: Obj, rules: str, excluded: str = "") -> Match | None:
    """`criteria` has namespaceSelector, objectSelector, matchPolicy, and rules in the fields named. None: it is not about this
    request. Raises StatusError where that cannot be told."""
    if not _objects_match(request, criteria.get("objectSelector")):
        return None
    policy = criteria.get("matchPolicy") or "Equivalent"
    if excluded and _by_rules(cluster, request, criteria.get(excluded) or (), policy) is not None:
        return None
    given = criteria.get(rules) or ()
    found = _by_rules(cluster, request, given, policy) if given else _exact(cluster, request)
    if found is None or not _namespace_matches(cluster, request, criteria.get("namespaceSelector")):
        return None
    return found


def _exact(cluster: Cluster, request: AdmissionRequest) -> Match:
    served = None if request.subresource_kind is not None else cluster.registry.get(*request.gvr)
    return Match(request.gvr, kind_of(request), served)


def _by_rules(cluster: Cluster, request: AdmissionRequest, rules: Iterable[Obj], policy: str) -> Match | None:
    if any(rule_matches(rule, request, request.gvr) for rule in rules):
        return _exact(cluster, request)
    if policy == "Exact":
        return None
    own = cluster.registry.get(*request.gvr)
    if own is None:
        return None
    equivalents = [s for s in cluster.registry if s.stored is own.stored and s.gvr != request.gvr]
    for rule in rules:
        for other in equivalents:
            if rule_matches(rule, request, other.gvr):
                if request.subresource_kind is not None:
                    return Match(other.gvr, request.subresource_kind, None)
                return Match(other.gvr, other.gvk, other)
    return None


def rule_matches(rule: Obj, request: AdmissionRequest, gvr: GVR) -> bool:
    if not _any_of(rule.get("operations"), request.operation):
        return False
    if not (_any_of(rule.get("apiGroups"), gvr.group) and _any_of(rule.get("apiVersions"), gvr.version)):
        return False
    scope, clustered = rule.get("scope") or "*", not request.namespace or gvr == ("", "v1", "namespaces")
    if scope != "*" and (scope == "Cluster") != clustered:
        return False
    if not any(_resource_matches(r, gvr.resource, request.subresource) for r in rule.get("resources") or ()):
        return False
    names = rule.get("resourceNames")
    return not names or request.name in names


def _any_of(values: list[str] | None, wanted: str) -> bool:
    return any(v in ("*", wanted) for v in values or ())


def _resource_matches(pattern: str, resource: str, subresource: str) -> bool:
    own, _, sub = pattern.partition("/")
    return own in ("*", resource) and sub in ("*", subresource)


def _labels(obj: Obj | None) -> dict[str, str]:
    found: dict[str, str] = ((obj or {}).get("metadata") or {}).get("labels") or {}
    return found


def _objects_match(request: AdmissionRequest, selector: Obj | None) -> bool:
    wanted = selectors.of_object(selector or {})
    if wanted.empty:
        return True
    return any(obj is not None and wanted.matches(_labels(obj)) for obj in (request.obj, request.old))


def _namespace_matches(cluster: Cluster, request: AdmissionRequest, selector: Obj | None) -> bool:
    wanted = selectors.of_object(selector or {})
    if wanted.empty:
        return True
    is_namespace = request.gvr.group == "" and request.gvr.resource == "namespaces"
    if not request.namespace and not is_namespace:
        return True
    if is_namespace and not request.subresource and request.operation in ("CREATE", "UPDATE"):
        return wanted.matches(_labels(request.obj))
    return wanted.matches(_labels(namespace(cluster, request)))


def namespace(cluster: Cluster, request: AdmissionRequest) -> Obj:
    """Raises 404."""
    found = cluster.objects.get("", "namespaces", "", request.namespace)
    if found is None:
        raise errors.not_found("", "namespaces", request.namespace)
    return found


def sorted_by_name(objects: Iterable[Obj]) -> list[Obj]:
    return sorted(objects, key=lambda o: str(o["metadata"]["name"]))


def of_request(request: AdmissionRequest, matched: Match) -> dict[str, Any]:
    """The AdmissionRequest, without objects and uid, as webhooks and expressions see it."""
    user, kind = request.user, kind_of(request)
    return {
        "kind": matched.gvk._asdict(),
        "resource": matched.gvr._asdict(),
        **({"subResource": request.subresource} if request.subresource else {}),
        "requestKind": kind._asdict(),
        "requestResource": request.gvr._asdict(),
        **({"requestSubResource": request.subresource} if request.subresource else {}),
        **({"name": request.name} if request.name else {}),
        **({"namespace": request.namespace} if request.namespace else {}),
        "operation": request.operation,
        "userInfo": {
            **({"username": user.name} if user.name else {}),
            **({"uid": user.uid} if user.uid else {}),
            **({"groups": list(user.groups)} if user.groups else {}),
            **({"extra": {k: list(v) for k, v in user.extra.items()}} if user.extra else {}),
        },
        "dryRun": request.dry_run,
        "options": request.options,
    }


def as_object(patched: Any) -> Obj:
    """What a patch made. Raises StatusError where that is no object."""
    if not isinstance(patched, dict):
        raise errors.internal("json: cannot unmarshal into Go value of type struct")
    return patched


def put_back(request: AdmissionRequest, matched: Match, changed: Obj) -> None:
    """What a mutation made of the object, into the request's own: defaulted, and in the version in memory."""
    assert request.obj is not None
    served = matched.served
    if served is not None:
        if not served.stored.custom:
            try:
                changed = {**changed, **decode(served.type, changed)[0]}
            except DecodeError as e:
                raise errors.internal(str(e)) from None
        served.kind.default(changed)
        changed = served.inward(changed)
    request.obj.clear()
    request.obj.update(changed)
