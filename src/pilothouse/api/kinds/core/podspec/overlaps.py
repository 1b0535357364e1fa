"""Files of one volume that hide each other: warnings about ConfigMap, Secret, DownwardAPI and projected volumes.

Source: upstream's pkg/api/pod/warnings.go.
"""

from __future__ import annotations

from collections.abc import Iterable

from pilothouse.api.field import quote
from pilothouse.api.objects import Obj

_File = tuple[str, str]  # path, where it comes from


def overlapping_paths(volumes: Iterable[Obj]) -> list[str]:
    out = []
    for volume in volumes:
        name = quote(volume.get("name") or "")
        for field, title, key in (("configMap", "ConfigMap", "name"), ("secret", "Secret", "secretName")):
            source = volume.get(field)
            if source is not None:
                shown = f"{title} {quote(source.get(key) or '')}"
                out += [f"volume {name} ({shown}): overlapping paths: {o}" for o in _overlaps(_items(source, ""))]
        source = volume.get("downwardAPI")
        if source is not None:
            out += [f"volume {name} (DownwardAPI): overlapping paths: {o}" for o in _overlaps(_items(source, ""))]
        if volume.get("projected") is not None:
            out += _projected(volume["projected"], name)
    return out


def _items(source: Obj, origin: str) -> list[_File]:
    return [(item.get("path") or "", origin) for item in source.get("items") or ()]


def _overlaps(files: list[_File]) -> list[str]:
    out = []
    seen: list[_File] = []
    for path, origin in files:
        file = (path.rstrip("/"), origin)
        out += [f"{_show(file)} with {_show(other)}" for other in seen if _collide(other, file)]
        seen.append(file)
    return out


def _collide(a: _File, b: _File) -> bool:
    if not a[0] or not b[0]:
        return False
    return f"{a[0]}/".startswith(f"{b[0]}/") or f"{b[0]}/".startswith(f"{a[0]}/")


def _show(file: _File) -> str:
    return f"{quote(file[0])} ({file[1]})" if file[1] else quote(file[0])


def _projected(source: Obj, volume: str) -> list[str]:
    out = []
    files: list[_File] = []
    for projection in source.get("sources") or ():
        if not any(v is not None for v in projection.values()):
            out.append(f"volume {volume} (Projected) has no sources provided")
        else:
            files += _files(projection)
    return out + [f"volume {volume} (Projected): overlapping paths: {o}" for o in _overlaps(files)]


def _files(projection: Obj) -> list[_File]:
    for field, title in (("configMap", "ConfigMap"), ("secret", "Secret")):
        source = projection.get(field)
        if source is not None and source.get("items"):
            return _items(source, f"{title} {quote(source.get('name') or '')}")
    downward = projection.get("downwardAPI")
    if downward is not None and downward.get("items"):
        return _items(downward, "DownwardAPI")
    if projection.get("serviceAccountToken") is not None:
        return [(projection["serviceAccountToken"].get("path") or "", "ServiceAccountToken")]
    bundle = projection.get("clusterTrustBundle")
    if bundle is not None:
        name = bundle.get("name") if bundle.get("name") is not None else bundle.get("signerName")
        return [(bundle.get("path") or "", f"ClusterTrustBundle {quote(name or '')}")]
    certificate = projection.get("podCertificate") or {}
    shown = (("certificateChainPath", "chain"), ("keyPath", "key"), ("credentialBundlePath", "credential bundle"))
    return [(certificate[f], f"PodCertificate {title}") for f, title in shown if certificate.get(f)]
