"""ValidatingWebhookConfiguration."""

from __future__ import annotations

from functools import partial

from pilothouse.api.kinds.admissionregistration import webhooks
from pilothouse.api.kinds.common.strategy import first_generation
from pilothouse.api.kinds.kind import Kind

KIND = Kind(
    default=webhooks.default,
    prepare_create=first_generation,
    prepare_update=webhooks.prepare_update,
    validate=partial(webhooks.validate, mutating=False),
    validate_update=partial(webhooks.validate_update, mutating=False),
    warnings=webhooks.warnings,
    row=webhooks.row,
    unconditional_update=False,
)
