"""ServiceAccount: a pod runs as a service account that exists, and gets its token in a volume.

Source: upstream's documentation "Managing Service Accounts".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pilothouse.api import names
from pilothouse.api.field import quote
from pilothouse.api.objects import Obj, get
from pilothouse.apiserver.admission.plugin import CREATE_UPDATE, PODS, Plugin, forbidden
from pilothouse.apiserver.authorization.node import secret_names
from pilothouse.apiserver.contracts import AdmissionRequest

TOKEN_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
_VOLUME = "kube-api-access-"
_MIRROR = "kubernetes.io/config.mirror"
_ENFORCE = "kubernetes.io/enforce-mountable-secrets"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # of generated names
_EXPIRATION_S = 3607
_DEFAULT_ATTEMPTS = 10  # the default account of a new namespace comes a moment after it
_TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})


class ServiceAccount(Plugin):
    name = "ServiceAccount"
    resources = frozenset({PODS})
    subresources = frozenset({"", "ephemeralcontainers"})
    operations = CREATE_UPDATE

    async def mutate(self, request: AdmissionRequest) -> None:
        pod = request.obj
        if pod is None or request.operation != "CREATE" or request.subresource:
            return
        if _is_mirror(pod):
            self._check_mirror(request, pod)
            return
        spec = pod["spec"]
        if not spec.get("serviceAccountName"):
            spec["serviceAccountName"] = spec["serviceAccount"] = "default"
        account = await self._account(request, spec["serviceAccountName"])
        if _wants_token(account, spec):
            self._mount_token(spec)
        if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
            spec["imagePullSecrets"] = [{"name": s.get("name", "")} for s in account["imagePullSecrets"]]

    async def validate(self, request: AdmissionRequest) -> None:
        pod = request.obj
        if pod is None or (request.operation == "UPDATE" and request.subresource != "ephemeralcontainers"):
            return
        spec = pod["spec"]
        if _is_mirror(pod) and request.operation == "CREATE":
            self._check_mirror(request, pod)
            return
        if not spec.get("serviceAccountName"):
            name = f"{request.namespace}/{pod['metadata'].get('name', '')}"
            raise forbidden(request, f"no service account specified for pod {name}")
        account = await self._account(request, spec["serviceAccountName"])
        if get(account, "metadata", "annotations", _ENFORCE) in _TRUE:
            kinds = ("ephemeralContainers",) if request.subresource else ("initContainers", "containers")
            for why in _not_mountable(account, spec, kinds):
                raise forbidden(request, why)

    async def _account(self, request: AdmissionRequest, name: str) -> Obj:
        namespace = request.namespace
        found = self.objects.get("", "serviceaccounts", namespace, name)
        if found is not None:
            return found
        clock = self.cluster.clock
        pause_s = clock.random.uniform(0.1, 0.2)
        for attempt in range(_DEFAULT_ATTEMPTS if name == "default" else 1):
            if attempt:
                await clock.sleep(pause_s)
            found = await self.objects.get_live("", "serviceaccounts", namespace, name)
            if found is not None:
                return found
        wrong = names.path_segment(name)
        told = (
            f"invalid resource name {quote(name)}: [{' '.join(wrong)}]"
            if wrong
            else f'serviceaccount "{name}" not found'
        )
        why = f"error looking up service account {namespace}/{name}: {told}"
        raise forbidden(request, why)

    def _check_mirror(self, request: AdmissionRequest, pod: Obj) -> None:
        spec = pod["spec"]
        if spec.get("serviceAccountName"):
            raise forbidden(request, "a mirror pod may not reference service accounts")
        if any(secret_names(pod)):
            raise forbidden(request, "a mirror pod may not reference secrets")
        for volume in spec.get("volumes") or ():
            for source in get(volume, "projected", "sources", default=()):
                if source.get("serviceAccountToken") is not None:
                    raise forbidden(request, "a mirror pod may not use ServiceAccountToken volume projections")

    def _mount_token(self, spec: Obj) -> None:
        name = next((v["name"] for v in spec.get("volumes") or () if str(v.get("name", "")).startswith(_VOLUME)), "")
        exists = bool(name)
        if not name:
            name = _VOLUME + "".join(self.cluster.clock.random.choice(_ALPHABET) for _ in range(5))
        mounted = False
        for kind in ("initContainers", "containers"):
            for container in spec.get(kind) or ():
                mounts = container.get("volumeMounts") or []
                if all(mount.get("mountPath") != TOKEN_PATH for mount in mounts):
                    mount = {"name": name, "readOnly": True, "mountPath": TOKEN_PATH}
                    container["volumeMounts"] = [*mounts, mount]
                    mounted = True
        if mounted and not exists:
            spec["volumes"] = [*(spec.get("volumes") or ()), {"name": name, "projected": _token_volume()}]


def _is_mirror(pod: Obj) -> bool:
    return _MIRROR in (pod["metadata"].get("annotations") or ())


def _wants_token(account: Obj, spec: Obj) -> bool:
    for holder in (spec, account):
        wish = holder.get("automountServiceAccountToken")
        if wish is not None:
            return bool(wish)
    return True


def _token_volume() -> Obj:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return {
        "sources": [
            {"serviceAccountToken": {"expirationSeconds": _EXPIRATION_S, "path": "token"}},
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
            {"downwardAPI": {"items": [namespace]}},
        ],
        "defaultMode": 420,
    }


_CONTAINER = {
    "initContainers": "init container", "containers": "container", "ephemeralContainers": "ephemeral container",
}  # fmt: skip


def _not_mountable(account: Obj, spec: Obj, kinds: tuple[str, ...]) -> Iterator[str]:
    """What the pod uses and its account does not list (kubernetes.io/enforce-mountable-secrets)."""
    name = account["metadata"]["name"]
    allowed = {s.get("name") for s in account.get("secrets") or ()}
    end = f"is not allowed because service account {name} does not reference that"
    if "containers" in kinds:
        for volume in spec.get("volumes") or ():
            secret = get(volume, "secret", "secretName")
            if volume.get("secret") is not None and secret not in allowed:
                yield f'volume with secret.secretName="{secret or ""}" {end} secret'
    for kind in kinds:
        for container in spec.get(kind) or ():
            who = f"{_CONTAINER[kind]} {container.get('name', '')}"
            for variable in container.get("env") or ():
                reference = get(variable, "valueFrom", "secretKeyRef")
                if reference is not None and reference.get("name") not in allowed:
                    secret = reference.get("name", "")
                    yield f'{who} with envVar {variable["name"]} referencing secret.secretName="{secret}" {end} secret'
            for source in container.get("envFrom") or ():
                reference = source.get("secretRef")
                if reference is not None and reference.get("name") not in allowed:
                    yield f'{who} with envFrom referencing secret.secretName="{reference.get("name", "")}" {end} secret'
    if "containers" in kinds:
        pulled = {s.get("name") for s in account.get("imagePullSecrets") or ()}
        for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
            if secret.get("name") not in pulled:
                yield f'imagePullSecrets[{i}].name="{secret.get("name", "")}" {end} imagePullSecret'
