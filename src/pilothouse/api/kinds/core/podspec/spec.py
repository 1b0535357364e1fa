"""The pod spec as a whole, and templates of pods. Source: upstream's ValidatePodSpec, whose order this is."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList, quote
from pilothouse.api.kinds.common import addresses, selectors
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.common.tolerations import tolerations
from pilothouse.api.kinds.core.podspec import containers, env, forms, resources, security, spread, windows
from pilothouse.api.kinds.core.podspec.affinity import affinity
from pilothouse.api.kinds.core.podspec.annotations import pod_annotations, same_profiles
from pilothouse.api.kinds.core.podspec.container_rules import Around, all_containers
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.templatemeta import annotation_map
from pilothouse.api.kinds.core.podspec.volumes import volumes
from pilothouse.api.objects import Obj, meta

_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_DNS_POLICIES: Final = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_NAMESERVERS_MAX: Final = 3
_SEARCHES_MAX: Final = 32
_SEARCH_CHARS_MAX: Final = 2048
_DEADLINE_MAX: Final = 2**31 - 1
_HOSTNAME_MAX_BYTES: Final = 64


def template(value: Obj | None, path: str, lenient: Leniency) -> ErrorList:
    """A pod template's metadata and spec."""
    value = value or {}
    metadata, spec = meta(value), value.get("spec") or {}
    found = selectors.labels(metadata.get("labels"), f"{path}.labels")
    found += annotation_map(metadata.get("annotations"), f"{path}.annotations")
    found += pod_annotations(metadata.get("annotations"), spec, f"{path}.annotations", lenient)
    found += pod_spec(spec, None, f"{path}.spec", lenient)
    found += same_profiles(metadata.get("annotations"), spec, f"{path}.spec")
    if spec.get("ephemeralContainers"):
        detail = "ephemeral containers not allowed in pod template"
        found.append(field.forbidden(f"{path}.spec.ephemeralContainers", detail))
    return found


def pod_spec(spec: Obj, pod_metadata: Obj | None, path: str, lenient: Leniency) -> ErrorList:
    """`pod_metadata`: of a pod, None in a template."""
    found: ErrorList = []
    if spec.get("terminationGracePeriodSeconds") is None:
        found.append(field.required(f"{path}.terminationGracePeriodSeconds"))
    valid, wrong = volumes(spec, pod_metadata, f"{path}.volumes", lenient)
    claims = {c["name"] for c in spec.get("resourceClaims") or () if c.get("name")}
    found += wrong + resources.pod_claims(spec.get("resourceClaims"), pod_metadata, f"{path}.resourceClaims")
    found += all_containers(Around(spec, valid, claims, lenient), path)
    found += resources.pod_level(spec, f"{path}.resources", lenient, claims)
    found += _host_network_ports(spec, path, lenient)
    found += _policies(spec, path)
    found += selectors.labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    found += security.pod(spec.get("securityContext"), spec, f"{path}.securityContext", lenient)
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        detail = "ShareProcessNamespace and HostPID cannot both be enabled"
        found.append(field.invalid(f"{path}.shareProcessNamespace", True, detail))
    found += affinity(spec.get("affinity"), f"{path}.affinity", lenient)
    found += _dns(spec.get("dnsConfig"), spec.get("dnsPolicy"), f"{path}.dnsConfig")
    found += _gates(spec, path)
    found += spread.constraints(spec.get("topologySpreadConstraints"), f"{path}.topologySpreadConstraints", lenient)
    found += windows.host_processes(spec, path)
    found += _host_users(spec, path, lenient)
    found += _hostname_override(spec, path)
    found += _names(spec, path)
    found += tolerations(spec.get("tolerations"), f"{path}.tolerations", comparisons=lenient.comparing_tolerations)
    found += _host_aliases(spec.get("hostAliases"), f"{path}.hostAliases")
    if spec.get("priorityClassName"):
        found += forms.subdomain(spec["priorityClassName"], f"{path}.priorityClassName")
    if spec.get("runtimeClassName") is not None:
        found += forms.subdomain(spec["runtimeClassName"], f"{path}.runtimeClassName")
    preemption, at = spec.get("preemptionPolicy"), f"{path}.preemptionPolicy"
    found += (
        [field.required(at)] if preemption == "" else forms.supported(preemption, at, "PreemptLowerPriority", "Never")
    )
    if spec.get("overhead") is not None:
        found += resources.requirements({"limits": spec["overhead"]}, f"{path}.overhead", lenient, set())
    found += _os(spec, path) + _scheduling_group(spec, path)
    return found + env.file_volumes(spec, path)


def _host_network_ports(spec: Obj, path: str, lenient: Leniency) -> ErrorList:
    """In a template the port may be left out: the pod's default is the container's port."""
    if not spec.get("hostNetwork"):
        return []
    found: ErrorList = []
    for i, container in enumerate(spec.get("containers") or ()):
        for j, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort") or 0
            if (lenient.in_pod or host) and host != (port.get("containerPort") or 0):
                detail = "must match `containerPort` when `hostNetwork` is true"
                found.append(field.invalid(f"{path}.containers[{i}].ports[{j}].hostPort", host, detail))
    return found


def _policies(spec: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for name, values in (("restartPolicy", _RESTART_POLICIES), ("dnsPolicy", _DNS_POLICIES)):
        value, at = spec.get(name), f"{path}.{name}"
        found += forms.supported(value, at, *values) if value else [field.required(at)]
    return found


def _dns(config: Obj | None, policy: str | None, path: str) -> ErrorList:
    if policy == "None":
        if config is None:
            return [field.required(path, "must provide `dnsConfig` when `dnsPolicy` is None")]
        if not config.get("nameservers"):
            detail = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            return [field.required(f"{path}.nameservers", detail)]
    found: ErrorList = []
    config = config or {}
    servers, searches = config.get("nameservers") or [], config.get("searches") or []
    if len(servers) > _NAMESERVERS_MAX:
        detail = f"must not have more than {_NAMESERVERS_MAX} nameservers"
        found.append(field.invalid(f"{path}.nameservers", servers, detail))
    for i, server in enumerate(servers):
        found += addresses.legacy_ip(server or "", f"{path}.nameservers[{i}]")
    if len(searches) > _SEARCHES_MAX:
        detail = f"must not have more than {_SEARCHES_MAX} search paths"
        found.append(field.invalid(f"{path}.searches", searches, detail))
    if len(" ".join(searches).encode()) > _SEARCH_CHARS_MAX:
        detail = f"must not have more than {_SEARCH_CHARS_MAX} characters (including spaces) in the search list"
        found.append(field.invalid(f"{path}.searches", searches, detail))
    for i, search in enumerate(searches):
        if search != ".":
            found += forms.underscored_subdomain(search.removesuffix("."), f"{path}.searches[{i}]")
    for i, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            found.append(field.required(f"{path}.options[{i}]", "must not be empty"))
    return found


def _gates(spec: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    for i, gate in enumerate(spec.get("readinessGates") or ()):
        found += label_name(gate.get("conditionType") or "", f"{path}.readinessGates[{i}].conditionType")
    seen: set[str] = set()
    for i, gate in enumerate(spec.get("schedulingGates") or ()):
        name, at = gate.get("name") or "", f"{path}.schedulingGates[{i}]"
        found += label_name(name, at)
        if name in seen:
            found.append(field.duplicate(at, name))
        seen.add(name)
    return found


def _host_users(spec: Obj, path: str, lenient: Leniency) -> ErrorList:
    """A pod in a user namespace of its own shares no others with its node."""
    if spec.get("hostUsers") is not False:
        return []
    detail = "when `hostUsers` is false"
    found: ErrorList = []
    if spec.get("hostNetwork") and not lenient.user_namespaces_with_host_network:
        found.append(field.forbidden(f"{path}.hostNetwork", detail))
    for name, shown in (("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(name):
            found.append(field.forbidden(f"{path}.{shown}", detail))
    if not lenient.user_namespaces_with_devices:
        for container, at in containers.located(spec, path):
            if container.get("volumeDevices"):
                found.append(field.forbidden(f"{at}.volumeDevices", detail))
    return found


def _hostname_override(spec: Obj, path: str) -> ErrorList:
    name, at = spec.get("hostnameOverride"), f"{path}.hostnameOverride"
    if name is None:
        return []
    found: ErrorList = []
    for other in ("setHostnameAsFQDN", "hostNetwork"):
        if spec.get(other):
            found.append(field.forbidden(at, f"may not be specified when {other} is true"))
    if len(name.encode()) > _HOSTNAME_MAX_BYTES:
        found.append(field.too_long(at, _HOSTNAME_MAX_BYTES))
    return found + forms.subdomain(name, at)


def _names(spec: Obj, path: str) -> ErrorList:
    found: ErrorList = []
    account, alias = spec.get("serviceAccountName") or "", spec.get("serviceAccount") or ""
    if account:
        found += forms.subdomain(account, f"{path}.serviceAccountName")
    if alias != account:
        detail = f"must be the same as serviceAccountName: {quote(account)}"
        found.append(field.invalid(f"{path}.deprecatedServiceAccount", alias, detail))
    if spec.get("nodeName"):
        found += forms.subdomain(spec["nodeName"], f"{path}.nodeName")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _DEADLINE_MAX:
        at = f"{path}.activeDeadlineSeconds"
        found.append(field.invalid(at, deadline, names.in_range(1, _DEADLINE_MAX)))
    for name in ("hostname", "subdomain"):
        if spec.get(name):
            found += forms.label(spec[name], f"{path}.{name}")
    return found


def _host_aliases(values: list[Obj] | None, path: str) -> ErrorList:
    found: ErrorList = []
    for i, alias in enumerate(values or ()):
        found += addresses.legacy_ip(alias.get("ip") or "", f"{path}[{i}].ip")
        for j, name in enumerate(alias.get("hostnames") or ()):
            found += forms.subdomain(name or "", f"{path}[{i}].hostnames[{j}]")
    return found


def _os(spec: Obj, path: str) -> ErrorList:
    if spec.get("os") is None:
        return []
    name = spec["os"].get("name") or ""
    if not name:
        return [field.required(f"{path}.os.name")]
    if name == "linux":
        return windows.linux_pod(spec, path)
    if name == "windows":
        return windows.windows_pod(spec, path)
    return [field.not_supported(f"{path}.os", name, ("linux", "windows"))]


def _scheduling_group(spec: Obj, path: str) -> ErrorList:
    group = spec.get("schedulingGroup")
    if group is None:
        return []
    name, at = group.get("podGroupName"), f"{path}.schedulingGroup.podGroupName"
    if name is None:
        return [field.invalid(at, None, "must specify one of: `podGroupName`")]
    return forms.subdomain(name, at)
