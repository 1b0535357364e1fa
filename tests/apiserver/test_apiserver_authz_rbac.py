"""RBAC: who is allowed what, by the default policy and by bindings that come and go."""

from __future__ import annotations

import timeit

import pytest
from security_fakes import FakeObjects

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver import authorization
from pilothouse.apiserver.authorization import rules
from pilothouse.apiserver.authorization.rbac import RBAC
from pilothouse.apiserver.bootstrap.desired import fixed
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Attributes, Decision

GROUP = "rbac.authorization.k8s.io"
JANE = UserInfo("jane", groups=("dev", "system:authenticated"))


def policy() -> FakeObjects:
    return FakeObjects(*((d.group, d.resource, d.obj) for d in fixed() if d.group == GROUP))


def asks(user: UserInfo, verb: str, resource: str, namespace: str = "", **more: str) -> Attributes:
    return Attributes(user, verb, "", True, resource=resource, namespace=namespace, **more)


def bind(objects: FakeObjects, subject: dict[str, str], role: str, namespace: str = "") -> None:
    kind = "RoleBinding" if namespace else "ClusterRoleBinding"
    meta = {"name": "b", "namespace": namespace} if namespace else {"name": "b"}
    ref = {"apiGroup": GROUP, "kind": "ClusterRole", "name": role}
    objects.put(GROUP, kind.lower() + "s", {"kind": kind, "metadata": meta, "subjects": [subject], "roleRef": ref})


async def test_masters_may_do_anything_without_a_reason() -> None:
    build = authorization.build(Config(), policy())
    root = UserInfo("root", groups=("system:masters",))
    assert await build.authorize(asks(root, "delete", "nodes", name="n")) == Decision(True)


def test_a_binding_in_a_namespace_holds_there_alone() -> None:
    objects = policy()
    rbac = RBAC(objects)
    ask = asks(JANE, "get", "nodes", "dev")
    assert rbac.check(ask) == Decision(None)
    bind(objects, {"kind": "Group", "name": "dev"}, "system:kube-dns", "dev")
    reason = 'RBAC: allowed by RoleBinding "b/dev" of ClusterRole "system:kube-dns" to Group "dev"'
    assert rbac.check(asks(JANE, "list", "services", "dev")) == Decision(True, reason)
    assert rbac.check(asks(JANE, "list", "services", "other")) == Decision(None)
    assert rbac.check(asks(JANE, "list", "services")) == Decision(None)


def test_a_service_account_is_named_by_its_namespace_or_the_bindings() -> None:
    objects = policy()
    rbac = RBAC(objects)
    robot = UserInfo("system:serviceaccount:dev:robot")
    bind(objects, {"kind": "ServiceAccount", "name": "robot"}, "system:kube-dns", "dev")
    reason = 'RBAC: allowed by RoleBinding "b/dev" of ClusterRole "system:kube-dns" to ServiceAccount "robot/dev"'
    assert rbac.check(asks(robot, "list", "services", "dev")) == Decision(True, reason)


def test_a_missing_role_is_the_reason() -> None:
    objects = policy()
    bind(objects, {"kind": "User", "name": "jane"}, "nope")
    reason = f'RBAC: clusterrole.{GROUP} "nope" not found'
    assert RBAC(objects).check(asks(JANE, "list", "pods")) == Decision(None, reason)


async def test_reasons_carry_the_authorizers_name() -> None:
    objects = policy()
    bind(objects, {"kind": "User", "name": "jane"}, "nope")
    decision = await authorization.build(Config(), objects).authorize(asks(JANE, "list", "pods"))
    assert decision == Decision(None, f'rbac: RBAC: clusterrole.{GROUP} "nope" not found')


def test_paths_match_by_their_beginning() -> None:
    rbac = RBAC(policy())
    assert rbac.check(Attributes(JANE, "get", "/openapi/v3/apis")).allowed
    assert rbac.check(Attributes(JANE, "get", "/metrics")).allowed is None


@pytest.mark.parametrize(
    ("resource", "subresource", "allowed"),
    [("pods", "log", True), ("pods", "exec", False), ("deployments", "scale", True), ("pods", "", False)],
)
def test_subresources(resource: str, subresource: str, allowed: bool) -> None:
    rule = rules.Rule({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log", "*/scale"]})
    assert rule.allows(asks(JANE, "get", resource, subresource=subresource)) is allowed


def test_uncovered_and_its_description() -> None:
    own = [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}]
    wanted = [{"verbs": ["get", "watch", "delete"], "apiGroups": [""], "resources": ["pods"]}]
    missing = rules.compact(rules.uncovered(own, wanted))
    assert [rules.describe(r) for r in missing] == ['{APIGroups:[""], Resources:["pods"], Verbs:["watch" "delete"]}']


def test_a_check_is_cheap() -> None:
    """The controller manager's service accounts check on every write: tens of microseconds would be too many."""
    rbac = RBAC(policy())
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", "system:authenticated")
    user = UserInfo("system:serviceaccount:kube-system:deployment-controller", groups=groups)
    ask = Attributes(user, "update", "", True, "apps", "v1", "replicasets", "", "default", "web")
    assert rbac.check(ask).allowed
    assert timeit.timeit(lambda: rbac.check(ask), number=1000) / 1000 < 100e-6
