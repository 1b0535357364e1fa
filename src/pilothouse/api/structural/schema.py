"""`Schema`: a version's structural schema, compiled once: what it does to objects, and what it finds wrong with them.

Source: upstream's apiextensions-apiserver (unstructuredSchemaCoercer, unstructuredDefaulter, customResourceValidator).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from pilothouse.api.field import ErrorList, ErrorType, FieldError
from pilothouse.api.objects import Obj
from pilothouse.api.structural import defaulting, listtype, objectmeta, pruning, typing, validity
from pilothouse.api.structural.correlation import Correlated
from pilothouse.api.structural.explain import NOWHERE, explain
from pilothouse.api.types import Type

if TYPE_CHECKING:
    from pilothouse.api.structural.rules import Rules

_VALIDATIONS: Final = b"x-kubernetes-validations"

# Errors after which the rules are not looked at: they could not be told from it.
_BLOCKING: Final = frozenset(
    {
        ErrorType.NOT_SUPPORTED, ErrorType.REQUIRED, ErrorType.TOO_LONG, ErrorType.TOO_MANY, ErrorType.TYPE_INVALID,
    }
)  # fmt: skip
_UNCHECKED: Final = (
    "some validation rules were not checked because the object was invalid; correct the existing errors to complete "
    "validation"
)


def _rules(schema: Obj) -> Rules | None:
    if _VALIDATIONS not in orjson.dumps(schema):
        return None
    from pilothouse.api.structural import rules  # and with it CEL

    return rules.compiled(schema)


class Schema:
    """Everything is compiled when it is first needed: most definitions of a cluster are never used."""

    def __init__(self, schema: Obj, *, preserve: bool = False) -> None:
        """`preserve`: nothing is pruned (spec.preserveUnknownFields of old definitions)."""
        self._schema, self._preserve = schema, preserve
        self._ready = False

    def _compile(self) -> None:
        schema = self._schema
        self._prune = pruning.compiled(schema, root=True)
        self._coerce = objectmeta.coercer(schema)
        self._default = defaulting.compiled(schema)
        self._valid = validity.compiled(schema)
        self._embedded = objectmeta.validator(schema)
        self._lists = listtype.compiled(schema)
        self._rules = _rules(schema)
        status = (schema.get("properties") or {}).get("status")
        self._status: Obj | None = status
        self._status_valid = validity.compiled(status) if status is not None else None
        self._ready = True

    def type(self) -> Type:
        return typing.of_root(self._schema)

    def read(self, obj: Obj) -> list[str]:
        """Changes obj: takes out what the schema does not list, and nulls that may not be; embedded metadata comes into its
        form. Returns the paths of what it took out. The object's own metadata is the caller's. Raises objectmeta.Refused."""
        if not self._ready:
            self._compile()
        unknown: list[str] = []
        if not self._preserve:
            self._prune(obj, "", unknown)
            unknown.sort()
            pruning.drop_nulls(obj, self._schema)
        if self._coerce is not None:
            found: list[str] = []
            self._coerce(obj, "", found)
            unknown += sorted(found)
        return unknown

    def default(self, obj: Obj) -> None:
        """Changes obj."""
        if not self._ready:
            self._compile()
        if self._default is not None:
            self._default(obj)

    def validate(self, obj: Obj) -> ErrorList:
        """Of an object to create, but for its metadata."""
        if not self._ready:
            self._compile()
        found = [] if self._valid(obj) else explain(obj, self._schema)
        if self._embedded is not None:
            found += self._embedded(obj, "")
        if self._lists is not None:
            found += self._lists(obj, "")
        return found

    def validate_update(self, new: Obj, old: Obj) -> ErrorList:
        if not self._ready:
            self._compile()
        found = [] if self._valid(new) else explain(new, self._schema, past=Correlated(new, old, self._schema))
        if self._embedded is not None:
            found += self._embedded(new, "")
        return found + self._new_repeats(new, old)

    def validate_status(self, new: Obj, old: Obj) -> ErrorList:
        if not self._ready:
            self._compile()
        found: ErrorList = []
        if self._status is not None and "status" in new:
            assert self._status_valid is not None
            status = new["status"]
            if not self._status_valid(status):
                past = Correlated(status, old.get("status"), self._status)
                found += explain(status, self._status, "status", past)
        return found + self._new_repeats(new, old)

    def _new_repeats(self, new: Obj, old: Obj) -> ErrorList:
        """Lists that hold something twice, unless the old object had such ones already."""
        if self._lists is None:
            return []
        found = self._lists(new, "")
        return [] if found and self._lists(old, "") else found

    def validate_rules(self, new: Obj, old: Obj | None, found: ErrorList) -> ErrorList:
        """x-kubernetes-validations, unless what was found before keeps them from being looked at."""
        if not self._ready:
            self._compile()
        if self._rules is None:
            return []
        if any(e.type in _BLOCKING for e in found):
            return [FieldError(ErrorType.INVALID, NOWHERE, None, _UNCHECKED)]
        past: Any = Correlated(new, old, self._schema) if old is not None else None
        return self._rules(new, old, past)
