"""CertificateSigningRequest, with the rules of its approval."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.exchange import UserInfo
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.certificates import pem
from pilothouse.api.kinds.certificates.signer_names import signer_name
from pilothouse.api.kinds.common.diffs import diff
from pilothouse.api.kinds.common.render import internals
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import keep
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age, human_duration

_LEGACY_SIGNER: Final = "kubernetes.io/legacy-unknown"
_USAGES: Final = tuple(
    sorted(
        (
            "signing", "digital signature", "content commitment", "key encipherment", "key agreement",
            "data encipherment", "cert sign", "crl sign", "encipher only", "decipher only", "any", "server auth",
            "client auth", "code signing", "email protection", "s/mime", "ipsec end system", "ipsec tunnel",
            "ipsec user", "timestamping", "ocsp signing", "microsoft sgc", "netscape sgc",
        )
    )
)  # fmt: skip
_APPROVAL: Final = ("Approved", "Denied")
_LASTING: Final = (*_APPROVAL, "Failed")
_MEMBERS: Final = '`conditions[{"type": "Approved"}]`, `conditions[{"type": "Denied"}]`'


def _prepare_create(obj: Obj) -> None:
    spec = obj.setdefault("spec", {})
    for name in ("username", "uid", "groups", "extra"):
        spec.pop(name, None)
    obj["status"] = {}


def _author(obj: Obj, user: UserInfo) -> None:
    spec = obj.setdefault("spec", {})
    given = {"username": user.name, "uid": user.uid, "groups": list(user.groups)}
    spec.update({k: v for k, v in given.items() if v})
    if user.extra:
        spec["extra"] = {k: list(v) for k, v in user.extra.items()}


def _prepare_update(new: Obj, old: Obj) -> None:
    keep(new, old, "spec")
    keep(new, old, "status")


def _prepare_status(new: Obj, old: Obj) -> None:
    """The approval is not the status' to change."""
    keep(new, old, "spec")
    conditions = _conditions(new)
    for kind in _APPROVAL:
        before = [c for c in _conditions(old) if c.get("type") == kind]
        places = [i for i, c in enumerate(conditions) if c.get("type") == kind]
        if len(before) == len(places):
            for i, condition in zip(places, before, strict=True):
                conditions[i] = condition


def prepare_approval(new: Obj, old: Obj) -> None:
    """(new, old): an update of the approval: keeps all of old but the conditions."""
    keep(new, old, "spec")
    conditions = (new.get("status") or {}).get("conditions")
    new["status"] = dict(old.get("status") or {})
    new["status"].pop("conditions", None)
    if conditions is not None:
        new["status"]["conditions"] = conditions


def _stamp(new: Obj, old: Obj | None, now: str) -> None:
    before = _conditions(old or {})
    for condition in _conditions(new):
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same_state = (
                c["lastTransitionTime"]
                for c in before
                if c.get("lastTransitionTime") and all(c.get(k) == condition.get(k) for k in ("type", "status"))
            )
            condition["lastTransitionTime"] = next(same_state, now)


def _conditions(obj: Obj) -> list[Obj]:
    return (obj.get("status") or {}).get("conditions") or []


@dataclass(frozen=True, slots=True)
class _Leave:
    """What a stored object already does wrong, and may go on doing."""

    both: bool = False
    legacy_signer: bool = False
    duplicate_conditions: bool = False
    empty_conditions: bool = False
    any_certificate: bool = False
    duplicate_usages: bool = False
    unknown_usages: bool = False


def _leave(new: Obj, old: Obj) -> _Leave:
    spec = old.get("spec") or {}
    types = [c.get("type") or "" for c in _conditions(old)]
    usages = spec.get("usages") or []
    stored = (old.get("status") or {}).get("certificate") or ""
    return _Leave(
        both={"Approved", "Denied"} <= set(types),
        legacy_signer=spec.get("signerName") == _LEGACY_SIGNER,
        duplicate_conditions=len(set(types)) < len(types),
        empty_conditions="" in types,
        any_certificate=((new.get("status") or {}).get("certificate") or "") == stored
        or bool(_certificate_error(stored)),
        duplicate_usages=len(set(usages)) < len(usages),
        unknown_usages=any(u not in _USAGES for u in usages),
    )


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text)
    except (binascii.Error, ValueError):
        return b""


def _request_error(text: str) -> str:
    """What is wrong with the PKCS#10 request, or nothing."""
    first = next(pem.blocks(_bytes(text)), None)
    if first is None or first.type != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    request = pem.request(first.body)
    if request is None:
        return "asn1: structure error: malformed certificate request"
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        valid = request.is_signature_valid
    except (UnsupportedAlgorithm, ValueError):
        return "x509: cannot verify signature: algorithm unimplemented"
    return "" if valid else "x509: signature of the certificate request is invalid"


def _certificate_error(text: str) -> str:
    """What is wrong with the issued certificate, or nothing."""
    data = _bytes(text)
    if not data:
        return ""
    count = 0
    for block in pem.blocks(data):
        if block.type != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {quote(block.type)}"
        if block.headers:
            return "no PEM block headers are permitted"
        count += 1
        if pem.certificate(block.body) is None:
            return "x509: malformed certificate"
    return "" if count else "must contain at least one CERTIFICATE PEM block"


def _own(obj: Obj, leave: _Leave) -> ErrorList:
    found: ErrorList = []
    spec = obj.get("spec") or {}
    request, usages, signer = spec.get("request"), spec.get("usages") or [], spec.get("signerName") or ""
    wrong = _request_error(request or "")
    if wrong:
        found.append(field.invalid("spec.request", list(_bytes(request or "")) or None, wrong))
    if not usages:
        found.append(field.required("spec.usages"))
    if not leave.unknown_usages:
        for i, usage in enumerate(usages):
            if usage not in _USAGES:
                found.append(field.not_supported(f"spec.usages[{i}]", usage, _USAGES))
    if not leave.duplicate_usages:
        repeated = [i for i, usage in enumerate(usages) if usage in usages[:i]]
        found += [field.duplicate(f"spec.usages[{i}]", usages[i]) for i in repeated]
    if signer == _LEGACY_SIGNER and not leave.legacy_signer:
        detail = "the legacy signerName is not allowed via this API version"
        found.append(field.invalid("spec.signerName", signer, detail))
    else:
        found += signer_name(signer, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < 600:
        detail = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(field.invalid("spec.expirationSeconds", seconds, detail))
    found += _condition_errors(_conditions(obj), leave)
    if not leave.any_certificate:
        wrong = _certificate_error((obj.get("status") or {}).get("certificate") or "")
        if wrong:
            found.append(field.invalid("status.certificate", "<certificate data>", wrong))
    return found


def _condition_errors(conditions: list[Obj], leave: _Leave) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, condition in enumerate(conditions):
        path = f"status.conditions[{i}]"
        kind, status = condition.get("type") or "", condition.get("status") or ""
        if not kind and not leave.empty_conditions:
            found.append(field.required(f"{path}.type"))
        allowed = ["True"] if kind in _LASTING else ["False", "True", "Unknown"]
        if not status:
            found.append(field.required(f"{path}.status"))
        elif status not in allowed:
            found.append(field.not_supported(f"{path}.status", status, allowed))
        if kind in seen and not leave.duplicate_conditions:
            found.append(field.duplicate(f"{path}.type", kind))
        seen.add(kind)
    return found


def _not_both(new: Obj, old: Obj | None) -> ErrorList:
    """Declarative: a request is approved or denied."""
    kinds = {c.get("type") for c in _conditions(new)}
    if not kinds >= set(_APPROVAL):
        return []
    if old is not None and {c.get("type") for c in _conditions(old)} >= set(_APPROVAL):
        return []
    members = 'conditions[{"type": "Approved"}], conditions[{"type": "Denied"}]'
    return [field.invalid("status.conditions", "{" + members + "}", f"must specify at most one of: {_MEMBERS}")]


def _validate(obj: Obj) -> ErrorList:
    return _own(obj, _Leave()) + _not_both(obj, None)


def _changed(new: Obj, old: Obj, *, approval: bool = False, certificate: bool = False) -> ErrorList:
    found = _own(new, _leave(new, old))
    path = "status.conditions"
    kinds = {kind: _of_type(new, kind) for kind in _LASTING}
    before = {kind: _of_type(old, kind) for kind in _LASTING}
    for kind in _LASTING:
        if len(kinds[kind]) < len(before[kind]):
            detail = f"updates may not remove a condition of type {quote(kind)}"
            found.append(field.forbidden(path, detail))
    for kind in () if approval else _APPROVAL:
        if len(kinds[kind]) > len(before[kind]):
            found.append(field.forbidden(path, f"updates may not add a condition of type {quote(kind)}"))
        elif len(kinds[kind]) == len(before[kind]) and not same(kinds[kind], before[kind]):
            type_name = "certificates/v1.CertificateSigningRequestCondition"
            told = diff(internals(type_name, before[kind]), internals(type_name, kinds[kind]))
            detail = f"updates may not modify a condition of type {quote(kind)}\n{told}"
            found.append(field.forbidden(path, detail))
    issued = (new.get("status") or {}).get("certificate") or ""
    stored = (old.get("status") or {}).get("certificate") or ""
    if issued != stored:
        path = "status.certificate"
        if not certificate:
            found.append(field.forbidden(path, "updates may not set certificate content"))
        elif stored:
            found.append(field.forbidden(path, "updates may not modify existing certificate content"))
    return found + _not_both(new, old)


def _of_type(obj: Obj, kind: str) -> list[Obj]:
    return [c for c in _conditions(obj) if c.get("type") == kind]


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    return _changed(new, old, certificate=True)


def validate_approval(new: Obj, old: Obj) -> ErrorList:
    """(new, old): of an update of the approval."""
    return _changed(new, old, approval=True)


def _row(obj: Obj, now_s: float) -> list[Any]:
    spec, status = obj.get("spec") or {}, obj.get("status") or {}
    kinds = {c.get("type") for c in _conditions(obj)}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    state += ",Failed" if "Failed" in kinds else ""
    state += ",Issued" if status.get("certificate") else ""
    seconds = spec.get("expirationSeconds")
    return [
        meta(obj).get("name", ""),
        age(obj, now_s),
        spec.get("signerName") or "<none>",
        spec.get("username") or "",
        "<none>" if seconds is None else human_duration(seconds),
        state,
    ]


KIND = Kind(
    status_reset_fields=frozenset({"spec", "status.conditions"}),
    prepare_create=_prepare_create,
    author=_author,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    stamp=_stamp,
    validate=_validate,
    validate_update=_changed,
    validate_status=_validate_status,
    name=lambda _text, _prefix: [],
    row=_row,
    fields=lambda obj: {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""},
    field_names=frozenset({"spec.signerName"}),
    reset_fields=frozenset({"spec", "status"}),
)
