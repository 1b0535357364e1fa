"""The objects of a new cluster, ready to be stored."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, NamedTuple

import orjson

from pilothouse.api.objects import Obj
from pilothouse.apiserver.config import Config
from pilothouse.clock import Clock
from pilothouse.clock.timestamps import format_time

_METADATA = ("name", "namespace", "uid", "generation", "creationTimestamp", "labels", "annotations", "managedFields")
_OWNER = "kube-apiserver"


class Desired(NamedTuple):
    group: str
    resource: str
    prefix: str  # of the store's keys
    obj: Obj

    @property
    def key(self) -> bytes:
        meta = self.obj["metadata"]
        namespace = meta.get("namespace")
        return f"{self.prefix}{namespace + '/' if namespace else ''}{meta['name']}".encode()


def fixed() -> Iterator[Desired]:
    """The objects that every cluster of this version has."""
    for table in orjson.loads(files(__package__).joinpath("objects.json").read_bytes()):
        for obj in table["objects"]:
            yield Desired(table["group"], table["resource"], table["prefix"], obj)


def configured(config: Config, now_s: float) -> Iterator[Desired]:
    """The objects that follow from the configuration."""
    if config.service_cluster_ip_ranges:
        yield _service_cidr(config)
        yield _kubernetes_service(config)
        yield _kubernetes_address(config)
    yield _kubernetes_endpoints(config)
    yield _kubernetes_slice(config)
    authentication = _authentication(config)
    if authentication is not None:
        yield authentication
    yield _config_map("kube-apiserver-legacy-service-account-token-tracking", {"since": format_time(now_s)[:10]})


def stamp(obj: Obj, clock: Clock) -> Obj:
    """The object with the identity and the times of its creation, fields in upstream's order."""
    now = clock.timestamp()
    given = {**obj["metadata"], "uid": clock.uuid(), "creationTimestamp": now}
    given["managedFields"] = [_timed(entry, now) for entry in given.get("managedFields", ())]
    out = {**obj, "metadata": {name: given[name] for name in _METADATA if name in given}}
    conditions = (obj.get("status") or {}).get("conditions")
    if conditions:
        stamped = [_condition(c, now) for c in conditions]
        out["status"] = {**obj["status"], "conditions": stamped}
    return out


def _timed(entry: Obj, now: str) -> Obj:
    out: Obj = {}
    for name, value in entry.items():
        if name == "fieldsType":
            out["time"] = now
        out[name] = value
    return out


def _condition(condition: Obj, now: str) -> Obj:
    return {"type": condition["type"], "status": condition["status"], "lastTransitionTime": now, **condition}


def _managed(
    api_version: str, fields: Obj, manager: str = _OWNER, operation: str = "Update", subresource: str = ""
) -> Obj:
    entry: Obj = {
        "manager": manager, "operation": operation, "apiVersion": api_version, "fieldsType": "FieldsV1", "fieldsV1": fields,
    }  # fmt: skip
    if subresource:
        entry["subresource"] = subresource
    return entry


def _owned(names: Any) -> Obj:
    """FieldsV1 of a map that is owned as a whole, key by key."""
    return {".": {}, **{f"f:{name}": {} for name in sorted(names)}}


def first_address(cidr: str) -> str:
    """The address of the kubernetes service: the first of the range after its base."""
    network = ipaddress.ip_network(cidr, strict=False)
    return str(network.network_address + 1)


def ip_family(address_or_cidr: str) -> str:
    return "IPv6" if ":" in address_or_cidr else "IPv4"


def _service_cidr(config: Config) -> Desired:
    ready: Obj = {"f:lastTransitionTime": {}, "f:message": {}, "f:status": {}, "f:type": {}}
    status = {"f:status": {"f:conditions": {'k:{"type":"Ready"}': {".": {}, **ready}}}}
    version = "networking.k8s.io/v1"
    obj: Obj = {
        "kind": "ServiceCIDR", "apiVersion": version,
        "metadata": {"name": "kubernetes", "managedFields": [
            _managed(version, status, "kubernetes-service-cidr-controller", "Apply", "status"),
            _managed(version, {"f:spec": {"f:cidrs": {}}}),
        ]},
        "spec": {"cidrs": list(config.service_cluster_ip_ranges)},
        "status": {"conditions": [
            {"type": "Ready", "status": "True", "reason": "", "message": "Kubernetes default Service CIDR is ready"},
        ]},
    }  # fmt: skip
    return Desired("networking.k8s.io", "servicecidrs", "/registry/servicecidrs/", obj)


def _kubernetes_service(config: Config) -> Desired:
    cidr = config.service_cluster_ip_ranges[0]
    address, port = first_address(cidr), config.kubernetes_service_port
    labels = {"component": "apiserver", "provider": "kubernetes"}
    item = f'k:{{"port":{port},"protocol":"TCP"}}'
    fields = {
        "f:metadata": {"f:labels": _owned(labels)},
        "f:spec": {
            "f:clusterIP": {}, "f:internalTrafficPolicy": {}, "f:ipFamilyPolicy": {},
            "f:ports": {".": {}, item: _owned(("name", "port", "protocol", "targetPort"))},
            "f:sessionAffinity": {}, "f:type": {},
        },
    }  # fmt: skip
    obj: Obj = {
        "kind": "Service", "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": labels, "managedFields": [_managed("v1", fields)],
        },
        "spec": {
            "ports": [{"name": "https", "protocol": "TCP", "port": port, "targetPort": config.advertise_port}],
            "clusterIP": address, "clusterIPs": [address], "type": "ClusterIP", "sessionAffinity": "None",
            "ipFamilies": [ip_family(cidr)], "ipFamilyPolicy": "SingleStack", "internalTrafficPolicy": "Cluster",
        },
        "status": {"loadBalancer": {}},
    }  # fmt: skip
    return Desired("", "services", "/registry/services/specs/", obj)


def _kubernetes_address(config: Config) -> Desired:
    cidr = config.service_cluster_ip_ranges[0]
    labels = {
        "ipaddress.kubernetes.io/ip-family": ip_family(cidr), "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
    }  # fmt: skip
    fields = {
        "f:metadata": {"f:labels": _owned(labels)},
        "f:spec": {"f:parentRef": _owned(("name", "namespace", "resource"))},
    }
    version = "networking.k8s.io/v1"
    obj: Obj = {
        "kind": "IPAddress", "apiVersion": version,
        "metadata": {
            "name": first_address(cidr), "labels": labels, "managedFields": [_managed(version, fields)],
        },
        "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "kubernetes"}},
    }  # fmt: skip
    return Desired("networking.k8s.io", "ipaddresses", "/registry/ipaddresses/", obj)


def _kubernetes_endpoints(config: Config) -> Desired:
    label = "endpointslice.kubernetes.io/skip-mirror"
    fields = {"f:metadata": {"f:labels": _owned((label,))}, "f:subsets": {}}
    obj: Obj = {
        "kind": "Endpoints", "apiVersion": "v1",
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {label: "true"},
            "managedFields": [_managed("v1", fields)],
        },
        "subsets": [{
            "addresses": [{"ip": config.advertise_address}],
            "ports": [{"name": "https", "port": config.advertise_port, "protocol": "TCP"}],
        }],
    }  # fmt: skip
    return Desired("", "endpoints", "/registry/services/endpoints/", obj)


def _kubernetes_slice(config: Config) -> Desired:
    label, version = "kubernetes.io/service-name", "discovery.k8s.io/v1"
    fields = {"f:addressType": {}, "f:endpoints": {}, "f:metadata": {"f:labels": _owned((label,))}, "f:ports": {}}
    obj: Obj = {
        "kind": "EndpointSlice", "apiVersion": version,
        "metadata": {
            "name": "kubernetes", "namespace": "default", "generation": 1, "labels": {label: "kubernetes"},
            "managedFields": [_managed(version, fields)],
        },
        "addressType": ip_family(config.advertise_address),
        "endpoints": [{"addresses": [config.advertise_address], "conditions": {"ready": True}}],
        "ports": [{"name": "https", "protocol": "TCP", "port": config.advertise_port}],
    }  # fmt: skip
    return Desired("discovery.k8s.io", "endpointslices", "/registry/endpointslices/", obj)


def _authentication(config: Config) -> Desired | None:
    """Where extension API servers read whom to trust (kube-system/extension-apiserver-authentication)."""
    data: dict[str, str] = {}
    if config.client_ca:
        data["client-ca-file"] = config.client_ca.decode("utf-8", "replace")
    if config.requestheader_client_ca:
        data["requestheader-client-ca-file"] = config.requestheader_client_ca.decode("utf-8", "replace")
        lists = {
            "requestheader-allowed-names": config.requestheader_allowed_names,
            "requestheader-extra-headers-prefix": _canonical(config.requestheader_extra_headers_prefixes),
            "requestheader-group-headers": _canonical(config.requestheader_group_headers),
            "requestheader-username-headers": _canonical(config.requestheader_username_headers),
        }
        data.update((name, orjson.dumps(list(values)).decode()) for name, values in lists.items())
    if not data:
        return None
    return _config_map("extension-apiserver-authentication", dict(sorted(data.items())))


def _canonical(headers: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("-".join(part.capitalize() for part in header.split("-")) for header in headers)


def _config_map(name: str, data: dict[str, str]) -> Desired:
    obj: Obj = {
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {
            "name": name, "namespace": "kube-system", "managedFields": [_managed("v1", {"f:data": _owned(data)})],
        },
        "data": data,
    }  # fmt: skip
    return Desired("", "configmaps", "/registry/configmaps/", obj)
