"""The addresses of a Service and their families: what must hold between them, and how they may change.

Source: upstream's ValidateServiceClusterIPsRelatedFields, validateUpgradeDowngradeClusterIPs and -IPFamilies (pkg/apis/core/
validation). The allocators ask `related` too, before they give anything out.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses
from pilothouse.api.objects import Obj

NONE: Final = "None"
FAMILIES: Final = ("IPv4", "IPv6")
FAMILY_POLICIES: Final = ("PreferDualStack", "RequireDualStack", "SingleStack")
_ONCE: Final = "may not change once set"


def is_headless(spec: Obj) -> bool:
    return spec.get("clusterIPs") == [NONE]


def family_of(address: str) -> str:
    parsed = addresses.parse(address)
    return "IPv6" if parsed is not None and parsed.version == 6 and parsed.ipv4_mapped is None else "IPv4"


def related(spec: Obj, old_spec: Obj | None) -> ErrorList:
    """Of clusterIP, clusterIPs, ipFamilies and ipFamilyPolicy; addresses that `old_spec` has may stay as they are."""
    if spec.get("type") == "ExternalName":
        return []
    ips, families = spec.get("clusterIPs") or [], spec.get("ipFamilies") or []
    found = _paired(spec.get("clusterIP") or "", ips)
    for i, family in enumerate(families):
        at = f"spec.ipFamilies[{i}]"
        if family not in FAMILIES:
            found.append(field.not_supported(at, family, FAMILIES))
        if family in families[:i]:
            found.append(field.duplicate(at, family))
    policy = spec.get("ipFamilyPolicy")
    if policy is not None and policy not in FAMILY_POLICIES:
        found.append(field.not_supported("spec.ipFamilyPolicy", policy, FAMILY_POLICIES))
    bad = _well_formed(ips, (old_spec or {}).get("clusterIPs") or [])
    found += bad
    if len(ips) > 2:
        found.append(field.invalid("spec.clusterIPs", ips, "may only hold up to 2 values"))
    if bad:
        return found
    if len(ips) > 1 and len({family_of(ip) for ip in ips}) < 2:
        found.append(field.invalid("spec.clusterIPs", ips, "may specify no more than one IP for each IP family"))
    if not is_headless(spec):
        for i, (ip, family) in enumerate(zip(ips, families, strict=False)):
            if family in FAMILIES and family != family_of(ip):
                why = f"expected an {family} value as indicated by `ipFamilies[{i}]`"
                found.append(field.invalid(f"spec.clusterIPs[{i}]", ip, why))
    return found


def _paired(ip: str, ips: list[str]) -> ErrorList:
    if not ip:
        what = "must be empty when `clusterIP` is not specified"
        return [field.invalid("spec.clusterIPs", ips, what)] if ips else []
    if not ips:
        return [field.required("spec.clusterIPs")]
    return [] if ips[0] == ip else [field.invalid("spec.clusterIPs", ips, "first value must match `clusterIP`")]


def _well_formed(ips: list[str], stored: list[str]) -> ErrorList:
    found: ErrorList = []
    for i, ip in enumerate(ips):
        if i == 0 and ip == NONE:
            if len(ips) > 1:
                found.append(field.invalid("spec.clusterIPs", ips, "'None' must be the first and only value"))
        else:
            found += addresses.legacy_ip(ip, f"spec.clusterIPs[{i}]", stored)
    return found


def changed(spec: Obj, before: Obj) -> ErrorList:
    """A service may gain or give back its second address; its first stays, save from and to ExternalName."""
    if "ExternalName" in (spec.get("type"), before.get("type")):
        return []
    headless, was_headless = is_headless(spec), is_headless(before)
    if headless and was_headless:
        return []
    policy = spec.get("ipFamilyPolicy")
    ips, old_ips = spec.get("clusterIPs") or [], before.get("clusterIPs") or []
    shown: Any = spec.get("clusterIPs")
    found: ErrorList = []
    if len(ips) == len(old_ips):
        for i, (ip, old_ip) in enumerate(zip(ips, old_ips, strict=True)):
            if ip != old_ip:
                found.append(field.invalid(f"spec.clusterIPs[{i}]", shown, _ONCE))
    else:
        if not ips:
            found.append(field.invalid("spec.clusterIPs[0]", shown, "primary clusterIP can not be unset"))
        elif old_ips and ips[0] != old_ips[0]:
            found.append(field.invalid("spec.clusterIPs[0]", shown, _ONCE))
        if len(ips) == 1 < len(old_ips) and policy != "SingleStack":
            why = "must be set to 'SingleStack' when releasing the secondary clusterIP"
            found.append(field.invalid("spec.ipFamilyPolicy", policy, why))
    if headless != was_headless:
        return found
    return found + _changed_families(spec, before)


def _changed_families(spec: Obj, before: Obj) -> ErrorList:
    families, old_families = spec.get("ipFamilies") or [], before.get("ipFamilies") or []
    shown, policy, at = spec.get("ipFamilies"), spec.get("ipFamilyPolicy"), "spec.ipFamilies[0]"
    if len(families) == len(old_families):
        pairs = zip(families, old_families, strict=True)
        return [field.invalid(at, shown, _ONCE) for new, old in pairs if new != old]
    found: ErrorList = []
    if len(families) < len(old_families) and not spec.get("clusterIPs"):
        found.append(field.invalid(at, shown, "primary ipFamily can not be unset"))
    if families and old_families and families[0] != old_families[0]:
        found.append(field.invalid(at, spec.get("clusterIPs"), _ONCE))
    if len(families) == 1 < len(old_families) and policy != "SingleStack":
        why = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        found.append(field.invalid("spec.ipFamilyPolicy", policy, why))
    return found
