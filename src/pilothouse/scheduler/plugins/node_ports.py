"""NodePorts: a host port is taken once for each address and protocol."""

from __future__ import annotations

from pilothouse.scheduler.cache import NodeInfo
from pilothouse.scheduler.framework import Cycle, Plugin, Reason

_ANY = "0.0.0.0"


class NodePorts(Plugin):
    name = "NodePorts"

    def judges(self, cycle: Cycle) -> bool:
        return bool(cycle.info.ports)

    def filter(self, cycle: Cycle, node: NodeInfo) -> Reason | None:
        wanted = cycle.info.ports
        for other in node.pods.values():
            for ip, protocol, port in other.ports:
                for own_ip, own_protocol, own_port in wanted:
                    meets = ip == own_ip or _ANY in (ip, own_ip)
                    if meets and (protocol, port) == (own_protocol, own_port):
                        return Reason("node(s) didn't have free ports for the requested pod ports")
        return None
