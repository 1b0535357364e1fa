"""Endpoints, EndpointSlices and their mirrors."""

import pytest

from pilothouse.controllers.endpoints.endpoints import repack
from pilothouse.controllers.endpoints.membership import endpoint_port_order
from pilothouse.controllers.endpoints.packing import key_of_endpoint, pack

ALL = ("endpoints-controller", "endpointslice-controller", "endpointslice-mirroring-controller")


def service(name="web", selector={"app": "web"}, ports=((80, 8080),), **spec):  # noqa: B006
    spec = {
        "clusterIP": "10.96.0.10", "ipFamilies": ["IPv4"], "type": "ClusterIP",
        "ports": [{"port": p, "targetPort": t, "protocol": "TCP", **({"name": f"p{p}"} if len(ports) > 1 else {})}
                  for p, t in ports],
        **({"selector": selector} if selector is not None else {}), **spec,
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def pod(name, labels={"app": "web"}, **spec):  # noqa: B006
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "nginx", "ports": [{"name": "http", "containerPort": 8080}]}],
                 "nodeName": "node-0", **spec},
    }  # fmt: skip


async def start(c, name, ip, ready=True, **how):
    made = await c.create("pods", pod(name, **how))
    await c.run_pod(made, ready=ready, podIP=ip, podIPs=[{"ip": ip}])


async def node(c, name="node-0", zone="a"):
    labels = {"topology.kubernetes.io/zone": zone}
    await c.create("nodes", {"metadata": {"name": name, "labels": labels}, "spec": {}})


def test_endpoints_and_slices_follow_the_pods(simulate):
    async def story(c):
        await node(c)
        await c.create("services", service())
        await c.settle()
        (placeholder,) = await c.list("endpointslices")
        assert not placeholder["endpoints"]
        await start(c, "a", "10.0.0.1")
        await start(c, "b", "10.0.0.2", ready=False)
        await start(c, "other", "10.0.0.3", labels={"app": "other"})
        await c.settle(3)
        (subset,) = (await c.get("endpoints", "web"))["subsets"]
        assert [a["ip"] for a in subset["addresses"]] == ["10.0.0.1"]
        assert [a["ip"] for a in subset["notReadyAddresses"]] == ["10.0.0.2"]
        assert subset["ports"] == [{"port": 8080, "protocol": "TCP"}]
        (slice_,) = await c.list("endpointslices")
        assert slice_["metadata"]["name"] == placeholder["metadata"]["name"]
        assert slice_["metadata"]["labels"] == {
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        }
        assert slice_["ports"] == [{"name": "", "port": 8080, "protocol": "TCP"}]
        by_ip = {e["addresses"][0]: e for e in slice_["endpoints"]}
        assert by_ip["10.0.0.1"]["conditions"] == {"ready": True, "serving": True, "terminating": False}
        assert by_ip["10.0.0.2"]["conditions"] == {"ready": False, "serving": False, "terminating": False}
        assert by_ip["10.0.0.1"]["zone"] == "a"
        assert by_ip["10.0.0.1"]["nodeName"] == "node-0"
        assert by_ip["10.0.0.1"]["targetRef"]["name"] == "a"
        await c.of("pods").delete("a", "default")  # it has 30 s to end, and serves until then
        await c.settle(3)
        (slice_,) = await c.list("endpointslices")
        by_ip = {e["addresses"][0]: e for e in slice_["endpoints"]}
        assert by_ip["10.0.0.1"]["conditions"] == {"ready": False, "serving": True, "terminating": True}
        assert "addresses" not in (await c.get("endpoints", "web"))["subsets"][0]
        await c.of("services").delete("web", "default")
        await c.settle(3)
        assert await c.find("endpoints", "web") is None

    simulate(story, *ALL)


def test_a_headless_service_has_no_ports_and_names_its_pods(simulate):
    async def story(c):
        await node(c)
        headless = service(ports=(), clusterIP="None", publishNotReadyAddresses=True)
        await c.create("services", headless)
        await start(c, "a", "10.0.0.1", ready=False, hostname="a", subdomain="web")
        await c.settle(3)
        endpoints = await c.get("endpoints", "web")
        assert endpoints["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
        (subset,) = endpoints["subsets"]
        assert subset["addresses"][0]["hostname"] == "a"
        assert "ports" not in subset
        (slice_,) = await c.list("endpointslices")
        assert slice_["endpoints"][0]["conditions"]["ready"] is True
        assert slice_["endpoints"][0]["hostname"] == "a"

    simulate(story, *ALL)


def test_named_ports_may_differ_by_pod(simulate):
    async def story(c):
        await node(c)
        await c.create("services", service(ports=((80, "http"),)))
        await start(c, "a", "10.0.0.1")
        ports = [{"name": "http", "containerPort": 9090}]
        await start(c, "b", "10.0.0.2", containers=[{"name": "main", "image": "nginx", "ports": ports}])
        await c.settle(3)
        assert {s["ports"][0]["port"] for s in await c.list("endpointslices")} == {8080, 9090}
        subsets = (await c.get("endpoints", "web"))["subsets"]
        assert {s["ports"][0]["port"]: s["addresses"][0]["ip"] for s in subsets} == {8080: "10.0.0.1", 9090: "10.0.0.2"}

    simulate(story, *ALL)


def test_more_than_a_hundred_endpoints_take_several_slices(simulate):
    async def story(c):
        await node(c)
        for n in range(150):
            await start(c, f"p{n}", f"10.0.1.{n}")
        await c.create("services", service())
        await c.settle(3)
        assert sorted(len(s["endpoints"]) for s in await c.list("endpointslices")) == [50, 100]
        await start(c, "more", "10.0.2.1")
        await c.settle(3)
        assert sorted(len(s["endpoints"]) for s in await c.list("endpointslices")) == [51, 100]

    simulate(story, "endpointslice-controller")


def test_traffic_distribution_gives_hints(simulate):
    async def story(c):
        await node(c)
        await c.create("services", service(trafficDistribution="PreferClose"))
        await start(c, "a", "10.0.0.1")
        await c.settle(3)
        (slice_,) = await c.list("endpointslices")
        assert slice_["endpoints"][0]["hints"] == {"forZones": [{"name": "a"}]}
        await c.patch("services", "web", {"spec": {"trafficDistribution": None}})
        await c.settle(3)
        (slice_,) = await c.list("endpointslices")
        assert "hints" not in slice_["endpoints"][0]

    simulate(story, *ALL)


def test_endpoints_that_users_write_are_mirrored(simulate):
    async def story(c):
        await c.create("services", service(selector=None))
        subsets = [{"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "ports": [{"port": 9376}]}]
        await c.create("endpoints", {"metadata": {"name": "web", "namespace": "default"}, "subsets": subsets})
        await c.settle(3)
        found = {s["addressType"]: s for s in await c.list("endpointslices")}
        assert [e["addresses"] for e in found["IPv4"]["endpoints"]] == [["192.0.2.1"]]
        assert [e["addresses"] for e in found["IPv6"]["endpoints"]] == [["2001:db8::1"]]
        versions = {s["metadata"]["resourceVersion"] for s in found.values()}
        await c.settle(30)
        assert {s["metadata"]["resourceVersion"] for s in await c.list("endpointslices")} == versions
        await c.of("endpoints").delete("web", "default")
        await c.settle(3)
        assert await c.list("endpointslices") == []

    simulate(story, *ALL)


def test_repacking_joins_equal_addresses_and_equal_ports():
    a, b = {"ip": "10.0.0.1"}, {"ip": "10.0.0.2"}
    http, https = {"name": "http", "port": 80, "protocol": "TCP"}, {"name": "https", "port": 443, "protocol": "TCP"}
    subsets = [{"addresses": [x], "ports": [p]} for x in (b, a) for p in (http, https)]
    (one,) = repack(subsets)
    assert one["addresses"] == [a, b]
    assert one["ports"] == sorted([http, https], key=endpoint_port_order)
    assert repack([one]) == [one]


@pytest.mark.parametrize(
    ("before", "after", "writes"),
    [(range(5), range(6), 1), (range(250), range(250), 0), (range(250), range(1, 250), 1)],
)
def test_packing_writes_as_little_as_it_can(before, after, writes):
    def endpoint(n):
        return {"addresses": [f"10.0.{n // 250}.{n % 250}"], "conditions": {"ready": True}}

    def wanted(numbers):
        return {key_of_endpoint(endpoint(n)): endpoint(n) for n in numbers}

    new = {"metadata": {"labels": {}}, "endpoints": [], "addressType": "IPv4"}
    first = pack([], wanted(before), {}, new, 100)
    slices = [{**s, "metadata": {"name": str(i), "labels": {}}} for i, s in enumerate(first.create)]
    plan = pack(slices, wanted(after), {}, new, 100)
    assert len(plan.update) + len(plan.create) + len(plan.delete) == writes
