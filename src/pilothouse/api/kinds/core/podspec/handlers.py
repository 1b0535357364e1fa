"""Probes and lifecycle hooks. Source: the API reference and upstream's pkg/apis/core/validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pilothouse.api import field, names
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.core.podspec import forms
from pilothouse.api.objects import Obj

_Rule = Callable[[Obj, "int | None", str], ErrorList]
_NUMBERS: Final = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
_WINDOWS_SIGNALS: Final = ("SIGKILL", "SIGTERM")
_LINUX_SIGNALS: Final = sorted(
    [
        "SIGABRT", "SIGALRM", "SIGBUS", "SIGCHLD", "SIGCLD", "SIGCONT", "SIGFPE", "SIGHUP", "SIGILL", "SIGINT", "SIGIO",
        "SIGIOT", "SIGKILL", "SIGPIPE", "SIGPOLL", "SIGPROF", "SIGPWR", "SIGQUIT", "SIGSEGV", "SIGSTKFLT", "SIGSTOP",
        "SIGSYS", "SIGTERM", "SIGTRAP", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGUSR1", "SIGUSR2", "SIGVTALRM",
        "SIGWINCH", "SIGXCPU", "SIGXFSZ", "SIGRTMIN", "SIGRTMAX", *(f"SIGRTMIN+{i}" for i in range(1, 16)),
        *(f"SIGRTMAX-{i}" for i in range(1, 15)),
    ]
)  # fmt: skip


def port(value: Any, path: str) -> ErrorList:
    """A number or a name."""
    if isinstance(value, str):
        return forms.details(names.port_name(value), value, path)
    number = value or 0
    return forms.details(names.port_number(number), number, path)


def _exec(action: Obj, _grace: int | None, path: str) -> ErrorList:
    return forms.all_required(action, path, "command")


def _http(action: Obj, _grace: int | None, path: str) -> ErrorList:
    found = forms.all_required(action, path, "path") + port(action.get("port"), f"{path}.port")
    scheme, protocol, host = action.get("scheme") or "", action.get("protocol"), action.get("host") or ""
    found += forms.supported(scheme, f"{path}.scheme", "HTTP", "HTTPS")
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        found += forms.details(forms.header_name(name), name, f"{path}.httpHeaders")
    wrong = forms.supported(protocol, f"{path}.protocol", "HTTP1", "HTTP2")
    if not wrong and protocol == "HTTP2":
        if scheme != "HTTP":
            wrong = [field.invalid(f"{path}.protocol", protocol, "is only supported with HTTP (H2C)")]
        elif host:
            wrong = [field.invalid(f"{path}.host", host, 'must be empty when `protocol` is "HTTP2"')]
    return found + wrong


def _tcp(action: Obj, _grace: int | None, path: str) -> ErrorList:
    return port(action.get("port"), f"{path}.port")


def _grpc(action: Obj, _grace: int | None, path: str) -> ErrorList:
    found = port(action.get("port"), f"{path}.port")
    return found + forms.supported(action.get("mode"), f"{path}.mode", "Plaintext", "TLS")


def _sleep(action: Obj, grace: int | None, path: str) -> ErrorList:
    seconds = action.get("seconds") or 0
    if grace is None or 0 <= seconds <= grace:
        return []
    return [field.invalid(path, seconds, f"must be non-negative and less than terminationGracePeriodSeconds ({grace})")]


_PROBE_ACTIONS: Final[dict[str, _Rule]] = {"exec": _exec, "httpGet": _http, "tcpSocket": _tcp, "grpc": _grpc}
_HOOK_ACTIONS: Final[dict[str, _Rule]] = {"exec": _exec, "httpGet": _http, "tcpSocket": _tcp, "sleep": _sleep}


def _handler(handler: Obj, actions: dict[str, _Rule], grace: int | None, path: str) -> ErrorList:
    found: ErrorList = []
    given = [name for name in actions if handler.get(name) is not None]
    if not given:
        return [field.required(path, "must specify a handler type")]
    found += actions[given[0]](handler[given[0]], grace, f"{path}.{given[0]}")
    return found + [field.forbidden(f"{path}.{n}", "may not specify more than 1 handler type") for n in given[1:]]


def probes(container: Obj, grace: int | None, path: str) -> ErrorList:
    found: ErrorList = []
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is not None:
            found += _probe(probe, grace, f"{path}.{name}", is_readiness=name == "readinessProbe")
    return found


def _probe(probe: Obj, grace: int | None, path: str, *, is_readiness: bool) -> ErrorList:
    found = _handler(probe, _PROBE_ACTIONS, grace, path)
    for name in _NUMBERS:
        found += forms.non_negative(probe.get(name), f"{path}.{name}")
    own, at = probe.get("terminationGracePeriodSeconds"), f"{path}.terminationGracePeriodSeconds"
    if own is not None and own <= 0:
        found.append(field.invalid(at, own, "must be greater than 0"))
    if is_readiness:
        if own is not None:
            found.append(field.invalid(at, own, "must not be set for readinessProbes"))
    elif (probe.get("successThreshold") or 0) != 1:
        found.append(field.invalid(f"{path}.successThreshold", probe.get("successThreshold") or 0, "must be 1"))
    return found


def lifecycle(value: Obj | None, grace: int | None, os: Obj | None, path: str) -> ErrorList:
    found: ErrorList = []
    value = value or {}
    for name in ("postStart", "preStop"):
        if value.get(name) is not None:
            found += _handler(value[name], _HOOK_ACTIONS, grace, f"{path}.{name}")
    signal, at = value.get("stopSignal"), f"{path}.stopSignal"
    if signal is None:
        return found
    if os is None:
        return [*found, field.forbidden(at, "may not be set for containers with empty `spec.os.name`")]
    signals = {"windows": _WINDOWS_SIGNALS, "linux": _LINUX_SIGNALS}.get(os.get("name") or "")
    return found if signals is None else found + forms.supported(signal, at, *signals)
