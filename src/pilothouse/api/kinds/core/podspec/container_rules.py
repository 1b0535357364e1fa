"""Containers: regular, init and ephemeral ones. Source: the API reference and upstream's pkg/apis/core/validation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core.podspec import containers, env, forms, handlers, mounts, resources, security
from pilothouse.api.kinds.core.podspec.leniency import Leniency
from pilothouse.api.kinds.core.podspec.volumes import pull_policy
from pilothouse.api.objects import Obj

_RESTART_POLICIES: Final = ("Always", "Never", "OnFailure")
_RULES_MAX: Final = 20
_EXIT_CODES_MAX: Final = 255
_ALWAYS_ONLY: Final = "may not be set for init containers without restartPolicy=Always"
_NOT_EPHEMERAL: Final = "cannot be set for an Ephemeral Container"
_NEVER_EPHEMERAL: Final = (  # in the order of upstream's struct
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe",
    "startupProbe", "lifecycle",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Around:
    """What the rules of a container have to know of its pod."""

    spec: Obj
    volumes: dict[str, Obj]
    claims: set[str]
    lenient: Leniency

    @property
    def grace(self) -> int | None:
        return self.spec.get("terminationGracePeriodSeconds")


def all_containers(around: Around, path: str) -> ErrorList:
    found = _regular(around, f"{path}.containers")
    found += _init(around, f"{path}.initContainers")
    return found + _ephemeral(around, f"{path}.ephemeralContainers")


def _regular(around: Around, path: str) -> ErrorList:
    found: ErrorList = []
    values = around.spec.get("containers") or []
    if not values:
        return [field.required(path)]
    seen: set[str] = set()
    for i, container in enumerate(values):
        at, name = f"{path}[{i}]", container.get("name") or ""
        found += _common(container, around, at)
        if name in seen:
            found.append(field.duplicate(f"{at}.name", name))
        seen.add(name)
        found += _running(container, around, at)
        found += _restart_policy(container, at, around.lenient)
    return found + _host_ports(values, path)


def _running(container: Obj, around: Around, path: str) -> ErrorList:
    """Hooks and probes."""
    found = handlers.lifecycle(container.get("lifecycle"), around.grace, around.spec.get("os"), f"{path}.lifecycle")
    return found + handlers.probes(container, around.grace, path)


def _init(around: Around, path: str) -> ErrorList:
    found: ErrorList = []
    seen = {c.get("name") or "" for c in around.spec.get("containers") or ()}
    for i, container in enumerate(around.spec.get("initContainers") or ()):
        at, name = f"{path}[{i}]", container.get("name") or ""
        found += _common(container, around, at)
        if container.get("restartPolicy") is not None:
            found += _init_policy(container, at, around.lenient)
        elif container.get("restartPolicyRules"):
            detail = "must specify restartPolicy when restart rules are used"
            found.append(field.required(f"{at}.restartPolicy", detail))
        if name in seen:
            found.append(field.duplicate(f"{at}.name", name))
        elif name:
            seen.add(name)
        found += _host_ports([container], path)
        if containers.is_restartable(container):
            found += _running(container, around, at)
            continue
        names_ = ("lifecycle", *containers.PROBES)
        found += [field.forbidden(f"{at}.{n}", _ALWAYS_ONLY) for n in names_ if container.get(n) is not None]
        if not around.lenient.restarting_init_containers:
            found += _no_restart_on_resize(container, at)
    return found


def _no_restart_on_resize(container: Obj, path: str) -> ErrorList:
    detail = "must not be set to 'RestartContainer' for non-sidecar initContainers"
    return [
        field.invalid(f"{path}.resizePolicy[{i}].restartPolicy", "RestartContainer", detail)
        for i, policy in enumerate(container.get("resizePolicy") or ())
        if policy.get("restartPolicy") == "RestartContainer"
    ]


def _ephemeral(around: Around, path: str) -> ErrorList:
    found: ErrorList = []
    others = {c.get("name") or "" for c in containers.every(around.spec, "containers", "initContainers")}
    seen = set(others)
    for i, container in enumerate(around.spec.get("ephemeralContainers") or ()):
        at, name, target = f"{path}[{i}]", container.get("name") or "", container.get("targetContainerName") or ""
        found += _common(container, around, at)
        found += image_padding(container, at)
        if name in seen:
            found.append(field.duplicate(f"{at}.name", name))
        seen.add(name)
        if target and target not in others:
            found.append(field.not_found(f"{at}.targetContainerName", target))
        found += [field.forbidden(f"{at}.{n}", _NOT_EPHEMERAL) for n in _NEVER_EPHEMERAL if _is_set(container, n)]
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            wrong = [n for n in ("subPath", "subPathExpr") if mount.get(n)]
            found += [field.forbidden(f"{at}.volumeMounts[{j}].{n}", _NOT_EPHEMERAL) for n in wrong]
    return found


def _is_set(container: Obj, name: str) -> bool:
    """Not Go's zero: an empty list that was sent is something, and so is what a pointer leads to."""
    value = container.get(name)
    if name == "resources":  # no pointer
        return any(v is not None for v in (value or {}).values())
    return value is not None and (isinstance(value, (dict, list)) or bool(value))


def image_padding(container: Obj, path: str) -> ErrorList:
    """In a pod; templates may hold anything."""
    image = container.get("image") or ""
    if image == image.strip():
        return []
    return [field.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")]


def _common(container: Obj, around: Around, path: str) -> ErrorList:
    name, policy, lenient = container.get("name") or "", container.get("terminationMessagePolicy"), around.lenient
    found = forms.label(name, f"{path}.name") if name else [field.required(f"{path}.name")]
    found += forms.all_required(container, path, "image")
    at = f"{path}.terminationMessagePolicy"
    found += forms.supported(policy, at, "File", "FallbackToLogsOnError") if policy else [field.required(at)]
    found += _ports(container.get("ports"), f"{path}.ports")
    found += env.variables(container.get("env"), f"{path}.env", lenient)
    found += env.sources(container.get("envFrom"), f"{path}.envFrom")
    found += mounts.mounts(container, around.volumes, f"{path}.volumeMounts")
    found += mounts.devices(container, around.volumes, f"{path}.volumeDevices")
    found += pull_policy(container.get("imagePullPolicy"), f"{path}.imagePullPolicy")
    found += resources.requirements(container.get("resources"), f"{path}.resources", lenient, around.claims)
    found += _resize_policy(
        container.get("resizePolicy"), around.spec.get("restartPolicy") or "", f"{path}.resizePolicy"
    )
    host_users = around.spec.get("hostUsers") is not False
    return found + security.container(
        container.get("securityContext"), f"{path}.securityContext", host_users=host_users, lenient=lenient
    )


def _ports(values: list[Obj] | None, path: str) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, port in enumerate(values or ()):
        at, name, protocol = f"{path}[{i}]", port.get("name") or "", port.get("protocol")
        details = names.port_name(name) if name else []
        found += forms.details(details, name, f"{at}.name")
        if name and not details:
            if name in seen:
                found.append(field.duplicate(f"{at}.name", name))
            seen.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if number:
            found += forms.details(names.port_number(number), number, f"{at}.containerPort")
        else:
            found.append(field.required(f"{at}.containerPort"))
        if host:
            found += forms.details(names.port_number(host), host, f"{at}.hostPort")
        here = f"{at}.protocol"
        found += forms.supported(protocol, here, "SCTP", "TCP", "UDP") if protocol else [field.required(here)]
    return found


def _host_ports(values: list[Obj], path: str) -> ErrorList:
    """No port of the node is taken twice; an init container is asked alone, and its path is that of the first."""
    found: ErrorList = []
    seen: set[str] = set()
    for i, container in enumerate(values):
        for j, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol') or ''}/{port.get('hostIP') or ''}/{port['hostPort']}"
            if key in seen:
                found.append(field.duplicate(f"{path}[{i}].ports[{j}].hostPort", key))
            seen.add(key)
    return found


def _resize_policy(values: list[Obj] | None, restart_policy: str, path: str) -> ErrorList:
    found: ErrorList = []
    seen: set[str] = set()
    for i, policy in enumerate(values or ()):
        name, action = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if name in seen:
            found.append(field.duplicate(f"{path}[{i}]", name))
        seen.add(name)
        found += forms.supported(name, path, "cpu", "memory") if name else [field.required(path)]
        found += forms.supported(action, path, "NotRequired", "RestartContainer") if action else [field.required(path)]
        if restart_policy == "Never" and action != "NotRequired":
            detail = "must be 'NotRequired' when pod `restartPolicy` is 'Never'"
            found.append(field.invalid(path, action, detail))
    return found


def _init_policy(container: Obj, path: str, lenient: Leniency) -> ErrorList:
    if lenient.restarting_all or not containers.is_restartable(container):
        return _restart_policy(container, path, lenient)
    if not container.get("restartPolicyRules"):
        return []
    detail = "restartPolicyRules are not allowed for init containers with restart policy Always"
    return [field.forbidden(f"{path}.restartPolicyRules", detail)]


def _restart_policy(container: Obj, path: str, lenient: Leniency) -> ErrorList:
    """A container's own policy and the rules that refine it (KEP-5307, KEP-5532)."""
    found: ErrorList = []
    policy, rules, at = (
        container.get("restartPolicy"),
        container.get("restartPolicyRules") or [],
        f"{path}.restartPolicy",
    )
    if policy is None:
        if not rules:
            return []
        found.append(field.required(at, "must specify restartPolicy when restart rules are used"))
    found += forms.supported(policy, at, *_RESTART_POLICIES)
    if len(rules) > _RULES_MAX:
        found.append(field.too_many(f"{path}.restartPolicyRules", len(rules), _RULES_MAX))
    actions = ("Restart", "RestartAllContainers") if lenient.restarting_all else ("Restart",)
    for i, rule in enumerate(rules):
        here = f"{path}.restartPolicyRules[{i}]"
        found += forms.supported(rule.get("action") or "", f"{here}.action", *actions)
        codes = rule.get("exitCodes")
        if codes is None:
            found.append(field.required(f"{here}.exitCodes", "must be specified"))
            continue
        found += forms.supported(codes.get("operator") or "", f"{here}.exitCodes.operator", "In", "NotIn")
        count = len(codes.get("values") or ())
        if count > _EXIT_CODES_MAX:
            found.append(field.too_many(f"{here}.exitCodes.values", count, _EXIT_CODES_MAX))
    return found
