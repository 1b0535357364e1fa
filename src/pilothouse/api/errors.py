"""`StatusError`: every failure that a client sees, as a metav1.Status with upstream's code, reason and message.

Source: upstream's k8s.io/apimachinery/pkg/api/errors and the API conventions' list of reasons.
"""

from __future__ import annotations

from collections.abc import Sequence

from pilothouse.api.field import FieldError, quote
from pilothouse.api.objects import Obj


class StatusError(Exception):
    """A failure with its Status object. `details` is the Status' `details`, already JSON-shaped."""

    def __init__(self, code: int, reason: str, message: str, details: Obj | None = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details
        self.headers: dict[str, str] = {}
        self.list_meta: Obj = {}  # the Status' metadata: a continue token of an expired list
        self.warnings: list[str] = []  # that go with the answer

    def status(self) -> Obj:
        """The metav1.Status, fields in upstream's order."""
        out: Obj = {"kind": "Status", "apiVersion": "v1", "metadata": self.list_meta, "status": "Failure"}
        if self.message:
            out["message"] = self.message
        if self.reason:
            out["reason"] = self.reason
        if self.details is not None:
            out["details"] = self.details
        out["code"] = self.code
        return out

    @classmethod
    def of(cls, status: Obj) -> StatusError:
        """The error that a server answered with."""
        return cls(status.get("code", 500), status.get("reason", ""), status.get("message", ""), status.get("details"))


def _details(group: str, kind: str, name: str, uid: str = "") -> Obj:
    out: Obj = {}
    if name:
        out["name"] = name
    if group:
        out["group"] = group
    if kind:
        out["kind"] = kind
    if uid:
        out["uid"] = uid
    return out


def _qualified(group: str, resource: str) -> str:
    return f"{resource}.{group}" if group else resource


def not_found(group: str, resource: str, name: str) -> StatusError:
    message = f"{_qualified(group, resource)} {quote(name)} not found"
    return StatusError(404, "NotFound", message, _details(group, resource, name))


def path_not_found() -> StatusError:
    """An address that no resource has."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(group: str, resource: str, name: str) -> StatusError:
    message = f"{_qualified(group, resource)} {quote(name)} already exists"
    return StatusError(409, "AlreadyExists", message, _details(group, resource, name))


def conflict(group: str, resource: str, name: str, why: str) -> StatusError:
    message = f"Operation cannot be fulfilled on {_qualified(group, resource)} {quote(name)}: {why}"
    return StatusError(409, "Conflict", message, _details(group, resource, name))


def forbidden(group: str, resource: str, name: str, why: str) -> StatusError:
    qualified = _qualified(group, resource)
    if not qualified:
        message = f"forbidden: {why}"
    elif not name:
        message = f"{qualified} is forbidden: {why}"
    else:
        message = f"{qualified} {quote(name)} is forbidden: {why}"
    return StatusError(403, "Forbidden", message, _details(group, resource, name))


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422 with a cause for each error, equal ones once. The message joins them as upstream's aggregate does: one bare, more in
    brackets."""
    distinct: dict[str, FieldError] = {}
    for error in errors:
        distinct.setdefault(str(error), error)
    causes = [{"reason": e.type.value, "message": e.body(), "field": e.field} for e in distinct.values()]
    details = _details(group, kind, name)
    if causes:
        details["causes"] = causes
    qualified = _qualified(group, kind)
    texts = list(distinct)
    message = f"{qualified} {quote(name)} is invalid"
    if texts:
        message += ": " + (texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]")
    return StatusError(422, "Invalid", message, details)


def method_not_supported(group: str, resource: str, action: str) -> StatusError:
    message = f'{action} is not supported on resources of kind "{_qualified(group, resource)}"'
    return StatusError(405, "MethodNotAllowed", message, _details(group, resource, ""))


def method_not_allowed() -> StatusError:
    """A method that an address does not answer."""
    return StatusError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def unsupported_media_type(supported: Sequence[str]) -> StatusError:
    message = f"the body of the request was in an unknown format - accepted media types include: {', '.join(supported)}"
    return StatusError(415, "UnsupportedMediaType", message)


def not_acceptable(supported: Sequence[str]) -> StatusError:
    message = f"only the following media types are accepted: {', '.join(supported)}"
    return StatusError(406, "NotAcceptable", message)


def too_large(message: str) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", message)


def gone(message: str) -> StatusError:
    """410: a resource version or continue token that is too old."""
    return StatusError(410, "Expired", message)


def too_many_requests(message: str, retry_after_s: int) -> StatusError:
    error = StatusError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after_s})
    error.headers["Retry-After"] = str(retry_after_s)
    return error


def timeout(message: str, retry_after_s: int = 0) -> StatusError:
    return StatusError(504, "Timeout", message, {"retryAfterSeconds": retry_after_s} if retry_after_s else {})


def unavailable(message: str) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message)


def internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", {"causes": [{"message": message}]})
