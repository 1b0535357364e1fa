"""PodSecurity: a namespace's labels say which Pod Security Standard is enforced on its pods, and which is only warned of.

Source: upstream's documentation "Pod Security Admission". Levels of the audit mode have no effect without an audit log.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from pilothouse.api import errors
from pilothouse.api.field import ErrorList, FieldError, invalid
from pilothouse.api.objects import Obj, controller_of, get
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, PODS, Plugin, forbidden
from pilothouse.apiserver.admission.podsecuritystandards import Violation, detail, violations
from pilothouse.apiserver.contracts import AdmissionRequest

_PREFIX = "pod-security.kubernetes.io/"
_LEVELS: Final = ("privileged", "baseline", "restricted")
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]*)")
_LATEST: Final = 1 << 30
_NAMESPACES = ("", "namespaces")
# Where the pod's template stands in the objects that make pods.
_TEMPLATES: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("", "podtemplates"): ("template",),
    ("", "replicationcontrollers"): ("spec", "template"),
    ("apps", "deployments"): ("spec", "template"),
    ("apps", "replicasets"): ("spec", "template"),
    ("apps", "statefulsets"): ("spec", "template"),
    ("apps", "daemonsets"): ("spec", "template"),
    ("batch", "jobs"): ("spec", "template"),
    ("batch", "cronjobs"): ("spec", "jobTemplate", "spec", "template"),
}
_CHECKED_MOST = 3000  # pods that a namespace's new level is checked against


class Standard(NamedTuple):
    level: str
    minor: int

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.minor == _LATEST else f'v1.{self.minor}'}"

    def judge(self, meta: Obj, spec: Obj) -> list[Violation]:
        return violations(self.level, self.minor, meta, spec)


class Policy(NamedTuple):
    enforce: Standard
    warn: Standard
    errors: ErrorList


_PRIVILEGED = Standard("privileged", _LATEST)
_NO_POLICY = Policy(_PRIVILEGED, _PRIVILEGED, [])


def policy_of(namespace: Obj | None) -> Policy:
    labels = get(namespace, "metadata", "labels", default={})
    own = {key.removeprefix(_PREFIX): value for key, value in labels.items() if key.startswith(_PREFIX)}
    if not own:
        return _NO_POLICY
    found: ErrorList = []
    modes: dict[str, Standard] = {}
    good_enforce = False
    for mode in ("enforce", "audit", "warn"):
        level, minor = "privileged", _LATEST
        if mode in own:
            level = own[mode]
            if level not in _LEVELS:
                found.append(_error(mode, level, "must be one of privileged, baseline, restricted"))
                level = "restricted" if mode == "enforce" else "privileged"
            elif mode == "enforce":
                good_enforce = True
        version = own.get(f"{mode}-version", "latest")
        match = _VERSION.fullmatch(version)
        if match:
            minor = min(int(match[1]), _LATEST - 1) if len(match[1]) < 10 else _LATEST - 1
        elif version != "latest":
            found.append(_error(f"{mode}-version", version, 'must be "latest" or "v1.x"'))
        modes[mode] = Standard(level, minor)
    warn = modes["warn"]
    if "warn" not in own and good_enforce and _LEVELS.index(modes["enforce"].level) > _LEVELS.index(warn.level):
        warn = Standard(modes["enforce"].level, warn.minor if "warn-version" in own else modes["enforce"].minor)
    return Policy(modes["enforce"], warn, found)


def _error(label: str, value: str, detail: str) -> FieldError:
    return invalid(f"metadata.labels[{_PREFIX}{label}]", value, detail)


class PodSecurity(Plugin):
    name = "PodSecurity"
    resources = frozenset({PODS, _NAMESPACES, *_TEMPLATES})
    subresources = frozenset({"", "ephemeralcontainers", "resize"})
    operations = CREATE_UPDATE

    async def validate(self, request: AdmissionRequest) -> None:
        if request.obj is None:
            return
        resource = (request.gvr.group, request.gvr.resource)
        if resource == _NAMESPACES:
            self._namespace(request)
        elif resource == PODS:
            await self._pod(request, request.obj)
        elif not request.subresource:
            await self._template(request, get(request.obj, *_TEMPLATES[resource]))

    async def _policy(self, request: AdmissionRequest) -> Policy | None:
        namespace = self.objects.get(*_NAMESPACES, "", request.namespace)
        if namespace is None:
            namespace = await self.objects.get_live(*_NAMESPACES, "", request.namespace)
        return None if namespace is None else policy_of(namespace)

    async def _pod(self, request: AdmissionRequest, pod: Obj) -> None:
        policy = await self._policy(request)
        if policy is None:
            raise errors.internal(f'failed to lookup namespace "{request.namespace}"')
        if policy == _NO_POLICY or (request.operation == "UPDATE" and not _changes_images(pod, request.old or {})):
            return
        meta, spec = pod["metadata"], pod["spec"]
        found = policy.enforce.judge(meta, spec)
        if found:
            raise forbidden(request, f'violates PodSecurity "{policy.enforce}": {detail(found)}')
        self._warn(request, policy, meta, spec)

    async def _template(self, request: AdmissionRequest, template: Obj | None) -> None:
        policy = await self._policy(request) if template else None
        if policy is not None and template is not None and policy.warn.level != "privileged":
            self._warn(request, policy, template.get("metadata") or {}, template.get("spec") or {})

    def _warn(self, request: AdmissionRequest, policy: Policy, meta: Obj, spec: Obj) -> None:
        found = policy.warn.judge(meta, spec)
        if found:
            request.warnings.append(f'would violate PodSecurity "{policy.warn}": {detail(found)}')

    def _namespace(self, request: AdmissionRequest) -> None:
        if request.subresource:
            return
        new = policy_of(request.obj)
        if request.operation == "CREATE":
            if new.errors:
                raise errors.invalid("", "Namespace", request.name, new.errors)
            return
        old = policy_of(request.old)
        if new.errors and new.errors != old.errors:
            raise errors.invalid("", "Namespace", request.name, new.errors)
        before, after = old.enforce, new.enforce
        if after == before or after.level == "privileged":
            return
        if after.minor == before.minor and _LEVELS.index(after.level) <= _LEVELS.index(before.level):
            return
        request.warnings += self._existing(request.name, after)

    def _existing(self, namespace: str, standard: Standard) -> list[str]:
        """What of the pods that are there already violates the level: one of each controller first."""
        first: list[Obj] = []
        rest: list[Obj] = []
        seen: set[str] = set()
        for pod in self.objects.list(*PODS, namespace):
            owner = controller_of(pod)
            (rest if owner is not None and owner.get("uid") in seen else first).append(pod)
            if owner is not None:
                seen.add(owner.get("uid", ""))
        pods = first + rest
        by_reason: dict[str, list[str]] = {}
        for pod in pods[:_CHECKED_MOST]:
            found = standard.judge(pod["metadata"], pod["spec"])
            if found:
                by_reason.setdefault(", ".join(v.reason for v in found), []).append(pod["metadata"]["name"])
        warnings = []
        if len(pods) > _CHECKED_MOST:
            count = f"the first {_CHECKED_MOST} of {len(pods)} existing pods"
            warnings.append(f"new PodSecurity enforce level only checked against {count}")
        if by_reason:
            which = f'violate the new PodSecurity enforce level "{standard}"'
            warnings.append(f'existing pods in namespace "{namespace}" {which}')
        return warnings + sorted(f"{_who(names)}: {reason}" for reason, names in by_reason.items())


def _who(names: list[str]) -> str:
    others = len(names) - 1
    if not others:
        return names[0]
    return f"{min(names)} (and {others} other pod{'s' if others > 1 else ''})"


def _changes_images(new: Obj, old: Obj) -> bool:
    """Upstream judges an update of a pod only where it brings other images or containers."""

    def images(pod: Obj, field: str) -> list[tuple[str, str]]:
        return [(c.get("name", ""), c.get("image", "")) for c in get(pod, "spec", field, default=[])]

    for field in ("containers", "initContainers"):
        if [i for _, i in images(new, field)] != [i for _, i in images(old, field)]:
            return True
    return not set(images(new, "ephemeralContainers")) <= set(images(old, "ephemeralContainers"))
