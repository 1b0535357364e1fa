"""The namespace controller: `controller` is its frame, `content` what it deletes, `conditions` what it says meanwhile."""

from pilothouse.controllers.namespace.controller import NamespaceController

__all__ = ["NamespaceController"]
