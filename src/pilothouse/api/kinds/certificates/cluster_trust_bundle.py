"""ClusterTrustBundle."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.certificates import pem
from pilothouse.api.kinds.certificates.signer_names import signer_name
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta

_SIZE_MAX_BYTES: Final = 1024 * 1024
_OMITTED: Final = "<value omitted>"


def _name(name: str, signer: str) -> list[str]:
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return names.dns1123_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return names.dns1123_subdomain(name.removeprefix(prefix))


def _bundle(text: str) -> ErrorList:
    from cryptography import x509

    path = "spec.trustBundle"
    data = text.encode()
    if len(data) > _SIZE_MAX_BYTES:
        return [field.too_long(path, _SIZE_MAX_BYTES)]
    found: ErrorList = []
    places: dict[bytes, list[int]] = {}
    for i, block in enumerate(pem.blocks(data)):
        wrong = ""
        if block.type != "CERTIFICATE":
            wrong = f"has bad block type: {block.type}"
        elif block.headers:
            wrong = "has PEM block headers"
        else:
            parsed = pem.certificate(block.body)
            if parsed is None:
                wrong = "does not parse as X.509"
            else:
                try:
                    authority = parsed.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
                except (x509.ExtensionNotFound, ValueError):
                    authority = False
                wrong = "" if authority else "does not have the CA bit set"
        if wrong:
            found.append(field.invalid(path, _OMITTED, f"entry {i} {wrong}"))
        else:
            places.setdefault(block.body, []).append(i)
    if found:
        return found
    if not places:
        return [field.invalid(path, _OMITTED, "at least one trust anchor must be provided")]
    for indices in places.values():
        if len(indices) > 1:
            listed = " ".join(map(str, indices))
            found.append(field.invalid(path, _OMITTED, f"duplicate trust anchor (indices [{listed}])"))
    return found


def _own(obj: Obj, *, parse: bool) -> ErrorList:
    spec, name = obj.get("spec") or {}, meta(obj).get("name") or ""
    signer = spec.get("signerName") or ""
    found = [field.invalid("metadata.name", name, d) for d in _name(name, signer)] if name else []
    if signer:
        found += signer_name(signer, "spec.signerName")
    return found + _bundle(spec.get("trustBundle") or "") if parse else found


def _validate(obj: Obj) -> ErrorList:
    return _own(obj, parse=True)


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    parse = (spec.get("trustBundle") or "") != (before.get("trustBundle") or "")
    signer, was = spec.get("signerName") or "", before.get("signerName") or ""
    return _own(new, parse=parse) + immutable(signer, was, "spec.signerName")


def _row(obj: Obj, _now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), (obj.get("spec") or {}).get("signerName") or "<none>"]


KIND = Kind(
    validate=_validate,
    validate_update=_validate_update,
    name=lambda _text, _prefix: [],  # depends on the signer: `validate` judges it
    row=_row,
    fields=lambda obj: {"spec.signerName": (obj.get("spec") or {}).get("signerName") or ""},
    field_names=frozenset({"spec.signerName"}),
    unconditional_update=False,
)
