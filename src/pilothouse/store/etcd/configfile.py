"""etcd's configuration file: YAML, whose settings have the names of flags and are as strictly of their types as Go's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from pilothouse.store.etcd.values import BadConfig

_GO_TYPES: Final = {
    "text": "string", "switch": "bool", "number": "int", "count": "uint", "count32": "uint32",
    "duration": "time.Duration", "list": "[]string", "urls": "string", "origins": "string",
}  # fmt: skip
_GO_TYPE_OF: Final = {
    "quota-backend-bytes": "int64", "snapshot-count": "uint64", "snapshot-catchup-entries": "uint64",
    "log-outputs": "[]string", "host-whitelist": "string",
}  # fmt: skip
_JSON_TYPES: Final = {str: "string", bool: "bool", list: "array", dict: "object"}
_NUMBERS: Final = ("int", "uint", "time.Duration")
_SECURITY: Final = {  # of clients; the same names have no meaning outside of it
    "cert-file": "cert-file", "key-file": "key-file", "client-cert-auth": "client-cert-auth", "auto-tls": "auto-tls",
    "trusted-ca-file": "trusted-ca-file", "allowed-hostname": "client-cert-allowed-hostname",
    "client-cert-file": "client-cert-file", "client-key-file": "client-key-file",
}  # fmt: skip
_OUTER: Final = "configYAML.Config"
_OUTER_TEXTS: Final = {"urls": "configYAML.configJSON", "origins": "configYAML.configJSON"}


def settings(path: str, kind: Callable[[str], str], is_known: Callable[[str], bool]) -> dict[str, Any]:
    """By the flag's name, durations as Go writes them. Raises BadConfig."""
    import yaml

    try:
        read = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise BadConfig(f"--config-file: cannot read {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadConfig(f"--config-file: {path} is not YAML: {error}") from None
    if read is None:
        return {}
    if not isinstance(read, dict):
        raise BadConfig(f"--config-file: {path} does not hold settings")
    found: dict[str, Any] = {}
    for name, value in read.items():
        flag = str(name).lower()
        if value is None:
            continue
        if flag in ("client-transport-security", "peer-transport-security"):
            if not isinstance(value, dict):
                raise _mismatch(value, f"configYAML.configJSON.{flag}", "embed.securityConfig")
            if flag.startswith("client"):
                found.update(_security(value, kind))
        elif flag in _SECURITY or not is_known(flag):
            found[f"{flag} in {path}"] = value
        else:
            of = kind(flag)
            found[flag] = _typed(value, f"{_OUTER_TEXTS.get(of, _OUTER)}.{flag}", _GO_TYPE_OF.get(flag, _GO_TYPES[of]))
    return found


def _security(section: dict[Any, Any], kind: Callable[[str], str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in section.items():
        flag = _SECURITY.get(str(name).lower())
        if flag is not None and value is not None:
            go_type = "[]string" if flag == "client-cert-allowed-hostname" else _GO_TYPES[kind(flag)]
            found[flag] = _typed(value, f"configYAML.configJSON.client-transport-security.{name}", go_type)
    return found


def _typed(value: Any, place: str, go_type: str) -> Any:
    """The value, where Go would take it for that type; a duration (nanoseconds) as text. Raises BadConfig."""
    if go_type.startswith(_NUMBERS):
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or (go_type[0] == "u" and value < 0):
            raise _mismatch(value, place, go_type)
        return f"{value}ns" if go_type == "time.Duration" else value
    wanted = {"string": str, "bool": bool, "[]string": list}[go_type]
    if not isinstance(value, wanted):
        raise _mismatch(value, place, go_type)
    return value


def _mismatch(value: Any, place: str, go_type: str) -> BadConfig:
    said = _JSON_TYPES.get(type(value), "number")
    if said == "number" and go_type.startswith(_NUMBERS):
        said = f"number {value}"
    return BadConfig(
        f"error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {said} into Go struct field {place} "
        f"of type {go_type}"
    )
