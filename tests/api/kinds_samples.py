"""Objects with nearly every field, and every way to take one part of them away."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pilothouse.api.objects import Obj, copy


def pod_spec() -> Obj:
    probe = {
        "httpGet": {"path": "/", "port": "http", "httpHeaders": [{"name": "X-A", "value": "b"}]},
        "periodSeconds": 5,
    }
    container: Obj = {
        "name": "main",
        "image": "example.com/app:1",
        "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080, "hostIP": "127.0.0.1"}],
        "env": [
            {"name": "A", "value": "b"},
            {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}},
            {"name": "D", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
            {"name": "E", "valueFrom": {"fileKeyRef": {"volumeName": "empty", "path": "f", "key": "K"}}},
        ],
        "envFrom": [{"prefix": "P", "secretRef": {"name": "s"}}],
        "resources": {
            "requests": {"cpu": "1", "memory": "1Gi"},
            "limits": {"cpu": "2", "memory": "1Gi"},
            "claims": [{"name": "claim", "request": "r"}],
        },
        "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
        "restartPolicy": "OnFailure",
        "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
        "volumeMounts": [
            {"name": "files", "mountPath": "/a", "subPath": "s", "readOnly": True, "recursiveReadOnly": "Disabled"}
        ],
        "volumeDevices": [{"name": "disk", "devicePath": "/dev/x"}],
        "livenessProbe": copy(probe),
        "readinessProbe": {"grpc": {"port": 9}, "timeoutSeconds": 2},
        "startupProbe": {"exec": {"command": ["true"]}},
        "lifecycle": {
            "postStart": {"tcpSocket": {"port": 80}},
            "preStop": {"sleep": {"seconds": 3}},
            "stopSignal": "SIGTERM",
        },
        "securityContext": {
            "runAsUser": 5,
            "procMount": "Default",
            "allowPrivilegeEscalation": False,
            "capabilities": {"add": ["NET_ADMIN"]},
            "seccompProfile": {"type": "Localhost", "localhostProfile": "p"},
            "appArmorProfile": {"type": "RuntimeDefault"},
            "seLinuxOptions": {"level": "s0"},
        },
    }
    term = {
        "labelSelector": {
            "matchLabels": {"a": "b"},
            "matchExpressions": [{"key": "k", "operator": "In", "values": ["v"]}],
        },
        "topologyKey": "zone",
        "matchLabelKeys": ["app"],
        "namespaces": ["n"],
    }
    node_term = {
        "matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}],
        "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}],
    }
    key_path = {"key": "k", "path": "p", "mode": 256}
    return {
        "containers": [container, {"name": "side", "image": "b"}],
        "initContainers": [
            {"name": "init", "image": "c", "env": [{"name": "X"}]},
            {"name": "helper", "image": "d", "restartPolicy": "Always", "readinessProbe": copy(probe)},
        ],
        "volumes": [
            {"name": "empty", "emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}},
            {"name": "host", "hostPath": {"path": "/x", "type": "Directory"}},
            {"name": "disk", "persistentVolumeClaim": {"claimName": "c"}},
            {"name": "secret", "secret": {"secretName": "s", "items": [dict(key_path)]}},
            {"name": "down", "downwardAPI": {"items": [{"path": "l", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"name": "iscsi", "iscsi": {"targetPortal": "1.2.3.4", "iqn": "iqn.2001-04.com.example:a", "lun": 0}},
            {
                "name": "files",
                "projected": {
                    "sources": [
                        {"configMap": {"name": "c", "items": [{"key": "a", "path": "q"}]}},
                        {
                            "downwardAPI": {
                                "items": [
                                    {
                                        "path": "r",
                                        "resourceFieldRef": {"containerName": "main", "resource": "limits.cpu"},
                                    }
                                ]
                            }
                        },
                        {
                            "clusterTrustBundle": {
                                "signerName": "example.com/s",
                                "path": "t",
                                "labelSelector": {"matchLabels": {"a": "b"}},
                            }
                        },
                        {
                            "podCertificate": {
                                "signerName": "example.com/s",
                                "keyType": "ED25519",
                                "keyPath": "k",
                                "certificateChainPath": "h",
                            }
                        },
                        {"serviceAccountToken": {"path": "u", "expirationSeconds": 700}},
                    ]
                },
            },
            {
                "name": "eph",
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "metadata": {"labels": {"a": "b"}},
                        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
                    }
                },
            },
            {"name": "csi", "csi": {"driver": "d.example.com", "nodePublishSecretRef": {"name": "s"}}},
            {"name": "image", "image": {"reference": "r"}},
            {"name": "iops", "storageos": {"volumeName": "v", "secretRef": {"name": "s"}}},
        ],
        "serviceAccountName": "default",
        "restartPolicy": "Always",
        "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}]},
        "nodeSelector": {"disk": "ssd"},
        "os": {"name": "linux"},
        "hostname": "h",
        "subdomain": "s",
        "imagePullSecrets": [{"name": "r"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
        "securityContext": {
            "fsGroup": 1,
            "sysctls": [{"name": "net.core.somaxconn", "value": "1"}],
            "supplementalGroups": [3],
        },
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [copy(node_term)]},
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": copy(node_term)}],
            },
            "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [copy(term)]},
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": copy(term)}]
            },
        },
        "tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"a": "b"}},
                "matchLabelKeys": ["app"],
                "minDomains": 2,
            }
        ],
        "readinessGates": [{"conditionType": "example.com/a"}],
        "schedulingGates": [{"name": "example.com/gate"}],
        "resourceClaims": [{"name": "claim", "resourceClaimName": "c"}],
        "resources": {"requests": {"cpu": "4"}, "limits": {"memory": "8Gi"}},
        "overhead": {"cpu": "1m"},
        "activeDeadlineSeconds": 100,
        "priorityClassName": "p",
        "runtimeClassName": "r",
    }


def pod() -> Obj:
    ended = {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "a",
            "namespace": "default",
            "uid": "u",
            "labels": {"app": "x"},
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": "5"},
        },
        "spec": pod_spec(),
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 1}],
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "hostIP": "10.0.0.2",
            "hostIPs": [{"ip": "10.0.0.2"}],
            "initContainerStatuses": [{"name": "init", "restartCount": 1, "state": {"terminated": {"exitCode": 0}}}],
            "containerStatuses": [
                {
                    "name": "main",
                    "ready": True,
                    "restartCount": 2,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                    "lastState": {"terminated": ended},
                    "user": {"linux": {"uid": 1, "gid": 1, "supplementalGroups": [1]}},
                    "allocatedResourcesStatus": [
                        {"name": "cpu", "resources": [{"resourceID": "d", "health": "Healthy"}]}
                    ],
                },
                {"name": "side", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            ],
            "resourceClaimStatuses": [{"name": "claim", "resourceClaimName": "c"}],
            "extendedResourceClaimStatus": {
                "resourceClaimName": "c",
                "requestMappings": [{"containerName": "main", "resourceName": "cpu", "requestName": "r"}],
            },
        },
    }


def template() -> Obj:
    spec = {k: v for k, v in pod_spec().items() if k not in ("activeDeadlineSeconds", "schedulingGates")}
    return {"metadata": {"labels": {"app": "x"}, "annotations": {"a": "b"}}, "spec": spec}


def workload(group: str, kind: str, spec: Obj, status: Obj | None = None) -> Obj:
    selector: Any = {
        "matchLabels": {"app": "x"},
        "matchExpressions": [{"key": "app", "operator": "In", "values": ["x"]}],
    }
    return {
        "apiVersion": group,
        "kind": kind,
        "metadata": {"name": "w", "namespace": "default", "uid": "u", "labels": {"a": "b"}, "annotations": {"c": "d"}},
        "spec": {"selector": selector, "template": template(), **spec},
        "status": status or {"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "collisionCount": 1},
    }


def less(value: Any) -> Iterator[Any]:
    """Every value with one part less: dropped, null, or empty of its own type."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield {k: v for k, v in value.items() if k != key}
            yield {**value, key: None}
            if inner:
                yield {**value, key: _empty(inner)}
            for changed in less(inner):
                yield {**value, key: changed}
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield value[:i] + value[i + 1 :]
            for changed in (_empty(inner), *less(inner)):
                yield [*value[:i], changed, *value[i + 1 :]]


def _empty(value: Any) -> Any:
    """Empty of its own type; of what may be a quantity, which has no empty text, zero."""
    return "0" if isinstance(value, str) and re.fullmatch("[0-9]+[A-Za-z]*", value) else type(value)()
