"""Runs the tests of kube-apiserver's own storage layer on our store: `./dev storage-tests [PACKAGE …] [--run REGEXP]`.

Each test starts a `pilothouse etcd` of its own where upstream's would start an etcd in its own process: the API server's module
is copied into .peers, with `storagetests.go` in place of its test server. Needs Go. `--server` names another program that takes
etcd's flags, for comparison: `--server .peers/bin/etcd` (3.6 fails what needs 3.7).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = "k8s.io/apiserver@v0.37.2"
COPY = ROOT / ".peers" / "storage-tests"
PACKAGES = (
    "pkg/storage/etcd3", "pkg/storage/cacher", "pkg/storage/storagebackend/factory", "pkg/registry/generic/registry",
    "pkg/reconcilers",
)  # fmt: skip
_ENDED = re.compile(rb"^ *--- (PASS|FAIL|SKIP): (\S+)")


def _prepare() -> None:
    if not COPY.is_dir():
        sys.stderr.write(f"storage-tests: fetching {MODULE} (once)\n")
        answer = subprocess.run(
            ["go", "mod", "download", "-json", MODULE], check=True, capture_output=True, cwd=ROOT / "tools"
        )
        unfinished = COPY.with_suffix(".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        shutil.copytree(json.loads(answer.stdout)["Dir"], unfinished, copy_function=shutil.copyfile)
        unfinished.rename(COPY)
    server = COPY / "pkg/storage/etcd3/testserver/test_server.go"
    server.write_bytes((ROOT / "tools/storagetests.go").read_bytes())


def _run(package: str, run: str, server: str) -> Iterator[tuple[str, str]]:
    """(PASS, FAIL or SKIP, the name) of each test, as they end."""
    process = subprocess.Popen(
        ["go", "test", "-count=1", "-v", "-timeout=30m", f"-run={run}", f"./{package}"], cwd=COPY,
        env={**os.environ, "GOFLAGS": "-mod=mod", "STORAGE_TESTS_SERVER": server},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    failed = False
    with (COPY / f"{package.replace('/', '-')}.log").open("wb") as log:
        for line in process.stdout:
            log.write(line)
            found = _ENDED.match(line)
            if found is not None:
                failed = failed or found[1] == b"FAIL"
                yield found[1].decode(), found[2].decode()
    if process.wait() and not failed:
        yield "FAIL", "(it did not build, or did not end)"


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev storage-tests", description=__doc__)
    parser.add_argument("packages", nargs="*", default=PACKAGES, metavar="PACKAGE", help=", ".join(PACKAGES))
    parser.add_argument("--run", default="", metavar="REGEXP", help="only these tests")
    parser.add_argument("--server", default=f"{sys.executable} -m pilothouse etcd", help="the program (%(default)s)")
    options = parser.parse_args()
    if shutil.which("go") is None:
        sys.stderr.write("storage-tests: go is missing; install Go 1.26 or newer\n")
        return 2
    _prepare()
    server = options.server if " " in options.server else str(Path(options.server).resolve())
    bad = 0
    for package in options.packages:
        counts = {"PASS": 0, "FAIL": 0, "SKIP": 0}
        for outcome, name in _run(package, options.run, server):
            counts[outcome] += 1
            if outcome == "FAIL":
                sys.stdout.write(f"{package}: {name} failed\n")
        sys.stdout.write("{}: {PASS} passed, {FAIL} failed, {SKIP} skipped\n".format(package, **counts))
        sys.stdout.flush()
        bad += counts["FAIL"]
    if bad:
        sys.stderr.write(f"storage-tests: what they said is in {COPY}/*.log\n")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
