"""`Kind`: everything that is particular to one built-in kind, as pure functions. One file a kind holds one of these.

Each function is upstream's counterpart for the kind: SetDefaults_*, Strategy.PrepareForCreate and its siblings, Validate*,
the print handler and GetAttrs. All take objects of the version that is stored; `default` and the conversions work on the
version that was sent. Whatever may change an object says so; nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pilothouse.api.exchange import UserInfo
from pilothouse.api.field import ErrorList
from pilothouse.api.objects import Obj


def _nothing(*_: Any) -> None:
    return None


def _no_errors(*_: Any) -> ErrorList:
    return []


def _no_warnings(*_: Any) -> list[str]:
    return []


def no_fields(_: Obj) -> dict[str, str]:
    return {}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Kind:
    default: Callable[[Obj], None] = _nothing
    """(obj): changes obj: fills in what was left out."""

    prepare_create: Callable[[Obj], None] = _nothing
    """(obj): changes obj: drops what a creator may not set (status), sets `metadata.generation`."""

    prepare_update: Callable[[Obj, Obj], None] = _nothing
    """(new, old): changes new: keeps old's status, raises `metadata.generation` where the spec changed."""

    prepare_status: Callable[[Obj, Obj], None] | None = None
    """(new, old): changes new, an update of the status subresource: keeps all of old but status (and upstream's exceptions).
    None: the generic rule, which keeps old's spec and metadata but for managedFields (see upstream's strategy of the kind)."""

    author: Callable[[Obj, UserInfo], None] = _nothing
    """(obj, user): changes obj: writes down who creates it, where the kind records that. Called after `prepare_create`."""

    stamp: Callable[[Obj, Obj | None, str], None] = _nothing
    """(new, old or None, now as metav1.Time): changes new: writes the time where the kind records one. Called after each of the
    three preparations above."""

    validate: Callable[[Obj], ErrorList] = _no_errors
    """(obj): of an object to create. Metadata's own generic checks are not its business, the name's form is: see `name`."""

    validate_update: Callable[[Obj, Obj], ErrorList] = _no_errors
    """(new, old): both the rules of `validate` that hold on update and those of transition."""

    validate_status: Callable[[Obj, Obj], ErrorList] = _no_errors
    """(new, old): of an update of the status subresource."""

    canonicalize: Callable[[Obj], None] = _nothing
    """(obj): changes obj, which is valid: what no reader is shown goes."""

    name: Callable[[str, bool], list[str]] | None = None
    """(name, is_prefix): what is wrong with a name, as details of `metadata.name: Invalid value`. None: DNS-1123 subdomain."""

    own_metadata: bool = True
    """Validation looks at metadata with `name`. False: upstream's does not, so that the rules which hold of everything are asked
    instead, where it found nothing wrong."""

    names_are_checked_again: bool = False
    """Of an update, too, a generateName must be one."""

    random_names: bool = True
    """A generateName gets random letters; False: it is the name."""

    names_itself: bool = False
    """An object without a name gets a UUID for one."""

    warnings: Callable[[Obj, Obj | None], list[str]] = _no_warnings
    """(new, old or None): texts for the Warning header."""

    status_warnings: Callable[[Obj], list[str]] = _no_warnings
    """(new): the same, of an update of the status subresource."""

    row: Callable[[Obj, float], list[Any]] | None = None
    """(obj, now_s): the cells of the kind's table in the order of facts/columns.json. None: name and age."""

    row_conditions: Callable[[Obj], list[Obj]] | None = None
    """(obj): what a table says of the whole row beside its cells, metav1's TableRowConditions. None: nothing."""

    converted_annotations: frozenset[str] = frozenset()
    """Annotations that only the conversion to the served version writes: views of metadata alone lack them."""

    fields: Callable[[Obj], dict[str, str]] = no_fields
    """(obj): values of the kind's own selectable fields; `metadata.name` and `metadata.namespace` every kind has."""

    field_names: frozenset[str] = frozenset()
    """The names of these fields: a selector of any other is refused."""

    decode: Mapping[str, Callable[[Obj], Obj]] = field(default_factory=dict)
    """version → converts an object of that version to the stored one (only for groups of several versions)."""

    encode: Mapping[str, Callable[[Obj], Obj]] = field(default_factory=dict)
    """version → converts a stored object to that version; must not change its argument."""

    create_on_update: bool = False
    """PUT and PATCH apply of an absent object create it without a strategy's leave (upstream's AllowCreateOnUpdate)."""

    unconditional_update: bool = True
    """An update without a resource version is accepted (upstream's AllowUnconditionalUpdate)."""

    grace_period_s: Callable[[Obj, int | None], int] | None = None
    """(obj, wanted or None): seconds of graceful deletion; only pods have one."""

    reset_fields: frozenset[str] = frozenset({"status"})
    """Dotted paths that the main resource ignores, so that field managers do not come to own them (GetResetFields)."""

    status_reset_fields: frozenset[str] = frozenset({"spec"})
    """Those that the status subresource ignores."""
