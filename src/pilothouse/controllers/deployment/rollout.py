"""`Rollout`: one sync of one deployment, from the ReplicaSets that it owns to the sizes that they should have."""

from __future__ import annotations

from typing import Final

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy
from pilothouse.client import Informer, Recorder, ResourceClient
from pilothouse.clock import Clock
from pilothouse.controllers import status as st
from pilothouse.controllers.deployment import progress, revisions, sizes
from pilothouse.controllers.pods import controller_ref, is_deleted, is_namespace_terminating, is_terminal
from pilothouse.controllers.templatehash import template_hash

_NAME_MAX: Final = 253


class Rollout:
    """`deployment` is this sync's own copy: it follows what the sync writes."""

    def __init__(
        self, deployment: Obj, owned: list[Obj], *, api: ResourceClient, sets: ResourceClient, informer: Informer,
        recorder: Recorder, clock: Clock,
    ) -> None:  # fmt: skip
        self.deployment, self._owned = deployment, owned
        self._api, self._sets, self._informer = api, sets, informer
        self._recorder, self._clock = recorder, clock
        self.new: Obj | None = None
        self.old: list[Obj] = []

    @property
    def everything(self) -> list[Obj | None]:
        return [*self.old, self.new]

    @property
    def desired(self) -> int:
        return sizes.replicas(self.deployment)

    @property
    def most(self) -> int:
        return self.desired + sizes.max_surge(self.deployment)

    # Revisions

    async def find(self, *, create: bool) -> None:
        """Sets `new` and `old`; brings the revision annotations up to date. `create`: makes a new one if need be."""
        found = revisions.find_new(self.deployment, self._owned)
        new_uid = found["metadata"]["uid"] if found else ""
        self.old = [rs for rs in self._owned if rs["metadata"]["uid"] != new_uid]
        revision = revisions.max_revision(self.old) + 1
        if found is not None:
            self.new = await self._refresh(found, revision)
        elif create:
            self.new = await self._create(revision)
        else:
            self.new = None

    async def _refresh(self, found: Obj, revision: int) -> Obj:
        new = copy(found)
        changed = revisions.annotate_new(
            self.deployment, new, revision, exists=True, desired=self.desired, most=self.most
        )
        min_ready_s = self.deployment["spec"].get("minReadySeconds") or 0
        if changed or (new["spec"].get("minReadySeconds") or 0) != min_ready_s:
            new["spec"]["minReadySeconds"] = min_ready_s
            return await self._sets.update(new)
        changed = self._set_revision(revisions.annotations_of(new).get(revisions.REVISION, ""))
        if progress.has_deadline(self.deployment) and not st.find(
            progress.conditions_of(self.deployment), "Progressing"
        ):
            self._set_progressing("True", "FoundNewReplicaSet", f'Found new replica set "{new["metadata"]["name"]}"')
            changed = True
        if changed:
            await self._write(self.deployment.get("status") or {})
        return found

    async def _create(self, revision: int) -> Obj:
        deployment = self.deployment
        metadata, spec = deployment["metadata"], deployment["spec"]
        collisions = (deployment.get("status") or {}).get("collisionCount")
        digest = template_hash(spec["template"], collisions)
        template = copy(spec["template"])
        own = template.get("metadata") or {}
        labels = {**(own.get("labels") or {}), revisions.HASH_LABEL: digest}
        template["metadata"] = {**own, "labels": labels}
        selector = copy(spec["selector"])
        selector["matchLabels"] = {**(selector.get("matchLabels") or {}), revisions.HASH_LABEL: digest}
        new: Obj = {
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "name": f"{metadata['name'][: _NAME_MAX - 1 - len(digest)]}-{digest}",
                "namespace": metadata["namespace"],
                "labels": dict(labels),
                "ownerReferences": [controller_ref(deployment)],
            },
            "spec": {"replicas": 0, "selector": selector, "template": template},
        }
        if spec.get("minReadySeconds"):
            new["spec"]["minReadySeconds"] = spec["minReadySeconds"]
        new["spec"]["replicas"] = sizes.new_replicas(deployment, [*self.old, new], new)
        revisions.annotate_new(deployment, new, revision, exists=False, desired=self.desired, most=self.most)
        existed = False
        try:
            made = await self._sets.create(new)
        except StatusError as error:
            if error.reason == "AlreadyExists":
                made, existed = await self._same_name(new, error), True
            elif is_namespace_terminating(error):
                raise
            else:
                await self._report_failed_create(new, error)
                raise
        name = made["metadata"]["name"]
        if not existed and sizes.replicas(new) > 0:
            self._event("Normal", "ScalingReplicaSet", f"Scaled up replica set {name} from 0 to {sizes.replicas(new)}")
        changed = self._set_revision(str(revision))
        if not existed and progress.has_deadline(deployment):
            self._set_progressing("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')
            changed = True
        if changed:
            await self._write(self.deployment.get("status") or {})
        return made

    async def _same_name(self, new: Obj, error: StatusError) -> Obj:
        """A ReplicaSet of this name is there: ours that the cache showed too late, or a collision of hashes, which is counted
        so that the next sync makes another name."""
        metadata = self.deployment["metadata"]
        found = self._informer.lister.get(new["metadata"]["namespace"], new["metadata"]["name"])
        if found is None:
            raise error
        owner = next((r for r in found["metadata"].get("ownerReferences") or () if r.get("controller")), None)
        if (
            owner is not None
            and owner["uid"] == metadata["uid"]
            and revisions.same_template(self.deployment["spec"]["template"], found["spec"]["template"])
        ):
            return found
        status = dict(self.deployment.get("status") or {})
        status["collisionCount"] = (status.get("collisionCount") or 0) + 1
        await self._write(status)
        raise error

    async def _report_failed_create(self, new: Obj, error: StatusError) -> None:
        message = f'Failed to create new replica set "{new["metadata"]["name"]}": {error}'
        if progress.has_deadline(self.deployment):
            self._set_progressing("False", "ReplicaSetCreateError", message)
            try:
                await self._write(self.deployment.get("status") or {})
            except StatusError:
                pass  # the failure itself is what the sync ends with
        self._event("Warning", "ReplicaSetCreateError", message)

    def _set_revision(self, revision: str) -> bool:
        annotations = revisions.annotations_of(self.deployment)
        if annotations.get(revisions.REVISION) == revision:
            return False
        self.deployment["metadata"]["annotations"] = {**annotations, revisions.REVISION: revision}
        return True

    def _set_progressing(self, truth: str, reason: str, message: str) -> None:
        made = progress.condition(self._clock, "Progressing", truth, reason, message)
        conditions = st.put(progress.conditions_of(self.deployment), made)
        self.deployment["status"] = {**(self.deployment.get("status") or {}), "conditions": conditions}

    async def note_pause(self) -> None:
        """Says in the Progressing condition that the deployment was paused or resumed, so that its deadline does not run."""
        if not progress.has_deadline(self.deployment):
            return
        current = st.find(progress.conditions_of(self.deployment), "Progressing")
        reason = (current or {}).get("reason")
        if reason == progress.TIMED_OUT:
            return
        paused = bool(self.deployment["spec"].get("paused"))
        if paused and reason != "DeploymentPaused":
            self._set_progressing("Unknown", "DeploymentPaused", "Deployment is paused")
        elif not paused and reason == "DeploymentPaused":
            self._set_progressing("Unknown", "DeploymentResumed", "Deployment is resumed")
        else:
            return
        await self._write(self.deployment["status"])

    # Sizes

    async def scale_to(self, replica_set: Obj, size: int, *, force: bool = False) -> tuple[bool, Obj]:
        """Whether its size was changed, and the ReplicaSet as it is now. `force`: its annotations are looked at in any case."""
        before = sizes.replicas(replica_set)
        if before == size and not force:
            return False, replica_set
        if before == size and not revisions.sizes_differ(replica_set, self.desired, self.most):
            return False, replica_set
        new = copy(replica_set)
        new["spec"]["replicas"] = size
        revisions.annotate_sizes(new, self.desired, self.most)
        new = await self._sets.update(new)
        if before == size:
            return False, new
        way = "up" if before < size else "down"
        name = new["metadata"]["name"]
        self._event("Normal", "ScalingReplicaSet", f"Scaled {way} replica set {name} from {before} to {size}")
        return True, new

    async def is_scaling(self) -> bool:
        """The deployment's size was changed since the sizes of its ReplicaSets were reckoned."""
        await self.find(create=False)
        for replica_set in sizes.active(self.everything):
            desired = revisions.size_annotation(replica_set, revisions.DESIRED_REPLICAS)
            if desired is not None and desired != self.desired:
                return True
        return False

    async def scale(self) -> None:
        """Gives the deployment's size to its ReplicaSets: to the one that is active, or in proportion to several."""
        self.old.sort(key=revisions.by_creation, reverse=True)
        only = self._active_or_latest()
        if only is not None:
            if sizes.replicas(only) != self.desired:
                await self.scale_to(only, self.desired)
            return
        if self._is_saturated():
            for replica_set in sizes.active(self.old):
                await self.scale_to(replica_set, 0)
            return
        if sizes.is_rolling(self.deployment):
            await self._scale_in_proportion()

    def _active_or_latest(self) -> Obj | None:
        active = sizes.active(self.everything)
        if not active:
            return self.new or (self.old[0] if self.old else None)
        return active[0] if len(active) == 1 else None

    def _is_saturated(self) -> bool:
        """The new ReplicaSet has all replicas, and all are available."""
        new = self.new
        return (
            new is not None
            and sizes.replicas(new) == self.desired
            and revisions.size_annotation(new, revisions.DESIRED_REPLICAS) == self.desired
            and sizes.status_of(new, "availableReplicas") == self.desired
        )

    async def _scale_in_proportion(self) -> None:
        active = sizes.active(self.everything)
        to_add = (self.most if self.desired > 0 else 0) - sizes.total(active)
        active.sort(key=revisions.by_creation, reverse=to_add > 0)  # more go to the newer, fewer to the older
        active.sort(key=sizes.replicas, reverse=True)
        wanted, added = [], 0
        for replica_set in active:
            share = sizes.proportion(replica_set, self.deployment, to_add, added)
            wanted.append(sizes.replicas(replica_set) + share)
            added += share
        if active and to_add:
            wanted[0] = max(0, wanted[0] + to_add - added)
        for replica_set, size in zip(active, wanted, strict=True):
            await self.scale_to(replica_set, size, force=True)

    # Strategies

    async def sync(self) -> None:
        """What a paused deployment and a change of size need: sizes and status, no rollout."""
        await self.find(create=False)
        await self.scale()
        if self.deployment["spec"].get("paused") and revisions.ROLLBACK_TO not in revisions.annotations_of(
            self.deployment
        ):
            await self.clean_up()
        await self.write_counts()

    async def rolling(self) -> float | None:
        """One step of a rolling update. Returns when to look again, as `write_progress`."""
        await self.find(create=True)
        assert self.new is not None
        if await self._grow_new(self.new) or await self._shrink_old(self.new):
            return await self.write_progress()
        if progress.is_complete(self.deployment, self.deployment.get("status") or {}):
            await self.clean_up()
        return await self.write_progress()

    async def _grow_new(self, new: Obj) -> bool:
        size = sizes.replicas(new)
        if size == self.desired:
            return False
        if size < self.desired:
            size = sizes.new_replicas(self.deployment, self.everything, new)
        else:
            size = self.desired
        changed, self.new = await self.scale_to(new, size)
        return changed

    async def _shrink_old(self, new: Obj) -> bool:
        """Takes replicas from the old ReplicaSets: unhealthy ones first, then as many as availability allows."""
        old = sorted(sizes.active(self.old), key=revisions.by_creation)
        if not old:
            return False
        least = self.desired - sizes.max_unavailable(self.deployment)
        unavailable = sizes.replicas(new) - sizes.status_of(new, "availableReplicas")
        room = sizes.total(self.everything) - least - unavailable
        if room <= 0:
            return False
        removed = 0
        for at, replica_set in enumerate(old):
            size = sizes.replicas(replica_set)
            count = min(room - removed, size - sizes.status_of(replica_set, "availableReplicas"))
            if count > 0:
                _, old[at] = await self.scale_to(replica_set, size - count)
                removed += count
        spare = sum(sizes.status_of(rs, "availableReplicas") for rs in (*old, new)) - least
        for replica_set in old:
            count = min(sizes.replicas(replica_set), spare)
            if count > 0:
                await self.scale_to(replica_set, sizes.replicas(replica_set) - count)
                spare -= count
                removed += count
        return removed > 0

    async def recreate(self, pods: dict[str, list[Obj]]) -> float | None:
        """One step of a rollout that ends all old pods before it starts new ones. `pods`: by their ReplicaSet's uid."""
        await self.find(create=False)
        scaled = False
        for at, replica_set in enumerate(self.old):
            if sizes.replicas(replica_set) > 0:
                changed, self.old[at] = await self.scale_to(replica_set, 0)
                scaled = scaled or changed
        if scaled or self._old_pods_run(pods):
            return await self.write_progress()
        if self.new is None:
            await self.find(create=True)
        assert self.new is not None
        _, self.new = await self.scale_to(self.new, self.desired)
        if progress.is_complete(self.deployment, self.deployment.get("status") or {}):
            await self.clean_up()
        return await self.write_progress()

    def _old_pods_run(self, pods: dict[str, list[Obj]]) -> bool:
        if any(sizes.status_of(rs, "replicas") for rs in self.old):
            return True
        new_uid = self.new["metadata"]["uid"] if self.new else ""
        return any(not is_terminal(pod) for uid, found in pods.items() if uid != new_uid for pod in found)

    async def clean_up(self) -> None:
        """Deletes the oldest ReplicaSets beyond the history limit."""
        limit = self.deployment["spec"].get("revisionHistoryLimit")
        if limit is None or limit == (1 << 31) - 1:
            return
        alive = sorted((rs for rs in self.old if not is_deleted(rs)), key=revisions.by_revision)
        for replica_set in alive[: max(0, len(alive) - limit)]:
            metadata = replica_set["metadata"]
            busy = sizes.status_of(replica_set, "replicas") or sizes.replicas(replica_set)
            if busy or metadata.get("generation", 0) > sizes.status_of(replica_set, "observedGeneration"):
                continue
            try:
                await self._sets.delete(metadata["name"], metadata["namespace"])
            except StatusError as error:
                if error.code != 404:
                    raise

    async def roll_back(self, revision: int) -> None:
        """Goes back to a revision (0: the last one), as the annotation of the older API asks for."""
        await self.find(create=True)
        name = self.deployment["metadata"]["name"]
        present = [rs for rs in self.everything if rs is not None]
        if revision == 0:
            revision = revisions.last_revision(present)
            if revision == 0:
                self._event("Warning", "DeploymentRollbackRevisionNotFound", "Unable to find last revision.")
                await self._end_rollback(self.deployment)
                return
        target = next((rs for rs in present if revisions.revision_of(rs) == revision), None)
        if target is None:
            message = "Unable to find the revision to rollback to."
            self._event("Warning", "DeploymentRollbackRevisionNotFound", message)
            await self._end_rollback(self.deployment)
        elif revisions.same_template(self.deployment["spec"]["template"], target["spec"]["template"]):
            message = f'The rollback revision contains the same template as current deployment "{name}"'
            self._event("Warning", "DeploymentRollbackTemplateUnchanged", message)
            await self._end_rollback(self.deployment)
        else:
            template = copy(target["spec"]["template"])
            template["metadata"]["labels"].pop(revisions.HASH_LABEL, None)
            metadata = {
                **self.deployment["metadata"],
                "annotations": revisions.restored_annotations(self.deployment, target),
            }
            spec = {**self.deployment["spec"], "template": template}
            await self._end_rollback({**self.deployment, "metadata": metadata, "spec": spec})
            self._event("Normal", "DeploymentRollback", f'Rolled back deployment "{name}" to revision {revision}')

    async def _end_rollback(self, deployment: Obj) -> None:
        annotations = revisions.annotations_of(deployment)
        kept = {k: v for k, v in annotations.items() if k != revisions.ROLLBACK_TO}
        await self._api.update({**deployment, "metadata": {**deployment["metadata"], "annotations": kept}})

    # Status

    async def write_counts(self) -> None:
        status = progress.counts(self.deployment, self.everything, self.new, self._clock)
        if status != self.deployment.get("status"):
            await self._write(status)

    async def write_progress(self) -> float | None:
        """Writes the status. Returns the seconds until the deadline must be checked; None where nothing has to be waited for."""
        status = progress.counts(self.deployment, self.everything, self.new, self._clock)
        status = progress.with_progress(self.deployment, status, self.everything, self.new, self._clock)
        if status == self.deployment.get("status"):
            return progress.next_check_s(self.deployment, status, self._clock.now())
        await self._write(status)
        return None

    async def _write(self, status: Obj) -> None:
        """Writes the status, and with it the revision annotation, which upstream's status strategy lets through."""
        written = await self._api.update({**self.deployment, "status": status}, "status")
        self.deployment["status"] = written.get("status") or {}
        self.deployment["metadata"] = {
            **self.deployment["metadata"], "resourceVersion": written["metadata"]["resourceVersion"],
        }  # fmt: skip

    def _event(self, kind: str, reason: str, message: str) -> None:
        self._recorder.event(self.deployment, "Warning" if kind == "Warning" else "Normal", reason, message)
