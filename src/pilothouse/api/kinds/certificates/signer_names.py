"""Signer names: `example.com/signer`."""

from __future__ import annotations

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, quote


def signer_name(text: str, path: str) -> ErrorList:
    if not text:
        return [field.required(path)]
    parts = text.split("/")
    if len(parts) != 2:
        detail = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [field.invalid(path, text, detail)]
    domain, rest = parts
    found: ErrorList = []
    if len(domain.encode()) > 253:
        found.append(field.too_long(path, 253))
    labels = domain.split(".")
    for label in labels:
        details = names.dns1123_label(label)
        found += [field.invalid(path, domain, f"validating label {quote(label)}: {d}") for d in details]
        if details:
            break
    if len(labels) < 2:
        detail = "should be a domain with at least two segments separated by dots"
        found.append(field.invalid(path, domain, detail))
    for label in rest.split("."):
        details = names.dns1123_subdomain(label)
        found += [field.invalid(path, rest, f"validating label {quote(label)}: {d}") for d in details]
        if details:
            break
    if len(text.encode()) > 571:
        found.append(field.too_long(path, 571))
    return found


def is_kubernetes_signer(text: str) -> bool:
    host = text.partition("/")[0]
    return host == "kubernetes.io" or host.endswith(".kubernetes.io")
