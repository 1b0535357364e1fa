"""The review kinds: questions about who somebody is and what they may do, answered and not stored.

Source: upstream's registry/authorization and registry/authentication.
"""

from __future__ import annotations

from collections.abc import Iterable

from pilothouse.api import errors
from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.field import ErrorList, forbidden, invalid, required
from pilothouse.api.objects import Obj, get
from pilothouse.api.scheme import GVK
from pilothouse.apiserver.authentication import Authentication, Refused
from pilothouse.apiserver.authorization import Authorization
from pilothouse.apiserver.contracts import Attributes, EndpointContext
from pilothouse.apiserver.endpoints.posted import admit, user_of
from pilothouse.apiserver.requestinfo import RequestInfo

_AUTHORIZATION, _AUTHENTICATION = "authorization.k8s.io", "authentication.k8s.io"
_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


async def subject_access(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    gvk = GVK(_AUTHORIZATION, info.version, "SubjectAccessReview")
    review = await context.decode(info, request, gvk)
    spec = review.get("spec") or {}
    _check(_access_errors(spec, subject=True) + _metadata_errors(review))
    return await _answer(context, info, request, gvk, review, _asked_user(spec))


async def local_subject_access(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    gvk = GVK(_AUTHORIZATION, info.version, "LocalSubjectAccessReview")
    review = await context.decode(info, request, gvk)
    own = review["metadata"].get("namespace")
    if own and own != info.namespace:
        raise errors.bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    review["metadata"]["namespace"] = info.namespace
    spec = review.get("spec") or {}
    found = _access_errors(spec, subject=True) + _metadata_errors(review, "namespace")
    wanted = get(spec, "resourceAttributes", "namespace", default="")
    if spec.get("resourceAttributes") is not None and wanted != info.namespace:
        found.append(invalid("spec.resourceAttributes.namespace", wanted, "must match metadata.namespace"))
    if spec.get("nonResourceAttributes") is not None:
        shown = _go_attributes(spec["nonResourceAttributes"])
        found.append(invalid("spec.nonResourceAttributes", shown, "disallowed on this kind of request"))
    _check(found)
    return await _answer(context, info, request, gvk, review, _asked_user(spec))


async def self_subject_access(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    gvk = GVK(_AUTHORIZATION, info.version, "SelfSubjectAccessReview")
    review = await context.decode(info, request, gvk)
    _check(_access_errors(review.get("spec") or {}, subject=False) + _metadata_errors(review))
    return await _answer(context, info, request, gvk, review, user_of(request))


async def self_subject_rules(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    gvk = GVK(_AUTHORIZATION, info.version, "SelfSubjectRulesReview")
    review = await context.decode(info, request, gvk)
    namespace = get(review, "spec", "namespace", default="")
    if not namespace:
        raise errors.bad_request("no namespace on request")
    await admit(context, info, request, review, gvk)
    authorizer = context.authorizer
    assert isinstance(authorizer, Authorization)
    rules, incomplete, error = authorizer.rules_for(user_of(request), namespace)
    resource_fields = ("verbs", "apiGroups", "resources", "resourceNames")
    status: Obj = {
        "resourceRules": [_picked(r, resource_fields) for r in rules if r.get("resources")],
        "nonResourceRules": [_picked(r, ("verbs", "nonResourceURLs")) for r in rules if r.get("nonResourceURLs")],
        "incomplete": incomplete,
    }
    if error:
        status["evaluationError"] = error
    return {"kind": gvk.kind, "apiVersion": gvk.api_version, "metadata": {}, "spec": {}, "status": status}


async def self_subject(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    gvk = GVK(_AUTHENTICATION, info.version, "SelfSubjectReview")
    review = await context.decode(info, request, gvk)
    await admit(context, info, request, review, gvk)
    meta = {"creationTimestamp": context.clock.timestamp()}
    status = {"userInfo": _user_info(user_of(request))}
    return {"kind": gvk.kind, "apiVersion": gvk.api_version, "metadata": meta, "status": status}


async def token(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    gvk = GVK(_AUTHENTICATION, info.version, "TokenReview")
    review = await context.decode(info, request, gvk)
    spec = review.get("spec") or {}
    if not spec.get("token"):
        raise errors.bad_request("token is required for TokenReview in authentication")
    await admit(context, info, request, review, gvk)
    authenticator = context.authenticator
    assert isinstance(authenticator, Authentication)
    try:
        found = await authenticator.token(spec["token"], spec.get("audiences") or None)
    except Refused as error:
        review["status"] = {"user": {}, "error": str(error)}
        return review
    status: Obj = {"authenticated": True, "user": _user_info(found.user)}
    if found.audiences:
        status["audiences"] = list(found.audiences)
    review["status"] = status
    return review


def _user_info(user: UserInfo) -> Obj:
    out: Obj = {}
    for field, value in (("username", user.name), ("uid", user.uid), ("groups", list(user.groups))):
        if value:
            out[field] = value
    if user.extra:
        out["extra"] = {name: list(values) for name, values in sorted(user.extra.items())}
    return out


def _asked_user(spec: Obj) -> UserInfo:
    extra = {name: tuple(values or ()) for name, values in (spec.get("extra") or {}).items()}
    return UserInfo(spec.get("user") or "", spec.get("uid") or "", tuple(spec.get("groups") or ()), extra)


async def _answer(
    context: EndpointContext, info: RequestInfo, request: Request, gvk: GVK, review: Obj, user: UserInfo
) -> Obj:
    await admit(context, info, request, review, gvk)
    spec = review["spec"]
    ignored: list[str] = []
    if spec.get("resourceAttributes") is not None:
        asked = spec["resourceAttributes"]
        selector, problem = _field_selector(asked.get("fieldSelector") or {})
        if problem:
            how = "partially ignored" if selector else "ignored"
            ignored.append(f"spec.resourceAttributes.fieldSelector {how} due to parse error")
        attributes = Attributes(
            user, asked.get("verb") or "", "", True, asked.get("group") or "", asked.get("version") or "*",
            asked.get("resource") or "", asked.get("subresource") or "", asked.get("namespace") or "",
            asked.get("name") or "", selector,
        )  # fmt: skip
    else:
        asked = spec["nonResourceAttributes"]
        attributes = Attributes(user, asked.get("verb") or "", asked.get("path") or "")
    decision = await context.authorizer.authorize(attributes)
    status: Obj = {"allowed": bool(decision.allowed)}
    if decision.allowed is False:
        status["denied"] = True
    if decision.reason:
        status["reason"] = decision.reason
    if ignored:
        status["evaluationError"] = "; ".join(ignored)
    review["status"] = status
    return review


def _field_selector(selector: Obj) -> tuple[str, bool]:
    """The selector as a request would send it, and whether some of it could not be read."""
    if selector.get("rawSelector"):
        raw = selector["rawSelector"]
        bad = any(term and "=" not in term for term in raw.split(","))
        return ("", True) if bad else (raw, False)
    terms, bad = [], False
    for requirement in selector.get("requirements") or ():
        values, operator = requirement.get("values") or [], requirement.get("operator")
        if len(values) == 1 and operator in ("In", "NotIn"):
            terms.append(f"{requirement.get('key', '')}{'=' if operator == 'In' else '!='}{values[0]}")
        else:
            bad = True
    return ",".join(terms), bad


# Validation


def _check(found: ErrorList) -> None:
    if found:
        # Upstream names no kind here.
        raise errors.invalid(_AUTHORIZATION, "", "", found)


def _go_attributes(attributes: Obj | None) -> Obj | None:
    """A NonResourceAttributes as Go's JSON of its internal type shows it."""
    if attributes is None:
        return None
    return {"Path": attributes.get("path") or "", "Verb": attributes.get("verb") or ""}


def _access_errors(spec: Obj, *, subject: bool) -> ErrorList:
    found: ErrorList = []
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (resource is None) == (other is None):
        found.append(invalid("spec", _go_attributes(other), _ONE_OF))
    if subject and not spec.get("user") and not spec.get("groups"):
        found.append(invalid("spec.user", spec.get("user") or "", "at least one of user or group must be specified"))
    for name in ("fieldSelector", "labelSelector"):
        selector = get(resource, name)
        if selector is not None:
            found += _selector_errors(selector, f"spec.resourceAttributes.{name}")
    return found


def _selector_errors(selector: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    raw, requirements = selector.get("rawSelector"), selector.get("requirements") or ()
    if raw and requirements:
        text = "may not specified at the same time as requirements"
        found.append(invalid(f"{path}.rawSelector", raw, text))
    if not raw and not requirements:
        text = f"when {path} is specified, requirements or rawSelector is required"
        found.append(required(f"{path}.requirements", text))
    for i, requirement in enumerate(requirements):
        found += _requirement_errors(requirement, f"{path}.requirements[{i}]")
    return found


def _requirement_errors(requirement: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    if not requirement.get("key"):
        found.append(required(f"{path}.key", "must be specified"))
    operator, values = requirement.get("operator"), requirement.get("values")
    if operator in ("In", "NotIn") and not values:
        found.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist") and values:
        text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        found.append(forbidden(f"{path}.values", text))
    return found


def _metadata_errors(review: Obj, *allowed: str) -> ErrorList:
    meta = {k: v for k, v in review["metadata"].items() if k not in (*allowed, "managedFields") and v}
    if not meta:
        return []
    return [
        invalid("metadata", review["metadata"], "must be empty except for namespace" if allowed else "must be empty")
    ]


def _picked(rule: Obj, fields: Iterable[str]) -> Obj:
    return {field: rule[field] for field in fields if rule.get(field)}
