"""What people do with kubectl, against a running cluster."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from e2e_tools import Kubectl

K = Callable[..., str]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: nginx, image: nginx:1, ports: [{containerPort: 80}]}]}
"""


def test_discovery(kubectls: list[Kubectl]) -> None:
    for kubectl in kubectls:
        assert "Server Version: v1.37" in kubectl("version")
        assert "is running at https://127.0.0.1:" in kubectl("cluster-info")
        resources = kubectl("api-resources")
        assert "deployments" in resources and "deploy" in resources and "CronJob" in resources
        assert {"v1", "apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"} <= set(kubectl("api-versions").split())


def test_explain(kubectl: Kubectl) -> None:
    told = kubectl("explain", "pod.spec.containers", "--recursive")
    assert "FIELD: containers <[]Container>" in told
    assert "imagePullPolicy" in told
    assert "Number of desired pods" in kubectl("explain", "deployment.spec.replicas")


def test_raw(kubectl: Kubectl) -> None:
    assert kubectl("get", "--raw", "/healthz") == "ok"
    assert kubectl("get", "--raw", "/livez") == "ok"
    assert "[+]ping ok" in kubectl("get", "--raw", "/readyz?verbose")
    assert "apiserver_request_total" in kubectl("get", "--raw", "/metrics")


def test_deployment_from_create_to_delete(k: K, kubectl: Kubectl, namespace: str) -> None:
    k("create", "deployment", "web", "--image=nginx:1", "--replicas=2")
    k("rollout", "status", "deployment/web", "--timeout=30s")
    assert k("get", "pods", "-o", "name").count("pod/web-") == 2
    wide = k("get", "pods", "-o", "wide")
    assert "Running" in wide and "node-" in wide and "10." in wide
    assert k("get", "deployment", "web", "-o", "jsonpath={.status.readyReplicas}") == "2"
    assert k("get", "pods", "-o", "custom-columns=PHASE:.status.phase", "--no-headers").split() == ["Running"] * 2
    assert "kind: Deployment" in k("get", "deployment", "web", "-o", "yaml")
    k("scale", "deployment", "web", "--replicas=3")
    k("rollout", "status", "deployment/web", "--timeout=30s")
    k("set", "image", "deployment/web", "nginx=nginx:2")
    k("rollout", "status", "deployment/web", "--timeout=30s")
    assert k("get", "deployment", "web", "-o", "jsonpath={..image}") == "nginx:2"
    assert len(k("rollout", "history", "deployment/web").strip().splitlines()) == 4
    k("rollout", "undo", "deployment/web")
    k("rollout", "status", "deployment/web", "--timeout=30s")
    assert k("get", "deployment", "web", "-o", "jsonpath={..image}") == "nginx:1"
    k("rollout", "pause", "deployment/web")
    k("set", "image", "deployment/web", "nginx=nginx:3")
    k("rollout", "resume", "deployment/web")
    k("rollout", "restart", "deployment/web")
    k("rollout", "status", "deployment/web", "--timeout=30s")
    described = k("describe", "deployment", "web")
    assert "ScalingReplicaSet" in described
    pod = k("get", "pods", "-o", "name").split()[0]
    assert "Successfully assigned" in k("describe", pod)
    k("delete", "deployment", "web")
    kubectl.until("", "-n", namespace, "get", "pods", "-o", "name")


def test_a_watch_shows_pods_come_up(kubectl: Kubectl, k: K, namespace: str) -> None:
    with kubectl.watching("-n", namespace, "get", "pods", "-w") as lines:
        k("run", "one", "--image=nginx", "--annotations=pilothouse.io/start-seconds=4")
        seen = []
        for line in lines:
            seen.append(line)
            if "Running" in line:
                break
    assert any("Pending" in line or "ContainerCreating" in line for line in seen)


def test_services_have_endpoints(k: K, kubectl: Kubectl, namespace: str) -> None:
    k("apply", "-f", "-", stdin=DEPLOYMENT)
    k("expose", "deployment", "web", "--port=80")
    k("rollout", "status", "deployment/web", "--timeout=30s")
    slices = "jsonpath={.items[*].endpoints[*].conditions.ready}"
    kubectl.until(
        "true true", "-n", namespace, "get", "endpointslices", "-l", "kubernetes.io/service-name=web", "-o", slices
    )
    pods = set(k("get", "pods", "-o", "jsonpath={.items[*].status.podIP}").split())
    assert set(k("get", "endpoints", "web", "-o", "jsonpath={.subsets[*].addresses[*].ip}").split()) == pods
    assert k("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}").startswith("10.96.")
    described = k("describe", "service", "web")
    assert all(f"{ip}:80" in described for ip in pods)


def test_apply_in_all_ways(k: K, kubectl: Kubectl, namespace: str) -> None:
    assert "created" in k("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "unchanged" in k("apply", "-f", "-", stdin=DEPLOYMENT)
    assert "configured" in k("apply", "-f", "-", stdin=DEPLOYMENT.replace("nginx:1", "nginx:2"))
    changed = DEPLOYMENT.replace("replicas: 2", "replicas: 3").replace("nginx:1", "nginx:2")
    differs = kubectl.run("-n", namespace, "diff", "-f", "-", stdin=changed)
    assert differs.returncode == 1 and "+  replicas: 3" in differs.stdout
    assert (
        kubectl.run("-n", namespace, "diff", "-f", "-", stdin=DEPLOYMENT.replace("nginx:1", "nginx:2")).returncode == 0
    )
    text = kubectl.fails("-n", namespace, "apply", "--server-side", "--field-manager=other", "-f", "-", stdin=changed)
    assert (
        'Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas' in text
    )
    k("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=changed)
    assert k("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}") == "3"
    managers = "jsonpath={.metadata.managedFields[*].manager}"
    assert "other" in k("get", "deployment", "web", "-o", managers, "--show-managed-fields").split()


def test_patches_and_edits(k: K, kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    k("create", "configmap", "c", "--from-literal=a=1")
    k("patch", "configmap", "c", "--type=merge", "-p", '{"data":{"b":"2"}}')
    k("patch", "configmap", "c", "--type=json", "-p", '[{"op":"replace","path":"/data/a","value":"3"}]')
    k("patch", "configmap", "c", "-p", '{"data":{"b":null}}')
    assert kubectl.json("-n", namespace, "get", "configmap", "c")["data"] == {"a": "3"}
    error = kubectl.fails(
        "-n", namespace, "patch", "configmap", "c", "--type=json", "-p", '[{"op":"test","path":"/data/a","value":"9"}]'
    )
    assert "the server rejected our request due to an error in our request" in error
    k("label", "configmap", "c", "colour=red")
    k("annotate", "configmap", "c", "note=x")
    assert k("get", "configmap", "-l", "colour in (red,blue)", "-o", "name") == "configmap/c\n"
    assert k("get", "configmap", "-l", "colour!=red", "-o", "name") == "configmap/kube-root-ca.crt\n"
    assert k("get", "configmap", "--field-selector", "metadata.name=c", "-o", "name") == "configmap/c\n"
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i \'s/"3"/"4"/\' "$1"\n')
    editor.chmod(0o755)
    k_edit = ["env", f"KUBE_EDITOR={editor}", kubectl.program, "--kubeconfig", str(kubectl.kubeconfig)]
    subprocess.run([*k_edit, "-n", namespace, "edit", "configmap", "c"], check=True, capture_output=True, timeout=30)
    assert kubectl.json("-n", namespace, "get", "configmap", "c")["data"] == {"a": "4"}
    whole = k("get", "configmap", "c", "-o", "yaml").replace('"4"', '"5"')
    k("replace", "-f", "-", stdin=whole)
    assert kubectl.json("-n", namespace, "get", "configmap", "c")["data"] == {"a": "5"}
    assert "the object has been modified" in kubectl.fails("-n", namespace, "replace", "-f", "-", stdin=whole)


def test_dry_runs_and_validation(k: K, kubectl: Kubectl, namespace: str) -> None:
    assert "created (server dry run)" in k("create", "configmap", "d", "--dry-run=server")
    assert "NotFound" in kubectl.fails("-n", namespace, "get", "configmap", "d")
    bad = DEPLOYMENT.replace("replicas: 2", "replicaz: 2")
    error = kubectl.fails("-n", namespace, "create", "--validate=strict", "-f", "-", stdin=bad)
    assert 'strict decoding error: unknown field "spec.replicaz"' in error
    wrong = DEPLOYMENT.replace("replicas: 2", "replicas: two")
    assert "cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32" in kubectl.fails(
        "-n", namespace, "create", "-f", "-", stdin=wrong
    )
    error = kubectl.fails("-n", namespace, "create", "-f", "-", stdin=DEPLOYMENT.replace("name: nginx", "name: Nginx_"))
    assert 'spec.template.spec.containers[0].name: Invalid value: "Nginx_"' in error
    assert "Not found" not in error


def test_deletions(k: K, kubectl: Kubectl, namespace: str) -> None:
    k("apply", "-f", "-", stdin=DEPLOYMENT)
    k("rollout", "status", "deployment/web", "--timeout=30s")
    k("delete", "deployment", "web", "--cascade=orphan")
    assert k("get", "replicasets", "-o", "name").startswith("replicaset.apps/web-")
    k("delete", "replicaset", "-l", "app=web", "--cascade=foreground", "--timeout=30s")
    assert k("get", "pods", "-o", "name") == ""
    k("run", "one", "--image=nginx")
    k("wait", "--for=condition=Ready", "pod/one", "--timeout=20s")
    k("delete", "pod", "one", "--grace-period=0", "--force")
    k("run", "two", "--image=nginx")
    k("delete", "pod", "two", "--wait=false")
    k("wait", "--for=delete", "pod/two", "--timeout=20s")


def test_namespaces(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "ephemeral")
    kubectl.until("default", "-n", "ephemeral", "get", "serviceaccounts", "-o", "jsonpath={.items[*].metadata.name}")
    kubectl.until(
        "kube-root-ca.crt", "-n", "ephemeral", "get", "configmaps", "-o", "jsonpath={.items[*].metadata.name}"
    )
    kubectl("-n", "ephemeral", "create", "deployment", "web", "--image=nginx")
    kubectl("-n", "ephemeral", "create", "secret", "generic", "s", "--from-literal=a=b")
    kubectl("delete", "namespace", "ephemeral", "--timeout=60s")
    assert "NotFound" in kubectl.fails("get", "namespace", "ephemeral")
    assert kubectl("get", "pods", "-A", "--field-selector=metadata.namespace=ephemeral", "-o", "name") == ""


def test_access(k: K, kubectl: Kubectl, namespace: str) -> None:
    k("create", "serviceaccount", "robot")
    k("create", "role", "reader", "--verb=get,list", "--resource=pods")
    k("create", "rolebinding", "robots", "--role=reader", f"--serviceaccount={namespace}:robot")
    token = k("create", "token", "robot").strip()
    as_robot = ("--kubeconfig=/dev/null", "--server", _server(kubectl), "--insecure-skip-tls-verify", "--token", token)
    assert kubectl(*as_robot, "-n", namespace, "auth", "can-i", "list", "pods") == "yes\n"
    assert kubectl.run(*as_robot, "-n", namespace, "auth", "can-i", "delete", "pods").stdout == "no\n"
    assert f"system:serviceaccount:{namespace}:robot" in kubectl(*as_robot, "auth", "whoami")
    error = kubectl.fails(*as_robot, "-n", namespace, "get", "secrets")
    assert f'User "system:serviceaccount:{namespace}:robot" cannot list resource "secrets" in API group ""' in error
    assert kubectl("auth", "can-i", "*", "*") == "yes\n"


def _server(kubectl: Kubectl) -> str:
    return kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")


def test_top_says_that_there_are_no_metrics(kubectl: Kubectl) -> None:
    assert "Metrics API not available" in kubectl.fails("top", "nodes")
