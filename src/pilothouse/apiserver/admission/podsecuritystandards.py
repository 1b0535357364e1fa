"""The Pod Security Standards: what baseline and restricted forbid, in each minor version of Kubernetes.

Source: upstream's documentation "Pod Security Standards", and k8s.io/pod-security-admission/policy for the texts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from pilothouse.api.field import quote
from pilothouse.api.objects import Obj, get

NEWEST: Final = 37  # the minor version of the newest change to a check


class Violation(NamedTuple):
    reason: str
    detail: str


# (metadata, spec, minor version)
Check: TypeAlias = Callable[[Obj, Obj, int], Violation | None]


def violations(level: str, minor: int, meta: Obj, spec: Obj) -> list[Violation]:
    """What of the pod the level forbids, in upstream's order."""
    if level == "privileged":
        return []
    minor = min(minor, NEWEST)
    checks: Iterable[Check] = BASELINE.values()
    if level == "restricted":
        overridden = {name for name, since in _OVERRIDDEN.items() if minor >= since}
        checks = [check for name, check in BASELINE.items() if name not in overridden] + list(RESTRICTED)
    return [found for check in checks if (found := check(meta, spec, minor)) is not None]


def detail(found: Sequence[Violation]) -> str:
    return ", ".join(f"{v.reason} ({v.detail})" if v.detail else v.reason for v in found)


def _containers(spec: Obj) -> Iterator[Obj]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _names(containers: Iterable[str]) -> str:
    """`container "a"`, `containers "a", "b"`."""
    listed = list(containers)
    return f"{_plural(listed, 'container')} {_quoted(listed)}"


def _plural(items: Sequence[Any], word: str) -> str:
    return word if len(items) == 1 else word + "s"


def _quoted(items: Iterable[str]) -> str:
    """Plain quotes, as upstream puts them: nothing inside is escaped."""
    return ", ".join(f'"{item}"' for item in items)


def _context(holder: Obj, *path: str) -> Any:
    return get(holder, "securityContext", *path)


def _windows(spec: Obj) -> bool:
    return bool(get(spec, "os", "name") == "windows")


def _own_users(spec: Obj) -> bool:
    return spec.get("hostUsers") is False


def _setters(spec: Obj, bad: Callable[[Obj], bool]) -> str:
    """`pod and containers "a", "b"`: whose security context is bad; empty where none is."""
    found = ["pod"] if bad(spec) else []
    containers = [c.get("name", "") for c in _containers(spec) if bad(c)]
    if containers:
        found.append(_names(containers))
    return " and ".join(found)


# Baseline


def _app_armor(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    values: set[str] = set()

    def bad(holder: Obj) -> bool:
        profile = _context(holder, "appArmorProfile")
        if profile is None or profile.get("type") in ("RuntimeDefault", "Localhost"):
            return False
        values.add(str(profile.get("type", "")))
        return True

    setters = _setters(spec, bad)
    annotations = []
    for key, value in (meta.get("annotations") or {}).items():
        allowed = not value or value == "runtime/default" or value.startswith("localhost/")
        if key.startswith("container.apparmor.security.beta.kubernetes.io/") and not allowed:
            annotations.append(f"{key}={quote(value)}")
    listed = sorted(values) + sorted(annotations)
    who = [setters] if setters else []
    if annotations:
        who.append(_plural(annotations, "annotation"))
    if not who:
        return None
    reason = _plural(listed, "forbidden AppArmor profile")
    return Violation(reason, f"{' and '.join(who)} must not set AppArmor profile type to {_quoted(listed)}")


_DEFAULT_CAPABILITIES = frozenset({
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
})  # fmt: skip


def _capabilities(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    bad, added = [], set()
    for container in _containers(spec):
        extra = set(_context(container, "capabilities", "add") or ()) - _DEFAULT_CAPABILITIES
        if extra:
            bad.append(container.get("name", ""))
            added |= extra
    if not bad:
        return None
    what = f"must not include {_quoted(sorted(added))} in securityContext.capabilities.add"
    return Violation("non-default capabilities", f"{_names(bad)} {what}")


def _host_namespaces(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def _host_paths(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    found = [v.get("name", "") for v in spec.get("volumes") or () if v.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{_plural(found, 'volume')} {_quoted(found)}") if found else None


def _host_ports(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    bad, ports = [], set()
    for container in _containers(spec):
        own = {str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")}
        if own:
            bad.append(container.get("name", ""))
            ports |= own
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    return Violation(
        "hostPort", f"{_names(bad)} {uses} {_plural(sorted(ports), 'hostPort')} {', '.join(sorted(ports))}"
    )


def _probe_hosts(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor < 34:
        return None
    bad, hosts = set(), set()
    for container in _containers(spec):
        handlers = [container.get(p) for p in ("livenessProbe", "readinessProbe", "startupProbe")]
        handlers += [get(container, "lifecycle", p) for p in ("postStart", "preStop")]
        own = {get(h, kind, "host") for h in handlers for kind in ("httpGet", "tcpSocket")} - {None, ""}
        if own:
            bad.add(container.get("name", ""))
            hosts |= own
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    what = f"{uses} {_plural(sorted(hosts), 'probe or lifecycle host')} {_quoted(sorted(hosts))}"
    return Violation("probe or lifecycle host", f"{_names(sorted(bad))} {what}")


def _privileged(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    bad = [c.get("name", "") for c in _containers(spec) if _context(c, "privileged")]
    return Violation("privileged", f"{_names(bad)} must not set securityContext.privileged=true") if bad else None


def _proc_mounts(spec: Obj) -> Violation | None:
    bad = [c for c in _containers(spec) if _context(c, "procMount") not in (None, "Default")]
    if not bad:
        return None
    types = _quoted(sorted({_context(c, "procMount") for c in bad}))
    return Violation(
        "procMount", f"{_names(c.get('name', '') for c in bad)} must not set securityContext.procMount to {types}"
    )


def _proc_mount(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    return None if minor >= 35 and _own_users(spec) else _proc_mounts(spec)


def _selinux(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    allowed = {"", "container_t", "container_init_t", "container_kvm_t"} | (
        {"container_engine_t"} if minor >= 31 else set()
    )
    types: set[str] = set()
    fields: set[str] = set()

    def bad(holder: Obj) -> bool:
        options = _context(holder, "seLinuxOptions")
        if options is None:
            return False
        wrong_type = (options.get("type") or "") not in allowed
        if wrong_type:
            types.add(options["type"])
        named = {field for field in ("user", "role") if options.get(field)}
        fields.update(named)
        return wrong_type or bool(named)

    setters = _setters(spec, bad)
    if not setters:
        return None
    data = [f"{_plural(sorted(types), 'type')} {_quoted(sorted(types))}"] if types else []
    data += [f"{field} may not be set" for field in ("user", "role") if field in fields]
    return Violation("seLinuxOptions", f"{setters} set forbidden securityContext.seLinuxOptions: {'; '.join(data)}")


def _bad_seccomp(holder: Obj, values: set[str]) -> bool:
    profile = _context(holder, "seccompProfile")
    if profile is None or profile.get("type") in ("Localhost", "RuntimeDefault"):
        return False
    values.add(str(profile.get("type", "")))
    return True


def _seccomp(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor < 19:
        return _seccomp_annotations(meta, spec)
    values: set[str] = set()
    setters = _setters(spec, lambda holder: _bad_seccomp(holder, values))
    if not setters:
        return None
    what = f"must not set securityContext.seccompProfile.type to {_quoted(sorted(values))}"
    return Violation("seccompProfile", f"{setters} {what}")


def _seccomp_annotations(meta: Obj, spec: Obj) -> Violation | None:
    annotations = meta.get("annotations") or {}
    prefix = "container.seccomp.security.alpha.kubernetes.io/"
    keys = ["seccomp.security.alpha.kubernetes.io/pod", *(prefix + c.get("name", "") for c in _containers(spec))]
    found = set()
    for key in keys:
        value = annotations.get(key)
        allowed = value in (None, "runtime/default", "docker/default") or str(value).startswith("localhost/")
        if not allowed:
            found.add(f"{key}={quote(str(value))}")
    if not found:
        return None
    return Violation("seccompProfile", f"forbidden {_plural(sorted(found), 'annotation')} {', '.join(sorted(found))}")


_SYSCTLS: Final[tuple[tuple[int, tuple[str, ...]], ...]] = (
    (0, (
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
    )),
    (27, ("net.ipv4.ip_local_reserved_ports",)),
    (29, (
        "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
    )),
    (32, ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")),
    (37, ("net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat")),
)  # fmt: skip


def _sysctls(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    allowed = {name for since, names in _SYSCTLS if minor >= since for name in names}
    found = [s.get("name", "") for s in _context(spec, "sysctls") or () if s.get("name") not in allowed]
    return Violation("forbidden sysctls", ", ".join(found)) if found else None


def _host_process(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    setters = _setters(spec, lambda holder: bool(_context(holder, "windowsOptions", "hostProcess")))
    what = "must not set securityContext.windowsOptions.hostProcess=true"
    return Violation("hostProcess", f"{setters} {what}") if setters else None


# Restricted


def _privilege_escalation(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor < 8 or (minor >= 25 and _windows(spec)):
        return None
    bad = [c.get("name", "") for c in _containers(spec) if _context(c, "allowPrivilegeEscalation") is not False]
    if not bad:
        return None
    what = "must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", f"{_names(bad)} {what}")


def _no_capabilities(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor < 22 or (minor >= 25 and _windows(spec)):
        return None
    keeping, adding, added = [], [], set()
    for container in _containers(spec):
        name = container.get("name", "")
        if "ALL" not in (_context(container, "capabilities", "drop") or ()):
            keeping.append(name)
        extra = set(_context(container, "capabilities", "add") or ()) - {"NET_BIND_SERVICE"}
        if extra:
            adding.append(name)
            added |= extra
    said = []
    if keeping:
        said.append(f'{_names(keeping)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        listed = _quoted(sorted(added))
        said.append(f"{_names(adding)} must not include {listed} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(said)) if said else None


def _proc_mount_restricted(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    return _proc_mounts(spec) if minor >= 35 else None


_VOLUMES = frozenset({
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
})  # fmt: skip
_RESTRICTED_VOLUMES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "gitRepo", "nfs", "iscsi", "glusterfs", "rbd", "flexVolume",
    "cinder", "cephfs", "flocker", "fc", "azureFile", "vsphereVolume", "quobyte", "azureDisk", "photonPersistentDisk",
    "portworxVolume", "scaleIO", "storageos",
)  # fmt: skip


def _volumes(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    bad, types = [], set()
    for volume in spec.get("volumes") or ():
        present = {name for name, value in volume.items() if value is not None}
        if present & _VOLUMES:
            continue
        bad.append(volume.get("name", ""))
        types.add(next((t for t in _RESTRICTED_VOLUMES if t in present), "unknown"))
    if not bad:
        return None
    uses = "uses" if len(bad) == 1 else "use"
    what = f"{_plural(sorted(types), 'restricted volume type')} {_quoted(sorted(types))}"
    return Violation("restricted volume types", f"{_plural(bad, 'volume')} {_quoted(bad)} {uses} {what}")


def _non_root(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor >= 35 and _own_users(spec):
        return None
    reason = "runAsNonRoot != true"
    setters = _setters(spec, lambda holder: _context(holder, "runAsNonRoot") is False)
    if setters:
        return Violation(reason, f"{setters} must not set securityContext.runAsNonRoot=false")
    if _context(spec, "runAsNonRoot"):
        return None
    silent = [c.get("name", "") for c in _containers(spec) if _context(c, "runAsNonRoot") is None]
    return Violation(reason, f"pod or {_names(silent)} must set securityContext.runAsNonRoot=true") if silent else None


def _root_user(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor < 23 or (minor >= 35 and _own_users(spec)):
        return None
    setters = _setters(spec, lambda holder: _context(holder, "runAsUser") == 0)
    return Violation("runAsUser=0", f"{setters} must not set runAsUser=0") if setters else None


def _seccomp_restricted(meta: Obj, spec: Obj, minor: int) -> Violation | None:
    if minor < 19 or (minor >= 25 and _windows(spec)):
        return None
    found = _seccomp(meta, spec, minor)
    if found is not None or _context(spec, "seccompProfile") is not None:
        return found
    silent = [c.get("name", "") for c in _containers(spec) if _context(c, "seccompProfile") is None]
    if not silent:
        return None
    what = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_names(silent)} {what}")


BASELINE: Final[dict[str, Check]] = {
    "appArmorProfile": _app_armor,
    "capabilities_baseline": _capabilities,
    "hostNamespaces": _host_namespaces,
    "hostPathVolumes": _host_paths,
    "hostPorts": _host_ports,
    "hostProbesAndHostLifecycle": _probe_hosts,
    "privileged": _privileged,
    "procMount": _proc_mount,
    "seLinuxOptions": _selinux,
    "seccompProfile_baseline": _seccomp,
    "sysctls": _sysctls,
    "windowsHostProcess": _host_process,
}
RESTRICTED: Final[tuple[Check, ...]] = (
    _privilege_escalation, _no_capabilities, _proc_mount_restricted, _volumes, _non_root, _root_user, _seccomp_restricted,
)  # fmt: skip
# Checks of baseline that a check of restricted takes the place of, and since which minor version.
_OVERRIDDEN: Final = {"capabilities_baseline": 22, "hostPathVolumes": 0, "procMount": 35, "seccompProfile_baseline": 19}
