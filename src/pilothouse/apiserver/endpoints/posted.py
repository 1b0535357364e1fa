"""What the endpoints that take a POST have in common."""

from __future__ import annotations

from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR, resources
from pilothouse.apiserver.contracts import AdmissionRequest, EndpointContext
from pilothouse.apiserver.handlers.options import write_options
from pilothouse.apiserver.requestinfo import RequestInfo


def user_of(request: Request) -> UserInfo:
    assert request.user is not None, "authentication comes first"
    return request.user


def is_dry_run(request: Request) -> bool:
    return any(name == "dryRun" for name, _ in request.query)


async def admit(context: EndpointContext, info: RequestInfo, request: Request, obj: Obj, kind: GVK) -> None:
    """Admission of the creation of obj at this address."""
    options = write_options(request.query, "CreateOptions")
    gvr = GVR(info.group, info.version, info.resource)
    resource = resources().get(gvr)
    gvk = resource.gvk if resource is not None else kind
    sub = kind if info.subresource else None
    await context.admit(
        AdmissionRequest(
            "CREATE", gvr, gvk, info.subresource, info.namespace, info.name, obj, None, options.obj(), options.dry_run,
            user_of(request), [], sub,
        )
    )  # fmt: skip
