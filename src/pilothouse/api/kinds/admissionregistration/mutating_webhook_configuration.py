"""MutatingWebhookConfiguration."""

from __future__ import annotations

from functools import partial

from pilothouse.api.kinds.admissionregistration import webhooks
from pilothouse.api.kinds.common.strategy import first_generation
from pilothouse.api.kinds.kind import Kind
from pilothouse.api.objects import Obj


def _default(obj: Obj) -> None:
    webhooks.default(obj)
    for hook in obj.get("webhooks") or ():
        if hook.get("reinvocationPolicy") is None:
            hook["reinvocationPolicy"] = "Never"


KIND = Kind(
    default=_default,
    prepare_create=first_generation,
    prepare_update=webhooks.prepare_update,
    validate=partial(webhooks.validate, mutating=True),
    validate_update=partial(webhooks.validate_update, mutating=True),
    warnings=webhooks.warnings,
    row=webhooks.row,
    unconditional_update=False,
)
