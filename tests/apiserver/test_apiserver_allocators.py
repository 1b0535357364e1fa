"""Cluster IPs and node ports. The messages are those of kube-apiserver 1.37.2."""

from __future__ import annotations

from typing import Any

import pytest
from security_fakes import FakeObjects

from pilothouse.api.errors import StatusError
from pilothouse.api.objects import Obj, copy
from pilothouse.apiserver.allocators import repair
from pilothouse.apiserver.allocators.services import ServiceAllocator
from pilothouse.apiserver.config import Config
from pilothouse.clock import VirtualClock

GROUP = "networking.k8s.io"


def service(name: str = "s", **spec: Any) -> Obj:
    spec = {"type": "ClusterIP", "ports": [{"port": 80, "protocol": "TCP"}], **spec}
    return {"kind": "Service", "apiVersion": "v1", "metadata": {"namespace": "default", "name": name}, "spec": spec}


class Cluster:
    def __init__(self, *ranges: str) -> None:
        self.objects = FakeObjects()
        self.config = Config(service_cluster_ip_ranges=ranges or ("10.96.0.0/16",))
        self.allocator = ServiceAllocator(self.config, self.objects, VirtualClock(1))

    async def write(self, new: Obj, old: Obj | None = None, dry_run: bool = False) -> Obj:
        new = copy(new)
        reservation = await self.allocator.begin(new, old, dry_run)
        assert reservation is not None
        if dry_run:
            await reservation.revert()
        else:
            self.objects.put("", "services", new)
            await reservation.commit()
        return new

    async def delete(self, obj: Obj) -> None:
        await self.objects.delete("", "services", "default", obj["metadata"]["name"])
        await self.allocator.release(obj)

    def addresses(self) -> list[str]:
        return [o["metadata"]["name"] for o in self.objects.list(GROUP, "ipaddresses")]


async def test_an_address_is_given_and_given_back() -> None:
    cluster = Cluster()
    made = await cluster.write(service())
    spec = made["spec"]
    assert spec["clusterIPs"] == [spec["clusterIP"]] == cluster.addresses()
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert int(spec["clusterIP"].split(".")[2]) >= 1, "the lower band is for those who ask"
    await cluster.delete(made)
    assert cluster.addresses() == []


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"clusterIP": "10.96.0.1"},
         'spec.clusterIPs: Invalid value: ["10.96.0.1"]: failed to allocate IP 10.96.0.1: provided IP is already allocated'),
        ({"clusterIP": "10.97.0.1"},
         'spec.clusterIPs: Invalid value: ["10.97.0.1"]: failed to allocate IP 10.97.0.1: '
         "the provided network does not match the current range"),
        ({"clusterIP": "10.96.255.255"},
         'spec.clusterIPs: Invalid value: ["10.96.255.255"]: failed to allocate IP 10.96.255.255: '
         "the provided network does not match the current range"),
        ({"clusterIP": "xx"},
         'spec.clusterIPs[0]: Invalid value: "xx": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
        ({"ipFamilyPolicy": "RequireDualStack"},
         'spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this cluster is not configured for dual-stack services'),
        ({"ipFamilies": ["IPv6"]}, 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
        ({"clusterIP": "fd00::1"}, 'spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this cluster'),
        ({"clusterIPs": ["10.96.0.9", "fd00::1"], "clusterIP": "10.96.0.9"},
         '[spec.ipFamilyPolicy: Invalid value: "SingleStack": must be \'RequireDualStack\' or \'PreferDualStack\' when '
         'multiple cluster IPs are specified, spec.clusterIPs[1]: Invalid value: ["10.96.0.9","fd00::1"]: IPv6 is not '
         "configured on this cluster]"),
        ({"clusterIPs": ["10.96.0.9"], "clusterIP": "10.96.0.8"},
         'spec.clusterIPs: Invalid value: ["10.96.0.9"]: first value must match `clusterIP`'),
        ({"clusterIPs": ["10.96.0.9"]},
         'spec.clusterIPs: Invalid value: ["10.96.0.9"]: must be empty when `clusterIP` is not specified'),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]},
         "spec.ports[0].nodePort: Invalid value: 30080: provided port is already allocated"),
        ({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]},
         "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. "
         "The range of valid ports is 30000-32767"),
    ],
)  # fmt: skip
async def test_refusals(spec: dict[str, Any], message: str) -> None:
    cluster = Cluster()
    await cluster.write(
        service("first", clusterIP="10.96.0.1", type="NodePort", ports=[{"port": 1, "nodePort": 30080}])
    )
    with pytest.raises(StatusError) as caught:
        await cluster.write(service("b", **spec))
    assert caught.value.code == 422
    assert caught.value.message == f'Service "b" is invalid: {message}'
    assert cluster.addresses() == ["10.96.0.1"], "what a refused service was given is given back"
    assert cluster.allocator.ports.taken == {30080}


async def test_headless_services() -> None:
    cluster = Cluster()
    plain = await cluster.write(service("a", clusterIP="None"))
    assert plain["spec"]["clusterIPs"] == ["None"]
    assert (plain["spec"]["ipFamilies"], plain["spec"]["ipFamilyPolicy"]) == (["IPv4", "IPv6"], "RequireDualStack")
    selecting = await cluster.write(service("b", clusterIP="None", selector={"a": "b"}))
    assert (selecting["spec"]["ipFamilies"], selecting["spec"]["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert cluster.addresses() == []


async def test_dual_stack() -> None:
    cluster = Cluster("10.96.0.0/16", "fd00::/112")
    one = await cluster.write(service("one"))
    assert one["spec"]["ipFamilies"] == ["IPv4"]
    two = await cluster.write(service("two", ipFamilyPolicy="PreferDualStack"))
    assert two["spec"]["ipFamilies"] == ["IPv4", "IPv6"]
    assert [":" in ip for ip in two["spec"]["clusterIPs"]] == [False, True]
    both = copy(one)
    both["spec"]["ipFamilyPolicy"] = "RequireDualStack"
    both = await cluster.write(both, one)
    assert len(both["spec"]["clusterIPs"]) == 2
    single = copy(both)
    single["spec"]["ipFamilyPolicy"] = "SingleStack"
    single = await cluster.write(single, both)
    assert single["spec"]["clusterIPs"] == one["spec"]["clusterIPs"]
    assert len(cluster.addresses()) == 3


async def test_changing_the_type_and_back() -> None:
    cluster = Cluster()
    first = await cluster.write(service("s", type="NodePort"))
    port, address = first["spec"]["ports"][0]["nodePort"], first["spec"]["clusterIP"]
    again = await cluster.write(service("s", type="NodePort"), first)
    assert (again["spec"]["ports"][0]["nodePort"], again["spec"]["clusterIP"]) == (port, address)
    plain = await cluster.write(service("s"), again)
    assert cluster.allocator.ports.taken == set()
    assert plain["spec"]["clusterIP"] == address
    external = await cluster.write(service("s", type="ExternalName", externalName="a.b"), plain)
    assert cluster.addresses() == []
    back = await cluster.write(service("s"), external)
    assert cluster.addresses() == back["spec"]["clusterIPs"]


async def test_one_node_port_for_both_protocols() -> None:
    cluster = Cluster()
    ports = [{"name": "t", "port": 53, "protocol": "TCP"}, {"name": "u", "port": 53, "protocol": "UDP"}]
    made = await cluster.write(service(type="NodePort", ports=ports))
    assert made["spec"]["ports"][0]["nodePort"] == made["spec"]["ports"][1]["nodePort"]


async def test_a_load_balancers_health_check_port() -> None:
    cluster = Cluster()
    made = await cluster.write(service("l", type="LoadBalancer", externalTrafficPolicy="Local"))
    assert len(cluster.allocator.ports.taken) == 2
    with pytest.raises(StatusError) as caught:
        spec = {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}
        await cluster.write(service("m", healthCheckNodePort=made["spec"]["healthCheckNodePort"], **spec))
    assert caught.value.code == 500
    await cluster.delete(made)
    assert cluster.allocator.ports.taken == set()


async def test_a_dry_run_takes_nothing() -> None:
    cluster = Cluster()
    made = await cluster.write(service(type="NodePort"), dry_run=True)
    assert made["spec"]["clusterIP"] == "10.96.0.0"
    assert made["spec"]["ports"][0]["nodePort"] == 32769
    assert cluster.addresses() == []
    assert cluster.allocator.ports.taken == set()


async def test_a_full_range() -> None:
    cluster = Cluster("10.0.0.0/30")
    await cluster.write(service("a"))
    await cluster.write(service("b"))
    with pytest.raises(StatusError) as caught:
        await cluster.write(service("c"))
    assert caught.value.message == (
        'Internal error occurred: failed to allocate a serviceIP for Service "c": range is full'
    )


async def test_a_restart_puts_addresses_right() -> None:
    cluster = Cluster()
    made = await cluster.write(service())
    await cluster.objects.delete(GROUP, "ipaddresses", "", made["spec"]["clusterIP"])
    lost = await cluster.write(service("lost"))
    await cluster.objects.delete("", "services", "default", "lost")
    assert cluster.addresses() == lost["spec"]["clusterIPs"]
    await repair(cluster.objects)
    assert cluster.addresses() == made["spec"]["clusterIPs"]


async def test_another_service_cidr_adds_its_range() -> None:
    cluster = Cluster()
    cidr = {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/24"]}}
    cluster.objects.put(GROUP, "servicecidrs", cidr)
    made = await cluster.write(service(clusterIP="10.200.0.7"))
    assert made["spec"]["clusterIPs"] == ["10.200.0.7"]
