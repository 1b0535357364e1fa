"""The leave to do something, and the words in which it is refused.

Source: upstream's endpoints/handlers/responsewriters (forbiddenMessage).
"""

from __future__ import annotations

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.field import quote
from pilothouse.apiserver.contracts import Attributes
from pilothouse.apiserver.core import Core

_NO_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


async def require(core: Core, attributes: Attributes) -> None:
    """Raises 403 where no authorizer allows it."""
    decision = await core.authorizer.authorize(attributes)
    if not decision.allowed:
        raise refusal(attributes, decision.reason)


def refusal(attributes: Attributes, reason: str) -> StatusError:
    message = _message(attributes).translate(_NO_HTML)
    if reason:
        message = f"{message}: {reason}"
    error = errors.forbidden(attributes.group, attributes.resource, attributes.name, message)
    error.headers["X-Content-Type-Options"] = "nosniff"
    return error


def _message(a: Attributes) -> str:
    user = quote(a.user.name)
    if not a.resource_request:
        return f"User {user} cannot {a.verb} path {quote(a.path)}"
    resource = quote(f"{a.resource}/{a.subresource}" if a.subresource else a.resource)
    where = f"in the namespace {quote(a.namespace)}" if a.namespace else "at the cluster scope"
    return f"User {user} cannot {a.verb} resource {resource} in API group {quote(a.group)} {where}"
