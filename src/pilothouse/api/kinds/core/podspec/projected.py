"""Files in volumes: of ConfigMaps and Secrets, the downward API, tokens, trust bundles and certificates.

Source: the documentation's page on projected volumes and upstream's pkg/apis/core/validation; KEP-3257, KEP-4317.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.certificates.signer_names import is_kubernetes_signer, signer_name
from pilothouse.api.kinds.common import selectors
from pilothouse.api.kinds.common.render import internal
from pilothouse.api.kinds.core.podspec import env, forms
from pilothouse.api.objects import Obj

if TYPE_CHECKING:
    from pilothouse.api.kinds.core.podspec.leniency import Leniency

_KEY_TYPES: Final = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
_TOKEN_SECONDS: Final = (600, 2**32)
_CERTIFICATE_SECONDS_MIN: Final = 3600
_CERTIFICATE_SECONDS_MAX: Final = 91 * 24 * 3600
_KUBERNETES_CERTIFICATE_SECONDS_MAX: Final = 24 * 3600
_CONFLICT: Final = "conflicting duplicate paths"


def key_paths(items: list[Obj] | None, path: str) -> ErrorList:
    return [e for i, item in enumerate(items or ()) for e in _key_path(item, f"{path}[{i}]")]


def _key_path(item: Obj, path: str) -> ErrorList:
    found = forms.all_required(item, path, "key", "path")
    found += forms.descending_unreserved(item.get("path") or "", f"{path}.path")
    found += forms.file_mode(item.get("mode"), f"{path}.mode")
    return found + forms.user_id(item.get("user"), f"{path}.user")


def downward_files(items: list[Obj] | None, path: str) -> ErrorList:
    """Upstream's errors name the volume, not the item."""
    return [e for item in items or () for e in _downward_file(item, path)]


def _downward_file(item: Obj, path: str) -> ErrorList:
    found = forms.all_required(item, path, "path")
    found += forms.descending_unreserved(item.get("path") or "", f"{path}.path")
    ref, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if ref is not None:
        found += env.field_ref(ref, f"{path}.fieldRef", env.FILE_FIELDS)
        if resource is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            found.append(field.invalid(path, "resource", detail))
    elif resource is not None:
        found += env.resource_ref(resource, f"{path}.resourceFieldRef", in_volume=True)
    else:
        found.append(field.required(path, "one of fieldRef and resourceFieldRef is required"))
    found += forms.file_mode(item.get("mode"), f"{path}.mode")
    return found + forms.user_id(item.get("user"), f"{path}.user")


def projected(source: Obj, path: str, lenient: Leniency) -> ErrorList:
    found = forms.file_mode(source.get("defaultMode"), f"{path}.defaultMode")
    found += forms.user_id(source.get("defaultUser"), f"{path}.defaultUser")
    seen: set[str] = set()
    for i, projection in enumerate(source.get("sources") or ()):
        found += _projection(projection, seen, f"{path}.sources[{i}]", path, lenient)
    return found


def _claim(target: str, shown: str, seen: set[str], volume: str) -> ErrorList:
    """Notes that a file is taken."""
    if target in seen:
        return [field.invalid(volume, shown, _CONFLICT)]
    seen.add(target)
    return []


def _projection(projection: Obj, seen: set[str], path: str, volume: str, lenient: Leniency) -> ErrorList:
    """`volume`: the path of the whole volume, which upstream names in some errors."""
    found: ErrorList = []
    for name in ("secret", "configMap"):
        source = projection.get(name)
        if source is not None:
            found += forms.all_required(source, f"{path}.{name}", "name")
            for i, item in enumerate(source.get("items") or ()):
                found += _key_path(item, f"{path}.{name}.items[{i}]")
                if item.get("path"):
                    found += _claim(item["path"], source.get("name") or "", seen, volume)
    downward = projection.get("downwardAPI")
    if downward is not None:
        for item in downward.get("items") or ():
            found += _downward_file(item, f"{path}.downwardAPI")
            if item.get("path"):
                found += _claim(item["path"], item["path"], seen, volume)
    if projection.get("serviceAccountToken") is not None:
        found += _token(projection["serviceAccountToken"], f"{path}.serviceAccountToken", volume, lenient)
    bundle = projection.get("clusterTrustBundle")
    if bundle is not None:
        found += _trust_bundle(bundle, f"{path}.clusterTrustBundle")
        target = bundle.get("path") or ""
        found += _claim(target, target, seen, volume)
    if projection.get("podCertificate") is not None:
        found += _certificate(projection["podCertificate"], seen, f"{path}.podCertificate", volume)
    if sum(v is not None for v in projection.values()) > 1:
        found.append(field.forbidden(path, "may not specify more than 1 volume type per source"))
    return found


def _token(token: Obj, path: str, volume: str, lenient: Leniency) -> ErrorList:
    found: ErrorList = []
    seconds, at, target = token.get("expirationSeconds"), f"{path}.expirationSeconds", token.get("path") or ""
    if seconds is None:
        found.append(field.required(at))
    else:
        if seconds < _TOKEN_SECONDS[0]:
            found.append(field.invalid(at, seconds, "may not specify a duration less than 10 minutes"))
        if seconds > _TOKEN_SECONDS[1]:
            found.append(field.invalid(at, seconds, "may not specify a duration larger than 2^32 seconds"))
    if not target:
        found.append(field.required(f"{volume}.path"))
    elif not lenient.token_paths:
        found += forms.descending_unreserved(target, f"{volume}.path")
    return found + forms.user_id(token.get("user"), f"{path}.user")


def _trust_bundle(bundle: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    name, signer, selector = bundle.get("name"), bundle.get("signerName"), bundle.get("labelSelector")
    if name is not None and signer is not None:
        shown = internal("core/v1.ClusterTrustBundleProjection", bundle)
        found.append(field.invalid(path, shown, "only one of name and signerName may be used"))
    elif name is not None:
        if not name:
            found.append(field.required(f"{path}.name", "must be a valid object name"))
        wrong = _bundle_name(name)
        found += [field.invalid(f"{path}.name", name, f"not a valid clustertrustbundlename: {d}") for d in wrong]
        if selector is not None:
            detail = "labelSelector must be unset if name is specified"
            found.append(field.invalid(f"{path}.labelSelector", selector, detail))
    elif signer is not None:
        if not signer:
            found.append(field.required(f"{path}.signerName", "must be a valid signer name"))
        found += signer_name(signer, f"{path}.signerName")
        found += selectors.label_selector(selector, f"{path}.labelSelector")
    else:
        found.append(field.required(path, "either name or signerName must be specified"))
    found += forms.all_required(bundle, path, "path")
    found += forms.user_id(bundle.get("user"), f"{path}.user")
    return found + forms.descending_unreserved(bundle.get("path") or "", f"{path}.path")


def _bundle_name(name: str) -> list[str]:
    """Of one that belongs to a signer, what comes after the last colon counts."""
    return names.dns1123_subdomain(name.rpartition(":")[2])


def _certificate(certificate: Obj, seen: set[str], path: str, volume: str) -> ErrorList:
    signer = certificate.get("signerName") or ""
    found = signer_name(signer, f"{path}.signerName")
    annotations = certificate.get("userAnnotations")
    if annotations is not None:
        found += user_annotations(annotations, f"{path}.userAnnotations")
    found += forms.user_id(certificate.get("user"), f"{path}.user")
    key_type = certificate.get("keyType") or ""
    if key_type not in _KEY_TYPES:
        shown = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
        found.append(field.not_supported(f"{path}.keyType", key_type, shown))
    found += _lifetime(certificate.get("maxExpirationSeconds"), signer, f"{path}.maxExpirationSeconds")
    targets = ("credentialBundlePath", "keyPath", "certificateChainPath")
    for name in targets:
        target = certificate.get(name)
        if target:
            found += forms.descending_unreserved(target, f"{path}.{name}")
            found += _claim(target, target, seen, volume)
    if not any(certificate.get(name) for name in targets):
        detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        found.append(field.required(path, detail))
    return found


def _lifetime(seconds: int | None, signer: str, path: str) -> ErrorList:
    if seconds is None:
        return []
    found: ErrorList = []
    if seconds < _CERTIFICATE_SECONDS_MIN:
        detail = f"if provided, maxExpirationSeconds must be >= {_CERTIFICATE_SECONDS_MIN}"
        found.append(field.invalid(path, seconds, detail))
    most = _KUBERNETES_CERTIFICATE_SECONDS_MAX if is_kubernetes_signer(signer) else _CERTIFICATE_SECONDS_MAX
    if seconds > most:
        found.append(field.invalid(path, seconds, f"if provided, maxExpirationSeconds must be <= {most}"))
    return found


def user_annotations(values: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for key in values:
        lowered = key.lower()
        if not lowered:
            found.append(field.required(path))
            continue
        details = names.qualified_name(lowered)
        if not details and "/" not in lowered:
            details = ['must be a domain-prefixed key (such as "acme.io/foo")']
        found += [field.invalid(path, lowered, d) for d in details]
    if sum(len(k.encode()) + len((v or "").encode()) for k, v in values.items()) > 256 * 1024:
        found.append(field.too_long(path, 256 * 1024))
    return found
