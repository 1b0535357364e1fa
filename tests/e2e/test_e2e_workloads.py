"""Jobs, daemons, stateful sets, nodes: the other workloads, as kubectl's users see them."""

from __future__ import annotations

from collections.abc import Callable

from e2e_tools import Kubectl

K = Callable[..., str]

DAEMONS = """
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: agent}
spec:
  selector: {matchLabels: {app: agent}}
  template:
    metadata: {labels: {app: agent}}
    spec: {containers: [{name: agent, image: agent}]}
"""
STATEFUL = """
apiVersion: v1
kind: Service
metadata: {name: db}
spec: {clusterIP: None, selector: {app: db}, ports: [{port: 5432}]}
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 3
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: postgres}]}
"""
GUESTBOOK = """
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {GREETING: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {password: secret}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: frontend}
spec:
  replicas: 3
  selector: {matchLabels: {app: guestbook, tier: frontend}}
  template:
    metadata: {labels: {app: guestbook, tier: frontend}}
    spec:
      containers:
      - name: php
        image: gb-frontend:v5
        envFrom: [{configMapRef: {name: settings}}]
        env: [{name: PASSWORD, valueFrom: {secretKeyRef: {name: password, key: password}}}]
        resources: {requests: {cpu: 100m, memory: 100Mi}}
        ports: [{containerPort: 80}]
        readinessProbe: {httpGet: {path: /, port: 80}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: redis}
spec:
  selector: {matchLabels: {app: redis}}
  template:
    metadata: {labels: {app: redis}}
    spec: {containers: [{name: redis, image: "redis:7", ports: [{containerPort: 6379}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: frontend}
spec: {type: NodePort, selector: {app: guestbook, tier: frontend}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: redis}
spec: {selector: {app: redis}, ports: [{port: 6379}]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: guestbook}
spec:
  rules:
  - host: guestbook.example.com
    http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: frontend, port: {number: 80}}}}]}
"""


def test_jobs_complete(k: K) -> None:
    k("create", "job", "greeting", "--image=busybox", "--", "echo", "hello")
    k("wait", "--for=condition=complete", "job/greeting", "--timeout=30s")
    assert k("logs", "job/greeting") == "hello\n"
    assert "1/1" in k("get", "job", "greeting")
    k("create", "cronjob", "hourly", "--image=busybox", "--schedule=0 * * * *", "--", "echo", "hi")
    k("create", "job", "by-hand", "--from=cronjob/hourly")
    k("wait", "--for=condition=complete", "job/by-hand", "--timeout=30s")
    k("create", "job", "failing", "--image=busybox", "--", "sh", "-c", "exit 3")
    pod = "jsonpath={.items[0].status.containerStatuses[0].state.terminated.exitCode}"
    k("wait", "--for=jsonpath={.status.failed}=1", "job/failing", "--timeout=30s")
    assert k("get", "pods", "-l", "job-name=failing", "-o", pod) == "3"


def test_cron_jobs_run(k: K) -> None:
    k("create", "cronjob", "often", "--image=busybox", "--schedule=@every 1s", "--", "echo", "tick")
    k("wait", "--for=jsonpath={.status.lastSuccessfulTime}", "cronjob/often", "--timeout=30s")
    assert "SuccessfulCreate" in k("describe", "cronjob", "often")
    k("patch", "cronjob", "often", "-p", '{"spec":{"suspend":true}}')
    jobs = k("get", "jobs", "-o", "name").split()
    assert jobs and all(job.startswith("job.batch/often-") for job in jobs)
    assert k("logs", jobs[0]) == "tick\n"


def test_daemons_run_on_every_node(k: K, kubectl: Kubectl, namespace: str) -> None:
    k("apply", "-f", "-", stdin=DAEMONS)
    k("rollout", "status", "daemonset/agent", "--timeout=30s")
    nodes = set(kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split())
    assert set(k("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()) == nodes


def test_stateful_pods_come_in_order(k: K) -> None:
    k("apply", "-f", "-", stdin=STATEFUL)
    k("rollout", "status", "statefulset/db", "--timeout=30s")
    names = k("get", "pods", "--sort-by=.metadata.creationTimestamp", "-o", "jsonpath={.items[*].metadata.name}")
    assert names == "db-0 db-1 db-2"
    k("scale", "statefulset", "db", "--replicas=1")
    k("wait", "--for=delete", "pod/db-2", "--timeout=20s")
    k("wait", "--for=delete", "pod/db-1", "--timeout=20s")


def test_a_manifest_of_many_parts(k: K, kubectl: Kubectl, namespace: str) -> None:
    assert k("apply", "-f", "-", stdin=GUESTBOOK).count("created") == 7
    k("wait", "--for=condition=Available", "deployment", "--all", "--timeout=30s")
    assert "guestbook.example.com" in k("get", "ingress")
    assert 30000 <= int(k("get", "service", "frontend", "-o", "jsonpath={.spec.ports[0].nodePort}")) <= 32767
    assert "unchanged" in k("apply", "-f", "-", stdin=GUESTBOOK)
    k("delete", "-f", "-", stdin=GUESTBOOK)
    kubectl.until("", "-n", namespace, "get", "pods", "-o", "name")


def test_nodes_are_tainted_cordoned_and_drained(k: K, kubectl: Kubectl, namespace: str) -> None:
    k("create", "deployment", "web", "--image=nginx", "--replicas=3")
    k("rollout", "status", "deployment/web", "--timeout=30s")
    try:
        kubectl("drain", "node-2", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=30s")
        assert "SchedulingDisabled" in kubectl("get", "node", "node-2")
        k("rollout", "status", "deployment/web", "--timeout=30s")
        assert "node-2" not in k("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()
    finally:
        kubectl("uncordon", "node-2")
    try:
        kubectl("taint", "node", "node-1", "only=me:NoExecute")
        kubectl.until(
            "", "-n", namespace, "get", "pods", "--field-selector=spec.nodeName=node-1", "-o", "name", timeout_s=30
        )
    finally:
        kubectl("taint", "node", "node-1", "only-")
    described = kubectl("describe", "node", "node-1")
    assert "Ready" in described and "Allocated resources" in described


def test_pods_that_fit_nowhere_say_why(k: K) -> None:
    container = '{"name":"c","image":"i","resources":{"requests":{"cpu":"1000"}}}'
    head = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"big"},"spec":{"containers":['
    pod = head + container + "]}}"
    k("apply", "-f", "-", stdin=pod)
    k("wait", "--for=condition=PodScheduled=false", "pod/big", "--timeout=20s")
    message = k("get", "pod", "big", "-o", "jsonpath={.status.conditions[?(@.type=='PodScheduled')].message}")
    assert message.startswith("0/3 nodes are available: 3 Insufficient cpu.")
    assert "FailedScheduling" in k("events", "--for", "pod/big")
