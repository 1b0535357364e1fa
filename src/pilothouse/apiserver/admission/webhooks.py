"""Mutating and validating webhooks: writes that others are asked about.

Source: the documentation's page "Dynamic Admission Control" and upstream's admission/plugin/webhook.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any, Final

import orjson

from pilothouse.api import errors
from pilothouse.api.codec.rawtext import reencoded
from pilothouse.api.errors import StatusError
from pilothouse.api.field import quote
from pilothouse.api.objects import Obj, copy
from pilothouse.api.patch import PatchError
from pilothouse.api.patch.jsonpatch import json_patch
from pilothouse.apiserver.admission import criteria
from pilothouse.apiserver.admission.criteria import Match
from pilothouse.apiserver.admission.plugin import Cluster, Plugin
from pilothouse.apiserver.contracts import AdmissionRequest
from pilothouse.apiserver.webhooks import TIMEOUT_S, Webhook

_VERSIONS: Final = ("v1", "v1beta1")
_SAFE: Final = ("None", "NoneOnDryRun")
_MUTATION: Final = "mutation.webhook.admission.k8s.io/"
# Requests that are judged and not stored: webhooks are not asked about them.
_EXCLUDED: Final = frozenset(
    {("authentication.k8s.io", r) for r in ("selfsubjectreviews", "tokenreviews")}
    | {
        ("authorization.k8s.io", r)
        for r in (
            "localsubjectaccessreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews", "subjectaccessreviews",
        )
    }
)  # fmt: skip


class CallFailed(Exception):
    """The webhook did not answer as it should: its failure policy decides."""


class _Webhooks(Plugin):
    subresources = None
    operations = None
    configurations: str

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster)
        self._at = -1
        self._hooks: list[tuple[str, Obj, Webhook]] = []  # (configuration, webhook, its client)

    def concerns(self, resource: tuple[str, str], subresource: str, operation: str) -> bool:
        return resource not in _EXCLUDED

    def hooks(self) -> list[tuple[str, Obj, Webhook]]:
        at = self.objects.changed_at(criteria.GROUP, self.configurations)
        if at != self._at:
            self._hooks = [
                (configuration["metadata"]["name"], hook, Webhook(hook.get("clientConfig") or {}, self.objects))
                for configuration in criteria.sorted_by_name(self.objects.list(criteria.GROUP, self.configurations))
                for hook in configuration.get("webhooks") or ()
            ]
            self._at = at
        return self._hooks

    async def matched(self, request: AdmissionRequest, hook: Obj) -> Match | None:
        """Whether the webhook is to be asked. Raises StatusError."""
        matched = criteria.match(self.cluster, request, hook, "rules")
        if matched is None or not hook.get("matchConditions"):
            return matched
        from pilothouse.api.kinds.admissionregistration.expressions import Scope
        from pilothouse.apiserver.admission.evaluation import Evaluation, Failed

        evaluation = Evaluation(self.cluster, request, matched, scope=Scope())
        try:
            holds = await evaluation.conditions_hold(hook["matchConditions"])
        except Failed as e:
            if hook.get("failurePolicy") == "Ignore":
                return None
            raise errors.forbidden(request.gvr.group, request.gvr.resource, request.name, str(e)) from None
        return matched if holds else None

    async def asked(self, request: AdmissionRequest, hook: Obj, client: Webhook, matched: Match, mutating: bool) -> Obj:
        """The webhook's response, which allows the request. Raises CallFailed, and StatusError where it does not."""
        name = hook.get("name") or ""
        if request.dry_run and hook.get("sideEffects") not in _SAFE:
            raise errors.bad_request(f"admission webhook {quote(name)} does not support dry run")
        version = next((v for v in hook.get("admissionReviewVersions") or () if v in _VERSIONS), None)
        if version is None:
            wrong = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise CallFailed(f"could not create admission objects: {wrong}")
        uid = self.cluster.clock.uuid()
        review = {"kind": "AdmissionReview", "apiVersion": f"admission.k8s.io/{version}", "request": {
            "uid": uid, **criteria.of_request(request, matched),
            "object": matched.shown(request.obj), "oldObject": matched.shown(request.old),
        }}  # fmt: skip
        timeout = hook.get("timeoutSeconds") or TIMEOUT_S
        try:
            answer = await client.post(review, timeout)
        except ValueError as e:
            raise CallFailed(f"failed to call webhook: {e}") from None
        try:
            response = _verified(answer, version, uid, mutating)
        except ValueError as e:
            raise CallFailed(f"received invalid webhook response: {e}") from None
        for key, value in (response.get("auditAnnotations") or {}).items():
            request.annotations[f"{name}/{key}"] = value
        for text in response.get("warnings") or ():
            if text not in request.warnings:
                request.warnings.append(text)
        if not response.get("allowed"):
            raise _rejection(name, response.get("status"))
        return response


def _verified(answer: Any, version: str, uid: str, mutating: bool) -> Obj:
    """The response of a review. Raises ValueError with upstream's text."""
    if not isinstance(answer, dict) or answer.get("kind") != "AdmissionReview":
        kind = answer.get("kind") if isinstance(answer, dict) else None
        found = f"{answer.get('apiVersion')}, Kind={kind}" if kind else "/, Kind="
        raise ValueError(f"expected webhook response of admission.k8s.io/{version}, Kind=AdmissionReview, got {found}")
    response: Obj | None = answer.get("response")
    if response is None:
        raise ValueError("webhook response was absent")
    if version != "v1":
        return response
    if response.get("uid") != uid:
        raise ValueError(f"expected response.uid={quote(uid)}, got {quote(str(response.get('uid') or ''))}")
    wanted = f"admission.k8s.io/{version}"
    if answer.get("apiVersion") != wanted:
        got = answer.get("apiVersion") or ""
        raise ValueError(
            f"expected webhook response of {wanted}, Kind=AdmissionReview, got {got}, Kind=AdmissionReview"
        )
    patch, kind = response.get("patch"), response.get("patchType")
    if mutating:
        if patch and kind is None:
            raise ValueError("webhook returned response.patch but not response.patchType")
        if not patch and kind is not None:
            raise ValueError("webhook returned response.patchType but not response.patch")
    elif patch:
        raise ValueError("validating webhook may not return response.patch")
    elif kind is not None:
        raise ValueError("validating webhook may not return response.patchType")
    return response


def _rejection(name: str, status: Obj | None) -> StatusError:
    status = status or {}
    denied = f"admission webhook {quote(name)} denied the request"
    if status.get("message"):
        message = f"{denied}: {status['message']}"
    elif status.get("reason"):
        message = f"{denied}: {status['reason']}"
    else:
        message = f"{denied} without explanation"
    code = status.get("code") or 0
    return StatusError(max(code, 400), status.get("reason") or "", message, status.get("details"))


def _failure(name: str, error: CallFailed) -> StatusError:
    return errors.internal(f"failed calling webhook {quote(name)}: {error}")


class MutatingAdmissionWebhook(_Webhooks):
    name = "MutatingAdmissionWebhook"
    configurations = "mutatingwebhookconfigurations"

    async def mutate(self, request: AdmissionRequest) -> None:
        hooks = self.hooks()
        if not hooks or criteria.is_exempt(request):
            return
        for index, (configuration, hook, client) in enumerate(hooks):
            matched = await self.matched(request, hook)
            key = f"{configuration}/{hook.get('name')}"
            if matched is None or (request.reinvoked and key not in request.asked):
                continue
            changed = await self._called(request, index, configuration, hook, client, matched)
            request.reinvoke = request.reinvoke or changed
            if hook.get("reinvocationPolicy") == "IfNeeded":
                request.asked.add(key)

    async def _called(
        self, request: AdmissionRequest, index: int, configuration: str, hook: Obj, client: Webhook, matched: Match
    ) -> bool:
        """Whether the webhook changed the object."""
        name, changed = hook.get("name") or "", False
        where = f"round_{int(request.reinvoked)}_index_{index}"
        try:
            response = await self.asked(request, hook, client, matched, True)
            changed = self._patch(request, name, response, matched)
        except CallFailed as e:
            if hook.get("failurePolicy") != "Ignore":
                raise _failure(name, e) from None
            request.annotations[f"failed-open.{_MUTATION}{where}"] = name
            return False
        told = {"configuration": configuration, "webhook": name, "mutated": changed}
        request.annotations[f"{_MUTATION}{where}"] = orjson.dumps(told).decode()
        return changed

    def _patch(self, request: AdmissionRequest, name: str, response: Obj, matched: Match) -> bool:
        if not response.get("patch"):
            return False
        try:
            operations = orjson.loads(base64.b64decode(response["patch"], validate=True))
        except (binascii.Error, ValueError) as e:
            raise CallFailed(f"received undecodable patch in webhook response: {e}") from None
        if not operations:
            return False
        if request.obj is None:
            why = f"admission webhook {quote(name)} attempted to modify the object, which is not supported for this operation"
            raise errors.internal(why)
        kind = response.get("patchType", "JSONPatch")
        if kind != "JSONPatch":
            raise CallFailed(f"unsupported patch type {quote(str(kind))}")
        shown = matched.shown(request.obj)
        assert shown is not None
        try:
            changed = json_patch(reencoded(shown, in_maps=False), operations)
        except PatchError as e:
            raise errors.internal(str(e)) from None
        before = copy(request.obj)
        criteria.put_back(request, matched, criteria.as_object(changed))
        return bool(before != request.obj)


class ValidatingAdmissionWebhook(_Webhooks):
    name = "ValidatingAdmissionWebhook"
    configurations = "validatingwebhookconfigurations"

    async def validate(self, request: AdmissionRequest) -> None:
        hooks = self.hooks()
        if not hooks or criteria.is_exempt(request):
            return
        asked = [(hook, client, m) for _, hook, client in hooks if (m := await self.matched(request, hook)) is not None]
        if not asked:
            return
        calls = (self._called(request, i, *one) for i, one in enumerate(asked))
        refusals = [e for e in await asyncio.gather(*calls) if e is not None]
        if refusals:
            raise refusals[0]

    async def _called(
        self, request: AdmissionRequest, index: int, hook: Obj, client: Webhook, matched: Match
    ) -> StatusError | None:
        name = hook.get("name") or ""
        try:
            await self.asked(request, hook, client, matched, False)
        except CallFailed as e:
            if hook.get("failurePolicy") != "Ignore":
                return _failure(name, e)
            key = f"failed-open.validating.webhook.admission.k8s.io/round_0_index_{index}"
            request.annotations[key] = name
        except StatusError as e:
            return e
        return None
