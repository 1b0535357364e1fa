"""What a kubelet makes of one pod: its containers' lives, and the status that tells of them. Pure but for what it remembers.

Source: upstream's kubelet (kubelet_pods.go generateAPIPodStatus, status/generate.go, kuberuntime's back-off) and the page
"Pod Lifecycle". Images, volumes and probes always succeed; a readiness probe takes its initialDelaySeconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pilothouse.api.objects import Obj
from pilothouse.clock.timestamps import format_time, parse_time
from pilothouse.nodes.program import Program, program_of, start_seconds

BACKOFF_FIRST_S: Final = 10.0
BACKOFF_MAX_S: Final = 300.0
_BACKOFF_RESET_S: Final = 600.0
_LOG_MAX: Final = 64 * 1024

Note = tuple[str, str, str, str]  # (type, reason, message, container): an event about the pod


@dataclass(slots=True)
class Container:
    """One container: waiting (neither time set, or `due_s`), running or terminated."""

    spec: Obj
    program: Program
    sidecar: bool = False
    init: bool = False
    started_s: float | None = None
    ended_s: float | None = None
    exit_code: int = 0
    restarts: int = 0
    due_s: float | None = None  # when it is started again
    backoff_s: float = 0.0
    last: Obj | None = None  # the state of the run before
    previous_log: str = ""

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def running(self) -> bool:
        return self.started_s is not None and self.ended_s is None

    def start(self, now: float) -> None:
        self.started_s, self.ended_s, self.due_s = now, None, None

    def end(self, now: float, code: int) -> None:
        self.ended_s, self.exit_code = now, code

    def end_due_s(self) -> float | None:
        """When the program ends by itself."""
        if not self.running or self.program.run_s is None or self.started_s is None:
            return None
        return self.started_s + self.program.run_s

    def terminated(self) -> Obj:
        assert self.started_s is not None and self.ended_s is not None
        return {
            "exitCode": self.exit_code,
            "reason": "Completed" if self.exit_code == 0 else "Error",
            "startedAt": format_time(self.started_s),
            "finishedAt": format_time(self.ended_s),
            "containerID": self.identity(),
        }

    def identity(self) -> str:
        return f"pilothouse://{self.spec['name']}-{self.restarts}"

    def back_off(self) -> float:
        """The run is over and another follows, at once the first time. When."""
        assert self.started_s is not None and self.ended_s is not None
        if self.ended_s - self.started_s >= _BACKOFF_RESET_S:
            self.backoff_s = 0.0
        self.due_s = self.ended_s + self.backoff_s
        self.backoff_s = min(self.backoff_s * 2 or BACKOFF_FIRST_S, BACKOFF_MAX_S)
        return self.due_s

    def ready_s(self) -> float | None:
        """When its readiness probe succeeds; None while it does not run."""
        if not self.running or self.started_s is None:
            return None
        delay = sum(
            (self.spec.get(probe) or {}).get("initialDelaySeconds") or 0 for probe in ("startupProbe", "readinessProbe")
        )
        return self.started_s + delay

    def log(self, previous: bool = False) -> str:
        return self.previous_log if previous else (self.program.output if self.started_s is not None else "")


class PodLife:
    """`advance(pod, now)` moves on; `status(pod, now)` tells; `wake_s` is when there is more to do."""

    def __init__(self, pod: Obj, pod_ip: str, host_ip: str, now: float) -> None:
        self.uid = str(pod["metadata"]["uid"])
        self.pod_ip, self.host_ip = pod_ip, host_ip
        spec, status = pod["spec"], pod.get("status") or {}
        started = status.get("startTime")
        self.accepted_s = parse_time(started) if started else now
        self.start_s = self.accepted_s + start_seconds(pod)
        self.restart_policy = str(spec.get("restartPolicy", "Always"))
        self.init = [
            Container(c, program_of(pod, c, init=True), c.get("restartPolicy") == "Always", True)
            for c in spec.get("initContainers") or ()
        ]
        self.main = [Container(c, program_of(pod, c)) for c in spec["containers"]]
        self.failure: tuple[str, str] | None = None  # reason and message of a pod that was ended as a whole
        self.notes: list[Note] = []
        self.wake_s: float | None = None
        self._restore(status)

    def _restore(self, status: Obj) -> None:
        """Takes up a pod that ran before this process did."""
        told = {s["name"]: s for k in ("initContainerStatuses", "containerStatuses") for s in status.get(k) or ()}
        for c in (*self.init, *self.main):
            known = told.get(c.name)
            if known is None:
                continue
            state = known.get("state") or {}
            c.restarts = int(known.get("restartCount") or 0)
            c.last = (known.get("lastState") or {}).get("terminated")
            c.backoff_s = min(BACKOFF_FIRST_S * 2.0 ** min(c.restarts, 10), BACKOFF_MAX_S) if c.restarts else 0.0
            if "running" in state:
                c.started_s = parse_time(state["running"]["startedAt"])
            elif "terminated" in state:
                ended = state["terminated"]
                c.started_s, c.ended_s = parse_time(ended["startedAt"]), parse_time(ended["finishedAt"])
                c.exit_code = int(ended["exitCode"])
            elif c.last is not None:  # backing off
                c.started_s, c.ended_s = parse_time(c.last["startedAt"]), parse_time(c.last["finishedAt"])
                c.exit_code = int(c.last["exitCode"])
                c.due_s = c.ended_s + c.backoff_s
        if status.get("phase") == "Failed" and status.get("reason"):
            self.failure = (str(status["reason"]), str(status.get("message", "")))

    @property
    def containers(self) -> list[Container]:
        return [*self.init, *self.main]

    @property
    def initialized(self) -> bool:
        return all(c.running if c.sidecar else (c.ended_s is not None and c.exit_code == 0) for c in self.init)

    @property
    def finished(self) -> bool:
        return self.phase() in ("Succeeded", "Failed")

    def advance(self, pod: Obj, now: float) -> None:
        """Lets happen what is due by `now`."""
        self.wake_s = None
        if self.failure is not None:
            return
        if pod["metadata"].get("deletionTimestamp"):
            self._kill(now)
            return
        if self._past_deadline(pod, now):
            self._kill(now)
            self.failure = ("DeadlineExceeded", "Pod was active on the node longer than the specified deadline")
            return
        if now < self.start_s:
            self._wake(self.start_s)
            return
        if self._advance_init(now) and self.failure is None:
            for c in self.main:
                self._step(c, now, self.restart_policy)
            if all(c.ended_s is not None and c.due_s is None for c in self.main):
                for sidecar in self.init:
                    if sidecar.running:
                        sidecar.end(now, 0)
            for c in self.main:
                ready_s = c.ready_s()
                if ready_s is not None and ready_s > now:
                    self._wake(ready_s)

    def _advance_init(self, now: float) -> bool:
        """True once the init containers have done their work."""
        was_initialized = any(c.started_s is not None for c in self.main)
        for c in self.init:
            if c.sidecar:
                if not self._main_ended():
                    self._step(c, now, "Always")
                continue
            if was_initialized:
                continue
            self._step(c, now, "Never" if self.restart_policy == "Never" else "OnFailure")
            if c.ended_s is None or c.due_s is not None:
                return False
            if c.exit_code:
                return False  # restartPolicy Never: the pod has failed
        return True

    def _main_ended(self) -> bool:
        return all(c.ended_s is not None and c.due_s is None for c in self.main)

    def _step(self, c: Container, now: float, policy: str) -> None:
        """One container, until nothing more happens to it by `now`."""
        while True:
            if c.due_s is not None:
                if now < c.due_s:
                    self._wake(c.due_s)
                    return
                c.last, c.previous_log = c.terminated(), c.log()[:_LOG_MAX]
                c.restarts += 1
                self._start(c, max(c.due_s, now))
            elif c.started_s is None:
                self._start(c, now)
            elif c.ended_s is None:
                end_s = c.end_due_s()
                if end_s is None:
                    return
                if now < end_s:
                    self._wake(end_s)
                    return
                c.end(end_s, c.program.exit_code)
                again = policy == "Always" or (policy == "OnFailure" and c.exit_code != 0)
                if again and now < c.back_off():
                    message = f"Back-off restarting failed container {c.name} in pod"
                    self.notes.append(("Warning", "BackOff", message, c.name))
            else:
                return

    def _start(self, c: Container, now: float) -> None:
        c.start(now)
        image = c.spec.get("image", "")
        pulled = f'Container image "{image}" already present on machine and can be accessed by the pod'
        self.notes += [
            ("Normal", "Pulled", pulled, c.name),
            ("Normal", "Created", "Container created", c.name),
            ("Normal", "Started", "Container started", c.name),
        ]

    def _kill(self, now: float) -> None:
        for c in self.containers:
            if c.running:
                c.end(now, 0 if c.program.run_s is None else 137)
                self.notes.append(("Normal", "Killing", f"Stopping container {c.name}", c.name))
            c.due_s = None

    def _past_deadline(self, pod: Obj, now: float) -> bool:
        deadline_s = pod["spec"].get("activeDeadlineSeconds")
        if deadline_s is None or self.finished:
            return False
        if now - self.accepted_s >= deadline_s:
            return True
        self._wake(self.accepted_s + deadline_s)
        return False

    def _wake(self, at_s: float) -> None:
        self.wake_s = at_s if self.wake_s is None else min(self.wake_s, at_s)

    # Status

    def phase(self) -> str:
        if self.failure is not None:
            return "Failed"
        regular = [c for c in self.init if not c.sidecar]
        if any(c.ended_s is not None and c.due_s is None and c.exit_code for c in regular):
            return "Failed"
        started = any(c.started_s is not None for c in self.main)
        if not started:
            return "Pending"
        if self._main_ended():
            return "Failed" if any(c.exit_code for c in self.main) else "Succeeded"
        return "Running"

    def status(self, pod: Obj, now: float) -> Obj:
        """The whole status, in upstream's order of fields; what others wrote into it stays."""
        old: Obj = pod.get("status") or {}
        generation = pod["metadata"].get("generation")
        phase = self.phase()
        new: Obj = {}
        if generation is not None:
            new["observedGeneration"] = generation
        new["phase"] = phase
        new["conditions"] = self._conditions(pod, old, phase, now, generation)
        if self.failure is not None:
            new["message"], new["reason"] = self.failure[1], self.failure[0]
        new["hostIP"], new["hostIPs"] = self.host_ip, [{"ip": self.host_ip}]
        if self.pod_ip and any(c.started_s is not None for c in self.containers):
            new["podIP"], new["podIPs"] = self.pod_ip, [{"ip": self.pod_ip}]
        new["startTime"] = format_time(self.accepted_s)
        if self.init:
            new["initContainerStatuses"] = [self._container(c, now) for c in self.init]
        new["containerStatuses"] = [self._container(c, now) for c in self.main]
        for name, value in old.items():
            if name not in new and name not in ("message", "reason", "podIP", "podIPs"):
                new[name] = value
        return new

    def _ready(self, c: Container, now: float) -> bool:
        if c.init and not c.sidecar:
            return c.ended_s is not None and c.exit_code == 0
        ready_s = c.ready_s()
        return ready_s is not None and ready_s <= now

    def _container(self, c: Container, now: float) -> Obj:
        state: Obj
        if c.running and c.started_s is not None:
            state = {"running": {"startedAt": format_time(c.started_s)}}
        elif c.ended_s is not None and c.due_s is None:
            state = {"terminated": c.terminated()}
        elif c.due_s is not None:
            why = f"back-off {int(c.due_s - (c.ended_s or 0.0))}s restarting failed container={c.name}"
            state = {"waiting": {"reason": "CrashLoopBackOff", "message": why}}
        elif not c.init and self.init and not self.initialized:
            state = {"waiting": {"reason": "PodInitializing"}}
        else:
            state = {"waiting": {"reason": "PodInitializing" if self.init else "ContainerCreating"}}
        last = c.terminated() if c.due_s is not None else c.last
        found: Obj = {
            "name": c.name,
            "state": state,
            "lastState": {"terminated": last} if last else {},
            "ready": self._ready(c, now),
            "restartCount": c.restarts,
            "image": c.spec.get("image", ""),
            "imageID": f"pilothouse://{c.spec.get('image', '')}" if c.started_s is not None else "",
        }
        if c.started_s is not None:
            found["containerID"] = c.identity()
        found["started"] = c.running
        return found

    def _conditions(self, pod: Obj, old: Obj, phase: str, now: float, generation: Any) -> list[Obj]:
        known = {c.get("type"): c for c in old.get("conditions") or ()}
        unready = [c.name for c in self.main if not self._ready(c, now)]
        done = phase in ("Succeeded", "Failed")
        sandbox = any(c.running or c.due_s is not None for c in self.containers) or (
            not done and self.start_s <= now and not pod["metadata"].get("deletionTimestamp")
        )
        initialized = self.initialized or any(c.started_s is not None for c in self.main)
        pending = [c.name for c in self.init if not self._ready(c, now)]
        not_ready: tuple[str, str] | None = None
        if phase == "Succeeded":
            not_ready = ("PodCompleted", "")
        elif phase == "Failed":
            not_ready = ("PodFailed", "")
        elif unready:
            not_ready = ("ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
        gates = [
            g["conditionType"]
            for g in pod["spec"].get("readinessGates") or ()
            if known.get(g["conditionType"], {}).get("status") != "True"
        ]
        pod_not_ready = not_ready
        if not_ready is None and gates:
            texts = [f'corresponding condition of pod readiness gate "{g}" does not exist.' for g in gates]
            pod_not_ready = ("ReadinessGatesNotReady", ", ".join(texts))
        incomplete = ("ContainersNotInitialized", f"containers with incomplete status: [{' '.join(pending)}]")
        completed = ("PodCompleted", "") if phase == "Succeeded" else None
        stamp = format_time(now)

        def condition(kind: str, wrong: tuple[str, str] | None, why: tuple[str, str] | None = None) -> Obj:
            status = "False" if wrong is not None else "True"
            before = known.pop(kind, {})
            same = before.get("status") == status
            found: Obj = {"type": kind}
            if generation is not None:
                found["observedGeneration"] = generation
            found |= {
                "status": status,
                "lastProbeTime": None,
                "lastTransitionTime": before.get("lastTransitionTime", stamp) if same else stamp,
            }
            reason, message = wrong or why or ("", "")
            if reason:
                found["reason"] = reason
            if message:
                found["message"] = message
            return found

        found = [
            condition("PodReadyToStartContainers", None if sandbox else ("", "")),
            condition("Initialized", None if initialized else incomplete, completed),
            condition("Ready", pod_not_ready),
            condition("ContainersReady", not_ready),
            condition("PodScheduled", None),
        ]
        return found + list(known.values())
