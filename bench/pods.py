"""Pods as clusters have them: about 4 kB each in JSON, as stored, with status and managed fields."""

from __future__ import annotations

import uuid
from typing import Any

Obj = dict[str, Any]
_TIME = "2026-01-01T00:00:00Z"


def spec(image: str = "registry.example/web:1.27.3") -> Obj:
    def container(name: str) -> Obj:
        return {
            "name": name, "image": image, "args": ["--listen=:8080", "--log-level=info"],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "MODE", "value": "production"},
            ],
            "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "64Mi"}},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/web", "readOnly": True}],
            "livenessProbe": {
                "httpGet": {"path": "/healthz", "port": 8080, "scheme": "HTTP"}, "timeoutSeconds": 1, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": 3,
            },
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
        }  # fmt: skip

    return {
        "volumes": [{"name": "config", "configMap": {"name": "web", "defaultMode": 420}}],
        "containers": [container("web"), container("sidecar")],
        "restartPolicy": "Always", "terminationGracePeriodSeconds": 30, "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default", "serviceAccount": "default", "securityContext": {},
        "schedulerName": "default-scheduler", "automountServiceAccountToken": False, "enableServiceLinks": True,
        "tolerations": [
            {"key": f"node.kubernetes.io/{why}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
            for why in ("not-ready", "unreachable")
        ],
        "preemptionPolicy": "PreemptLowerPriority", "priority": 0,
    }  # fmt: skip


def stored(namespace: str, number: int) -> Obj:
    """A running pod as the store has it: one of ten is of tier web, one of a hundred on each node."""
    name = f"web-{number:06}"
    running = [
        {
            "name": c, "state": {"running": {"startedAt": _TIME}}, "lastState": {}, "ready": True, "restartCount": 0,
            "image": "registry.example/web:1.27.3", "imageID": "registry.example/web@sha256:" + f"{number:064x}",
            "containerID": f"containerd://{number:064x}", "started": True,
        }
        for c in ("sidecar", "web")
    ]  # fmt: skip
    types = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
    address = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    owned = {
        "f:metadata": {"f:labels": {".": {}, "f:app": {}, "f:tier": {}}, "f:ownerReferences": {".": {}}},
        "f:spec": {
            "f:containers": {
                f'k:{{"name":"{c}"}}': {
                    ".": {}, "f:args": {}, "f:env": {".": {}, 'k:{"name":"MODE"}': {".": {}, "f:name": {}, "f:value": {}}},
                    "f:image": {}, "f:imagePullPolicy": {}, "f:livenessProbe": {".": {}, "f:failureThreshold": {}},
                    "f:name": {}, "f:resources": {".": {}, "f:limits": {".": {}, "f:cpu": {}, "f:memory": {}}},
                }
                for c in ("sidecar", "web")
            },
            "f:dnsPolicy": {}, "f:enableServiceLinks": {}, "f:restartPolicy": {}, "f:schedulerName": {},
        },
    }  # fmt: skip
    return {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {
            "name": name, "generateName": "web-", "namespace": namespace, "uid": str(uuid.UUID(int=number + 1)),
            "creationTimestamp": _TIME,
            "labels": {"app": f"web-{number % 100}", "tier": "web" if number % 10 == 0 else "back", "pod-template-hash": "7d4b"},
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": f"web-{number % 100}", "uid": str(uuid.UUID(int=7)),
                 "controller": True, "blockOwnerDeletion": True}
            ],
            "managedFields": [
                {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1", "time": _TIME,
                 "fieldsType": "FieldsV1", "fieldsV1": owned}
            ],
        },
        "spec": {**spec(), "nodeName": f"node-{number % 100}"},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": t, "status": "True", "lastProbeTime": None, "lastTransitionTime": _TIME} for t in types
            ],
            "hostIP": "10.0.0.7", "hostIPs": [{"ip": "10.0.0.7"}], "podIP": address, "podIPs": [{"ip": address}],
            "startTime": _TIME, "containerStatuses": running, "qosClass": "Burstable",
        },
    }  # fmt: skip


def manifest(namespace: str, name: str) -> Obj:
    """What a client sends to create a pod: what it says of itself only."""
    return {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": "web", "tier": "web"}}, "spec": spec(),
    }  # fmt: skip
