"""Conversion of custom resources by webhook (ConversionReview).

Source: upstream's apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go: its checks and failure texts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from pilothouse.api import metadata
from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy

Call = Callable[[Obj], Awaitable[Any]]
"""Posts a ConversionReview and returns what was answered. Raises OSError or ValueError whose text says why it could not."""

_REVIEWS: Final = ("v1", "v1beta1")
_KEPT: Final = (("kind", "kind"), ("name", "name"), ("namespace", "namespace"), ("uid", "UID"))
_GO: Final = {list: "[]interface {}", str: "string", bool: "bool", int: "int64", float: "float64", type(None): "<nil>"}


class Converter:
    def __init__(self, kind: str, review_versions: list[str], call: Call, uid: Callable[[], str]) -> None:
        self._kind, self._call, self._uid = kind, call, uid
        self._version = next((v for v in review_versions if v in _REVIEWS), "")

    async def convert(self, objs: list[Obj], api_version: str) -> list[Obj]:
        """New objects; those of the version already come back as they are. Raises StatusError (500)."""
        others = [obj for obj in objs if obj["apiVersion"] != api_version]
        if not others:
            return objs
        try:
            converted = iter(await self._convert(others, api_version))
        except (OSError, ValueError) as e:
            raise StatusError(500, "", str(e)) from None
        return [obj if obj["apiVersion"] == api_version else next(converted) for obj in objs]

    async def _convert(self, objs: list[Obj], api_version: str) -> list[Obj]:
        """Raises ValueError with upstream's words."""
        if not self._version:
            raise ValueError("no supported conversion review versions")
        where = f"conversion webhook for {objs[0]['apiVersion']}, Kind={self._kind}"
        uid = self._uid()
        review = {
            "kind": "ConversionReview", "apiVersion": f"apiextensions.k8s.io/{self._version}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": objs},
        }  # fmt: skip
        try:
            found = self._objects(await self._call(review), uid)
        except (OSError, ValueError) as e:
            raise ValueError(f"{where} failed: {e}") from None
        if len(found) != len(objs):
            raise ValueError(f"{where} returned {len(found)} objects, expected {len(objs)}")
        return [_checked(before, after, api_version, where) for before, after in zip(objs, found, strict=True)]

    def _objects(self, answer: Any, uid: str) -> list[Any]:
        if not isinstance(answer, dict):
            raise ValueError("no response provided")
        if self._version == "v1":
            wanted = "apiextensions.k8s.io/v1, Kind=ConversionReview"
            got = f"{answer.get('apiVersion') or ''}, Kind={answer.get('kind') or ''}"
            if not str(answer.get("apiVersion") or "").startswith("apiextensions.k8s.io/") and answer.get("kind"):
                known = f'no kind "{answer["kind"]}" is registered for version "{answer.get("apiVersion") or ""}"'
                raise ValueError(f'{known} in scheme "pkg/runtime/scheme.go:111"')
            if got != wanted:
                raise ValueError(f"expected webhook response of {wanted}, got {got}")
        response = answer.get("response")
        if not isinstance(response, dict):
            raise ValueError("no response provided")
        if self._version == "v1" and response.get("uid") != uid:
            raise ValueError(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
        result = response.get("result") or {}
        if result.get("status") != "Success":
            told = result.get("message") or f"response.result.status was '{result.get('status') or ''}', not 'Success'"
            raise ValueError(str(told))
        objects: list[Any] = response.get("convertedObjects") or []
        return objects


def _checked(before: Obj, after: Any, api_version: str, where: str) -> Obj:
    """The converted object with the metadata that it had, but for labels and annotations."""
    if not isinstance(after, dict):
        raise ValueError(f"{where} returned invalid object at index 0: it is no object")
    if after.get("apiVersion") != api_version:
        got = after.get("apiVersion") or ""
        raise ValueError(
            f"{where} returned invalid object at index 0: invalid groupVersion (expected {api_version}, received {got})"
        )
    if after.get("kind") != before["kind"]:
        got = after.get("kind") or ""
        raise ValueError(
            f"{where} returned invalid object at index 0: invalid kind (expected {before['kind']}, received {got})"
        )
    meta = after.get("metadata")
    if "metadata" not in after:
        raise ValueError(f"{where} returned invalid metadata: missing metadata in converted object")
    if not isinstance(meta, dict):
        raise ValueError(f"{where} returned invalid metadata: invalid metadata of type {_go(meta)} in converted object")
    for name, shown in _KEPT[1:]:
        had, has = before["metadata"].get(name) or "", meta.get(name) or ""
        if had != has:
            raise ValueError(f"{where} returned invalid object: must have the same {shown}: {had} != {has}")
    kept: Obj = copy(before["metadata"])
    for name in ("labels", "annotations"):
        given = meta.get(name)
        if given is None:
            kept.pop(name, None)
            continue
        why = _not_strings(name, given)
        if not why and given != before["metadata"].get(name):
            check = metadata.labels if name == "labels" else metadata.check_annotations
            texts = [str(e) for e in check(given, "metadata.labels" if name == "labels" else "metadata.annotation")]
            why = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]" if texts else ""
        if why:
            raise ValueError(f"{where} returned invalid metadata: {why}")
        kept[name] = given
    return {**after, "metadata": kept}


def _not_strings(name: str, given: Any) -> str:
    if not isinstance(given, dict):
        return f"invalid metadata.{name} of type {_go(given)} in converted object"
    for key, value in given.items():
        if not isinstance(value, str):
            return f"metadata.{name}[{key}] must be a string, but is {_go(value)} in converted object"
    return ""


def _go(value: Any) -> str:
    return _GO.get(type(value), "map[string]interface {}")
