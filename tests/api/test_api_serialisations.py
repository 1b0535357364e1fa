"""Upstream's own serialisations of every kind, as JSON, YAML and protobuf: each is read, and written again byte for byte.

They are the test data of the Go module k8s.io/api, found through K8S_API_TESTDATA (its `testdata` directory) or in Go's module
cache after `go mod download k8s.io/api@v0.37.2`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import orjson
import pytest

from pilothouse.api.codec import protobuf, protowrite, yamltext
from pilothouse.api.codec.decode import decode
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, split_api_version
from pilothouse.api.types import type_of

MODULE = "k8s.io/api@v0.37.2"
RELEASES = ("HEAD", "v1.36.0", "v1.35.0", "v1.34.0", "v1.33.0")

pytestmark = pytest.mark.slow


@cache
def directory() -> Path | None:
    if named := os.environ.get("K8S_API_TESTDATA"):
        return Path(named)
    if shutil.which("go") is None:
        return None
    told = subprocess.run(["go", "env", "GOMODCACHE"], capture_output=True, text=True, check=False)
    found = Path(told.stdout.strip()) / MODULE / "testdata"
    return found if found.is_dir() else None


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    root = directory()
    if root is None:
        pytest.skip(f"no test data: run `go mod download {MODULE}`, or name its testdata directory in K8S_API_TESTDATA")
    found: Path = root / request.param
    if not found.is_dir():
        pytest.skip(f"{root} has no {request.param}")
    return found


def written(obj: Obj, decoded: Obj) -> Obj:
    out: Obj = {name: obj[name] for name in ("kind", "apiVersion")}
    out.update((k, v) for k, v in decoded.items() if k not in out)
    return out


def test_round_trips(release: Path) -> None:
    faults: list[str] = []
    kinds = 0
    for file in sorted(release.glob("*.json")):
        if file.stem.endswith(".after_roundtrip"):
            continue
        kinds += _round_trip(file, faults)
    assert not faults, "\n".join(faults[:20])
    assert kinds > 150


def _round_trip(file: Path, faults: list[str]) -> int:
    """1 where this release's kind is still known."""
    obj = orjson.loads(file.read_bytes())
    if "kind" not in obj:
        return 0  # an event of a watch, which is no object
    group, version = split_api_version(obj["apiVersion"])
    gvk = GVK(group, version, obj["kind"])
    type_ = type_of(gvk)
    if type_ is None:
        if file.parent.name == "HEAD":
            faults.append(f"{file.name}: the kind is not known")
        return 0

    def later(suffix: str) -> bytes:
        """What upstream writes today of an older release's file."""
        changed = file.with_name(f"{file.stem}.after_roundtrip{suffix}")
        return (changed if changed.exists() else file.with_suffix(suffix)).read_bytes()

    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            faults.append(f"{file.parent.name}/{file.name}: {what} differs")

    as_json = orjson.dumps(orjson.loads(later(".json")))
    found = written(obj, decode(type_, obj, strict=True)[0])
    expect("JSON written", orjson.dumps(found), as_json)
    from_yaml = decode(type_, yamltext.from_yaml(file.with_suffix(".yaml").read_bytes(), []))[0]
    expect("YAML read", orjson.dumps(written(obj, from_yaml)), as_json)
    expect("YAML written", yamltext.to_yaml(found).rstrip(), later(".yaml").rstrip())
    api_version, kind, message = protobuf.unwrap(file.with_suffix(".pb").read_bytes())
    expect("the kind in protobuf", (api_version, kind), (obj["apiVersion"], obj["kind"]))
    from_protobuf = decode(type_, protobuf.decode(gvk, message))[0]
    expect("protobuf read", orjson.dumps(written(obj, from_protobuf)), as_json)
    expect("protobuf written", protowrite.encode(found), later(".pb"))
    return 1
