"""Bad values that are whole structs, as upstream's messages show them.

Upstream validates objects of internal Go types, which have no JSON names: an error's value shows every field by its Go name,
those left out too. What belongs to metav1 keeps its JSON form.
"""

from __future__ import annotations

from typing import Any, Final

from pilothouse.api.types import Field, Shape, Type, type_named

# Go names that are not the JSON name with a capital: by JSON name, or by type and JSON name.
_GO_NAMES: Final = {
    "apiGroup": "APIGroup",
    "apiGroups": "APIGroups",
    "apiVersion": "APIVersion",
    "apiVersions": "APIVersions",
    "awsElasticBlockStore": "AWSElasticBlockStore",
    "caBundle": "CABundle",
    "cel": "CEL",
    "cephfs": "CephFS",
    "cidr": "CIDR",
    "cidrs": "CIDRs",
    "csi": "CSI",
    "dnsConfig": "DNSConfig",
    "dnsPolicy": "DNSPolicy",
    "fc": "FC",
    "fsGroup": "FSGroup",
    "fsGroupChangePolicy": "FSGroupChangePolicy",
    "fsGroupPolicy": "FSGroupPolicy",
    "fsType": "FSType",
    "gcePersistentDisk": "GCEPersistentDisk",
    "gid": "GID",
    "gmsaCredentialSpec": "GMSACredentialSpec",
    "gmsaCredentialSpecName": "GMSACredentialSpecName",
    "grpc": "GRPC",
    "http": "HTTP",
    "httpGet": "HTTPGet",
    "httpHeaders": "HTTPHeaders",
    "ip": "IP",
    "ipBlock": "IPBlock",
    "ipFamilies": "IPFamilies",
    "ipFamilyPolicy": "IPFamilyPolicy",
    "ipMode": "IPMode",
    "ips": "IPs",
    "iqn": "IQN",
    "iscsi": "ISCSI",
    "iscsiInterface": "ISCSIInterface",
    "jsonPatch": "JSONPatch",
    "jsonPath": "JSONPath",
    "nfs": "NFS",
    "openAPIV3Schema": "OpenAPIV3Schema",
    "os": "OS",
    "pdName": "PDName",
    "pkixPublicKey": "PKIXPublicKey",
    "rbd": "RBD",
    "reportingComponent": "ReportingController",
    "seLinuxChangePolicy": "SELinuxChangePolicy",
    "seLinuxMount": "SELinuxMount",
    "seLinuxOptions": "SELinuxOptions",
    "serviceAccount": "DeprecatedServiceAccount",
    "sslEnabled": "SSLEnabled",
    "storageos": "StorageOS",
    "tcpSocket": "TCPSocket",
    "tls": "TLS",
    "ttlSecondsAfterFinished": "TTLSecondsAfterFinished",
    "tty": "TTY",
    "uid": "UID",
    "url": "URL",
    "wwids": "WWIDs",
}
_GO_NAMES_OF: Final = {
    "core/v1.GlusterfsPersistentVolumeSource": {"endpoints": "EndpointsName"},
    "core/v1.GlusterfsVolumeSource": {"endpoints": "EndpointsName"},
    "core/v1.AzureDiskVolumeSource": {"diskURI": "DataDiskURI", "kind": "Kind"},
    "core/v1.RBDPersistentVolumeSource": {
        "monitors": "CephMonitors", "image": "RBDImage", "pool": "RBDPool", "user": "RadosUser",
    },
    "core/v1.RBDVolumeSource": {
        "monitors": "CephMonitors", "image": "RBDImage", "pool": "RBDPool", "user": "RadosUser",
    },
    "core/v1.ISCSIPersistentVolumeSource": {
        "chapAuthDiscovery": "DiscoveryCHAPAuth", "chapAuthSession": "SessionCHAPAuth",
    },
    "core/v1.ISCSIVolumeSource": {"chapAuthDiscovery": "DiscoveryCHAPAuth", "chapAuthSession": "SessionCHAPAuth"},
    "resource/v1.DeviceAttribute": {
        "bool": "BoolValue", "bools": "BoolValues", "int": "IntValue", "ints": "IntValues", "string": "StringValue",
        "strings": "StringValues", "version": "VersionValue", "versions": "VersionValues",
    },
}  # fmt: skip
_ZEROS: Final = {"string": "", "bool": False, "int32": 0, "int64": 0, "float64": 0, "quantity": "0", "intOrString": 0}
_METADATA: Final = "meta/v1.ObjectMeta"


def internal(type_name: str, value: Any) -> Any:
    """`value` of the type named (`rbac/v1.RoleRef`) as json.Marshal writes upstream's internal struct."""
    return _value(type_named(f"#{type_name}"), value)


def internals(type_name: str, values: list[Any] | None) -> Any:
    """A list of the type named."""
    return None if values is None else [internal(type_name, v) for v in values]


def _value(type_: Type, value: Any) -> Any:
    if type_.shape is Shape.STRUCT:
        if type_.name.startswith("meta/v1."):
            return _as_json(type_, value or {})
        return _struct(type_, value or {})
    if value is None:
        return None
    if type_.shape is Shape.LIST and isinstance(value, list):
        assert type_.element is not None
        return [_value(type_.element, v) for v in value]
    if type_.shape is Shape.MAP and isinstance(value, dict):
        assert type_.element is not None
        return {k: _value(type_.element, value[k]) for k in sorted(value)}
    return value


def _as_json(type_: Type, value: Any) -> Any:
    """What belongs to metav1: JSON names, without what is empty."""
    out: dict[str, Any] = {}
    for name, field in type_.fields.items():
        inner = value.get(name)
        if field.omitempty or field.omitzero:
            if inner is None or inner in ("", 0, [], {}):
                continue
        elif inner is None:
            inner = _ZEROS.get(field.type.name)
        out[name] = _json_value(field.type, inner)
    return out


def _json_value(type_: Type, value: Any) -> Any:
    if type_.shape is Shape.STRUCT and isinstance(value, dict):
        return _as_json(type_, value)
    if type_.shape is Shape.LIST and isinstance(value, list):
        assert type_.element is not None
        return [_json_value(type_.element, v) for v in value]
    return dict(sorted(value.items())) if type_.shape is Shape.MAP and value else value


def _struct(type_: Type, value: Any) -> Any:
    out: dict[str, Any] = {}
    for field in type_.wire:
        if field.inline:
            if field.type.name != "meta/v1.TypeMeta":
                out |= _struct(field.type, value)  # Go's encoder lifts the fields of an embedded struct
            continue
        if field.name == "metadata" and field.type.name == _METADATA:
            out |= _as_json(field.type, value.get("metadata") or {})
            continue
        out[_go_name(type_, field)] = _field(field, value.get(field.name))
    return out


def _go_name(type_: Type, field: Field) -> str:
    own = _GO_NAMES_OF.get(type_.name, {}).get(field.name)
    return own or _GO_NAMES.get(field.name) or field.name[:1].upper() + field.name[1:]


def _field(field: Field, value: Any) -> Any:
    if value is None:
        if field.pointer:
            return None
        if field.type.shape is Shape.STRUCT:
            return _value(field.type, {})
        return _ZEROS.get(field.type.name)
    return _value(field.type, value)
