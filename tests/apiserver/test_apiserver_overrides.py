"""Resources with a store of their own (--etcd-servers-overrides)."""

from __future__ import annotations

from typing import Any

import orjson
from asking import ADMIN, JSON, request_of

from pilothouse.api.exchange import Response
from pilothouse.apiserver.config import Config
from pilothouse.apiserver.server import APIServer
from pilothouse.clock import VirtualClock
from pilothouse.store.embedded import EmbeddedStore, open_store
from pilothouse.store.interface import Range

EVENT = {
    "metadata": {"name": "e", "namespace": "default"}, "reason": "Because", "type": "Normal",
    "involvedObject": {"kind": "Pod", "namespace": "default", "name": "p"},
}  # fmt: skip


async def _keys(store: EmbeddedStore) -> list[str]:
    found = await store.range(Range(b"/registry/", b"/registry0", keys_only=True))
    return [kv.key.decode().removeprefix("/registry/") for kv in found.kvs]


def test_their_objects_lie_there_and_nowhere_else() -> None:
    clock = VirtualClock(seed=1)

    async def main() -> None:
        usual, other = await open_store(None, clock), await open_store(None, clock)
        names = {("", "events"): other, ("", "namespaces"): other, ("coordination.k8s.io", "leases"): other}
        config = Config(disable_admission_plugins=("ServiceAccount",))

        async def ask(server: APIServer, method: str, address: str, body: Any = None) -> tuple[int, Any]:
            answer: Response = await server.handle(request_of(method, address, body, ADMIN, JSON if body else "", {}))
            return answer.status, answer.object if answer.object is not None else orjson.loads(answer.body or b"null")

        server = APIServer(usual, clock, config, names)
        await server.start()
        for n in range(3):  # revisions of the two run apart
            await ask(server, "POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": f"c{n}"}})
        code, event = await ask(server, "POST", "/api/v1/namespaces/default/events", EVENT)
        assert code == 201
        assert int(event["metadata"]["resourceVersion"]) == await other.revision() != await usual.revision()
        assert "events/default/e" in await _keys(other) and "namespaces/default" in await _keys(other)
        assert "configmaps/default/c0" in await _keys(usual)
        assert not [key for key in await _keys(usual) if key.startswith(("events/", "namespaces/", "leases/"))]
        assert not [key for key in await _keys(other) if not key.startswith(("events/", "namespaces/", "leases/"))]

        for address in ("api/v1/events", "apis/events.k8s.io/v1/events", "api/v1/events?resourceVersion=0"):
            code, listed = await ask(server, "GET", f"/{address}")
            assert (code, [one["metadata"]["name"] for one in listed["items"]]) == (200, ["e"]), address
        rv = event["metadata"]["resourceVersion"]
        code, exact = await ask(server, "GET", f"/api/v1/events?resourceVersion={rv}&resourceVersionMatch=Exact")
        assert (code, len(exact["items"]), exact["metadata"]["resourceVersion"]) == (200, 1, rv)
        code, late = await ask(server, "GET", f"/api/v1/events?resourceVersion={int(rv) + 100}")
        assert code == 504 and "Too large resource version" in late["message"]
        assert len(await other.lease_list()) == 1 and not await usual.lease_list()

        answer = await server.handle(request_of("GET", "/readyz?verbose", None, ADMIN, "", {}))
        assert b"[+]etcd-readiness ok\n[+]etcd-override-0 ok\n[+]etcd-override-readiness-0 ok\n" in answer.body

        await clock.sleep(3700)  # an event's time is over
        assert (await ask(server, "GET", "/api/v1/namespaces/default/events/e"))[0] == 404
        await clock.sleep(700)
        assert (await other.status()).compacted > 0 and (await usual.status()).compacted > 0
        await server.stop()

        again = APIServer(usual, clock, config, names)
        await again.start()
        code, found = await ask(again, "GET", "/api/v1/namespaces")
        assert {one["metadata"]["name"] for one in found["items"]} >= {"default", "kube-system"}
        await again.stop()
        await usual.close()
        await other.close()

    clock.run(main())
