"""One simulated machine as the cluster sees it: its Node object, its conditions and its Lease.

Source: the kubelet's node status and lease (KEP-589, "Efficient Node Heartbeats").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from pilothouse.api.objects import Obj

SIMULATED = "pilothouse.io/simulated"  # label: this process plays the kubelet of the node
POWER = "pilothouse.io/power"  # annotation: "off" stops the machine without a word, as pulling its plug does
LEASE_NAMESPACE = "kube-node-lease"
LEASE_DURATION_S = 40
VERSION = "v1.37.2"

CLUSTER_NETWORK = IPv4Network("10.128.0.0/9")  # 32,768 machines with a /24 each
FALLBACK_NETWORK = "10.255.255.0/24"  # for pods of a node that has no network of its own
_MACHINES = IPv4Network("10.64.0.0/16")


@dataclass(frozen=True, slots=True)
class MachineSpec:
    """What each machine has. Quantities as Kubernetes writes them."""

    cpu: str = "8"
    memory: str = "32Gi"
    ephemeral_storage: str = "200Gi"
    pods: str = "110"
    zones: int = 3
    labels: dict[str, str] = field(default_factory=dict)


def name_of(index: int) -> str:
    return f"node-{index}"


def index_of(name: str) -> int | None:
    """The number in a name that `name_of` made; None for other names."""
    prefix, _, number = name.rpartition("-")
    return int(number) if prefix == "node" and number.isdigit() and str(int(number)) == number else None


def machine_address(index: int) -> str:
    return str(IPv4Address(int(_MACHINES.network_address) + 2 + index % 65_000))


def pod_network(index: int) -> IPv4Network:
    """The /24 from which the machine's pods have their addresses."""
    return IPv4Network((int(CLUSTER_NETWORK.network_address) + index * 256, 24))


def node_object(index: int, spec: MachineSpec, now: str, kubelet_port: int) -> Obj:
    name = name_of(index)
    capacity = {
        "cpu": spec.cpu,
        "ephemeral-storage": spec.ephemeral_storage,
        "hugepages-1Gi": "0",
        "hugepages-2Mi": "0",
        "memory": spec.memory,
        "pods": spec.pods,
    }
    network = str(pod_network(index))
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "beta.kubernetes.io/arch": "amd64",
                "beta.kubernetes.io/os": "linux",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name,
                "kubernetes.io/os": "linux",
                "topology.kubernetes.io/region": "simulated",
                "topology.kubernetes.io/zone": f"simulated-{chr(ord('a') + index % spec.zones)}",
                SIMULATED: "true",
                **spec.labels,
            },
        },
        "spec": {"podCIDR": network, "podCIDRs": [network], "providerID": f"pilothouse://{name}"},
        "status": {
            "capacity": capacity,
            "allocatable": dict(capacity),
            "conditions": conditions(now),
            "addresses": [
                {"type": "InternalIP", "address": "127.0.0.1" if kubelet_port else machine_address(index)},
                {"type": "Hostname", "address": name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet_port}},
            "nodeInfo": {
                "machineID": f"{index:032x}",
                "systemUUID": f"{index:032x}",
                "bootID": f"{index:032x}",
                "kernelVersion": "6.12.0-simulated",
                "osImage": "pilothouse simulated machine",
                "containerRuntimeVersion": "pilothouse://0.1.0",
                "kubeletVersion": VERSION,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": "amd64",
            },
        },
    }


def conditions(now: str, since: str | None = None) -> list[Obj]:
    """The four conditions of a healthy kubelet, heartbeat `now`, unchanged since `since`."""

    def condition(kind: str, status: str, reason: str, message: str) -> Obj:
        return {
            "type": kind,
            "status": status,
            "lastHeartbeatTime": now,
            "lastTransitionTime": since or now,
            "reason": reason,
            "message": message,
        }

    return [
        condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    ]


def lease_object(node: Obj, now_micro: str) -> Obj:
    name = node["metadata"]["name"]
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": LEASE_NAMESPACE,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"]}],
        },
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_DURATION_S, "renewTime": now_micro},
    }


def is_simulated(node: Obj) -> bool:
    return bool((node["metadata"].get("labels") or {}).get(SIMULATED) == "true")


def is_on(node: Obj) -> bool:
    return bool((node["metadata"].get("annotations") or {}).get(POWER) != "off")
