"""Upstream's names of the controllers, and where ours are: `module:Class`, imported when one is started.

A new controller is one new file and one line here.
"""

CONTROLLERS: dict[str, str] = {
    "serviceaccount-token-controller": "pilothouse.controllers.tokens:ServiceAccountTokenController",
    "endpoints-controller": "pilothouse.controllers.endpoints:EndpointsController",
    "endpointslice-controller": "pilothouse.controllers.endpoints:EndpointSliceController",
    "endpointslice-mirroring-controller": "pilothouse.controllers.endpoints:EndpointSliceMirroringController",
    "replicationcontroller-controller": "pilothouse.controllers.replicaset:ReplicationControllerController",
    "pod-garbage-collector-controller": "pilothouse.controllers.podgc:PodGarbageCollector",
    "namespace-controller": "pilothouse.controllers.namespace:NamespaceController",
    "serviceaccount-controller": "pilothouse.controllers.serviceaccount:ServiceAccountController",
    "resourcequota-controller": "pilothouse.controllers.resourcequota:ResourceQuotaController",
    "garbage-collector-controller": "pilothouse.controllers.garbagecollector:GarbageCollector",
    "daemonset-controller": "pilothouse.controllers.daemonset:DaemonSetController",
    "job-controller": "pilothouse.controllers.job:JobController",
    "deployment-controller": "pilothouse.controllers.deployment:DeploymentController",
    "replicaset-controller": "pilothouse.controllers.replicaset:ReplicaSetController",
    "horizontal-pod-autoscaler-controller": "pilothouse.controllers.autoscaling:HorizontalPodAutoscalerController",
    "disruption-controller": "pilothouse.controllers.disruption:DisruptionController",
    "statefulset-controller": "pilothouse.controllers.statefulset:StatefulSetController",
    "cronjob-controller": "pilothouse.controllers.cronjob:CronJobController",
    "certificatesigningrequest-signing-controller": "pilothouse.controllers.certificates:CSRSigningController",
    "certificatesigningrequest-approving-controller": "pilothouse.controllers.certificates:CSRApprovingController",
    "certificatesigningrequest-cleaner-controller": "pilothouse.controllers.certificates:CSRCleaner",
    "bootstrap-signer-controller": "pilothouse.controllers.bootstraptokens:BootstrapSigner",
    "token-cleaner-controller": "pilothouse.controllers.bootstraptokens:TokenCleaner",
    "ttl-controller": "pilothouse.controllers.ttl:TTLController",
    "node-ipam-controller": "pilothouse.controllers.nodeipam:NodeIpamController",
    "clusterrole-aggregation-controller": "pilothouse.controllers.clusterroleaggregation:ClusterRoleAggregationController",
    "node-lifecycle-controller": "pilothouse.controllers.nodelifecycle:NodeLifecycleController",
    "taint-eviction-controller": "pilothouse.controllers.nodelifecycle:TaintEvictionController",
    "persistentvolume-binder-controller": "pilothouse.controllers.volumes:VolumeBinder",
    "persistentvolume-attach-detach-controller": "pilothouse.controllers.volumes:AttachDetachController",
    "persistentvolume-expander-controller": "pilothouse.controllers.volumes:VolumeExpander",
    "persistentvolumeclaim-protection-controller": "pilothouse.controllers.protection:ClaimProtectionController",
    "persistentvolume-protection-controller": "pilothouse.controllers.protection:VolumeProtectionController",
    "ephemeral-volume-controller": "pilothouse.controllers.ephemeralvolume:EphemeralVolumeController",
    "legacy-serviceaccount-token-cleaner-controller": "pilothouse.controllers.tokens:LegacyTokenCleaner",
    "ttl-after-finished-controller": "pilothouse.controllers.ttlafterfinished:TTLAfterFinishedController",
    "root-ca-certificate-publisher-controller": "pilothouse.controllers.rootca:RootCACertificatePublisher",
    "service-cidr-controller": "pilothouse.controllers.servicecidrs:ServiceCIDRController",
}

OFF_BY_DEFAULT = frozenset({"bootstrap-signer-controller", "token-cleaner-controller", "selinux-warning-controller"})
