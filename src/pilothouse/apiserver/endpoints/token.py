"""serviceaccounts/token: a token of a service account, for an audience, a time and an object to which it is bound.

Source: upstream's registry/core/serviceaccount/storage/token.go.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import errors
from pilothouse.api.exchange import Request
from pilothouse.api.field import ErrorList, invalid
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.apiserver.authentication import Authentication
from pilothouse.apiserver.contracts import EndpointContext
from pilothouse.apiserver.endpoints.posted import admit
from pilothouse.apiserver.requestinfo import RequestInfo
from pilothouse.clock import format_time

_GROUP, _KIND = "authentication.k8s.io", "TokenRequest"
_LEAST_S: Final = 600
_MOST_S: Final = 1 << 32
_DEFAULT_S: Final = 3600
_WARN_ONLY_S: Final = 3607  # what the tokens of pods' volumes ask for: they last longer than they say
_EXTENDED_S: Final = 365 * 24 * 3600
_RECREATED = "The object might have been deleted and then recreated"


async def create(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    authenticator = context.authenticator
    assert isinstance(authenticator, Authentication)
    tokens = authenticator.service_accounts
    if not tokens.can_issue:
        raise errors.path_not_found()
    gvk = GVK(_GROUP, "v1", _KIND)
    asked = await context.decode(info, request, gvk)
    _check_names(info, asked["metadata"])
    spec = asked["spec"] = asked.get("spec") or {}
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _DEFAULT_S
    await admit(context, info, request, asked, gvk)
    account = await _live(context, "serviceaccounts", info.namespace, info.name)
    uid = account["metadata"]["uid"]
    wanted = asked["metadata"].get("uid")
    if wanted and wanted != uid:
        why = f"the UID in the token request ({wanted}) does not match the UID of the service account ({uid})"
        raise errors.conflict(_GROUP, _KIND, info.name, why)
    audiences = spec.get("audiences") or list(tokens.audiences)
    expiration_s = spec["expirationSeconds"]
    found = _errors(spec, expiration_s)
    if found:
        raise errors.invalid(_GROUP, _KIND, "", found)
    ref = spec.get("boundObjectRef")
    pod, secret, node = await _bound(context, info, ref) if ref else (None, None, None)
    lasts_s, warn_after_s = expiration_s, 0
    ours = set(audiences) <= set(tokens.audiences)
    if pod is not None and expiration_s == _WARN_ONLY_S and ours:
        lasts_s, warn_after_s = _EXTENDED_S, expiration_s
    now_s = context.clock.now()
    token = tokens.issue(
        account, lasts_s, audiences, pod=pod, secret=secret, node=node, warn_after_s=warn_after_s
    )  # fmt: skip
    meta: Obj = {"name": info.name, "namespace": info.namespace, "uid": uid, "creationTimestamp": format_time(now_s)}
    if asked["metadata"].get("managedFields"):
        meta["managedFields"] = asked["metadata"]["managedFields"]
    return {
        "kind": _KIND, "apiVersion": gvk.api_version, "metadata": meta,
        "spec": {"audiences": audiences, "expirationSeconds": expiration_s, "boundObjectRef": ref},
        "status": {"token": token, "expirationTimestamp": format_time(now_s + expiration_s)},
    }  # fmt: skip


def _check_names(info: RequestInfo, meta: Obj) -> None:
    if meta.get("namespace") and meta["namespace"] != info.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    if meta.get("name") and meta["name"] != info.name:
        found = [invalid("metadata.name", meta["name"], "must match the service account name if specified")]
        raise errors.invalid(_GROUP, _KIND, info.name, found)


def _errors(spec: Obj, expiration_s: int) -> ErrorList:
    if spec.get("attestations"):
        text = "attestations may only be specified with a webhook bound object reference"
        return [invalid("spec.attestations", spec["attestations"], text)]
    if expiration_s < _LEAST_S:
        return [invalid("spec.expirationSeconds", expiration_s, "may not specify a duration less than 10 minutes")]
    if expiration_s > _MOST_S:
        return [invalid("spec.expirationSeconds", expiration_s, "may not specify a duration larger than 2^32 seconds")]
    return []


async def _live(context: EndpointContext, resource: str, namespace: str, name: str) -> Obj:
    found = await context.objects.get_live("", resource, namespace, name)
    if found is None:
        raise errors.not_found("", resource, name)
    return found


async def _bound(context: EndpointContext, info: RequestInfo, ref: Obj) -> tuple[Obj | None, Obj | None, Obj | None]:
    """(pod, secret, node): at most one of the first two, and the node of the pod."""
    group, version = split_api_version(ref.get("apiVersion") or "")
    kind, name = ref.get("kind") or "", ref.get("name") or ""
    pod = secret = node = None
    if (group, kind) == ("", "Pod"):
        bound = pod = await _live(context, "pods", info.namespace, name)
        if (pod["spec"].get("serviceAccountName") or "") != info.name:
            raise errors.bad_request(
                f'cannot bind token for serviceaccount "{info.name}" to pod running with different serviceaccount name.'
            )
        on = pod["spec"].get("nodeName")
        if on:
            node = context.objects.get("", "nodes", "", on) or {"metadata": {"name": on}}
    elif (group, kind) == ("", "Secret"):
        bound = secret = await _live(context, "secrets", info.namespace, name)
    elif (group, kind) == ("", "Node"):
        bound = node = await _live(context, "nodes", "", name)
    else:
        shown = f"{group}/{version}" if group else version
        raise errors.bad_request(f"cannot bind token to object of type {shown}, Kind={kind}")
    uid = bound["metadata"]["uid"]
    if ref.get("uid") and ref["uid"] != uid:
        why = f"the UID in the bound object reference ({ref['uid']}) does not match the UID in record. {_RECREATED}"
        raise errors.conflict(group, kind, name, why)
    return pod, secret, node
