"""Lists: pages, revisions, selectors and forms."""

from __future__ import annotations

import base64
import json
from typing import Any

from sidebyside import Side

NS = "/api/v1/namespaces/sides-list"
MAPS = f"{NS}/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def _config_map(name: str, **labels: str) -> Any:
    meta = {"name": name, "labels": labels} if labels else {"name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"a": name}}


def _begin(side: Side) -> list[str]:
    """Six config maps in a new namespace; the revision of each."""
    side.send(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "sides-list"}}
    )
    side.send("DELETE", MAPS)
    out = []
    for i in range(6):
        labels = {"i": str(i), "parity": "odd" if i % 2 else "even", "example.com/x": "y"}
        if i == 5:
            labels = {}
        answer = side.send("POST", MAPS, _config_map(f"m{i}", **labels))
        out.append(side.know(f"rv{i}", answer.json["metadata"]["resourceVersion"]))
    return out


def list_revisions(side: Side) -> None:
    rvs = _begin(side)
    last = rvs[-1]
    future = side.know("future", int(last) + 1_000_000)
    for rv in (
        "",
        "0",
        last,
        rvs[2],
        "1",
        "-1",
        "a",
        "1.5",
        "00",
        "+1",
        "18446744073709551615",
        "18446744073709551616",
    ):
        for match in ("", "Exact", "NotOlderThan", "exact", "Bogus"):
            for limit in ("", "2", "0", "-1"):
                query = "&".join(
                    f"{k}={v}"
                    for k, v in (
                        ("resourceVersion", rv.replace("+", "%2B")),
                        ("resourceVersionMatch", match),
                        ("limit", limit),
                    )
                    if v
                )
                side.get(f"{MAPS}?{query}")
    side.all(
        *(
            f"{MAPS}?resourceVersion={future}{more}"
            for more in (
                "",
                "&limit=2",
                "&resourceVersionMatch=Exact",
                "&resourceVersionMatch=NotOlderThan",
                "&resourceVersionMatch=Exact&fieldSelector=metadata.name=m1",
            )
        )
    )
    for rv in ("0", last, rvs[2], "1", "a"):
        side.get(f"{MAPS}/m1?resourceVersion={rv}")
        side.get(f"{MAPS}?fieldSelector=metadata.name%3Dm1&resourceVersion={rv}&limit=1")
        side.get(f"{MAPS}?fieldSelector=metadata.name%3Dm1&resourceVersion={rv}&resourceVersionMatch=Exact")
    side.all(f"{MAPS}/m1?resourceVersion={future}", f"{MAPS}/none?resourceVersion={future}")
    for odd in (
        "limit=a",
        "limit=9223372036854775808",
        "timeoutSeconds=a",
        "limit=",
        "allowWatchBookmarks=x&watch=false",
        "watch=0",
        "sendInitialEvents=true",
        "sendInitialEvents=false",
        "sendInitialEvents=true&resourceVersionMatch=NotOlderThan",
        "continue=x&sendInitialEvents=true",
        "timeoutSeconds=-1",
        "timeoutSeconds=0",
        "resourceVersion=&resourceVersionMatch=",
    ):
        side.get(f"{MAPS}?{odd}")


def list_pages(side: Side) -> None:
    rvs = _begin(side)
    token = side.get(f"{MAPS}?limit=2").json["metadata"]["continue"]
    side.get(f"{MAPS}?limit=2&continue={token}")
    side.get(f"{MAPS}?limit=1&continue={token}")
    side.get(f"{MAPS}?continue={token}")
    side.get(f"{MAPS}?limit=2&continue={token}&labelSelector=parity%3Deven")
    for rv in ("0", rvs[0], "a", "1"):
        side.get(f"{MAPS}?limit=2&continue={token}&resourceVersion={rv}")
    for match in ("Exact", "NotOlderThan", "x"):
        side.get(f"{MAPS}?limit=2&continue={token}&resourceVersionMatch={match}")
        side.get(f"{MAPS}?limit=2&continue={token}&resourceVersion=0&resourceVersionMatch={match}")
    for selector in (
        "labelSelector=parity%3Deven",
        "labelSelector=parity%3Dodd",
        "labelSelector=!parity",
        "fieldSelector=metadata.name!%3Dm0",
        "fieldSelector=metadata.namespace%3Dsides-list",
        "fieldSelector=metadata.name%3Dm1",
        "labelSelector=",
        "fieldSelector=",
    ):
        for limit in (1, 2, 3, 6, 7):
            side.get(f"{MAPS}?limit={limit}&{selector}")
    side.get("/api/v1/configmaps?limit=1&fieldSelector=metadata.namespace%3Dsides-list")
    side.get("/api/v1/configmaps?limit=2&fieldSelector=metadata.namespace%3Dsides-list,metadata.name!%3Dm0")
    for limit in (1, 3, 6, 7):
        side.get(f"{MAPS}?limit={limit}&resourceVersion={rvs[3]}")
        side.get(f"{MAPS}?limit={limit}&resourceVersion={rvs[3]}&resourceVersionMatch=Exact")
        side.get(f"{MAPS}?limit={limit}&resourceVersion={rvs[3]}&resourceVersionMatch=NotOlderThan")
        side.get(
            f"{MAPS}?limit={limit}&resourceVersion={rvs[3]}&resourceVersionMatch=Exact&labelSelector=parity%3Deven"
        )
        side.get(f"{MAPS}?limit={limit}&resourceVersion=0")
    opened = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    rv = opened["rv"]
    for changed in (
        {"v": "meta.k8s.io/v2"}, {"v": ""}, {"v": 1}, {"rv": 0}, {"rv": -1}, {"rv": "1"}, {"rv": 1}, {"rv": 1.5},
        {"rv": None}, {"start": ""}, {"start": "m1"}, {"start": "/m1"},
        {"start": "../m1"}, {"start": "/../m1"}, {"start": "m1/../../x"}, {"start": "//m1"}, {"start": "m1/"},
        {"start": "."}, {"start": 1}, {"rv": rv + 1_000_000}, {"rv": -2}, {"x": 1}, {"start": "/zzz"}, {"start": "/a"},
    ):  # fmt: skip
        made = base64.urlsafe_b64encode(json.dumps({**opened, **changed}).encode()).rstrip(b"=").decode()
        side.ask(
            "GET",
            f"{MAPS}?limit=2&continue={made}",
            label=f"continue {changed if 'rv' not in changed else {'rv': type(changed['rv']), 'n': str(changed['rv'])[:2]}}",
        )
    for text in ("x", "xx", "!!", "eyJ2", "bnVsbA", "W10", "MQ", "e30", "%00", "YQ==", "e30="):
        side.get(f"{MAPS}?limit=2&continue={text}")
    side.get(f"{MAPS}?fieldSelector=metadata.name%3Dm1&continue=xx")
    side.get(f"{MAPS}?fieldSelector=metadata.name%3Dm1&continue={token}")
    side.send("DELETE", f"{MAPS}/m3")
    side.send("POST", MAPS, _config_map("m2a"))
    side.get(f"{MAPS}?limit=2&continue={token}")


def list_label_selectors(side: Side) -> None:
    _begin(side)
    for selector in (
        "i=1", "i==1", "i!=1", "i in (1,2)", "i notin (1,2)", "i", "!i", "i>1", "i<3", "i>1,i<4",
        "parity in (odd),i notin (3)", "example.com/x=y", "i in ()", "i in (,)", "i in (1", "i in 1)", "i in",
        "in in (in)", "notin notin (notin)",
        "i=", "i==", "=1", "==1", "!=1", "!", "!!i", "!i=1", "! i", " i = 1 ", "i=1,", ",i=1", ",", "i=1,,parity=odd",
        "i=1 parity=odd", "i>a", "i>1.5", "i>", ">1", "i>=1", "i=<1", "i=a b", "a b=c", "i=(1)", "(i)", "i,!parity",
        "a/b/c=d", "/a=b", "a/=b", "Example.com/x=y", "example.com/x!=y",
        "i=-1", "-i=1", "i=" + "a" * 64, "a" * 64 + "=1", "a" * 254 + "/x=1", "i=é", "é=1", "i in (1,)", "i in (,1)",
        "i in (1,,2)", "i in (1 2)", "i notin ()", "i in (a b)", "x!=y,z", "i=1=2", "i!1", "i===1", "i = = 1", "i=!1",
        "i=in", "in=in", "i in(1)", "i notin(1)", "i=1;j=2", '"', "i='1'", "i\t=\n1", "i@=1", "i=@", "i>01", "i<-1",
        "i>+1", "i>99999999999999999999", "parity in (odd, even)", "(", ")", "i in ((1))",
    ):  # fmt: skip
        from urllib.parse import quote

        side.ask(
            "GET",
            f"{MAPS}?labelSelector={quote(selector)}",
            label=f"labels {selector!r}",
            accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        )


def list_field_selectors(side: Side) -> None:
    _begin(side)
    from urllib.parse import quote

    for selector in (
        "metadata.name=m1", "metadata.name==m1", "metadata.name!=m1", "metadata.name=m1,metadata.name=m2",
        "metadata.name=m1,metadata.namespace=sides-list", "metadata.name=m1,metadata.namespace=other",
        "metadata.name=", "metadata.name!=", "metadata.name",
        "!metadata.name", "metadata.name in (m1)", "a=b", "data.a=m1", "metadata.uid=x", "metadata.labels.i=1",
        "metadata.name=m1,a=b", "=", "=x", "!=x", ",", "metadata.name=m1,", ",metadata.name=m1", "metadata.name=a\\,b",
        "metadata.name=a\\=b", "metadata.name=a\\b",
        "metadata.name=\\", "metadata.name=a=b", "metadata.name=m1==m2", "metadata.name>m1", "metadata.name=m1 ",
        " metadata.name=m1", "metadata.name = m1", "METADATA.NAME=m1", "metadata.namespace!=x", "metadata.name=m/1",
        "metadata.name=..", "metadata.name=%", "metadata.name=m1/../m2", "metadata.name=.",
    ):  # fmt: skip
        side.ask(
            "GET",
            f"{MAPS}?fieldSelector={quote(selector)}",
            label=f"fields {selector!r}",
            accept="application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
        )
        side.ask("GET", f"/api/v1/nodes?fieldSelector={quote(selector)}", label=f"fields of nodes {selector!r}")


def list_fields_of_kinds(side: Side) -> None:
    """Which fields each kind can be selected by, and how it refuses the others."""
    names = [
        "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.restartPolicy",
        "spec.schedulerName", "spec.serviceAccountName", "spec.hostNetwork", "status.phase", "status.podIP",
        "status.podIPs", "status.nominatedNodeName",
        "spec.unschedulable", "status.replicas", "status.successful", "type", "reason", "involvedObject.kind",
        "regarding.kind", "reportingComponent", "reportingController", "source", "involvedObject.uid", "regarding.uid",
        "action", "eventTime", "spec.clusterIP", "spec.type", "spec.signerName", "spec.driver", "spec.nodeName",
        "spec.podName",
        "spec.parentRef", "spec.ingressClassName", "spec.volumeName", "spec.group", "nodeName", "driver", "name",
        "kind", "involvedObject.name", "involvedObject.namespace", "involvedObject.apiVersion",
        "involvedObject.resourceVersion", "involvedObject.fieldPath", "regarding.name", "reportingComponent",
        "spec.username", "status.conditions", "spec.attacher", "spec.source.persistentVolumeName",
        "spec.poolName", "spec.limitOneIPFamily",
    ]  # fmt: skip
    groups = [
        "/api/v1",
        *(f"/apis/{v['groupVersion']}" for g in side.send("GET", "/apis").json["groups"] for v in g["versions"]),
    ]
    for base in groups:
        for resource in side.send("GET", base).json.get("resources", ()):
            if "list" not in resource["verbs"] or "/" in resource["name"]:
                continue
            for name in dict.fromkeys(names):
                side.ask(
                    "GET",
                    f"{base}/{resource['name']}?fieldSelector={name}=zz-none",
                    label=f"{base} {resource['name']} {name}",
                )


def list_forms(side: Side) -> None:
    _begin(side)
    one = f"{MAPS}/m1"
    for path in (MAPS, one, f"{MAPS}?limit=2", f"{MAPS}?fieldSelector=metadata.name=none"):
        for what in ("Table", "PartialObjectMetadata", "PartialObjectMetadataList", "Bogus"):
            for version in ("v1", "v1beta1", "v1alpha1", "v2"):
                for media_type in ("application/json", "application/yaml", "application/vnd.kubernetes.protobuf"):
                    side.get(path, accept=f"{media_type};as={what};v={version};g=meta.k8s.io")
        for include in ("None", "Metadata", "Object", "", "none", "Bogus"):
            side.get(f"{path}{'&' if '?' in path else '?'}includeObject={include}", accept=TABLE)
        for accept in (
            "*/*", "application/*", "text/html", "text/plain", "application/xml", "application/json;as=Table",
            "application/json;as=Table;g=x;v=v1", "application/json;as=Table;v=v1",
            "application/json;g=meta.k8s.io;v=v1", "application/xml, application/json;q=0.1",
            "application/yaml;q=0.5,application/json;q=0.4",
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
            "application/json;as=Bogus;v=v1;g=meta.k8s.io,application/json", "application/json;stream=watch",
            "application/json;charset=utf-8", "application/json;pretty=1", "APPLICATION/JSON", "application/json; q=0",
            "", ",",
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io, "
        "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
            "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf, application/json",
            "application/json;profile=nominated", "text/yaml", "application/json, */*",
        ):  # fmt: skip
            side.get(path, accept=accept)
        for pretty in ("1", "true", "0", "false", "", "x"):
            answer = side.send("GET", f"{path}{'&' if '?' in path else '?'}pretty={pretty}")
            side.records[f"pretty {path} {pretty}"] = side.settled(answer.raw.decode())
        answer = side.send("GET", path, user_agent="Mozilla/5.0 curl")
        side.records[f"pretty browser {path}"] = side.settled(answer.raw.decode())
        answer = side.send("GET", path, user_agent="curl/8.0")
        side.records[f"pretty curl {path}"] = side.settled(answer.raw.decode())
    big = _config_map("big")
    big["data"]["x"] = "x" * 200_000
    side.send("POST", MAPS, big)
    for encoding in ("gzip", "deflate", "gzip;q=0", "gzip;q=0.5, br", "*", "identity", "br", "x-gzip", "GZIP"):
        side.ask("GET", f"{MAPS}/big", accept_encoding=encoding, label=f"gzip one {encoding}")
        side.ask("GET", MAPS, accept_encoding=encoding, label=f"gzip list {encoding}")
        side.ask("GET", one, accept_encoding=encoding, label=f"gzip small {encoding}")
        side.ask("GET", MAPS, accept_encoding=encoding, accept=TABLE, label=f"gzip table {encoding}")
    side.send("DELETE", f"{MAPS}/big")
