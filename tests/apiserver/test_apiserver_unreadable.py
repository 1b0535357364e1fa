"""Deletion of what the store cannot give back."""

from __future__ import annotations

from asking import Call
from memory_store import MemoryStore

from pilothouse.api.exchange import UserInfo
from pilothouse.store.interface import Put, Txn

MAPS = "/api/v1/namespaces/default/configmaps"
UNSAFE = {"ignoreStoreReadErrorWithClusterBreakingPotential": True}


async def test_only_what_cannot_be_read_is_deleted_so(call: Call, store: MemoryStore) -> None:
    await call("POST", MAPS, {"metadata": {"name": "a"}})
    refused = (await call("DELETE", f"{MAPS}/a", UNSAFE)).object
    assert refused["code"] == 409
    assert refused["message"].endswith("unsafe deletion is not allowed because the object is decodable from storage")
    await store.txn(Txn([], [Put(b"/registry/configmaps/default/b", b"no object")], []))
    assert (await call("DELETE", f"{MAPS}/b")).status == 500
    wrong = (await call("DELETE", f"{MAPS}/b", {**UNSAFE, "gracePeriodSeconds": 1})).object
    assert "cannot be set together with .gracePeriodSeconds" in wrong["message"]
    jane = UserInfo("jane", groups=("system:authenticated",))
    assert (await call("DELETE", f"{MAPS}/b", UNSAFE, user=jane)).status == 403
    assert (await call("DELETE", f"{MAPS}/b", {**UNSAFE, "dryRun": ["All"]})).status == 200
    assert (await call("DELETE", f"{MAPS}/b", UNSAFE)).object["status"] == "Success"
    assert (await call("DELETE", f"{MAPS}/b", UNSAFE)).status == 404
