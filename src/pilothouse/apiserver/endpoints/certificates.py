"""Who may write the status of a PodCertificateRequest, and when."""

from __future__ import annotations

from typing import Final

from pilothouse.api import field
from pilothouse.api.field import ErrorList, Verbatim, quote
from pilothouse.api.kinds.common.conditions import is_true
from pilothouse.api.kinds.common.selectors import same
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.authorization import signers
from pilothouse.apiserver.contracts import Attributes, JudgeContext
from pilothouse.clock.timestamps import parse_time

_SKEW_S: Final = 5 * 60


async def pod_request_status(
    context: JudgeContext, attributes: Attributes, new: Obj, old: Obj | None, found: ErrorList
) -> ErrorList:
    """A certificate begins about now; only who may sign for the signer says anything."""
    if found or old is None or same(new.get("status"), old.get("status")):
        return found
    begin = get(new, "status", "notBefore")
    issued = begin and is_true(get(new, "status", "conditions"), "Issued")
    if issued and abs(parse_time(begin) - context.clock.now()) >= _SKEW_S:
        shown = Verbatim(f"{begin.replace('T', ' ').removesuffix('Z')} +0000 UTC")
        detail = "must be set to within 5 minutes of kube-apiserver's current time"
        return [field.invalid("status.notBefore", shown, detail)]
    user, signer = attributes.user, get(old, "spec", "signerName", default="")
    if await signers.may(context.authorizer, user, "sign", signer):
        return []
    detail = f'User {quote(user.name)} is not permitted to "sign" for signer {quote(signer)}'
    return [field.forbidden("spec.signerName", detail)]
