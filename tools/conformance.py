"""Runs upstream's conformance tests against a cluster of ours: `./dev conformance [--only sig-cli] [--list containers.txt]`.

Starts `pilothouse up` in a directory of its own, hands its kubeconfig to the suite's own program and exits with that one's code.
The other options are that program's: --procs, --timeout, --out.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SUITE = ROOT.parent / "shared" / "conformance"
PEERS = Path(os.environ.get("PILOTHOUSE_PEERS", ROOT / ".peers" / "bin"))
NODES = "3"


def _missing() -> str:
    if not (SUITE / "run.py").is_file():
        return f"{SUITE / 'run.py'} is missing: the suite's lists are not part of this repository"
    for program in ("e2e.test", "ginkgo"):
        if not (PEERS / program).is_file():
            return f"{PEERS / program} is missing; build upstream's programs with: ./dev peers e2e.test ginkgo"
    return ""


def main(arguments: list[str]) -> int:
    missing = _missing()
    if missing:
        sys.stderr.write(f"conformance: {missing}\n")
        return 2
    with tempfile.TemporaryDirectory() as directory:
        pilothouse = [sys.executable, "-m", "pilothouse"]
        where = ["--data-dir", directory]
        subprocess.run([*pilothouse, "up", *where, "--nodes", NODES, "--detach"], check=True)
        try:
            program = [sys.executable, str(SUITE / "run.py"), "--bin", str(PEERS)]
            return subprocess.run(
                [*program, "--kubeconfig", f"{directory}/kubeconfig", *arguments], check=False
            ).returncode
        finally:
            subprocess.run([*pilothouse, "down", *where], check=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
