"""The built-in kinds: one file a kind, found through one table and imported when a request first names the kind.

A new kind is one new file with a `KIND` and one line in `MODULES`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pilothouse.api.kinds.kind import Kind

# (group, kind) → module below this package. The kinds that are absent have no particular behaviour.
MODULES: dict[tuple[str, str], str] = {
    ("certificates.k8s.io", "PodCertificateRequest"): "certificates.pod_certificate_request",
    ("coordination.k8s.io", "LeaseCandidate"): "coordination.lease_candidate",
    ("lifecycle.k8s.io", "Eviction"): "lifecycle.eviction",
    ("lifecycle.k8s.io", "EvictionRequest"): "lifecycle.eviction_request",
    ("scheduling.k8s.io", "PodGroup"): "scheduling.pod_group",
    ("scheduling.k8s.io", "Workload"): "scheduling.workload",
    ("internal.apiserver.k8s.io", "StorageVersion"): "apiserverinternal.storage_version",
    ("", "ComponentStatus"): "core.component_status",
    ("", "ConfigMap"): "core.config_map",
    ("", "Endpoints"): "core.endpoints",
    ("", "Namespace"): "core.namespace",
    ("", "Node"): "core.node",
    ("", "Secret"): "core.secret",
    ("", "Service"): "core.service",
    ("", "ServiceAccount"): "core.service_account",
    ("", "Event"): "core.event",
    ("", "LimitRange"): "core.limit_range",
    ("", "PersistentVolume"): "core.persistent_volume",
    ("", "PersistentVolumeClaim"): "core.persistent_volume_claim",
    ("", "Pod"): "core.pod",
    ("", "PodTemplate"): "core.pod_template",
    ("", "ReplicationController"): "core.replication_controller",
    ("", "ResourceQuota"): "core.resource_quota",
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"): "admissionregistration.mutating_admission_policy",
    (
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
    ): "admissionregistration.mutating_admission_policy_binding",
    (
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
    ): "admissionregistration.mutating_webhook_configuration",
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): "admissionregistration.validating_admission_policy",
    (
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
    ): "admissionregistration.validating_admission_policy_binding",
    (
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
    ): "admissionregistration.validating_webhook_configuration",
    ("apiregistration.k8s.io", "APIService"): "apiregistration.api_service",
    ("apps", "ControllerRevision"): "apps.controller_revision",
    ("apps", "DaemonSet"): "apps.daemon_set",
    ("apps", "Deployment"): "apps.deployment",
    ("apps", "ReplicaSet"): "apps.replica_set",
    ("apps", "StatefulSet"): "apps.stateful_set",
    ("apiextensions.k8s.io", "CustomResourceDefinition"): "apiextensions.custom_resource_definition",
    ("autoscaling", "HorizontalPodAutoscaler"): "autoscaling.horizontal_pod_autoscaler",
    ("batch", "CronJob"): "batch.cron_job",
    ("batch", "Job"): "batch.job",
    ("certificates.k8s.io", "CertificateSigningRequest"): "certificates.certificate_signing_request",
    ("certificates.k8s.io", "ClusterTrustBundle"): "certificates.cluster_trust_bundle",
    ("coordination.k8s.io", "Lease"): "coordination.lease",
    ("discovery.k8s.io", "EndpointSlice"): "discovery.endpoint_slice",
    ("events.k8s.io", "Event"): "events.event",
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): "flowcontrol.flow_schema",
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): "flowcontrol.priority_level_configuration",
    ("networking.k8s.io", "IPAddress"): "networking.ip_address",
    ("networking.k8s.io", "Ingress"): "networking.ingress",
    ("networking.k8s.io", "IngressClass"): "networking.ingress_class",
    ("networking.k8s.io", "NetworkPolicy"): "networking.network_policy",
    ("networking.k8s.io", "ServiceCIDR"): "networking.service_cidr",
    ("node.k8s.io", "RuntimeClass"): "node.runtime_class",
    ("policy", "PodDisruptionBudget"): "policy.pod_disruption_budget",
    ("rbac.authorization.k8s.io", "ClusterRole"): "rbac.cluster_role",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "rbac.cluster_role_binding",
    ("rbac.authorization.k8s.io", "Role"): "rbac.role",
    ("rbac.authorization.k8s.io", "RoleBinding"): "rbac.role_binding",
    ("resource.k8s.io", "DeviceClass"): "resource.device_class",
    ("resource.k8s.io", "DeviceTaintRule"): "resource.device_taint_rule",
    ("resource.k8s.io", "ResourceClaim"): "resource.resource_claim",
    ("resource.k8s.io", "ResourceClaimTemplate"): "resource.resource_claim_template",
    ("resource.k8s.io", "ResourceSlice"): "resource.resource_slice",
    ("scheduling.k8s.io", "PriorityClass"): "scheduling.priority_class",
    ("storage.k8s.io", "CSIDriver"): "storage.csi_driver",
    ("storage.k8s.io", "CSINode"): "storage.csi_node",
    ("storage.k8s.io", "CSIStorageCapacity"): "storage.csi_storage_capacity",
    ("storage.k8s.io", "StorageClass"): "storage.storage_class",
    ("storage.k8s.io", "VolumeAttachment"): "storage.volume_attachment",
    ("storage.k8s.io", "VolumeAttributesClass"): "storage.volume_attributes_class",
    ("storagemigration.k8s.io", "StorageVersionMigration"): "storagemigration.storage_version_migration",
}


@cache
def kind_of(group: str, kind: str) -> Kind:
    """The behaviour of a built-in kind; the plain one where it has none of its own."""
    module = MODULES.get((group, kind))
    if module is None:
        return Kind()
    found = import_module(f"pilothouse.api.kinds.{module}").KIND
    assert isinstance(found, Kind)
    return found
