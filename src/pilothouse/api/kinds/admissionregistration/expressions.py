"""The CEL expressions of webhooks and policies, judged when they are written."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList
from pilothouse.api.kinds.common import cel

_KIND: Final = (("group", "string"), ("version", "string"), ("kind", "string"))
_RESOURCE: Final = (("group", "string"), ("version", "string"), ("resource", "string"))
_REQUEST: Final[cel.Fields] = (
    ("kind", _KIND),
    ("resource", _RESOURCE),
    ("subResource", "string"),
    ("requestKind", _KIND),
    ("requestResource", _RESOURCE),
    ("requestSubResource", "string"),
    ("name", "string"),
    ("namespace", "string"),
    ("operation", "string"),
    ("userInfo", (("username", "string"), ("uid", "string"), ("groups", "[]string"), ("extra", "{}dyn"))),
    ("dryRun", "bool"),
    ("options", "dyn"),
)
_METADATA: Final = (
    ("name", "string"), ("generateName", "string"), ("namespace", "string"), ("labels", "{}string"),
    ("annotations", "{}string"), ("UID", "string"), ("creationTimestamp", "dyn"), ("deletionGracePeriodSeconds", "int"),
    ("deletionTimestamp", "dyn"), ("generation", "int"), ("resourceVersion", "string"), ("finalizers", "[]string"),
)  # fmt: skip
_NAMESPACE: Final[cel.Fields] = (
    ("metadata", _METADATA),
    ("spec", (("finalizers", "[]string"),)),
    ("status", (("phase", "string"),)),
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What an expression can name. `variables`: those of the policy, None where it has none at all."""

    params: bool = False
    authorizer: bool = True
    variables: tuple[str, ...] | None = None

    def with_variable(self, name: str) -> Scope:
        return replace(self, variables=(*(self.variables or ()), name))

    def declarations(self) -> cel.Declarations:
        named: list[tuple[str, cel.Shape]] = [
            ("object", "dyn"), ("oldObject", "dyn"), ("namespaceObject", _NAMESPACE), ("request", _REQUEST),
        ]  # fmt: skip
        if self.params:
            named.append(("params", "dyn"))
        if self.authorizer:
            named += [("authorizer", "authorizer"), ("authorizer.requestResource", "authorizer.resource")]
        if self.variables is not None:
            named.append(("variables", tuple((v, "dyn") for v in self.variables)))
        return cel.Declarations(tuple(named))


def check(expression: str, path: str, scope: Scope, *returns: str, shown: str | None = None) -> ErrorList:
    """`shown`: the bad value, where it is not the expression itself."""
    wrong = cel.compile_error(expression, scope.declarations(), returns)
    return [field.invalid(path, expression if shown is None else shown, wrong)] if wrong else []


def compiles(expression: str, scope: Scope) -> str:
    """What keeps an expression of any type from compiling, or nothing."""
    wrong = cel.compile_error(expression, scope.declarations(), ("",))
    return wrong if wrong.startswith("compilation failed") else ""
