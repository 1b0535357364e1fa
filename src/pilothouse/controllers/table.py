"""Upstream's names of the controllers, and where ours are: `module:Class`, imported when one is started.

A new controller is one new file and one line here.
"""

CONTROLLERS: dict[str, str] = {
    "replicationcontroller-controller": "pilothouse.controllers.replicaset:ReplicationControllerController",
    "pod-garbage-collector-controller": "pilothouse.controllers.podgc:PodGarbageCollector",
    "garbage-collector-controller": "pilothouse.controllers.garbagecollector:GarbageCollector",
    "daemonset-controller": "pilothouse.controllers.daemonset:DaemonSetController",
    "job-controller": "pilothouse.controllers.job:JobController",
    "deployment-controller": "pilothouse.controllers.deployment:DeploymentController",
    "replicaset-controller": "pilothouse.controllers.replicaset:ReplicaSetController",
    "statefulset-controller": "pilothouse.controllers.statefulset:StatefulSetController",
    "cronjob-controller": "pilothouse.controllers.cronjob:CronJobController",
    "ttl-after-finished-controller": "pilothouse.controllers.ttlafterfinished:TTLAfterFinishedController",
}

OFF_BY_DEFAULT = frozenset({"bootstrap-signer-controller", "token-cleaner-controller", "selinux-warning-controller"})
