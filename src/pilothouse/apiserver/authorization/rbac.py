"""The RBAC authorizer: role bindings by subject, rules compiled once and resolved once a user.

Source: upstream's documentation "Using RBAC Authorization", and pkg/registry/rbac/validation for the reasons' texts.
Everything derived is dropped when one of the four resources changes (`Objects.changed_at`); between changes a check is a walk
over the rules of one user.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import Obj
from pilothouse.apiserver.authorization.rules import Rule
from pilothouse.apiserver.contracts import Attributes, Decision, Objects

GROUP: Final = "rbac.authorization.k8s.io"
_RESOURCES = ("clusterroles", "clusterrolebindings", "roles", "rolebindings")
_USERS_MOST = 4096
_PREFIX = "system:serviceaccount:"


class RoleMissing(Exception):
    """A binding's role does not exist, or is of no known kind."""


class Grant(NamedTuple):
    source: str  # "ClusterRoleBinding ... of ClusterRole ... to ..."
    rule: Rule


class _Bound(NamedTuple):
    order: int
    binding: Obj
    subject: Obj


class Granted(NamedTuple):
    grants: list[Grant]
    errors: list[str]


class _Subjects:
    """The bindings of one scope, by whom they apply to."""

    def __init__(self, bindings: Iterator[Obj], namespace: str) -> None:
        self.namespace = namespace
        self._users: dict[str, list[_Bound]] = {}
        self._groups: dict[str, list[_Bound]] = {}
        for order, binding in enumerate(bindings):
            for subject in binding.get("subjects") or ():
                bound = _Bound(order, binding, subject)
                kind, name = subject.get("kind"), subject.get("name", "")
                if kind == "User":
                    self._users.setdefault(name, []).append(bound)
                elif kind == "Group":
                    self._groups.setdefault(name, []).append(bound)
                elif kind == "ServiceAccount":
                    home = subject.get("namespace") or namespace
                    if home:
                        self._users.setdefault(f"{_PREFIX}{home}:{name}", []).append(bound)

    def of(self, user: UserInfo) -> list[_Bound]:
        """One for each binding that applies, by its first subject that does, in order of the bindings."""
        found = list(self._users.get(user.name, ()))
        for group in user.groups:
            found += self._groups.get(group, ())
        if len(found) < 2:
            return found
        first: dict[int, _Bound] = {}
        for bound in found:
            known = first.get(bound.order)
            if known is None or _index(bound) < _index(known):
                first[bound.order] = bound
        return [first[order] for order in sorted(first)]


def _index(bound: _Bound) -> int:
    return next(i for i, s in enumerate(bound.binding["subjects"]) if s is bound.subject)


def _describe_subject(subject: Obj, namespace: str) -> str:
    name = subject.get("name", "")
    if subject.get("kind") == "ServiceAccount":
        name = f"{name}/{subject.get('namespace') or namespace}"
    return f'{subject.get("kind", "")} "{name}"'


def _describe(bound: _Bound, namespace: str) -> str:
    ref = bound.binding["roleRef"]
    name = bound.binding["metadata"]["name"]
    of = f'{ref.get("kind", "")} "{ref.get("name", "")}" to {_describe_subject(bound.subject, namespace)}'
    if namespace:
        return f'RoleBinding "{name}/{namespace}" of {of}'
    return f'ClusterRoleBinding "{name}" of {of}'


class RBAC:
    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._versions: tuple[int, ...] = ()
        self._scopes: dict[str, _Subjects] = {}
        self._rules: dict[tuple[str, str, str], list[Rule]] = {}
        self._granted: dict[tuple[str, tuple[str, ...], str], Granted] = {}

    async def authorize(self, attributes: Attributes) -> Decision:
        return self.check(attributes)

    def check(self, a: Attributes) -> Decision:
        errors: list[str] = []
        for granted in self._visit(a.user, a.namespace):
            for grant in granted.grants:
                if grant.rule.allows(a):
                    return Decision(True, f"RBAC: allowed by {grant.source}")
            errors += granted.errors
        return Decision(None, f"RBAC: {_aggregate(errors)}" if errors else "")

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[Obj], str]:
        """All rules that apply to the user, and what went wrong on the way (empty: nothing)."""
        rules: list[Obj] = []
        errors: list[str] = []
        for granted in self._visit(user, namespace):
            rules += [grant.rule.source for grant in granted.grants]
            errors += granted.errors
        return rules, _aggregate(errors)

    def role_rules(self, ref: Obj, namespace: str) -> list[Rule]:
        """The rules of a binding's role. Raises RoleMissing."""
        kind, name = ref.get("kind"), ref.get("name", "")
        if kind == "ClusterRole":
            key = ("clusterroles", "", name)
        elif kind == "Role":
            key = ("roles", namespace, name)
        else:
            raise RoleMissing(f'unsupported role reference kind: "{kind}"')
        found = self._rules.get(key)
        if found is None:
            role = self._objects.get(GROUP, *key)
            if role is None:
                raise RoleMissing(f'{key[0][:-1]}.{GROUP} "{name}" not found')
            found = self._rules[key] = [Rule(rule) for rule in role.get("rules") or ()]
        return found

    def refresh(self) -> None:
        """Drops what is derived where it may be out of date."""
        changed_at = self._objects.changed_at
        versions = tuple([changed_at(GROUP, resource) for resource in _RESOURCES])
        if versions != self._versions:
            self._versions = versions
            self._scopes.clear()
            self._rules.clear()
            self._granted.clear()

    def _visit(self, user: UserInfo, namespace: str) -> Iterator[Granted]:
        self.refresh()
        yield self._resolve(user, "")
        if namespace:
            yield self._resolve(user, namespace)

    def _resolve(self, user: UserInfo, namespace: str) -> Granted:
        key = (user.name, user.groups, namespace)
        found = self._granted.get(key)
        if found is None:
            if len(self._granted) >= _USERS_MOST:
                self._granted.clear()
            found = self._granted[key] = self._grants(user, namespace)
        return found

    def _grants(self, user: UserInfo, namespace: str) -> Granted:
        scope = self._scopes.get(namespace)
        if scope is None:
            resource = "rolebindings" if namespace else "clusterrolebindings"
            scope = self._scopes[namespace] = _Subjects(iter(self._objects.list(GROUP, resource, namespace)), namespace)
        granted = Granted([], [])
        for bound in scope.of(user):
            try:
                rules = self.role_rules(bound.binding["roleRef"], namespace)
            except RoleMissing as error:
                granted.errors.append(str(error))
                continue
            source = _describe(bound, namespace)
            granted.grants.extend(Grant(source, rule) for rule in rules)
        return granted


def _aggregate(errors: list[str]) -> str:
    texts = list(dict.fromkeys(errors))
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""
