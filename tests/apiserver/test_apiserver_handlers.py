"""What each verb does to objects, through the whole pipeline within the process."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from asking import Call
from memory_store import MemoryStore

from pilothouse.api.objects import Obj
from pilothouse.apiserver.server import APIServer

CM = "/api/v1/namespaces/default/configmaps"


def config_map(name: str = "x", **data: str) -> Obj:
    return {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": name}, "data": data}


async def ok(answer: Any, status: int = 200) -> Obj:
    response = await answer
    assert response.status == status, response.object
    return response.object  # type: ignore[no-any-return]


async def refused(answer: Any, code: int) -> Obj:
    response = await answer
    assert (response.status, response.object["code"]) == (code, code), response.object
    return response.object  # type: ignore[no-any-return]


async def test_create_and_read(call: Call) -> None:
    sent = config_map(k="v")
    made = await ok(call("POST", CM, sent), 201)
    meta = made["metadata"]
    assert meta["namespace"] == "default"
    assert meta["uid"]
    assert meta["creationTimestamp"]
    assert int(meta["resourceVersion"]) > 1
    assert sent == config_map(k="v"), "what the caller sent is theirs"
    read = await call("GET", f"{CM}/x")
    assert read.object is made or read.object == made
    listed = await ok(call("GET", CM))
    assert listed["kind"] == "ConfigMapList"
    assert made in listed["items"]
    again = await refused(call("POST", CM, config_map()), 409)
    assert again["message"] == 'configmaps "x" already exists'
    assert again["reason"] == "AlreadyExists"


async def test_what_a_creator_may_not_set(call: Call) -> None:
    obj = config_map()
    obj["metadata"].update(
        uid="u", resourceVersion="", creationTimestamp="2001-01-01T00:00:00Z", deletionTimestamp=None
    )
    obj["metadata"]["deletionGracePeriodSeconds"] = 5
    meta = (await ok(call("POST", CM, obj), 201))["metadata"]
    assert meta["uid"] != "u"
    assert not meta["creationTimestamp"].startswith("2001")
    assert "deletionGracePeriodSeconds" not in meta


async def test_generated_names(call: Call) -> None:
    obj = {"metadata": {"generateName": "a-"}}
    names = {(await ok(call("POST", CM, obj), 201))["metadata"]["name"] for _ in range(5)}
    assert len(names) == 5
    assert all(n.startswith("a-") and len(n) == 7 for n in names)


async def test_namespaces_of_objects(call: Call) -> None:
    other = config_map()
    other["metadata"]["namespace"] = "other"
    answer = await refused(call("POST", CM, other), 400)
    assert answer["message"] == "the namespace of the provided object does not match the namespace sent on the request"
    role: Obj = {"metadata": {"name": "r", "namespace": "nope"}, "rules": []}
    made = await call("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", role)
    assert made.status in (201, 400), made.object


async def test_dry_run(call: Call, store: MemoryStore) -> None:
    before = store.now
    made = await ok(call("POST", f"{CM}?dryRun=All", config_map()), 201)
    assert made["metadata"]["uid"]
    assert not made["metadata"].get("resourceVersion")
    await refused(call("GET", f"{CM}/x"), 404)
    assert store.now == before
    kept = await ok(call("POST", CM, config_map()), 201)
    before = store.now
    await refused(call("POST", f"{CM}?dryRun=All", config_map()), 409)
    changed = await ok(call("PUT", f"{CM}/x?dryRun=All", config_map(k="v")))
    assert changed["data"] == {"k": "v"}
    assert changed["metadata"]["resourceVersion"] == kept["metadata"]["resourceVersion"]
    await ok(call("DELETE", f"{CM}/x?dryRun=All"))
    assert store.now == before
    await ok(call("GET", f"{CM}/x"))


async def test_update(call: Call, store: MemoryStore) -> None:
    made = await ok(call("POST", CM, config_map(k="1")), 201)
    updated = await ok(call("PUT", f"{CM}/x", {**made, "data": {"k": "2"}}))
    assert updated["data"] == {"k": "2"}
    assert updated["metadata"]["uid"] == made["metadata"]["uid"]
    stale = await refused(call("PUT", f"{CM}/x", {**made, "data": {"k": "3"}}), 409)
    assert stale["message"] == (
        'Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to the '
        "latest version and try again"
    )
    await ok(call("PUT", f"{CM}/x", config_map(k="4")))  # without a resource version: whatever it is now
    before = store.now
    same = await ok(call("PUT", f"{CM}/x", config_map(k="4")))
    assert store.now == before, "an update that changes nothing is not written"
    assert same["metadata"]["resourceVersion"] == str(before)
    missing = await refused(call("PUT", f"{CM}/nope", config_map("nope")), 404)
    assert missing["details"] == {"name": "nope", "kind": "configmaps"}
    wrong = await refused(call("PUT", f"{CM}/x", config_map("y")), 400)
    assert wrong["message"] == "the name of the object (y) does not match the name on the URL (x)"
    other = config_map()
    other["metadata"]["uid"] = "1-2-3"
    uid = await refused(call("PUT", f"{CM}/x", other), 409)
    assert uid["message"].startswith(
        'Operation cannot be fulfilled on configmaps "x": StorageError: invalid object, Code: 4, Key: '
        "/configmaps/default/x, ResourceVersion: 0, AdditionalErrorMsg: Precondition failed: UID in precondition: "
        "1-2-3, UID in object meta: "
    )


async def test_delete(call: Call) -> None:
    made = await ok(call("POST", CM, config_map()), 201)
    answer = await ok(call("DELETE", f"{CM}/x"))
    assert answer == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "x", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }
    await refused(call("GET", f"{CM}/x"), 404)
    await refused(call("DELETE", f"{CM}/x"), 404)


async def test_delete_preconditions(call: Call) -> None:
    made = await ok(call("POST", CM, config_map()), 201)
    meta = made["metadata"]
    answer = await refused(call("DELETE", f"{CM}/x", {"kind": "DeleteOptions", "preconditions": {"uid": "nope"}}), 409)
    assert answer["message"] == (
        'Operation cannot be fulfilled on ConfigMap "x": the UID in the precondition (nope) does not match the UID in record '
        f"({meta['uid']}). The object might have been deleted and then recreated"
    )
    await refused(call("DELETE", f"{CM}/x", {"preconditions": {"resourceVersion": "1"}}), 409)
    right = {"preconditions": {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}}
    await ok(call("DELETE", f"{CM}/x", right))


async def test_finalizers(call: Call) -> None:
    obj = config_map()
    obj["metadata"]["finalizers"] = ["example.com/wait"]
    await ok(call("POST", CM, obj), 201)
    answer = await ok(call("DELETE", f"{CM}/x"))
    assert answer["kind"] in ("Status", "ConfigMap")
    waiting = await ok(call("GET", f"{CM}/x"))
    assert waiting["metadata"]["deletionTimestamp"]
    assert waiting["metadata"]["deletionGracePeriodSeconds"] == 0
    again = await refused(call("POST", CM, config_map()), 409)
    assert again["message"] == 'object is being deleted: configmaps "x" already exists'
    last = {**waiting, "metadata": {k: v for k, v in waiting["metadata"].items() if k != "finalizers"}}
    await ok(call("PUT", f"{CM}/x", last))
    await refused(call("GET", f"{CM}/x"), 404)


async def test_propagation(call: Call) -> None:
    await ok(call("POST", CM, config_map()), 201)
    await ok(call("DELETE", f"{CM}/x?propagationPolicy=Foreground"))
    waiting = await ok(call("GET", f"{CM}/x"))
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await ok(call("POST", CM, config_map("y")), 201)
    await ok(call("DELETE", f"{CM}/y", {"propagationPolicy": "Orphan"}))
    assert (await ok(call("GET", f"{CM}/y")))["metadata"]["finalizers"] == ["orphan"]
    # A later delete may say otherwise.
    await ok(call("DELETE", f"{CM}/y", {"propagationPolicy": "Background"}))
    await refused(call("GET", f"{CM}/y"), 404)
    both = await refused(call("DELETE", f"{CM}/x", {"propagationPolicy": "Orphan", "orphanDependents": True}), 422)
    assert both["details"]["causes"][0]["field"] == "propagationPolicy"
    await refused(call("DELETE", f"{CM}/x", {"propagationPolicy": "Sideways"}), 422)


async def test_namespace_deletion(call: Call) -> None:
    made = await ok(call("POST", "/api/v1/namespaces", {"metadata": {"name": "a"}}), 201)
    assert made["spec"]["finalizers"] == ["kubernetes"]
    gone = await ok(call("DELETE", "/api/v1/namespaces/a"))
    assert gone["status"]["phase"] == "Terminating"
    assert gone["metadata"]["deletionTimestamp"]
    again = await ok(call("DELETE", "/api/v1/namespaces/a"))
    assert again["metadata"]["resourceVersion"] == gone["metadata"]["resourceVersion"]
    final = await ok(call("PUT", "/api/v1/namespaces/a/finalize", {**gone, "spec": {}}))
    assert final["metadata"]["name"] == "a"
    await refused(call("GET", "/api/v1/namespaces/a"), 404)


async def test_delete_collection(call: Call) -> None:
    for name in ("x", "y", "z"):
        await ok(call("POST", CM, config_map(name)), 201)
    answer = await ok(call("DELETE", CM))
    assert {i["metadata"]["name"] for i in answer["items"]} >= {"x", "y", "z"}
    assert (await ok(call("GET", CM)))["items"] == []


async def test_preconditions_in_the_query(call: Call) -> None:
    made = await ok(call("POST", CM, config_map()), 201)
    answer = await refused(call("DELETE", f"{CM}/x?resourceVersion=1"), 409)
    assert "the ResourceVersion in the precondition (1) does not match" in answer["message"]
    assert (
        "the UID in the precondition (u) does not" in (await refused(call("DELETE", f"{CM}/x?uid=u"), 409))["message"]
    )
    await ok(
        call("DELETE", f"{CM}/x?uid={made['metadata']['uid']}&resourceVersion={made['metadata']['resourceVersion']}")
    )


async def test_reviews_say_who_set_their_fields(call: Call) -> None:
    review = {"spec": {"nonResourceAttributes": {"verb": "get"}}}
    at = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews?fieldManager=me"
    [entry] = (await ok(call("POST", at, review), 201))["metadata"]["managedFields"]
    assert (entry["manager"], entry["fieldsV1"]) == (
        "me", {"f:spec": {"f:nonResourceAttributes": {".": {}, "f:verb": {}}}}
    )  # fmt: skip


async def test_rows_say_that_pods_have_ended(call: Call) -> None:
    pods = "/api/v1/namespaces/default/pods"
    await ok(call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}}), 201)
    for name, phase in (("done", "Succeeded"), ("broken", "Failed"), ("going", "Running")):
        spec = {"containers": [{"name": "c", "image": "i"}]}
        await ok(call("POST", pods, {"metadata": {"name": name}, "spec": spec}), 201)
        status = {"status": {"phase": phase}}
        await ok(call("PATCH", f"{pods}/{name}/status", status, content_type="application/merge-patch+json"))
    table = "application/json;as=Table;v=v1;g=meta.k8s.io"
    rows = (await ok(call("GET", pods, accept=table)))["rows"]
    found = {row["cells"][0]: row.get("conditions") for row in rows}
    assert found["going"] is None
    assert found["done"] == [
        {"type": "Completed", "status": "True", "reason": "Succeeded", "message": "The pod has completed successfully."}
    ]
    one = (await ok(call("GET", f"{pods}/broken", accept=table)))["rows"][0]
    assert one["conditions"] == found["broken"]
    assert one["conditions"][0]["message"] == "The pod failed."


async def test_pages(call: Call) -> None:
    for i in range(7):
        await ok(call("POST", CM, config_map(f"c{i}")), 201)
    first = await ok(call("GET", f"{CM}?limit=3"))
    assert [i["metadata"]["name"] for i in first["items"]] == ["c0", "c1", "c2"]
    assert first["metadata"]["remainingItemCount"] == 4
    # What happens after the first page is not seen on the others.
    await ok(call("DELETE", f"{CM}/c4"))
    await ok(call("POST", CM, config_map("c55")), 201)
    token = first["metadata"]["continue"]
    second = await ok(call("GET", f"{CM}?limit=3&continue={token}"))
    assert [i["metadata"]["name"] for i in second["items"]] == ["c3", "c4", "c5"]
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    third = await ok(call("GET", f"{CM}?limit=3&continue={second['metadata']['continue']}"))
    assert [i["metadata"]["name"] for i in third["items"]] == ["c6"]
    assert "continue" not in third["metadata"]
    assert "remainingItemCount" not in third["metadata"]


async def test_pages_of_what_is_selected(call: Call) -> None:
    for i in range(4):
        obj = config_map(f"c{i}")
        obj["metadata"]["labels"] = {"parity": "odd" if i % 2 else "even"}
        await ok(call("POST", CM, obj), 201)
    # Whether there is more is asked of what was looked at: after c2 there is c3, which does not match.
    even = await ok(call("GET", f"{CM}?limit=2&labelSelector=parity%3Deven"))
    assert [i["metadata"]["name"] for i in even["items"]] == ["c0", "c2"]
    assert "remainingItemCount" not in even["metadata"]
    rest = await ok(call("GET", f"{CM}?limit=2&labelSelector=parity%3Deven&continue={even['metadata']['continue']}"))
    assert rest["items"] == []
    assert "continue" not in rest["metadata"]
    odd = await ok(call("GET", f"{CM}?limit=2&labelSelector=parity%3Dodd"))
    assert "continue" not in odd["metadata"]
    # A namespace that the field selector names is the list's, and its pages go on within it.
    everywhere = "/api/v1/configmaps?limit=1&fieldSelector=metadata.namespace%3Ddefault"
    first = await ok(call("GET", everywhere))
    second = await ok(call("GET", f"{everywhere}&continue={first['metadata']['continue']}"))
    assert [i["metadata"]["name"] for i in (*first["items"], *second["items"])] == ["c0", "c1"]
    # Nothing comes after the one object that a name selects.
    one = await ok(call("GET", f"{CM}?fieldSelector=metadata.name%3Dc3&continue={even['metadata']['continue']}"))
    assert one["items"] == []


@pytest.mark.parametrize(
    ("token", "why"),
    [
        ("e30=", "illegal base64 data at input byte 3"),
        ("x", "illegal base64 data at input byte 0"),
        ("bnVsbA", "server does not recognize this encoded version "),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MS41fQ",
         "json: cannot unmarshal number 1.5 into Go struct field continueToken.rv of type int64"),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6bnVsbCwic3RhcnQiOiIvYSJ9",
         "incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
    ],
)  # fmt: skip
async def test_what_is_no_continue_token(call: Call, token: str, why: str) -> None:
    answer = await refused(call("GET", f"{CM}?limit=2&continue={token}"), 400)
    assert answer["message"] == f"invalid continue token: continue key is not valid: {why}"


@pytest.mark.parametrize(
    ("path", "fields", "message"),
    [
        ("/api/v1/namespaces", "name=a", "field label not supported: name"),
        ("/apis/certificates.k8s.io/v1/podcertificaterequests", "metadata.namespace=a",
         "field label not supported: metadata.namespace"),
        ("/api/v1/componentstatuses", "metadata.uid=a",
         '"metadata.uid" is not a known field selector: only "metadata.name", "metadata.namespace"'),
    ],
)  # fmt: skip
async def test_fields_that_nothing_is_selected_by(call: Call, path: str, fields: str, message: str) -> None:
    assert (await refused(call("GET", f"{path}?fieldSelector={fields}"), 400))["message"] == message


async def test_component_statuses_are_selected(call: Call) -> None:
    at = "/api/v1/componentstatuses"
    found = await ok(call("GET", f"{at}?fieldSelector=metadata.name%3Detcd-0"))
    assert [i["metadata"]["name"] for i in found["items"]] == ["etcd-0"]
    assert (await ok(call("GET", f"{at}?labelSelector=a")))["items"] == []
    await refused(call("GET", f"{at}?watch=true"), 405)


async def test_labels_beyond_64_bits(call: Call) -> None:
    answer = await refused(call("GET", f"{CM}?labelSelector=a%3E99999999999999999999"), 400)
    assert answer["message"].endswith("for 'Gt', 'Lt' operators, the value must be an integer")


async def test_an_expired_page(call: Call, store: MemoryStore) -> None:
    for i in range(4):
        await ok(call("POST", CM, config_map(f"c{i}")), 201)
    token = (await ok(call("GET", f"{CM}?limit=2")))["metadata"]["continue"]
    await ok(call("DELETE", f"{CM}/c3"))
    await ok(call("GET", CM))  # the cache has moved on
    await store.compact(store.now)
    answer = await refused(call("GET", f"{CM}?limit=2&continue={token}"), 410)
    assert answer["reason"] == "Expired"
    rest = await ok(call("GET", f"{CM}?limit=2&continue={answer['metadata']['continue']}"))
    assert [i["metadata"]["name"] for i in rest["items"]] == ["c2"]
    old = await refused(call("GET", f"{CM}?resourceVersion=1&resourceVersionMatch=Exact"), 410)
    assert old["message"] == "The resourceVersion for the provided list is too old."


async def test_revisions_of_lists(call: Call) -> None:
    first = await ok(call("POST", CM, config_map("a")), 201)
    await ok(call("POST", CM, config_map("b")), 201)
    revision = first["metadata"]["resourceVersion"]
    exact = await ok(call("GET", f"{CM}?resourceVersion={revision}&resourceVersionMatch=Exact"))
    assert [i["metadata"]["name"] for i in exact["items"]] == ["a"]
    assert exact["metadata"]["resourceVersion"] == revision
    assert len((await ok(call("GET", CM)))["items"]) == 2
    least = await ok(call("GET", f"{CM}?resourceVersion={revision}"))
    assert len(least["items"]) == 2
    assert len((await ok(call("GET", f"{CM}?resourceVersion=0&limit=1")))["items"]) == 2
    bad = await refused(call("GET", f"{CM}?resourceVersion=x"), 400)
    assert bad["message"] == (
        'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": invalid syntax'
    )


async def test_a_revision_that_is_not_there_yet(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from pilothouse.apiserver.handlers import lists

    monkeypatch.setattr(lists, "WAIT_S", 0.05)
    answer = await refused(call("GET", f"{CM}?resourceVersion=99999"), 504)
    assert answer["details"] == {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }


async def test_scale(call: Call) -> None:
    labels = {"app": "web"}
    deployment = {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
        },
    }
    path = "/apis/apps/v1/namespaces/default/deployments"
    await ok(call("POST", path, deployment), 201)
    scale = await ok(call("GET", f"{path}/web/scale"))
    assert (scale["kind"], scale["spec"], scale["status"]) == (
        "Scale",
        {"replicas": 3},
        {"replicas": 0, "selector": "app=web"},
    )
    answer = await ok(call("PUT", f"{path}/web/scale", {**scale, "spec": {"replicas": 5}}))
    assert answer["spec"] == {"replicas": 5}
    assert (await ok(call("GET", f"{path}/web")))["spec"]["replicas"] == 5
    negative = await refused(call("PUT", f"{path}/web/scale", {**answer, "spec": {"replicas": -1}}), 422)
    assert negative["details"]["kind"] == "Scale"
    await refused(call("PUT", f"{path}/web/scale", {**scale, "spec": {"replicas": 7}}), 409)


async def test_status_is_apart(call: Call) -> None:
    node = await ok(call("POST", "/api/v1/nodes", {"metadata": {"name": "n"}}), 201)
    sent = {**node, "spec": {"unschedulable": True}, "status": {"phase": "Running"}}
    answer = await ok(call("PUT", "/api/v1/nodes/n/status", sent))
    assert answer["status"]["phase"] == "Running"
    assert "unschedulable" not in (answer.get("spec") or {})


async def test_unknown_addresses(call: Call) -> None:
    assert (await call("GET", "/apis/nope.io/v1/things")).body == b"404 page not found\n"
    known = await refused(call("GET", "/apis/apps/v1/nope"), 404)
    assert (known["message"], known["details"]) == ("the server could not find the requested resource", {})
    for method, path in (
        ("PUT", "/api/v1/pods"),
        ("POST", "/api/v1/pods"),
        ("OPTIONS", "/api/v1/pods"),
        ("DELETE", "/api/v1/namespaces"),
        ("POST", "/version"),
        ("DELETE", "/api"),
    ):
        answer = await refused(call(method, path), 405)
        assert answer["message"] == "the server does not allow this method on the requested resource"
    for path in ("/api/v1/pods/x", "/api/v1/namespaces/a/nodes", "/api/v1/namespaces/a/pods/x/nope", "/api/v1/proxy/x"):
        await refused(call("GET", path), 404)


async def test_who_may(server: APIServer, wire: Call) -> None:
    refusal = await wire("GET", "/api/v1/namespaces/default/pods", token="janetok")
    assert refusal.status == 403
    message = 'pods is forbidden: User "jane" cannot list resource "pods" in API group "" in the namespace "default"'
    assert orjson.loads(refusal.body)["message"] == message
    assert (await wire("GET", "/api/v1/pods", token="nope")).status == 401
    path = await wire("GET", "/metrics", token="janetok")
    assert b'forbidden: User \\"jane\\" cannot get path \\"/metrics\\"' in path.body


async def test_no_traceback_for_odd_bodies(call: Call, wire: Call) -> None:
    for body in (
        b"",
        b"[]",
        b"null",
        b"7",
        b'"x"',
        b"{",
        b"{}",
        b'{"metadata":[]}',
        b'{"metadata":{"name":7}}',
        b"\xff\xfe",
    ):
        for method, path in (("POST", CM), ("PUT", f"{CM}/x")):
            response = await wire(method, path, body)
            assert 400 <= response.status < 500, (method, body, response.body)
