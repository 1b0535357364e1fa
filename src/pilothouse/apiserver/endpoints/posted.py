"""What the endpoints that take a POST have in common."""

from __future__ import annotations

from pilothouse.api.codec.decode import zero
from pilothouse.api.exchange import Request, UserInfo
from pilothouse.api.fieldmanager import managers, updater
from pilothouse.api.fieldmanager.updater import Write
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR, resources
from pilothouse.api.types import type_of
from pilothouse.apiserver.contracts import AdmissionRequest, EndpointContext
from pilothouse.apiserver.handlers.options import WriteOptions, manager_or_user_agent, write_options
from pilothouse.apiserver.requestinfo import RequestInfo


def user_of(request: Request) -> UserInfo:
    assert request.user is not None, "authentication comes first"
    return request.user


def is_dry_run(request: Request) -> bool:
    return any(name == "dryRun" for name, _ in request.query)


def _manage(
    context: EndpointContext, info: RequestInfo, request: Request, obj: Obj, kind: GVK, options: WriteOptions
) -> None:
    """Who set the fields of obj is said in it, though it is never stored."""
    type_ = type_of(kind)
    assert type_ is not None
    manager = manager_or_user_agent(options.field_manager, request.headers.get("user-agent", ""))
    write = Write(type_, manager, kind.api_version, info.subresource, context.clock.timestamp())
    found = updater.updated(write, zero(type_), obj, {})
    if found:
        obj["metadata"]["managedFields"] = managers.write(found)


async def admit(context: EndpointContext, info: RequestInfo, request: Request, obj: Obj, kind: GVK) -> None:
    """Admission of the creation of obj at this address."""
    options = write_options(request.query, "CreateOptions")
    _manage(context, info, request, obj, kind, options)
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
