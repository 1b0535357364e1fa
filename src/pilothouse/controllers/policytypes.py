"""Tells authors of ValidatingAdmissionPolicies where an expression does not fit the types of the objects it is about.

Source: upstream's pkg/controller/validatingadmissionpolicystatus and admission/plugin/policy/validating/typechecking.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pilothouse.api.cel.environment import CompileError, Environment, InstantiationError
from pilothouse.api.cel.objecttypes import ObjectTypes
from pilothouse.api.cel.types import DYN
from pilothouse.api.cel.types import Type as CelType
from pilothouse.api.kinds.admissionregistration import expressions
from pilothouse.api.kinds.admissionregistration.expressions import Scope
from pilothouse.api.objects import Obj
from pilothouse.api.scheme import GVK, GVR, resources, split_api_version
from pilothouse.api.structural import typing
from pilothouse.api.types import Type, type_of
from pilothouse.controllers.base import Context, Controller

_GROUP: Final = "admissionregistration.k8s.io"
_KINDS_MAX: Final = 10  # of one rule


@dataclass(frozen=True, slots=True)
class _Checked:
    """A kind of objects that the policy is about, or of its parameters."""

    gvk: GVK
    type: Type | None


class PolicyTypesController(Controller):
    name = "validatingadmissionpolicy-status-controller"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.policies = self.informer(_GROUP, "v1", "validatingadmissionpolicies")
        self.definitions = self.informer("apiextensions.k8s.io", "v1", "customresourcedefinitions")
        self._api = self.client.resource(_GROUP, "v1", "validatingadmissionpolicies")
        self.policies.add_handler(self.enqueue, lambda _, new: self.enqueue(new), lambda _: None)

    async def reconcile(self, key: str) -> None:
        policy = self.policies.lister.get("", key)
        if policy is None:
            return
        generation = policy["metadata"].get("generation") or 0
        if generation <= ((policy.get("status") or {}).get("observedGeneration") or 0):
            return
        warnings = self._warnings(policy["spec"])
        checking = {"expressionWarnings": warnings} if warnings else {}
        body = {
            "apiVersion": f"{_GROUP}/v1",
            "kind": "ValidatingAdmissionPolicy",
            "metadata": {"name": key},
            "status": {"observedGeneration": generation, "typeChecking": checking},
        }
        await self._api.patch(key, "", body, "apply", subresource="status", field_manager=self.name, force=True)

    def _warnings(self, spec: Obj) -> list[Obj]:
        kinds = [c for c in sorted(self._kinds(spec), key=lambda c: c.gvk) if c.type is not None]
        params = self._params(spec)
        found: list[Obj] = []
        for index, validation in enumerate(spec.get("validations") or ()):
            for name in ("expression", "messageExpression"):
                expression = validation.get(name)
                if not expression:
                    continue
                told = [t for c in kinds if (t := _complaint(expression, spec, c, params))]
                if told:
                    found.append({"fieldRef": f"spec.validations[{index}].{name}", "warning": "\n".join(told)})
        return found

    def _kinds(self, spec: Obj) -> set[_Checked]:
        found: dict[GVK, _Checked] = {}
        for rule in (spec.get("matchConstraints") or {}).get("resourceRules") or ():
            for count, one in enumerate(self._of_rule(rule), 1):
                found[one.gvk] = one
                if count == _KINDS_MAX:
                    return set(found.values())
        return set(found.values())

    def _of_rule(self, rule: Obj) -> Iterator[_Checked]:
        groups, versions = rule.get("apiGroups") or [], rule.get("apiVersions") or []
        if any("*" in name for name in (*groups, *versions)):
            return
        named = [r for r in rule.get("resources") or () if "*" not in r and "/" not in r]
        for group in sorted(groups):
            for version in sorted(versions):
                for resource in sorted(named):
                    found = self._resource(GVR(group, version, resource))
                    if found is not None:
                        yield found

    def _resource(self, gvr: GVR) -> _Checked | None:
        built_in = resources().get(gvr)
        if built_in is not None:
            return _Checked(built_in.gvk, type_of(built_in.gvk))
        definition = self.definitions.lister.get("", f"{gvr.resource}.{gvr.group}")
        return None if definition is None else _custom(definition, gvr.version)

    def _params(self, spec: Obj) -> _Checked | None:
        kind = spec.get("paramKind")
        if kind is None:
            return None
        gvk = GVK(*split_api_version(kind.get("apiVersion") or ""), kind.get("kind") or "")
        known = type_of(gvk)
        if known is None:
            for definition in self.definitions.lister.list():
                names = definition["spec"].get("names") or {}
                if (definition["spec"].get("group"), names.get("kind")) == (gvk.group, gvk.kind):
                    found = _custom(definition, gvk.version)
                    known = None if found is None else found.type
        return _Checked(gvk, known)


def _custom(definition: Obj, version: str) -> _Checked | None:
    spec = definition["spec"]
    served = next((v for v in spec.get("versions") or () if v.get("name") == version and v.get("served")), None)
    if served is None:
        return None
    schema = (served.get("schema") or {}).get("openAPIV3Schema")
    gvk = GVK(spec.get("group") or "", version, (spec.get("names") or {}).get("kind") or "")
    return _Checked(gvk, None if schema is None else typing.of_root(schema))


def _complaint(expression: str, spec: Obj, about: _Checked, params: _Checked | None) -> str:
    """What is wrong with an expression for objects of one kind, or nothing."""
    types = ObjectTypes()
    assert about.type is not None
    scope = Scope(params=params is not None, variables=())
    plain = expressions.environment(scope)
    own = types.of(about.type, about.gvk.kind) or DYN
    variables: dict[str, CelType] = {**plain.variables, "object": own, "oldObject": own}
    variables.pop("authorizer.requestResource")
    if params is not None:
        variables["params"] = (types.of(params.type, f"params.{params.gvk.kind}") if params.type else None) or DYN
    composed: dict[str, CelType] = {}
    structs = {**plain.structs, expressions.VARIABLES: composed}
    environment = Environment(variables, structs, types.lookup)
    for variable in spec.get("variables") or ():
        try:
            composed[variable.get("name") or ""] = environment.compile(variable.get("expression") or "").type
        except CompileError:
            composed[variable.get("name") or ""] = DYN
    shown = f"{about.gvk.api_version}, Kind={about.gvk.kind}"
    try:
        environment.compile(expression)
    except InstantiationError as e:
        return f"{shown}: type checking error: {e}\n"
    except CompileError as e:
        return f"{shown}: {e}\n"
    return ""
