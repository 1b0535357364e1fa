"""pods/eviction: a deletion that PodDisruptionBudgets may hold up.

Source: upstream's documentation "API-initiated Eviction", and registry/core/pod/storage/eviction.go.
"""

from __future__ import annotations

from typing import Final

from pilothouse.api import errors
from pilothouse.api.errors import StatusError
from pilothouse.api.exchange import Request
from pilothouse.api.field import invalid
from pilothouse.api.objects import Obj, copy, get
from pilothouse.api.scheme import GVK
from pilothouse.apiserver.contracts import EndpointContext
from pilothouse.apiserver.endpoints.binding import set_condition
from pilothouse.apiserver.endpoints.posted import admit, is_dry_run, user_of
from pilothouse.apiserver.requestinfo import RequestInfo

_GROUP: Final = "policy"
_ATTEMPTS: Final = 20
_DISRUPTED_MOST: Final = 2000
_CONDITION: Final = {
    "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting",
}  # fmt: skip
_SUCCESS: Final[Obj] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
_WOULD_VIOLATE = "Cannot evict pod as it would violate the pod's disruption budget."


async def create(context: EndpointContext, info: RequestInfo, request: Request) -> Obj:
    gvk = GVK(_GROUP, "v1", "Eviction")
    eviction = await context.decode(info, request, gvk)
    if eviction["metadata"].get("name") != info.name:
        raise errors.bad_request("name in URL does not match name in Eviction object")
    options = copy(eviction.get("deleteOptions") or {})
    if options.get("ignoreStoreReadErrorWithClusterBreakingPotential"):
        path = "deleteOptions.ignoreStoreReadErrorWithClusterBreakingPotential"
        text = "can not be set for pod eviction, try after removing the option"
        raise errors.invalid(_GROUP, "Eviction", info.name, [invalid(path, True, text)])
    own = bool(options.get("dryRun"))
    if own and not is_dry_run(request) and request.query:
        # A dry run that only the body asks for is one all the same.
        request.query = [*request.query, ("dryRun", "All")]
    if is_dry_run(request):
        options["dryRun"] = ["All"]
    await admit(context, info, request, eviction, gvk)
    return await _Eviction(context, info, request, options).run()


class _Eviction:
    def __init__(self, context: EndpointContext, info: RequestInfo, request: Request, options: Obj) -> None:
        self.context, self.info = context, info
        self.user = user_of(request)
        self.options = options
        self.dry_run = bool(options.get("dryRun"))
        self.versioned = get(options, "preconditions", "resourceVersion") is not None

    async def run(self) -> Obj:
        for attempt in range(_ATTEMPTS):
            pod = await self._pod()
            if not _is_free(pod):
                break
            try:
                # A pod that still starts must be the one that was looked at: it might be running by now.
                await self._delete(pod, pinned=not (_is_over(pod) or self.versioned))
            except StatusError as error:
                if error.code != 409 or self.versioned or attempt == _ATTEMPTS - 1:
                    raise
                continue
            return dict(_SUCCESS)
        await self.context.objects.fresh()
        budgets = self._budgets(pod)
        if len(budgets) > 1:
            why = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
            raise StatusError(500, "", why)
        if not budgets:
            await self._delete(pod, pinned=False)
            return dict(_SUCCESS)
        name = budgets[0]["metadata"]["name"]
        unhealthy = not _is_ready(pod) and _unhealthy_may_go(budgets[0])
        if not unhealthy:
            await self._spend(budgets[0], pod["metadata"]["name"])
        try:
            await self._delete(pod, pinned=unhealthy)
        except StatusError as error:
            if error.code == 409 and unhealthy and not self.versioned:
                raise _too_many(name) from error
            raise
        return dict(_SUCCESS)

    async def _pod(self) -> Obj:
        pod = await self.context.objects.get_live("", "pods", self.info.namespace, self.info.name)
        if pod is None:
            raise errors.not_found("", "pods", self.info.name)
        return pod

    def _budgets(self, pod: Obj) -> list[Obj]:
        labels = pod["metadata"].get("labels") or {}
        found = self.context.objects.list(_GROUP, "poddisruptionbudgets", self.info.namespace)
        return [pdb for pdb in found if _selects(get(pdb, "spec", "selector"), labels)]

    async def _delete(self, pod: Obj, *, pinned: bool) -> None:
        options = copy(self.options)
        preconditions = dict(options.get("preconditions") or {})
        if pinned:
            preconditions["resourceVersion"] = pod["metadata"]["resourceVersion"]
        if not self.dry_run:
            stored = await self.context.change(
                "", "pods", self.info.namespace, self.info.name, lambda present: self._mark(present, preconditions)
            )
            if preconditions.get("resourceVersion"):
                preconditions["resourceVersion"] = stored["metadata"]["resourceVersion"]
        if preconditions:
            options["preconditions"] = preconditions
        options = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        await self.context.delete("", "pods", self.info.namespace, self.info.name, options, self.user)

    def _mark(self, pod: Obj, preconditions: Obj) -> Obj:
        meta = pod["metadata"]
        uid, version = preconditions.get("uid"), preconditions.get("resourceVersion")
        if uid and uid != meta["uid"]:
            raise errors.conflict(
                "", "Pod", meta["name"],
                f"the UID in the precondition ({uid}) does not match the UID in record ({meta['uid']}). "
                "The object might have been deleted and then recreated",
            )  # fmt: skip
        if version and version != meta["resourceVersion"]:
            raise errors.conflict(
                "", "Pod", meta["name"],
                f"the ResourceVersion in the precondition ({version}) does not match the ResourceVersion in record "
                f"({meta['resourceVersion']}). The object might have been modified",
            )  # fmt: skip
        set_condition(pod.setdefault("status", {}), _CONDITION, self.context.clock.timestamp())
        return pod

    async def _spend(self, budget: Obj, pod: str) -> None:
        """Takes one disruption off the budget. Raises 429 where it has none."""
        now = self.context.clock.timestamp()

        def spend(pdb: Obj) -> Obj:
            _check(pdb)
            status = pdb["status"]
            status["disruptionsAllowed"] -= 1
            if not status["disruptionsAllowed"]:
                _set_insufficient(pdb, now)
            status["disruptedPods"] = {**(status.get("disruptedPods") or {}), pod: now}
            return pdb

        meta = budget["metadata"]
        await self.context.change(
            _GROUP, "poddisruptionbudgets", meta["namespace"], meta["name"], spend, dry_run=self.dry_run
        )


def _is_over(pod: Obj) -> bool:
    return get(pod, "status", "phase") in ("Succeeded", "Failed") or bool(pod["metadata"].get("deletionTimestamp"))


def _is_free(pod: Obj) -> bool:
    """No budget counts a pod that does not run."""
    return _is_over(pod) or get(pod, "status", "phase") == "Pending"


def _is_ready(pod: Obj) -> bool:
    conditions = get(pod, "status", "conditions", default=())
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _unhealthy_may_go(budget: Obj) -> bool:
    if get(budget, "spec", "unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired = status.get("desiredHealthy", 0)
    return bool(status.get("currentHealthy", 0) >= desired > 0)


def _selects(selector: Obj | None, labels: Obj) -> bool:
    """Whether a LabelSelector matches; one that is absent matches nothing, an empty one all."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for expression in selector.get("matchExpressions") or ():
        key, operator, values = expression.get("key"), expression.get("operator"), expression.get("values") or ()
        matches = {
            "In": labels.get(key) in values,
            "NotIn": key not in labels or labels[key] not in values,
            "Exists": key in labels,
            "DoesNotExist": key not in labels,
        }
        if not matches.get(operator or "", False):
            return False
    return True


def _caused(error: StatusError, message: str) -> StatusError:
    cause = {"reason": "DisruptionBudget", "message": message}
    details = dict(error.details or {})
    retry_after_s = details.pop("retryAfterSeconds", None)
    error.details = {**details, "causes": [cause]}
    if retry_after_s is not None:
        error.details["retryAfterSeconds"] = retry_after_s
    return error


def _too_many(name: str) -> StatusError:
    error = errors.too_many_requests(_WOULD_VIOLATE, 10)
    return _caused(error, f"The disruption budget {name} is still being processed by the server.")


def _check(budget: Obj) -> None:
    """Raises where the budget lets no pod go now."""
    meta, status = budget["metadata"], budget.get("status") or {}
    name = meta["name"]
    if status.get("observedGeneration", 0) < meta.get("generation", 0):
        raise _too_many(name)
    allowed = status.get("disruptionsAllowed", 0)
    not_now = f"The disruption budget {name} does not allow evicting pods currently"
    if allowed < 0:
        error = errors.forbidden(_GROUP, "poddisruptionbudget", name, "pdb disruptions allowed is negative")
        raise _caused(error, f"{not_now}: pdb disruptions allowed is negative")
    if len(status.get("disruptedPods") or ()) > _DISRUPTED_MOST:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        error = errors.forbidden(_GROUP, "poddisruptionbudget", name, why)
        raise _caused(error, f"{not_now}: too many pending evictions not confirmed by PDB controller")
    if allowed:
        return
    condition: Obj = next((c for c in status.get("conditions") or () if c.get("type") == "DisruptionAllowed"), {})
    said = condition.get("message") if condition.get("status") == "False" else ""
    healthy, desired = status.get("currentHealthy", 0), status.get("desiredHealthy", 0)
    if said and condition.get("reason") == "SyncFailed":
        message = f"{not_now} because it failed sync: {said}"
    elif healthy <= desired:
        message = f"The disruption budget {name} needs {desired} healthy pods and has {healthy} currently"
    elif said:
        message = f"{not_now} ({condition.get('reason', '')}): {said}"
    else:
        message = not_now
    error = StatusError(429, "TooManyRequests", _WOULD_VIOLATE, {})
    raise _caused(error, message)


def _set_insufficient(budget: Obj, now: str) -> None:
    status = budget["status"]
    conditions = status.get("conditions") or []
    present = next((c for c in conditions if c.get("type") == "DisruptionAllowed"), None)
    since = present["lastTransitionTime"] if present is not None and present.get("status") == "False" else now
    new = {
        "type": "DisruptionAllowed", "status": "False", "observedGeneration": status.get("observedGeneration", 0),
        "lastTransitionTime": since, "reason": "InsufficientPods", "message": "",
    }  # fmt: skip
    status["conditions"] = [new if c is present else c for c in conditions] if present else [*conditions, new]
