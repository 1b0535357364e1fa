"""`--runtime-config` and the feature gates of whole resources: which of the built-in resources are served.

Source: upstream's apiserver/pkg/server/resourceconfig, server/options/api_enablement.go and the storage providers in
pkg/registry/*/rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

from pilothouse.api.scheme import Resource, load_facts
from pilothouse.apiserver.features import BadFlag, no_bool, of_errors, parse_bool

_ALL: Final = "api/all"
_LEVELS: Final = {  # in the order in which they apply
    _ALL: re.compile(r".*"),
    "api/ga": re.compile(r"v\d+"),
    "api/beta": re.compile(r"v\d+beta\d+"),
    "api/alpha": re.compile(r"v\d+alpha\d+"),
}
_FLOWS: Final = ("flowcontrol.apiserver.k8s.io/v1", "api/ga", _ALL)  # the API server itself needs the first
_NEVER_SERVED: Final = "imagepolicy.k8s.io/v1alpha1"
_GATES: Final = {  # (group, resource), or the group for all of it
    ("lifecycle.k8s.io", ""): "EvictionRequestAPI",
    ("scheduling.k8s.io", "workloads"): "GenericWorkload",
    ("scheduling.k8s.io", "podgroups"): "GenericWorkload",
    ("scheduling.k8s.io", "compositepodgroups"): "CompositePodGroup",
    ("certificates.k8s.io", "clustertrustbundles"): "ClusterTrustBundle",
    ("certificates.k8s.io", "podcertificaterequests"): "PodCertificateRequest",
    ("storagemigration.k8s.io", "storageversionmigrations"): "StorageVersionMigrator",
}


def parse(text: str) -> dict[str, bool]:
    """The settings in `api/beta=true,apps/v1/deployments=false`. Raises BadFlag."""
    given: dict[str, str] = {}
    for part in text.split(","):
        name, _, value = (s.strip() for s in part.partition("="))
        if not name or name == "api/legacy":
            continue
        core = name in ("v1", "api/v1") or name.startswith(("v1/", "api/v1/"))
        given["/v1" if core else name] = value
    errors = _conflicts(given)
    if given.get(_ALL) == "false" and len(given) == 1:
        errors.append(f"invalid runtime-config with only {_ALL}=false")
    else:
        errors += _unknown(given)
    if errors:
        raise of_errors(errors)
    return {name.removeprefix("/"): _value(name, value) for name, value in sorted(given.items())}


def _conflicts(given: Mapping[str, str]) -> list[str]:
    for name in _FLOWS:
        if given.get(name) == "false":
            return [f"--runtime-config={name}=false conflicts with --enable-priority-and-fairness=true"]
        if given.get(name) == "true":
            return []
    return []


def _unknown(given: Mapping[str, str]) -> list[str]:
    registered = {version.rpartition("/")[0] for version in _registered()}
    groups: set[str] = set()
    for name in sorted(given):
        if name in _LEVELS:
            continue
        parts = name.split("/")
        if len(parts) not in (2, 3):
            return [f"runtime-config invalid key {name}"]
        if parts[0] not in registered:
            groups.add("/".join(parts[:2]))
    return [f"unknown api groups {','.join(sorted(groups))}"] if groups else []


def _registered() -> set[str]:
    """The group versions that objects can have, whether or not any is served."""
    return {*load_facts("types")["kinds"], _NEVER_SERVED}


def _value(name: str, value: str) -> bool:
    if name in _LEVELS:
        if value not in ("true", "false"):
            raise BadFlag(f"invalid value {name}={value}")
        return value == "true"
    group, version, *resource = name.split("/")
    api_version = f"{group}/{version}" if group else version
    if api_version not in _registered():
        raise BadFlag(f"group version {group}/{version} that has not been registered")
    on = True if not value else parse_bool(value)
    if on is None:
        raise BadFlag(f"invalid value of {name}: {value}, err: {no_bool(value)}")
    if resource and resource[0].lower() != resource[0]:
        rule = "group/version/resource and resource is always lowercase plural"
        raise BadFlag(f'invalid key {name}: {rule}, not "{resource[0]}"')
    return on


def is_served(resource: Resource, settings: Mapping[str, bool], features: Iterable[str]) -> bool:
    gvr = resource.gvr
    gate = _GATES.get((gvr.group, gvr.resource)) or _GATES.get((gvr.group, ""))
    if gate is not None and gate not in features:
        return False
    served = resource.default
    for level, versions in _LEVELS.items():
        if level in settings and versions.fullmatch(gvr.version):
            served = settings[level]
    served = settings.get(gvr.api_version, served)
    return settings.get(f"{gvr.api_version}/{gvr.resource}", served)
