"""Discovery: every document, byte for byte, in every form."""

from __future__ import annotations

from sidebyside import Side

_AGGREGATED = tuple(
    f"{media_type};as=APIGroupDiscoveryList;v={version};g=apidiscovery.k8s.io{profile}"
    for media_type in ("application/json", "application/vnd.kubernetes.protobuf", "application/yaml")
    for version in ("v2", "v2beta1", "v3")
    for profile in ("", ";profile=nopeer", ";profile=bogus")
)
_ACCEPTS = (
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "*/*", "text/html", "",
    "application/json;as=APIGroupList;v=v1;g=meta.k8s.io", "application/json;g=apidiscovery.k8s.io;v=v2", *_AGGREGATED,
    "application/json;as=APIGroupDiscoveryList;v=v3;g=apidiscovery.k8s.io,application/json",
    "application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io,"
    "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io,application/json",
)  # fmt: skip


def discover(side: Side) -> None:
    groups = side.send("GET", "/apis").json["groups"]
    documents = ["/api/v1", *(f"/apis/{g['name']}" for g in groups)]
    documents += [f"/apis/{v['groupVersion']}" for g in groups for v in g["versions"]]
    for path in ("/api", "/apis", "/api/", "/apis/", *documents):
        for accept in _ACCEPTS if path in ("/api", "/apis") else _ACCEPTS[:8]:
            if path not in ("/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1") and not accept.endswith(
                ("json", "protobuf")
            ):
                continue
            answer = side.send("GET", path, accept=accept)
            side.record(f"{path} {accept}", answer)
            side.records[f"bytes of {path} {accept}"] = side.settled(answer.raw.decode("utf-8", "backslashreplace"))
            tag = answer.headers.get("etag", "")
            if tag:
                side.ask("GET", path, label=f"{path} {accept} if none match", accept=accept, if_none_match=tag)
                side.ask("GET", path, label=f"{path} {accept} if other", accept=accept, if_none_match='"x"')
    for path in (
        "/api",
        "/apis",
        "/api/v1",
        "/apis/apps",
        "/apis/apps/v1",
        "/apis/none",
        "/apis/apps/v7",
        "/api/v7",
        "/api/v1/",
        "/apis/apps/",
        "/apis/apps/v1/",
    ):
        for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
            side.ask(method, path)
        side.ask("GET", f"{path}?pretty=true")
        side.ask("GET", path, label=f"gzip {path}", accept_encoding="gzip")
