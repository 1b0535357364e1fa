"""Names of container images: only as much as decides whether one is always pulled.

Source: the grammar of references in the distribution project's documentation.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_COMPONENT: Final = "(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_DOMAIN: Final = rf"(?:{_COMPONENT}(?:\.{_COMPONENT})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH: Final = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_DIGEST: Final = "(?:sha256:[a-f0-9]{64}|sha384:[a-f0-9]{96}|sha512:[a-f0-9]{128})"
_reference = re.compile(
    rf"((?:{_DOMAIN}/)?{_PATH}(?:/{_PATH})*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}))?(@{_DIGEST})?", re.ASCII
)
_is_bare_digest = re.compile("[a-f0-9]{64}").fullmatch
_NAME_MAX: Final = 255
_TEXT_MAX: Final = 1024


@lru_cache(maxsize=1024)
def pull_policy(image: str) -> str:
    """`Always` for the tag `latest`, which an image without tag and digest has; `IfNotPresent` for all else."""
    return "Always" if _tag(image) == "latest" else "IfNotPresent"


def _tag(image: str) -> str:
    if len(image) > _TEXT_MAX or _is_bare_digest(image):
        return ""
    domain, slash, rest = image.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost" or domain.lower() != domain):
        domain, rest = "docker.io", image
    name = rest.partition(":")[0]
    if name.lower() != name:
        return ""
    match = _reference.fullmatch(f"{domain}/{rest}")
    if match is None or len(match[1]) > _NAME_MAX:
        return ""
    return match[2] or ("" if match[3] else "latest")
