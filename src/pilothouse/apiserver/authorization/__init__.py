"""Who may do what: one file a mechanism, asked in upstream's order."""

from __future__ import annotations

from dataclasses import dataclass

from pilothouse.api.exchange import UserInfo
from pilothouse.api.objects import Obj
from pilothouse.apiserver.authorization.node import NodeAuthorizer, node_of
from pilothouse.apiserver.authorization.rbac import RBAC
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.contracts import Attributes, Authorizer, Decision, Objects

__all__ = ["Authorization", "build"]

MASTERS = "system:masters"


@dataclass(frozen=True, slots=True)
class Always:
    """Upstream's AlwaysAllow and AlwaysDeny."""

    decision: Decision

    async def authorize(self, attributes: Attributes) -> Decision:
        return self.decision


class Authorization:
    """The authorizers of the configuration, system:masters before all of them. Whoever none of them allows is refused."""

    def __init__(self, modes: tuple[str, ...], objects: Objects) -> None:
        self.rbac = RBAC(objects)
        self.modes = modes
        self._authorizers = [(mode.lower(), _authorizer(mode, self.rbac, objects)) for mode in modes]

    async def authorize(self, attributes: Attributes) -> Decision:
        if MASTERS in attributes.user.groups:
            return Decision(True)
        reasons = []
        for name, authorizer in self._authorizers:
            decision = await authorizer.authorize(attributes)
            if decision.allowed is not None:
                return decision
            if decision.reason:
                reasons.append(f"{name}: {decision.reason}")
        return Decision(None, "\n".join(reasons))

    def rules_for(self, user: UserInfo, namespace: str) -> tuple[list[Obj], bool, str]:
        """The rules that apply to the user, whether they are incomplete, and why (SelfSubjectRulesReview)."""
        rules: list[Obj] = []
        errors: list[str] = []
        incomplete = False
        for mode in self.modes:
            if mode == "Node" and node_of(user) is not None:
                incomplete = True
                errors.append("node authorizer does not support user rule resolution")
            elif mode == "RBAC":
                found, error = self.rbac.rules_for(user, namespace)
                rules += found
                errors += [error] if error else []
            elif mode == "AlwaysAllow":
                rules.append({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
                rules.append({"verbs": ["*"], "nonResourceURLs": ["*"]})
        return rules, incomplete, errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]" if errors else ""


def _authorizer(mode: str, rbac: RBAC, objects: Objects) -> Authorizer:
    if mode == "Node":
        return NodeAuthorizer(objects)
    if mode == "RBAC":
        return rbac
    if mode == "AlwaysAllow":
        return Always(Decision(True))
    if mode == "AlwaysDeny":
        return Always(Decision(None, "Everything is forbidden."))
    raise ValueError(f"unknown authorization mode {mode!r} specified")


def build(config: Config, objects: Objects) -> Authorization:
    return Authorization(config.authorization_modes, objects)
