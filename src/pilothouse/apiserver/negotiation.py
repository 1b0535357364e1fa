"""Media types: which one an answer takes, and which one a body came in.

Source: upstream's endpoints/handlers/negotiation, and the two older refusals of the router in front of it, whose texts differ.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from pilothouse.api import errors
from pilothouse.api.errors import StatusError

JSON: Final = "application/json"
YAML: Final = "application/yaml"
PROTOBUF: Final = "application/vnd.kubernetes.protobuf"
CBOR: Final = "application/cbor"
CBOR_STREAM: Final = "application/cbor-seq"

JSON_PATCH: Final = "application/json-patch+json"
MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
APPLY_CBOR: Final = "application/apply-patch+cbor"

_METADATA: Final = frozenset({"PartialObjectMetadata", "PartialObjectMetadataList"})
_TRANSFORMS: Final = frozenset({"Table", *_METADATA})


class Forms(NamedTuple):
    """The media types that a server speaks."""

    all: tuple[str, ...] = (JSON, YAML, PROTOBUF)
    custom: tuple[str, ...] = (JSON, YAML)  # custom resources have no protobuf
    streams: tuple[str, ...] = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
    patches: tuple[str, ...] = (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)

    def of(self, custom: bool) -> tuple[str, ...]:
        return self.custom if custom else self.all

    def patches_of(self, custom: bool) -> tuple[str, ...]:
        return tuple(p for p in self.patches if p != STRATEGIC_PATCH) if custom else self.patches


USUAL: Final = Forms()
WITH_CBOR: Final = Forms(
    (*USUAL.all, CBOR), (*USUAL.custom, CBOR), (*USUAL.streams, CBOR_STREAM), (*USUAL.patches, APPLY_CBOR)
)


class Output(NamedTuple):
    media_type: str = JSON
    transform: str = ""  # Table, PartialObjectMetadata or PartialObjectMetadataList
    version: str = ""  # of the transform: v1 or v1beta1
    pretty: bool = False


class Clause(NamedTuple):
    media_type: str
    params: dict[str, str]
    quality: float


@lru_cache(maxsize=256)
def clauses(accept: str) -> tuple[Clause, ...]:
    """The clauses of an Accept header, the most wanted first (upstream's goautoneg, with its own idea of order)."""
    found: list[Clause] = []
    for part in accept.split(","):
        media, _, rest = part.strip(" ").partition(";")
        type_, _, subtype = (piece.strip(" ") for piece in media.partition("/"))
        if "/" in subtype or (not subtype and type_ != "*"):
            continue
        params: dict[str, str] = {}
        quality = 1.0
        for piece in rest.split(";"):
            name, _, value = piece.partition("=")
            if not value or "=" in value:
                continue
            if name.strip(" ") == "q":
                quality = _quality(value)
            else:
                params[name.strip(" ")] = value.strip(" ")
        _place(found, Clause(f"{type_}/{subtype or '*'}", params, quality))
    return tuple(found)


def _quality(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _place(sorted_: list[Clause], clause: Clause) -> None:
    """Sorts it in. What is said wholly comes before a wildcard even where it is wanted less."""
    at = len(sorted_)
    while at and _before(clause, sorted_[at - 1]):
        at -= 1
    sorted_.insert(at, clause)


def _before(one: Clause, other: Clause) -> bool:
    if one.quality > other.quality:
        return True
    if not one.media_type.startswith("*") and other.media_type.startswith("*"):
        return True
    return not one.media_type.endswith("/*") and other.media_type.endswith("/*")


def _matches(clause: str, media_type: str) -> bool:
    return clause == media_type or clause == "*/*" or (clause.endswith("/*") and media_type.startswith(clause[:-1]))


@lru_cache(maxsize=256)
def _output(accept: str, forms: Forms, custom: bool, tables: bool, transforms: bool) -> Output | None:
    if not accept:
        return Output()
    for clause in clauses(accept):
        for media_type in forms.all:
            if not _matches(clause.media_type, media_type):
                continue
            if clause.params.get("stream") and (clause.params["stream"] != "watch" or media_type == YAML):
                continue
            if clause.params.get("sv") not in (None, "", "v1"):
                continue
            transform = clause.params.get("as", "")
            version = clause.params.get("v", "")
            asked = "as" in clause.params or "g" in clause.params or "v" in clause.params
            if asked:
                known = clause.params.get("g") == "meta.k8s.io" and version in ("v1", "v1beta1")
                if not transforms or not known or transform not in _TRANSFORMS:
                    continue
                if transform == "Table" and not (tables and media_type not in (PROTOBUF, CBOR)):
                    continue
            if media_type not in forms.of(custom) and transform not in _METADATA:
                continue  # what has no form of its own in protobuf has metadata all the same
            return Output(media_type, transform, version if transform else "", clause.params.get("pretty") == "1")
    return None


@lru_cache(maxsize=256)
def aggregated(accept: str, forms: Forms) -> str:
    """The media type in which the whole of discovery is asked for; empty where that is not what is accepted first."""
    for clause in clauses(accept):
        params = clause.params
        asked = [params.get(name) for name in ("g", "v", "as")]
        wanted = asked == ["apidiscovery.k8s.io", "v2", "APIGroupDiscoveryList"]
        for media_type in forms.all:
            if _matches(clause.media_type, media_type) and (
                wanted or not any(name in params for name in ("g", "v", "as"))
            ):
                return media_type if wanted else ""
    return ""


def route_accepts(accept: str, forms: Forms, *, listing: bool = False) -> None:
    """The router's own look at Accept: whole types and */* only, parameters not looked at."""
    if not accept:
        return
    produced = (*forms.all, *(forms.streams if listing else ()))
    for part in accept.split(","):
        media_type = part.partition(";")[0].strip()
        if media_type == "*/*" or media_type in produced:
            return
    message = "406: Not Acceptable\n\nAvailable representations: " + ", ".join(produced)
    raise StatusError(406, "NotAcceptable", message, {})


def output(
    accept: str,
    forms: Forms,
    *,
    custom: bool = False,
    stream: bool = False,
    tables: bool = True,
    transforms: bool = True,
) -> Output:
    """Raises 406 where nothing that is accepted can be given."""
    found = _output(accept, forms, custom, tables, transforms)
    if found is None:
        raise errors.not_acceptable(forms.all)
    if stream and found.media_type == YAML:
        raise errors.not_acceptable(forms.streams)
    return found


_PARAMETER: Final = re.compile(
    r'\s*;\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[!#$%&\'*+.^_`|~0-9A-Za-z-]+)'
)


@lru_cache(maxsize=256)
def media_type_of(content_type: str) -> str:
    """A Content-Type without its parameters, in lower case; empty for one that cannot be read (Go's mime.ParseMediaType)."""
    media_type, _, _ = content_type.partition(";")
    rest = content_type[len(media_type) :].rstrip()
    seen: dict[str, str] = {}
    while rest and rest.strip() != ";":
        match = _PARAMETER.match(rest)
        if match is None or seen.setdefault(match[1].lower(), match[2]) != match[2]:
            return ""
        rest = rest[match.end() :]
    media_type = media_type.strip().lower()
    return media_type if media_type.count("/") == 1 and " " not in media_type else ""


def input_type(content_type: str, forms: Forms, *, custom: bool) -> str:
    """The media type of a body. Raises 415 for an unknown one."""
    if not content_type:
        return JSON
    media_type = media_type_of(content_type)
    if media_type not in forms.of(custom):
        raise errors.unsupported_media_type(forms.all)  # also where some are not read, as of custom resources
    return media_type


def wants_pretty(pretty: str, user_agent: str) -> bool:
    """`pretty` in the query decides; without it, the tools that people read with get it."""
    if pretty:
        return pretty in ("1", "t", "T", "true", "TRUE", "True")
    return user_agent.startswith(("curl", "Wget", "Mozilla/5.0"))
