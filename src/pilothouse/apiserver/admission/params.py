"""The parameters of a policy's binding. Source: upstream's admission/plugin/policy/generic (CollectParams)."""

from __future__ import annotations

from pilothouse.api import selectors
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.apiserver.admission.plugin import Cluster
from pilothouse.apiserver.contracts import AdmissionRequest
from pilothouse.apiserver.registry.resources import ServedResource


class Misconfigured(Exception):
    """str() is upstream's text."""


def served_kind(cluster: Cluster, param_kind: Obj | None) -> ServedResource | None:
    """The resource of a policy's paramKind. Raises Misconfigured."""
    if param_kind is None:
        return None
    group, version = split_api_version(param_kind.get("apiVersion") or "")
    gvk = GVK(group, version, param_kind.get("kind") or "")
    found = cluster.registry.kind_served(gvk)
    if found is None:
        shown = f"{gvk.api_version}, Kind={gvk.kind}"
        raise Misconfigured(f"failed to find resource referenced by paramKind: '{shown}'")
    return found


def collect(
    cluster: Cluster, request: AdmissionRequest, served: ServedResource | None, reference: Obj | None
) -> list[Obj | None]:
    """The objects, each of which the policy is evaluated with; a single None where there are no parameters. Raises
    Misconfigured."""
    if served is None or reference is None:
        return [None]
    namespace = reference.get("namespace") or ""
    if served.resource.namespaced:
        namespace = namespace or request.namespace
        if not namespace:
            wrong = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            raise Misconfigured(wrong)
    elif namespace:
        raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    group, resource = served.stored.group, served.stored.resource
    name, selector = reference.get("name") or "", reference.get("selector")
    found: list[Obj | None] = []
    if name:
        if selector is not None:
            raise Misconfigured("paramRef.name and paramRef.selector are mutually exclusive")
        one = cluster.objects.get(group, resource, namespace, name)
        found = [] if one is None else [served.outward(one)]
    elif selector is not None:
        wanted = selectors.of_object(selector)
        listed = cluster.objects.list(group, resource, namespace if served.resource.namespaced else "")
        found = [served.outward(o) for o in listed if wanted.matches(o["metadata"].get("labels") or {})]
    else:
        raise Misconfigured("one of name or selector must be provided")
    if not found and reference.get("parameterNotFoundAction") == "Deny":
        raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found
