"""What a simulated container does: how long it runs, how it ends, what it prints.

There is no image behind it, so the few commands that people use to try Kubernetes out are understood (`echo`, `sleep`, `exit`,
`true`, `false`, also behind `sh -c`), and annotations of the pod say the rest:

- `pilothouse.io/run-seconds`: the containers end after that many seconds (`0`: at once; absent: as the command says).
- `pilothouse.io/exit-code`: with that exit code.
- `pilothouse.io/start-seconds`: how long the pod takes from scheduled to running.

Where nothing says how long: a container of a pod with restartPolicy Always runs until it is stopped, any other ends at once.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pilothouse.api.objects import Obj

RUN_SECONDS = "pilothouse.io/run-seconds"
EXIT_CODE = "pilothouse.io/exit-code"
START_SECONDS = "pilothouse.io/start-seconds"
_LONGEST_S = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Program:
    run_s: float | None  # None: until it is stopped
    exit_code: int = 0
    output: str = ""


def _number(text: object, least: float = 0.0) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return min(value, _LONGEST_S) if value >= least else None  # NaN compares false


def start_seconds(pod: Obj) -> float:
    return _number((pod["metadata"].get("annotations") or {}).get(START_SECONDS)) or 0.0


def program_of(pod: Obj, container: Obj, *, init: bool = False) -> Program:
    """The program of one container. `init`: it is an init container, which ends unless it is a sidecar."""
    annotations = pod["metadata"].get("annotations") or {}
    endless = (
        container.get("restartPolicy") == "Always" if init else (pod["spec"].get("restartPolicy", "Always") == "Always")
    )
    program = _interpret([*(container.get("command") or ()), *(container.get("args") or ())])
    run_s = program.run_s if program else (None if endless else 0.0)
    exit_code = program.exit_code if program else 0
    if not init:
        wanted_s, wanted_code = _number(annotations.get(RUN_SECONDS)), _number(annotations.get(EXIT_CODE))
        if wanted_s is not None:
            run_s = wanted_s
        if wanted_code is not None:
            exit_code = int(wanted_code) & 0xFF
            run_s = 0.0 if run_s is None else run_s
    return Program(run_s, exit_code, program.output if program else "")


def _interpret(argv: list[str]) -> Program | None:
    """The program that a command line is; None where it is none of those that are understood."""
    if len(argv) >= 3 and argv[0].rpartition("/")[2] in ("sh", "bash", "ash") and argv[1] in ("-c", "-ec", "-ce"):
        return _script(argv[2])
    return _command(argv)


def _script(text: str) -> Program | None:
    run_s, output = 0.0, ""
    for line in text.replace("&&", ";").replace("\n", ";").split(";"):
        try:
            words = shlex.split(line)
        except ValueError:
            return None
        if not words:
            continue
        if words[0] == "exit":
            code = _number(words[1]) if len(words) > 1 else 0.0
            return Program(run_s, int(code or 0) & 0xFF, output)
        step = _command(words)
        if step is None:
            return None
        output += step.output
        if step.run_s is None:
            return Program(None, 0, output)
        run_s += step.run_s
        if step.exit_code:
            return Program(run_s, step.exit_code, output)
    return Program(run_s, 0, output)


def _command(argv: list[str]) -> Program | None:
    if not argv:
        return None
    name, rest = argv[0].rpartition("/")[2], argv[1:]
    if name == "true":
        return Program(0.0)
    if name == "false":
        return Program(0.0, 1)
    if name == "echo":
        return Program(0.0, 0, " ".join(rest) + "\n")
    if name == "sleep" and len(rest) == 1:
        if rest[0] in ("inf", "infinity"):
            return Program(None)
        unit = {"s": 1, "m": 60, "h": 3600, "d": 86400}.get(rest[0][-1:], 0)
        seconds = _number(rest[0][:-1] if unit else rest[0])
        return None if seconds is None else Program(min(seconds * (unit or 1), _LONGEST_S))
    return None
