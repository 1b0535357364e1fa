"""The built-in kinds: one file a kind, found through one table and imported when a request first names the kind.

A new kind is one new file with a `KIND` and one line in `MODULES`.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from pilothouse.api.kinds.kind import Kind

# (group, kind) → module below this package. The kinds that are absent have no particular behaviour.
MODULES: dict[tuple[str, str], str] = {}


@cache
def kind_of(group: str, kind: str) -> Kind:
    """The behaviour of a built-in kind; the plain one where it has none of its own."""
    module = MODULES.get((group, kind))
    if module is None:
        return Kind()
    found = import_module(f"pilothouse.api.kinds.{module}").KIND
    assert isinstance(found, Kind)
    return found
