"""What a pod's status may become. Source: upstream's ValidatePodStatusUpdate."""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api import field, gates
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import addresses, declarative
from pilothouse.api.kinds.common.quantities import parse
from pilothouse.api.kinds.common.render import internals
from pilothouse.api.kinds.common.selectors import label_name
from pilothouse.api.kinds.common.strategy import immutable
from pilothouse.api.kinds.core.pod_rules import annotation_changes
from pilothouse.api.kinds.core.podspec import containers, forms, stored_faults
from pilothouse.api.kinds.core.volume_health import HEALTH_CONDITIONS
from pilothouse.api.objects import Obj

_STATUSES: Final = (
    ("containerStatuses", "containers"),
    ("initContainerStatuses", "initContainers"),
    ("ephemeralContainerStatuses", "ephemeralContainers"),
)
_SYSTEM_CONDITIONS: Final = ("PodScheduled", "Ready", "Initialized")
_USER_MAX: Final = 2**32 - 1
_HEALTHS: Final = ("Healthy", "Unhealthy", "Unknown")
_MESSAGE_MAX_BYTES: Final = 1024
_VOLUME = declarative.fields({"name": [declarative.required], "healthConditions": HEALTH_CONDITIONS})


def _volume_name(volume: Obj) -> Any:
    return volume.get("name")


_RULES = declarative.fields(
    {
        "status": [
            declarative.struct(
                declarative.fields(
                    {
                        "volumeHealth": [
                            declarative.optional,
                            declarative.unique(_volume_name),
                            declarative.each(declarative.struct(_VOLUME), key=_volume_name),
                        ]
                    }
                )
            )
        ]
    }
)


def validate_status(new: Obj, old: Obj) -> ErrorList:
    spec, status, before = new.get("spec") or {}, new.get("status") or {}, old.get("status") or {}
    found = annotation_changes(new, old, stored_faults.leniency(old, in_pod=True))
    found += _conditions(status.get("conditions"), "status.conditions")
    found += _nominated(status.get("nominatedNodeName") or "", before.get("nominatedNodeName") or "", spec)
    generation = status.get("observedGeneration") or 0
    if generation < 0:
        found.append(field.invalid("status.observedGeneration", generation, "must be a non-negative integer"))
    found += immutable(status.get("qosClass") or "", before.get("qosClass") or "", "status.qosClass")
    found += _no_way_back(status, before, old.get("spec") or {})
    found += _claims(status, spec)
    found += _extended_claims(status.get("extendedResourceClaimStatus"), spec, "status.extendedResourceClaimStatus")
    found += _volumes(status.get("volumeHealth"), spec)
    found += _pod_ips(status, before) + _host_ips(status, before)
    for name, _ in _STATUSES:
        for i, container in enumerate(status.get(name) or ()):
            found += _user(container.get("user") or {}, spec.get("os"), f"status.{name}[{i}].user.linux")
    for name, own in _STATUSES[:2]:
        by_name = {c.get("name"): c for c in reversed(spec.get(own) or [])}
        for i, container in enumerate(status.get(name) or ()):
            path = f"status.{name}[{i}].allocatedResourcesStatus"
            found += _allocated(container, by_name.get(container.get("name")), status, path)
    for i, container in enumerate(status.get("ephemeralContainerStatuses") or ()):
        if container.get("allocatedResourcesStatus"):
            at = f"status.ephemeralContainerStatuses[{i}].allocatedResourcesStatus"
            found.append(field.forbidden(at, "must not be specified in container status"))
    return declarative.merged(found, _RULES, new, old)


def _conditions(values: list[Obj] | None, path: str) -> ErrorList:
    found: ErrorList = []
    for i, condition in enumerate(values or ()):
        generation, kind = condition.get("observedGeneration") or 0, condition.get("type") or ""
        if generation < 0:
            detail = "must be a non-negative integer"
            found.append(field.invalid(f"{path}[{i}].observedGeneration", generation, detail))
        if kind not in _SYSTEM_CONDITIONS:
            found += label_name(kind, f"{path}[{i}].Type")
    return found


def _nominated(name: str, before: str, spec: Obj) -> ErrorList:
    at = "status.nominatedNodeName"
    if not name or name == before:
        return []
    found = forms.subdomain(name, at)
    if spec.get("nodeName") and gates.is_open("ClearingNominatedNodeNameAfterBinding"):
        found.append(field.forbidden(at, "may not be set on pods that are already bound to a node"))
    return found


def _no_way_back(status: Obj, before: Obj, spec: Obj) -> ErrorList:
    """A container that ended for good does not run again."""
    found: ErrorList = []
    every = list(containers.every(spec, "initContainers", "containers"))
    rules = [r for c in every for r in c.get("restartPolicyRules") or ()]
    all_may = any(r.get("action") == "RestartAllContainers" for r in rules)
    for name, own in _STATUSES:
        if all_may and own != "ephemeralContainers":
            continue
        by_name = {c.get("name"): c for c in reversed(spec.get(own) or [])}
        now = {c.get("name"): c for c in reversed(status.get(name) or [])}
        for i, was in enumerate(before.get(name) or ()):
            ended = (was.get("state") or {}).get("terminated")
            container = now.get(was.get("name"))
            if ended is None or container is None or (container.get("state") or {}).get("terminated") is not None:
                continue
            of = by_name.get(was.get("name"))
            if own == "ephemeralContainers" or of is None or not _restarts(of, spec, ended.get("exitCode") or 0):
                detail = "may not be transitioned to non-terminated state"
                found.append(field.forbidden(f"status.{name}[{i}].state", detail))
    return found


def _restarts(container: Obj, spec: Obj, exit_code: int) -> bool:
    """Whether a container that ended so is started again (KEP-5307)."""
    policy = container.get("restartPolicy")
    if policy is not None:
        for rule in container.get("restartPolicyRules") or ():
            codes = rule.get("exitCodes") or {}
            if codes and (exit_code in (codes.get("values") or ())) == (codes.get("operator") == "In"):
                return True
    policy = policy if policy in ("Always", "OnFailure", "Never") else spec.get("restartPolicy")
    return exit_code != 0 if policy == "OnFailure" else policy != "Never"


def _claims(status: Obj, spec: Obj) -> ErrorList:
    found: ErrorList = []
    known = {c.get("name") or "" for c in spec.get("resourceClaims") or ()}
    seen: set[str] = set()
    for i, claim in enumerate(status.get("resourceClaimStatuses") or ()):
        at, name = f"status.resourceClaimStatuses[{i}]", claim.get("name") or ""
        if name not in known:
            detail = "must match the name of an entry in `spec.resourceClaims`"
            found.append(field.invalid(f"{at}.name", name, detail))
        if name in seen:
            found.append(field.duplicate(f"{at}.name", name))
        seen.add(name)
        if claim.get("resourceClaimName") is not None:
            found += forms.subdomain(claim["resourceClaimName"], f"{at}.resourceClaimName")
    return found


def _extended_claims(status: Obj | None, spec: Obj, path: str) -> ErrorList:
    if status is None:
        return []
    found: ErrorList = []
    by_name = {c.get("name") or "": c for c in containers.every(spec, "initContainers", "containers")}
    mappings, of = status.get("requestMappings") or [], "spec.initContainers.{0} or spec.containers.{0}"
    if not mappings:
        found.append(field.required(f"{path}.requestMappings", "at least one request mapping is required"))
    seen: set[tuple[str, str, str]] = set()
    for i, mapping in enumerate(mappings):
        at = f"{path}.requestMappings[{i}]"
        key = tuple(mapping.get(n) or "" for n in ("containerName", "resourceName", "requestName"))
        container, resource, request = key
        if container not in by_name:
            detail = f"must match the name of an entry in {of.format('name')}"
            found.append(field.invalid(f"{at}.containerName", container, detail))
        elif resource not in ((by_name[container].get("resources") or {}).get("requests") or {}):
            detail = f"must match the extended resource name of an entry in {of.format('resources.requests')}"
            found.append(field.invalid(f"{at}.resourceName", resource, detail))
        found += forms.label(request, f"{path}.requestName")
        if (container, resource, request) in seen:
            names = ("containerName", "resourceName", "requestName")
            found += [field.duplicate(f"{at}.{n}", v) for n, v in zip(names, key, strict=True)]
        seen.add((container, resource, request))
    name = status.get("resourceClaimName") or ""
    at = f"{path}.resourceClaimName"
    return found + (forms.subdomain(name, at) if name else [field.required(at)])


def _volumes(values: list[Obj] | None, spec: Obj) -> ErrorList:
    known = {v.get("name") for v in spec.get("volumes") or ()}
    return [
        field.not_found(f"status.volumeHealth[{i}].name", volume["name"])
        for i, volume in enumerate(values or ())
        if volume.get("name") and volume["name"] not in known
    ]


def _one_of_each_family(ips: list[str]) -> bool:
    families = [a.version for a in map(addresses.parse, ips) if a is not None]
    return len(families) == len(ips) == len(set(families))


def _pod_ips(status: Obj, before: Obj) -> ErrorList:
    found: ErrorList = []
    path, own = "status.podIPs", status.get("podIP") or ""
    ips, stored = ([i.get("ip") or "" for i in s.get("podIPs") or ()] for s in (status, before))
    for i, ip in enumerate(ips):
        found += addresses.legacy_ip(ip, f"{path}[{i}]", stored)
    shown = internals("core/v1.PodIP", status.get("podIPs"))
    if len(ips) > 1 and not _one_of_each_family(ips):
        found.append(field.invalid(path, shown, "may specify no more than one IP for each IP family"))
    if bool(own) != bool(ips):
        found.append(field.invalid(path, shown, "podIP and podIPs must either both be set or both be unset"))
    elif ips and own != ips[0]:
        found.append(field.invalid(f"{path}[0].ip", ips[0], "must be equal to `podIP`"))
    return found


def _host_ips(status: Obj, before: Obj) -> ErrorList:
    path = "status.hostIPs"
    ips, stored = ([i.get("ip") or "" for i in s.get("hostIPs") or ()] for s in (status, before))
    if not ips:
        return []
    found: ErrorList = []
    if (status.get("hostIP") or "") != ips[0]:
        found.append(field.invalid(f"{path}[0].ip", ips[0], "must be equal to `hostIP`"))
    for i, ip in enumerate(ips):
        found += addresses.legacy_ip(ip, f"{path}[{i}]", stored)
    if len(ips) > 1 and not _one_of_each_family(ips):
        shown = internals("core/v1.HostIP", status.get("hostIPs"))
        found.append(field.invalid(path, shown, "may specify no more than one IP for each IP family"))
    return found


def _user(user: Obj, os: Obj | None, path: str) -> ErrorList:
    linux, system = user.get("linux"), "linux" if os is None else os.get("name")
    if linux is None:
        return []
    if system == "windows":
        return [field.forbidden(path, "cannot be set for a windows pod")]
    if system != "linux":
        return []
    found: ErrorList = []
    uid = linux.get("uid") or 0
    if not 0 <= uid <= _USER_MAX:
        found.append(field.invalid(f"{path}.uid", uid, f"must be between 0 and {_USER_MAX}, inclusive"))
    found += forms.user_id(linux.get("gid"), f"{path}.gid")
    for i, group in enumerate(linux.get("supplementalGroups") or ()):
        found += forms.user_id(group, f"{path}.supplementalGroups[{i}]")
    return found


def _allocated(status: Obj, container: Obj | None, pod_status: Obj, path: str) -> ErrorList:
    """The health of devices (KEP-4680)."""
    found: ErrorList = []
    for i, resource in enumerate(status.get("allocatedResourcesStatus") or ()):
        at, name = f"{path}[{i}]", resource.get("name") or ""
        if container is not None:
            found += _known_resource(name, container, pod_status, f"{at}.name")
        seen: set[str] = set()
        for j, device in enumerate(resource.get("resources") or ()):
            here, message, own = f"{at}.resources[{j}]", device.get("message"), device.get("resourceID") or ""
            found += forms.supported(device.get("health") or "", f"{here}.health", *_HEALTHS)
            if message == "":
                found.append(field.required(f"{here}.message", "must be non-empty if specified"))
            elif message is not None and len(message.encode()) > _MESSAGE_MAX_BYTES:
                found.append(field.too_long(f"{here}.message", _MESSAGE_MAX_BYTES))
            if own in seen:
                found.append(field.duplicate(f"{here}.resourceID", own))
            seen.add(own)
    return found


def _known_resource(name: str, container: Obj, pod_status: Obj, path: str) -> ErrorList:
    resources = container.get("resources") or {}
    requests = resources.get("requests") or {}
    if not name.startswith("claim:"):
        detail = "must match one of the container's resource requests"
        return [] if name in requests else [field.invalid(path, name, detail)]
    claim, _, request = name.removeprefix("claim:").partition("/")
    for own in resources.get("claims") or ():
        if name == "claim:" + "/".join(v for v in (own.get("name") or "", own.get("request") or "") if v):
            return []
    extended = pod_status.get("extendedResourceClaimStatus") or {}
    if claim and request and claim == extended.get("resourceClaimName"):
        for mapping in extended.get("requestMappings") or ():
            if mapping.get("containerName") == container.get("name") and mapping.get("requestName") == request:
                amount = requests.get(mapping.get("resourceName") or "")
                if amount is not None and parse(amount).amount:
                    return []
    detail = (
        "must match one of the container's resource claims as 'claim:<claimName>/<requestName>' when "
        "container.resources.claims[*].request is set or 'claim:<claimName>' when it is empty"
    )
    return [field.invalid(path, name, detail)]
