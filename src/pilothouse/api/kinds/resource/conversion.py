"""resource.k8s.io/v1beta1, whose device requests and devices have another form than those of v1 and v1beta2.

Source: upstream's pkg/apis/resource/v1beta1/conversion.go.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pilothouse.api.objects import Obj

_VERSION: Final = "resource.k8s.io/v1beta1"
_STORED: Final = "resource.k8s.io/v1"
_OF_REQUEST: Final = ("name", "firstAvailable")  # the other fields are those of an exact request
_OF_DEVICE: Final = ("name",)  # the others are those of a basic device

_Convert = Callable[[Obj], Obj]


def is_v1beta1(obj: Obj) -> bool:
    return obj.get("apiVersion") == _VERSION


def claim_from(obj: Obj) -> Obj:
    return _with(obj, _STORED, ("spec", "devices", "requests"), _request_from)


def claim_to(obj: Obj) -> Obj:
    return _with(obj, _VERSION, ("spec", "devices", "requests"), _request_to)


def template_from(obj: Obj) -> Obj:
    return _with(obj, _STORED, ("spec", "spec", "devices", "requests"), _request_from)


def template_to(obj: Obj) -> Obj:
    return _with(obj, _VERSION, ("spec", "spec", "devices", "requests"), _request_to)


def slice_from(obj: Obj) -> Obj:
    new = _with(obj, _STORED, ("spec", "devices"), _device_from)
    spec = new.get("spec")
    return {**new, "spec": {k: v for k, v in spec.items() if v or k not in ("nodeName", "allNodes")}} if spec else new


def slice_to(obj: Obj) -> Obj:
    return _with(obj, _VERSION, ("spec", "devices"), _device_to)


def _with(obj: Obj, api_version: str, path: tuple[str, ...], convert: _Convert) -> Obj:
    return {**_replaced(obj, path, convert), "apiVersion": api_version}


def _replaced(value: Any, path: tuple[str, ...], convert: _Convert) -> Any:
    """A copy along the path with each item of the list at its end converted."""
    if not path:
        return [convert(item) for item in value]
    below = value.get(path[0])
    return value if below is None else {**value, path[0]: _replaced(below, path[1:], convert)}


def _request_from(request: Obj) -> Obj:
    new: Obj = {name: request[name] for name in _OF_REQUEST if name in request}
    exact = {name: value for name, value in request.items() if name not in _OF_REQUEST}
    unset = all(value is None or (value in ("", 0) and name != "adminAccess") for name, value in exact.items())
    return new if unset else {**new, "exactly": exact}


def _request_to(request: Obj) -> Obj:
    exact = {"deviceClassName": "", **(request.get("exactly") or {})}
    new = {"name": request.get("name", ""), **exact}
    return {**new, "firstAvailable": request["firstAvailable"]} if "firstAvailable" in request else new


def _device_from(device: Obj) -> Obj:
    return {name: device[name] for name in _OF_DEVICE if name in device} | (device.get("basic") or {})


def _device_to(device: Obj) -> Obj:
    new: Obj = {name: device[name] for name in _OF_DEVICE if name in device}
    return {**new, "basic": {name: value for name, value in device.items() if name not in _OF_DEVICE}}
