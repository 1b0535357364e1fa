"""Secret.

Source: upstream's registry/core/secret/strategy.go, SetDefaults_Secret and ValidateSecret*.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import orjson

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core.config_map import SIZE_MAX, decoded_size, frozen, key_errors
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj, meta
from pilothouse.api.printing import age

SERVICE_ACCOUNT_TOKEN: Final = "kubernetes.io/service-account-token"
SERVICE_ACCOUNT_NAME: Final = "kubernetes.io/service-account.name"
_NEEDED: Final = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
    "kubernetes.io/ssh-auth": "ssh-privatekey",
}


def _default(obj: Obj) -> None:
    if not obj.get("type"):
        obj["type"] = "Opaque"
    texts = obj.pop("stringData", None)
    if texts:
        data = dict(obj.get("data") or {})
        data.update((k, base64.b64encode(v.encode("utf-8", "surrogatepass")).decode()) for k, v in texts.items())
        obj["data"] = dict(sorted(data.items()))


def _prepare_update(new: Obj, old: Obj) -> None:
    if not new.get("type"):
        new["type"] = old.get("type", "")


def _validate(obj: Obj) -> ErrorList:
    data: dict[str, str] = obj.get("data") or {}
    found: ErrorList = []
    size = 0
    for key, value in data.items():
        found += [field.invalid(f"data[{key}]", key, why) for why in key_errors(key)]
        size += decoded_size(value)
    if size > SIZE_MAX:
        found.append(field.too_long("data", SIZE_MAX))
    kind = obj.get("type")
    annotations = meta(obj).get("annotations") or {}
    if kind == SERVICE_ACCOUNT_TOKEN and not annotations.get(SERVICE_ACCOUNT_NAME):
        found.append(field.required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]"))
    elif kind in ("kubernetes.io/dockercfg", "kubernetes.io/dockerconfigjson"):
        found += _docker(data, _NEEDED[kind])
    elif kind == "kubernetes.io/basic-auth" and "username" not in data and "password" not in data:
        found += [field.required("data[username]"), field.required("data[password]")]
    elif kind == "kubernetes.io/ssh-auth" and not data.get("ssh-privatekey"):
        found.append(field.required("data[ssh-privatekey]"))
    elif kind == "kubernetes.io/tls":
        found += [field.required(f"data[{key}]") for key in ("tls.crt", "tls.key") if key not in data]
    return found


def _docker(data: dict[str, str], key: str) -> ErrorList:
    if key not in data:
        return [field.required(f"data[{key}]")]
    try:
        orjson.loads(base64.b64decode(data[key]))
    except ValueError:
        return [field.invalid(f"data[{key}]", "<secret contents redacted>", "invalid JSON")]
    return []


def _validate_update(new: Obj, old: Obj) -> ErrorList:
    found: ErrorList = []
    if new.get("type") != old.get("type"):
        found.append(field.invalid("type", new.get("type") or "", "field is immutable"))
    return found + frozen(new, old, ("data",)) + _validate(new)


def _row(obj: Obj, now_s: float) -> list[Any]:
    return [meta(obj).get("name", ""), obj.get("type") or "", len(obj.get("data") or {}), age(obj, now_s)]


KIND = Kind(
    names_are_checked_again=True,
    default=_default,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    row=_row,
    fields=lambda obj: {"type": obj.get("type") or ""},
    field_names=frozenset({"type"}),
    reset_fields=frozenset(),
)
