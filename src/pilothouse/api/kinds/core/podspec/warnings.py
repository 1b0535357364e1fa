"""What a client is warned of in a pod or a pod template, though it is accepted.

Source: upstream's pkg/api/pod/warnings.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from pilothouse.api import names
from pilothouse.api.field import quote
from pilothouse.api.kinds.common import addresses, node_labels
from pilothouse.api.kinds.common.quantities import is_whole
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.kinds.core.persistent_volume_claim import spec_warnings
from pilothouse.api.kinds.core.podspec import containers
from pilothouse.api.kinds.core.podspec.overlaps import overlapping_paths
from pilothouse.api.kinds.core.podspec.preparation import APP_ARMOR_ANNOTATION, app_armor_profile
from pilothouse.api.objects import Obj, meta

_ANNOTATIONS: Final = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_VOLUMES: Final = {  # in upstream's order: field: (its name in the warning, what is said)
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "ephemeral": ("ephemeral", ""),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_SECCOMP_POD: Final = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER: Final = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP_TOLD: Final = 'non-functional in v1.27+; use the "seccompProfile" field instead'
_APP_ARMOR_TOLD: Final = 'deprecated since v1.30; use the "appArmorProfile" field instead'
_BYTES: Final = ("memory", "ephemeral-storage")
_NO_SELECTOR: Final = "a null labelSelector results in matching no pod"


def pod_warnings(pod: Obj) -> list[str]:
    return _warnings(pod.get("spec") or {}, meta(pod), "", in_template=False)


def template_warnings(template: Obj | None, path: str) -> list[str]:
    template = template or {}
    return _warnings(template.get("spec") or {}, meta(template), f"{path}.", in_template=True)


def _warnings(spec: Obj, metadata: Obj, prefix: str, *, in_template: bool) -> list[str]:
    path, annotations = f"{prefix}spec", metadata.get("annotations") or {}
    at_annotation: Callable[[str], str] = f"{prefix}metadata.annotations[{{}}]".format
    out = _placement(spec, path)
    out += [f"{at_annotation(k)}: {told}" for k, told in _ANNOTATIONS.items() if k in annotations]
    out += _volumes(spec, path)
    out += overlapping_paths(spec.get("volumes") or ())
    out += _lists(spec, path)
    for name in _BYTES:
        out += _fraction(spec.get("overhead"), name, f"{path}.overhead")
    own = spec.get("securityContext") or {}
    if own.get("seccompProfile") is None and _SECCOMP_POD in annotations:
        out.append(f"{at_annotation(_SECCOMP_POD)}: {_SECCOMP_TOLD}")
    for container, at in containers.located(spec, path):
        name, security = container.get("name") or "", container.get("securityContext") or {}
        key = f"{_SECCOMP_CONTAINER}{name}"
        if security.get("seccompProfile") is None and key in annotations:
            out.append(f"{at_annotation(key)}: {_SECCOMP_TOLD}")
        key = f"{APP_ARMOR_ANNOTATION}{name}"
        if key in annotations and _is_annotation_alone(annotations[key] or "", security, own, in_template):
            out.append(f"{at_annotation(key)}: {_APP_ARMOR_TOLD}")
        out += _container(container, at)
    out += _ports(spec, path)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        told = "must be >= 0; negative values are invalid and will be treated as 1"
        out.append(f"{path}.terminationGracePeriodSeconds: {told}")
    out += _pod_affinity(spec, path)
    for i, address in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
        out += addresses.ip_warnings(address or "", f"{path}.dnsConfig.nameservers[{i}]")
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        out += addresses.ip_warnings(alias.get("ip") or "", f"{path}.hostAliases[{i}].ip")
    return out


def _is_annotation_alone(annotation: str, security: Obj, own: Obj, in_template: bool) -> bool:
    """Of a pod, whose annotation became a field already, what that field is tells."""
    profile, wanted = security.get("appArmorProfile"), app_armor_profile(annotation)
    pods_own = own.get("appArmorProfile")
    if in_template:
        return profile is None and (pods_own is None or not same(pods_own, wanted))
    if profile is None:
        return wanted is None
    return same(profile, wanted) and not same(pods_own, wanted)


def _placement(spec: Obj, path: str) -> list[str]:
    deprecated = node_labels.DEPRECATED
    out = [f"{path}.nodeSelector[{k}]: {deprecated[k]}" for k in spec.get("nodeSelector") or () if k in deprecated]
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    at = f"{path}.affinity.nodeAffinity"
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for i, term in enumerate(required.get("nodeSelectorTerms") or ()):
        here = f"{at}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[{i}]"
        out += node_labels.of_expressions(term.get("matchExpressions"), f"{here}.matchExpressions")
    for i, weighted in enumerate(affinity.get("preferredDuringSchedulingIgnoredDuringExecution") or ()):
        here = f"{at}.preferredDuringSchedulingIgnoredDuringExecution[{i}].preference"
        out += _preference(weighted.get("preference") or {}, here)
    for i, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        key, here = constraint.get("topologyKey") or "", f"{path}.topologySpreadConstraints[{i}]"
        if key in deprecated:
            out.append(f"{here}.topologyKey: {key} is {deprecated[key]}")
        if constraint.get("labelSelector") is None:
            out.append(f"{here}.labelSelector: {_NO_SELECTOR}")
    return out


def _preference(term: Obj, path: str) -> list[str]:
    out = []
    for i, expression in enumerate(term.get("matchExpressions") or ()):
        at, key = f"{path}.matchExpressions[{i}]", expression.get("key") or ""
        if key in node_labels.DEPRECATED:
            out.append(f"{at}.key: {key} is {node_labels.DEPRECATED[key]}")
        for j, value in enumerate(expression.get("values") or ()):
            out += [f"{at}.values[{j}]: {value} is invalid, {d}" for d in names.label_value(value)]
    return out


def _volumes(spec: Obj, path: str) -> list[str]:
    out = []
    for i, volume in enumerate(spec.get("volumes") or ()):
        at = f"{path}.volumes[{i}]"
        for name, (shown, told) in _VOLUMES.items():
            if volume.get(name) is None:
                continue
            if name == "ephemeral":
                claim = volume[name].get("volumeClaimTemplate")
                if claim is not None:
                    out += spec_warnings(claim.get("spec") or {}, f"{at}.ephemeral.volumeClaimTemplate.spec")
            else:
                out.append(f"{at}.{shown}: {told}")
    return out


def _lists(spec: Obj, path: str) -> list[str]:
    aliases = [a.get("ip") or "" for a in spec.get("hostAliases") or ()]
    secrets = [s.get("name") or "" for s in spec.get("imagePullSecrets") or ()]
    at = f"{path}.imagePullSecrets"
    out = [f"{path}.hostAliases[{i}].ip: duplicate ip {quote(aliases[i])}" for i in _repeated(aliases)]
    out += [f"{at}[{i}].name: duplicate name {quote(secrets[i])}" for i in _repeated(secrets)]
    return out + [f'{at}[{i}].name: invalid empty name ""' for i, name in enumerate(secrets) if not name]


def _repeated(values: list[str]) -> Iterator[int]:
    seen: set[str] = set()
    for i, value in enumerate(values):
        if value in seen:
            yield i
        seen.add(value)


def _fraction(amounts: Obj | None, name: str, path: str) -> list[str]:
    amount = (amounts or {}).get(name)
    if amount is None or is_whole(amount):
        return []
    return [f'{path}[{name}]: fractional byte value "{amount}" is invalid, must be an integer']


def _container(container: Obj, path: str) -> list[str]:
    out = []
    resources = container.get("resources") or {}
    for name in _BYTES:
        for part in ("limits", "requests"):
            out += _fraction(resources.get(part), name, f"{path}.resources.{part}")
    seen: set[str] = set()
    for i, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name") or "", variable.get("value") or ""
        reference = f"$({name})"
        if name in seen and (variable.get("valueFrom") is not None or value == reference or reference not in value):
            told = f"hides previous definition of {quote(name)}, which may be dropped when using apply"
            out.append(f"{path}.env[{i}]: {told}")
        seen.add(name)
    return out


def _ports(spec: Obj, path: str) -> list[str]:
    out = []
    seen: dict[tuple[Any, Any], list[tuple[str, Obj]]] = {}
    named: dict[str, str] = {}
    later = []
    for container, at in containers.located(spec, path):
        for i, port in enumerate(container.get("ports") or ()):
            here, host, host_port = f"{at}.ports[{i}]", port.get("hostIP") or "", port.get("hostPort") or 0
            if host and not host_port:
                out.append(f"{here}: hostIP set without hostPort: {_go_struct(port)}")
            others = seen.setdefault((port.get("containerPort") or 0, port.get("protocol") or ""), [])
            for there, other in others:
                relation = _relation(host, host_port, other.get("hostIP") or "", other.get("hostPort") or 0)
                if relation:
                    out.append(f"{here}: {relation} port definition with {there}")
            others.append((here, port))
            name = port.get("name")
            if name and name in named:
                told = f"services and probes that select ports by name will use {named[name]}"
                later.append(f"{here}: duplicate port name {quote(name)} with {named[name]}, {told}")
            elif name:
                named[name] = here
    return out + later


def _go_struct(port: Obj) -> str:
    """Go's %+v."""
    shown = (("Name", port.get("name") or ""), ("HostPort", port.get("hostPort") or 0))
    rest = (("ContainerPort", port.get("containerPort") or 0), ("Protocol", port.get("protocol") or ""))
    return "{" + " ".join(f"{k}:{v}" for k, v in (*shown, *rest, ("HostIP", port.get("hostIP") or ""))) + "}"


def _relation(host: str, port: int, other_host: str, other_port: int) -> str:
    if host == other_host and port == other_port:
        return "duplicate"
    if not port or not other_port:
        return "overlapping"
    if port == other_port and (not host) != (not other_host):
        return "dangerously ambiguous"
    return ""


def _pod_affinity(spec: Obj, path: str) -> list[str]:
    out = []
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        own, at = affinity.get(name) or {}, f"{path}.affinity.{name}"
        required = own.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
        for i, term in enumerate(required):
            if term.get("labelSelector") is None:
                out.append(f"{at}.requiredDuringSchedulingIgnoredDuringExecution[{i}].labelSelector: {_NO_SELECTOR}")
        preferred = own.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
        for i, weighted in enumerate(preferred):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                here = f"{at}.preferredDuringSchedulingIgnoredDuringExecution[{i}].podAffinityTerm.labelSelector"
                out.append(f"{here}: {_NO_SELECTOR}")
    return out
