"""The query parameters of each verb, read and checked: metav1's GetOptions, ListOptions, CreateOptions and their siblings.

Source: upstream's conversion of url.Values (a boolean is false only as `false` or `0`), and apis/meta/v1/validation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pilothouse.api import errors
from pilothouse.api import field as fields
from pilothouse.api.errors import StatusError
from pilothouse.api.field import ErrorList, FieldError
from pilothouse.api.objects import Obj

_IGNORE_READ_ERROR: Final = "ignoreStoreReadErrorWithClusterBreakingPotential"
META_GROUP: Final = "meta.k8s.io"
_INT = re.compile(r"[+-]?[0-9]+")
_FIELD_MANAGER_MOST = 128
Validation = Literal["Ignore", "Warn", "Strict"]

Query = list[tuple[str, str]]


def parse_int(text: str) -> int:
    """Go's strconv.ParseInt of 64 bits, and its error as 400."""
    if not _INT.fullmatch(text):
        raise errors.bad_request(f"strconv.ParseInt: parsing {fields.quote(text)}: invalid syntax")
    value = int(text) if len(text) < 32 else 1 << 64
    if not -(1 << 63) <= value < 1 << 63:
        raise errors.bad_request(f"strconv.ParseInt: parsing {fields.quote(text)}: value out of range")
    return value


def parse_bool(text: str) -> bool:
    return text.lower() not in ("false", "0")


def _firsts(query: Query) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in query:
        found.setdefault(name, value)
    return found


def invalid_options(kind: str, errs: ErrorList) -> StatusError:
    return errors.invalid(META_GROUP, kind, "", errs)


@dataclass(slots=True)
class ListOptions:
    label_selector: str = ""
    field_selector: str = ""
    watch: bool = False
    allow_bookmarks: bool = False
    resource_version: str = ""
    match: str = ""
    timeout_s: int | None = None
    limit: int = 0
    continue_: str = ""
    send_initial_events: bool | None = None


def list_options(query: Query, watch: bool = False) -> ListOptions:
    """Raises 400 and 422 as upstream does."""
    given = _firsts(query)
    options = ListOptions(watch=watch)
    if not given and not watch:
        return options
    options.label_selector = given.get("labelSelector", "")
    options.field_selector = given.get("fieldSelector", "")
    if "allowWatchBookmarks" in given:
        options.allow_bookmarks = parse_bool(given["allowWatchBookmarks"])
    options.resource_version = given.get("resourceVersion", "")
    options.match = given.get("resourceVersionMatch", "")
    if "timeoutSeconds" in given:
        options.timeout_s = parse_int(given["timeoutSeconds"])
    if "limit" in given:
        options.limit = parse_int(given["limit"])
    options.continue_ = given.get("continue", "")
    if "sendInitialEvents" in given:
        options.send_initial_events = parse_bool(given["sendInitialEvents"])
    if watch and options.send_initial_events is None and not options.match and options.resource_version in ("", "0"):
        # What watches without a revision have always done has become this option's meaning (KEP-3157).
        options.send_initial_events, options.match = True, "NotOlderThan"
    errs = _watch_errors(options) if watch else _list_errors(options)
    if errs:
        raise invalid_options("ListOptions", errs)
    return options


def _list_errors(options: ListOptions) -> ErrorList:
    errs: ErrorList = []
    at = "resourceVersionMatch"
    if options.match:
        if not options.resource_version:
            errs.append(fields.forbidden(at, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
        if options.continue_:
            errs.append(fields.forbidden(at, "resourceVersionMatch is forbidden when continue is provided"))
        if options.match not in ("Exact", "NotOlderThan"):
            errs.append(fields.not_supported(at, options.match, ["Exact", "NotOlderThan", ""]))
        if options.match == "Exact" and options.resource_version == "0":
            errs.append(fields.forbidden(at, 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'))
    if options.send_initial_events is not None:
        errs.append(fields.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    return errs


def _watch_errors(options: ListOptions) -> ErrorList:
    errs: ErrorList = []
    at = "resourceVersionMatch"
    if options.send_initial_events is not None and options.match != "NotOlderThan":
        errs.append(fields.forbidden(at, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"))
    if options.match:
        if options.send_initial_events is None:
            text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
            errs.append(fields.forbidden(at, text))
        if options.match != "NotOlderThan":
            errs.append(fields.not_supported(at, options.match, ["NotOlderThan"]))
        if options.continue_:
            errs.append(fields.forbidden(at, "resourceVersionMatch is forbidden when continue is provided"))
    return errs


@dataclass(slots=True)
class WriteOptions:
    """CreateOptions, UpdateOptions and PatchOptions."""

    kind: str
    dry_run: bool = False
    field_manager: str = ""
    validation: Validation = "Warn"
    force: bool = False
    given: Obj = field(default_factory=dict)

    def obj(self, kind: str = "") -> Obj:
        """The options as admission sees them."""
        return {"kind": kind or self.kind, "apiVersion": "meta.k8s.io/v1", **self.given}


def write_options(query: Query, kind: str, *, patch: bool = False, apply: bool = False) -> WriteOptions:
    options = WriteOptions(kind)
    if not query and not apply:
        return options
    given = _firsts(query)
    dry_run = [v for k, v in query if k == "dryRun"]
    manager, validation = given.get("fieldManager", ""), given.get("fieldValidation", "")
    errs: ErrorList = []
    if patch and "force" in given:
        options.force = options.given["force"] = parse_bool(given["force"])
        if not apply:
            errs.append(fields.forbidden("force", "may not be specified for non-apply patch"))
    if apply and not manager:
        errs.append(fields.required("fieldManager", "is required for apply patch"))
    errs += manager_errors(manager)
    errs += dry_run_errors(dry_run)
    if validation not in ("", "Ignore", "Warn", "Strict"):
        errs.append(fields.not_supported("fieldValidation", validation, ["", "Ignore", "Strict", "Warn"]))
    if errs:
        raise invalid_options(kind, errs)
    options.dry_run = bool(dry_run)
    options.field_manager = manager
    options.validation = validation or "Warn"  # type: ignore[assignment]
    for name, value in (("dryRun", dry_run), ("fieldManager", manager), ("fieldValidation", validation)):
        if value:
            options.given[name] = value
    return options


def manager_errors(manager: str) -> ErrorList:
    errs: ErrorList = []
    if len(manager.encode("utf-8", "surrogatepass")) > _FIELD_MANAGER_MOST:
        errs.append(fields.too_long("fieldManager", _FIELD_MANAGER_MOST))
    position = 0
    for c in manager:
        if not c.isprintable():
            detail = f"invalid character {_code_point(c)} (at position {position})"
            errs.append(fields.invalid("fieldManager", manager, detail))
        position += len(c.encode("utf-8", "surrogatepass"))
    return errs


def _code_point(c: str) -> str:
    """Go's %#U of a character that does not print."""
    return f"U+{ord(c):04X}"


def dry_run_errors(dry_run: list[str]) -> ErrorList:
    if all(v == "All" for v in dry_run):
        return []
    return [FieldError(fields.ErrorType.NOT_SUPPORTED, "dryRun", dry_run, 'supported values: "All"')]


@dataclass(slots=True)
class DeleteOptions:
    grace_period_s: int | None = None
    orphan: bool | None = None
    propagation: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    dry_run: list[str] = field(default_factory=list)
    ignore_read_error: bool = False

    def obj(self) -> Obj:
        out: Obj = {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"}
        if self.grace_period_s is not None:
            out["gracePeriodSeconds"] = self.grace_period_s
        preconditions: dict[str, Any] = {}
        if self.uid is not None:
            preconditions["uid"] = self.uid
        if self.resource_version is not None:
            preconditions["resourceVersion"] = self.resource_version
        if preconditions:
            out["preconditions"] = preconditions
        if self.orphan is not None:
            out["orphanDependents"] = self.orphan
        if self.propagation is not None:
            out["propagationPolicy"] = self.propagation
        if self.dry_run:
            out["dryRun"] = self.dry_run
        return out


def delete_options_of_query(query: Query) -> DeleteOptions:
    given = _firsts(query)
    options = DeleteOptions()
    if "gracePeriodSeconds" in given:
        options.grace_period_s = parse_int(given["gracePeriodSeconds"])
    if "orphanDependents" in given:
        options.orphan = parse_bool(given["orphanDependents"])
    if "propagationPolicy" in given:
        options.propagation = given["propagationPolicy"]
    options.uid = given.get("uid") or None
    options.resource_version = given.get("resourceVersion") or None
    options.dry_run = [v for k, v in query if k == "dryRun"]
    if _IGNORE_READ_ERROR in given:
        options.ignore_read_error = parse_bool(given[_IGNORE_READ_ERROR])
    return options


def delete_options_of_object(obj: Obj) -> DeleteOptions:
    """From a decoded DeleteOptions: its types are already checked."""
    preconditions = obj.get("preconditions") or {}
    return DeleteOptions(
        obj.get("gracePeriodSeconds"), obj.get("orphanDependents"), obj.get("propagationPolicy"),
        preconditions.get("uid"), preconditions.get("resourceVersion"), list(obj.get("dryRun") or ()),
        bool(obj.get(_IGNORE_READ_ERROR)),
    )  # fmt: skip


def check_delete_options(options: DeleteOptions, *, many: bool = False) -> None:
    errs: ErrorList = []
    if many and options.ignore_read_error:
        text = "is not allowed with DELETECOLLECTION, try again after removing the option"
        errs.append(fields.invalid(_IGNORE_READ_ERROR, True, text))
    policy = options.propagation
    if options.orphan is not None and policy is not None:
        text = "orphanDependents and deletionPropagation cannot be both set"
        errs.append(fields.invalid("propagationPolicy", policy, text))
    if policy is not None and policy not in ("Foreground", "Background", "Orphan"):
        errs.append(fields.not_supported("propagationPolicy", policy, ["Foreground", "Background", "Orphan", "nil"]))
    errs += dry_run_errors(options.dry_run)
    if options.ignore_read_error:
        given = {
            "propagationPolicy": policy, "orphanDependents": options.orphan, "gracePeriodSeconds": options.grace_period_s,
            "preconditions": options.uid if options.uid is not None else options.resource_version,
        }  # fmt: skip
        told = [f"cannot be set together with .{name}" for name, value in given.items() if value is not None]
        errs += [fields.invalid(_IGNORE_READ_ERROR, True, why) for why in told]
    if errs:
        raise invalid_options("DeleteOptions", errs)


def manager_or_user_agent(manager: str, user_agent: str) -> str:
    """Who a write without a field manager is by: the user agent up to its first slash, what prints of it."""
    if manager:
        return manager
    out, size = [], 0
    for c in user_agent.partition("/")[0]:
        if not c.isprintable():
            continue
        width = len(c.encode("utf-8", "surrogatepass"))
        if size + width > _FIELD_MANAGER_MOST:
            break
        out.append(c)
        size += width
    return "".join(out)
