"""What this server says it is: upstream's version.Info of the release whose API it serves."""

from __future__ import annotations

import platform
import sys
from typing import Final

from pilothouse.api.objects import Obj

MAJOR: Final = "1"
MINOR: Final = "37"
GIT_VERSION: Final = "v1.37.2"
SHORT: Final = f"{MAJOR}.{MINOR}"


def info() -> Obj:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "major": MAJOR,
        "minor": MINOR,
        "emulationMajor": MAJOR,
        "emulationMinor": MINOR,
        "minCompatibilityMajor": MAJOR,
        "minCompatibilityMinor": "36",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": sys.implementation.name,
        "platform": f"{sys.platform}/{machine}",
    }
