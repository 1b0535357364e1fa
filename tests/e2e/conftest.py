"""The cluster that the tests share, and kubectl on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from e2e_tools import Cluster, Kubectl, free_port, start


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One cluster for all tests that do not stop it; each works in a namespace of its own."""
    home = tmp_path_factory.mktemp("home")
    found = start(home, home / "cluster", "--port", str(free_port()))
    yield found
    err = found.stop()
    assert "Traceback" not in err, err


@pytest.fixture(scope="session")
def kubectl(cluster: Cluster) -> Kubectl:
    return cluster.kubectl()


@pytest.fixture
def namespace(kubectl: Kubectl, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name.replace("_", "-").replace("[", "-").replace("]", "")[:60].strip("-").lower()
    kubectl("create", "namespace", name)
    kubectl.until("default", "get", "serviceaccount", "default", "-n", name, "-o", "jsonpath={.metadata.name}")
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def k(kubectl: Kubectl, namespace: str) -> Callable[..., str]:
    """kubectl within the test's namespace."""

    def run(*args: str, stdin: str | None = None, timeout_s: float = 60) -> str:
        return kubectl("-n", namespace, *args, stdin=stdin, timeout_s=timeout_s)

    return run


@pytest.fixture(scope="session")
def kubectls(cluster: Cluster) -> list[Kubectl]:
    """kubectl 1.37, and the machine's own where there is another."""
    found = [cluster.kubectl()]
    other = shutil.which("kubectl", path="/usr/local/bin:/usr/bin")
    if other is not None:
        found.append(cluster.kubectl(other))
    return found
