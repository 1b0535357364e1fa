"""Admission: the plugins that change and judge writes, in upstream's order. A new one is a file and a line in PLUGINS.

Source: upstream's documentation "Admission Controllers in Kubernetes", and pkg/kubeapiserver/options/plugins.go for the order.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Final, TypeAlias

from pilothouse.apiserver import authorization
from pilothouse.apiserver.admission.plugin import Cluster, Plugin
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import AdmissionRequest, Objects
from pilothouse.apiserver.registry.resources import Registry
from pilothouse.clock import Clock

Step: TypeAlias = Callable[[AdmissionRequest], Awaitable[None]]

# (name, "module:Class", on by default), in the order in which they are asked.
PLUGINS: Final[tuple[tuple[str, str, bool], ...]] = (
    ("NamespaceLifecycle", "namespacelifecycle:NamespaceLifecycle", True),
    ("LimitRanger", "limitranger:LimitRanger", True),
    ("ServiceAccount", "serviceaccount:ServiceAccount", True),
    ("NodeRestriction", "noderestriction:NodeRestriction", False),
    ("TaintNodesByCondition", "nodetaint:TaintNodesByCondition", True),
    ("PodSecurity", "podsecurity:PodSecurity", True),
    ("Priority", "priority:Priority", True),
    ("DefaultTolerationSeconds", "defaulttolerationseconds:DefaultTolerationSeconds", True),
    ("DefaultStorageClass", "storage:DefaultStorageClass", True),
    ("StorageObjectInUseProtection", "storage:StorageObjectInUseProtection", True),
    ("OwnerReferencesPermissionEnforcement", "ownerreferences:OwnerReferencesPermissionEnforcement", False),
    ("PersistentVolumeClaimResize", "storage:PersistentVolumeClaimResize", True),
    ("RuntimeClass", "runtimeclass:RuntimeClass", True),
    ("CertificateApproval", "certificates:CertificateApproval", True),
    ("CertificateSigning", "certificates:CertificateSigning", True),
    ("ClusterTrustBundleAttest", "certificates:ClusterTrustBundleAttest", True),
    ("CertificateSubjectRestriction", "certificates:CertificateSubjectRestriction", True),
    ("DefaultIngressClass", "defaultingressclass:DefaultIngressClass", True),
    ("DenyServiceExternalIPs", "denyserviceexternalips:DenyServiceExternalIPs", False),
    ("PodTopologyLabels", "podtopologylabels:PodTopologyLabels", True),
    ("PodResizeValidator", "podresize:PodResizeValidator", True),
    ("MutatingAdmissionPolicy", "policies:MutatingAdmissionPolicy", True),
    ("MutatingAdmissionWebhook", "webhooks:MutatingAdmissionWebhook", True),
    ("ValidatingAdmissionPolicy", "policies:ValidatingAdmissionPolicy", True),
    ("ValidatingAdmissionWebhook", "webhooks:ValidatingAdmissionWebhook", True),
    ("ResourceQuota", "resourcequota:ResourceQuota", True),
)
# Not a plugin upstream but a layer of the storage below: it cannot be turned off.
ESCALATION: Final = "escalation:RBACEscalation"


_SPECIFIED: Final = frozenset({("", "pods"), ("", "persistentvolumeclaims")})


class Chain:
    """contracts.Admission. Which plugins are asked about a resource is worked out once."""

    def __init__(self, plugins: list[Plugin]) -> None:
        self.plugins = plugins
        self._steps: dict[tuple[str, str, str, str], tuple[list[Step], list[Step]]] = {}

    async def mutate(self, request: AdmissionRequest) -> None:
        obj = request.obj
        if (
            obj is not None
            and obj.get("spec") is None
            and not request.subresource
            and (request.gvr.group, request.gvr.resource) in _SPECIFIED
        ):
            obj["spec"] = {}  # upstream's structs always have one
        steps = self._of(request)[0]
        for step in steps:
            await step(request)
        if request.reinvoke:  # once, as upstream does
            request.reinvoked = True
            for step in steps:
                await step(request)

    async def validate(self, request: AdmissionRequest) -> None:
        for step in self._of(request)[1]:
            await step(request)

    def _of(self, request: AdmissionRequest) -> tuple[list[Step], list[Step]]:
        key = (request.gvr.group, request.gvr.resource, request.subresource, request.operation)
        found = self._steps.get(key)
        if found is None:
            if len(self._steps) > 4096:
                self._steps.clear()
            asked = [p for p in self.plugins if p.concerns(key[:2], request.subresource, request.operation)]
            found = self._steps[key] = (
                [p.mutate for p in asked if type(p).mutate is not Plugin.mutate],
                [p.validate for p in asked if type(p).validate is not Plugin.validate],
            )
        return found


def _load(place: str, cluster: Cluster) -> Plugin:
    module, _, name = place.partition(":")
    found = getattr(import_module(f"{__name__}.{module}"), name)(cluster)
    assert isinstance(found, Plugin)
    return found


def build(config: Config, objects: Objects, clock: Clock, registry: Registry | None = None) -> Chain:
    """`registry`: of the resources that policies and webhooks can name. Raises ValueError for a plugin that does not exist."""
    known = {name for name, _, _ in PLUGINS}
    for name in (*config.enable_admission_plugins, *config.disable_admission_plugins):
        if name not in known:
            raise ValueError(f"admission plugin {name!r} is unknown")
    cluster = Cluster(config, objects, clock, authorization.build(config, objects), registry or Registry())
    on = [
        place
        for name, place, default in PLUGINS
        if name in config.enable_admission_plugins or (default and name not in config.disable_admission_plugins)
    ]
    return Chain([_load(place, cluster) for place in [*on, ESCALATION]])
