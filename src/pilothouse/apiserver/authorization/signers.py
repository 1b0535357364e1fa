"""Who may do something for a signer: by its name, or for all of its domain."""

from __future__ import annotations

from typing import Final

from pilothouse.api.exchange import UserInfo
from pilothouse.apiserver.contracts import Attributes, Authorizer

GROUP: Final = "certificates.k8s.io"


async def may(authorizer: Authorizer, user: UserInfo, verb: str, signer: str) -> bool:
    for name in (signer, f"{signer.partition('/')[0]}/*"):
        decision = await authorizer.authorize(Attributes(user, verb, "", True, GROUP, "*", "signers", "", "", name))
        if decision.allowed:
            return True
    return False
