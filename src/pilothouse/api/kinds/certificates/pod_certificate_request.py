"""PodCertificateRequest, kept in memory as v1beta1, which has all that v1 has and the two fields that came before its request."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.certificates import keys, pem
from pilothouse.api.kinds.certificates.issued import issued
from pilothouse.api.kinds.certificates.signer_names import is_kubernetes_signer, signer_name
from pilothouse.api.kinds.common.conditions import conditions, is_true
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.common.strategy import drop_status, immutable, update_status, update_without_generation
from pilothouse.api.kinds.core.podspec.projected import user_annotations
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, copy, meta

_DAY_S: Final = 24 * 60 * 60
_SECONDS_MIN: Final = 60 * 60
_UID_MAX: Final = 128
_REQUEST_MAX_BYTES: Final = 10 * 1024
_FINAL: Final = ("Issued", "Denied", "Failed")
_V1BETA1: Final = ("pkixPublicKey", "proofOfPossession")
_SELECTABLE: Final = ("spec.signerName", "spec.podName", "spec.nodeName")


def _default(obj: Obj) -> None:
    spec = obj.get("spec")
    if isinstance(spec, dict) and spec.get("maxExpirationSeconds") is None:
        spec["maxExpirationSeconds"] = _DAY_S


def _to_v1(obj: Obj) -> Obj:
    spec = {k: v for k, v in (obj.get("spec") or {}).items() if k not in _V1BETA1}
    return {**obj, "apiVersion": "certificates.k8s.io/v1", "spec": spec}


def _from_v1(obj: Obj) -> Obj:
    found: Obj = copy(obj)
    found["apiVersion"] = "certificates.k8s.io/v1beta1"
    return found


def _validate(obj: Obj) -> ErrorList:
    spec = obj.get("spec") or {}
    signer = spec.get("signerName") or ""
    found = signer_name(signer, "spec.signerName")
    if spec.get("unverifiedUserAnnotations") is not None:
        found += user_annotations(spec["unverifiedUserAnnotations"], "spec.unverifiedUserAnnotations")
    for name, uid in (("podName", "podUID"), ("serviceAccountName", "serviceAccountUID"), ("nodeName", "nodeUID")):
        given, own = spec.get(name) or "", spec.get(uid) or ""
        found += [field.invalid(f"spec.{name}", given, d) for d in names.dns1123_subdomain(given)]
        if not own:
            found.append(field.invalid(f"spec.{uid}", own, "must not be empty"))
        if len(own.encode()) > _UID_MAX:
            found.append(field.too_long(f"spec.{uid}", _UID_MAX))
    seconds = spec.get("maxExpirationSeconds")
    if seconds is None:
        return [*found, field.required("spec.maxExpirationSeconds", "must be set")]
    most = _DAY_S if is_kubernetes_signer(signer) else 91 * _DAY_S
    if not _SECONDS_MIN <= seconds <= most:
        detail = f"must be in the range [{_SECONDS_MIN}, {most}]"
        found.append(field.invalid("spec.maxExpirationSeconds", seconds, detail))
    stub, key, proof = (spec.get(n) or "" for n in ("stubPKCS10Request", *_V1BETA1))
    if stub and not key and not proof:
        return found + _stub(stub)
    if not stub and key and proof:
        return found + _key(key, proof, spec.get("podUID") or "")
    detail = "exactly one of (stubPKCS10Request) or (pkixPublicKey, proofOfPossession) must be set"
    return [*found, field.invalid("spec", field.OMIT, detail)]


def _stub(text: str) -> ErrorList:
    path = "spec.stubPKCS10Request"
    data = keys.decoded(text)
    if len(data) > _REQUEST_MAX_BYTES:
        return [field.too_long(path, _REQUEST_MAX_BYTES)]
    request = pem.request(data)
    if request is None:
        return [field.invalid(path, field.OMIT, "must be a valid PKCS#10 CSR")]
    wrong = keys.unsupported(request.public_key, path, "elliptic public keys must use curve P256, P384, or P521")
    if wrong is not None:
        return [wrong]
    valid = keys.quietly(lambda: request.is_signature_valid)
    return [] if valid else [field.invalid(path, field.OMIT, "invalid signature")]


def _key(text: str, proof: str, pod_uid: str) -> ErrorList:
    path = "spec.pkixPublicKey"
    for name, sent in zip(_V1BETA1, (text, proof), strict=True):
        if len(keys.decoded(sent)) > _REQUEST_MAX_BYTES:
            return [field.too_long(f"spec.{name}", _REQUEST_MAX_BYTES)]
    key = keys.public(keys.decoded(text))
    if key is None:
        return [field.invalid(path, text, "must be a valid PKIX-serialized public key")]
    wrong = keys.unsupported(lambda: key, path, "elliptic public keys must use curve P256 or P384")
    if wrong is not None:
        return [wrong]
    if keys.proves(key, keys.decoded(proof), pod_uid.encode()):
        return []
    return [field.invalid("spec.proofOfPossession", field.OMIT, "could not verify proof-of-possession signature")]


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    shown = internal("certificates/v1beta1.PodCertificateRequestSpec", new.get("spec") or {})
    return immutable(new.get("spec"), old.get("spec"), "spec", shown)


def _validate_status(new: Obj, old: Obj) -> ErrorList:
    status, before = new.get("status") or {}, old.get("status") or {}
    states = status.get("conditions") or []
    path, found, known = "status.conditions", list[field.FieldError](), 0
    for i, condition in enumerate(states):
        kind = condition.get("type") or ""
        if kind not in _FINAL:
            found.append(field.not_supported(f"{path}.[{i}].type", kind, sorted(_FINAL)))
            continue
        known += 1
        if known > 1:
            detail = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            found.append(field.invalid(f"{path}.[{i}].type", kind, detail))
        if condition.get("status") != "True":
            found.append(field.not_supported(f"{path}.[{i}].status", condition.get("status") or "", ["True"]))
    found += conditions(states, path)
    if found:
        return found
    if any(is_true(before.get("conditions"), kind) for kind in _FINAL):
        return _unchanged(status, before, "immutable after PodCertificateRequest is issued, denied, or failed")
    if is_true(states, "Denied") or is_true(states, "Failed"):
        detail = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
        return _unchanged(status, {"conditions": states}, detail)
    if is_true(states, "Issued"):
        return issued(status, old.get("spec") or {})
    return _unchanged(status, before, 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"')


def _unchanged(status: Obj, wanted: Obj, detail: str) -> ErrorList:
    return [] if same(status, wanted) else [field.invalid("status", field.OMIT, detail)]


def _row(obj: Obj, _now_s: float) -> list[Any]:
    spec = obj.get("spec") or {}
    states = [c.get("type") for c in (obj.get("status") or {}).get("conditions") or () if c.get("type") in _FINAL]
    shown = [spec.get(n) or "" for n in ("podName", "serviceAccountName", "nodeName", "signerName")]
    annotations = sorted((spec.get("unverifiedUserAnnotations") or {}).items())
    listed = ",".join(f"{k}={v}" for k, v in annotations) or "<none>"
    return [meta(obj).get("name", ""), *shown, states[-1] if states else "Pending", listed]


def _fields(obj: Obj) -> dict[str, str]:
    spec = obj.get("spec") or {}
    return {path: spec.get(path.removeprefix("spec.")) or "" for path in _SELECTABLE}


KIND = Kind(
    default=_default,
    prepare_create=drop_status,
    prepare_update=update_without_generation,
    prepare_status=update_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    row=_row,
    fields=_fields,
    field_names=frozenset(_SELECTABLE),
    decode={"v1": _from_v1},
    encode={"v1": _to_v1},
    unconditional_update=False,
    status_reset_fields=frozenset({"metadata", "spec"}),
)
