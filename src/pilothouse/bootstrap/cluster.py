"""`Cluster`: a whole master node with simulated workers in one process: store, API server, controllers, scheduler, nodes.

The parts meet as they would over the network: controllers, scheduler and nodes only know a client, each with its own identity,
whose transport enters the API server's pipeline below TLS.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

from pilothouse.api.exchange import UserInfo
from pilothouse.bootstrap import backup, kubeconfig, pki, stores
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.clock import Clock

if TYPE_CHECKING:
    from pilothouse.apiserver.config import Config
    from pilothouse.apiserver.server import APIServer
    from pilothouse.client import Client, Informers
    from pilothouse.nodes.simulator import NodeSimulator
    from pilothouse.store.interface import Maintained, Store

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
FIRST_PORT: Final = 6443
_PORTS_TRIED: Final = 200
NODES_DEFAULT: Final = 3
SERVICE_NETWORK: Final = "10.96.0.0/16"
_READY_S: Final = 120.0
_POLL_S: Final = 0.01
_AUTHENTICATED: Final = "system:authenticated"
MANAGER: Final = UserInfo("system:kube-controller-manager", groups=(_AUTHENTICATED,))
SCHEDULER: Final = UserInfo("system:kube-scheduler", groups=(_AUTHENTICATED,))
NODES: Final = UserInfo("system:pilothouse:nodes", groups=("system:masters", _AUTHENTICATED))

Say = Callable[[str], None]


def controller_user(name: str) -> UserInfo:
    """Who a controller is, as with upstream's --use-service-account-credentials."""
    from pilothouse.controllers.table import ACCOUNTS

    account = ACCOUNTS.get(name, name)
    if not account:
        return MANAGER
    groups = ("system:serviceaccounts", "system:serviceaccounts:kube-system", _AUTHENTICATED)
    return UserInfo(f"system:serviceaccount:kube-system:{account}", groups=groups)


@dataclass(frozen=True, slots=True)
class Options:
    """What `pilothouse up` was asked for; None: as the last time, or the default."""

    nodes: int | None = None
    port: int | None = None
    etcd: Mapping[str, str] = field(default_factory=dict)  # etcd_servers, etcd_cafile, …: those that were given
    api: Mapping[str, str] = field(default_factory=dict)  # runtime_config, feature_gates: those that were given


class Parts:
    """Everything above the API server, over in-process clients: what a test needs without TLS and directories.

    With a `candidate` (its name among others that have the same state), each part works only while it holds its Lease, as
    upstream's do. `lost` is set when one lost it: then these parts are of no more use.
    """

    def __init__(
        self,
        server: APIServer,
        clock: Clock,
        options: dict[str, Any] | None = None,
        kubelet_port: int = 0,
        candidate: str = "",
    ) -> None:
        from pilothouse.client import Informers
        from pilothouse.controllers.base import Context
        from pilothouse.controllers.manager import ControllerManager
        from pilothouse.nodes.simulator import NodeSimulator
        from pilothouse.scheduler import Scheduler

        self._server, self._clock, self._candidate = server, clock, candidate
        self.lost = asyncio.Event()
        self.informers: Informers = Informers(self.client(MANAGER, "kube-controller-manager/shared-informers"))

        def client_of(name: str) -> Client:
            return self.client(controller_user(name), f"kube-controller-manager/{name}")

        context = Context(
            self.client(MANAGER, "kube-controller-manager"), self.informers, clock, options or {}, client_of
        )
        self.manager = ControllerManager(context)
        self.scheduler = Scheduler(self.client(SCHEDULER, "kube-scheduler"), self.informers, clock)
        self.nodes: NodeSimulator = NodeSimulator(
            self.client(NODES, "kubelet"), self.informers, clock, kubelet_port=kubelet_port
        )
        self._tasks: list[asyncio.Task[None]] = []

    def client(self, user: UserInfo, agent: str) -> Client:
        from pilothouse.client import Client, InProcess

        return Client(InProcess(self._server.handle, user), self._clock, user_agent=agent)

    async def start(self) -> None:
        await self.informers.start()
        if self._candidate:
            campaigns = (
                self._lead("pilothouse-nodes", NODES, self.nodes.run),
                self._lead("kube-scheduler", SCHEDULER, self.scheduler.run),
                self._lead("kube-controller-manager", MANAGER, self.manager.run),
            )
            self._tasks = [asyncio.create_task(_guard(campaign), name="campaign") for campaign in campaigns]
            return
        self._tasks = [
            asyncio.create_task(_guard(self.nodes.run()), name="nodes"),
            asyncio.create_task(_guard(self.scheduler.run()), name="scheduler"),
        ]
        await self.manager.start()

    async def _lead(self, name: str, user: UserInfo, run: Callable[[], Awaitable[None]]) -> None:
        from pilothouse.client import LeaderElector

        client = self.client(user, f"{name}/leader-election")
        elector = LeaderElector(client, self._clock, namespace="kube-system", name=name, identity=self._candidate)
        try:
            await elector.run(run)
        finally:
            self.lost.set()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.manager.stop()


async def _guard(run: Awaitable[None]) -> None:
    try:
        await run
    except Exception:
        log.exception("a part of the cluster ended")


class Cluster:
    """One cluster of one directory. `await start(say)`, then `await stop()`; both raise ClusterError."""

    def __init__(self, directory: ClusterDirectory, clock: Clock, options: Options | None = None) -> None:
        self.directory, self.clock, self.options = directory, clock, options or Options()
        self.port = 0
        self.node_count = 0
        self._undo: list[Callable[[], Awaitable[None]]] = []
        self.parts: Parts | None = None

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.port}"

    async def start(self, say: Say = lambda _: None) -> None:
        """Returns once the cluster is ready: the API server is, and all nodes are."""
        try:
            await self._start(say)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, say: Say) -> None:
        directory = self.directory
        directory.create()
        directory.lock()
        self._undo.append(self._unlock)
        known = directory.remembered()
        listening = self._listen(known.get("port"))
        self.port = listening.getsockname()[1]
        api = {**(known.get("api") or {}), **self.options.api}

        say("keys and certificates")
        network_first = SERVICE_NETWORK.rpartition(".")[0] + ".1"
        keys = pki.ensure(directory.pki, self.clock, (HOST, "::1", network_first))
        try:
            context = keys.server_context()
            kubelet_context = keys.server_context("kubelet", clients=False)
        except (ssl.SSLError, ValueError) as error:
            raise ClusterError(f"{directory.pki} is damaged: {error}; restore it or delete the cluster") from None

        etcd = stores.chosen(self.options.etcd, known.get("etcd") or {})
        say("store" if not etcd else "connection to etcd")
        store = await stores.open_store(directory, etcd, self.clock)
        self._undo.append(store.close)
        others = await stores.open_overrides(etcd, self.clock)
        self._undo += [other.close for other in dict.fromkeys(others.values())]
        if not etcd:
            backups = await backup.serve(cast("Maintained", store), directory)
            self._undo.append(backups.stop)

        say("API server")
        server = await self._start_server(store, others, self._config(keys, api), listening, context)
        config = kubeconfig.of_cluster(directory.name, self.url, keys["ca.crt"], keys["admin.crt"], keys["admin.key"])
        kubeconfig.write(directory.kubeconfig, config)
        directory.tell(self.port, ready=False)

        say("controllers, scheduler and nodes")
        kubelet_socket = socket.create_server((HOST, 0))
        kubelet_port, options = kubelet_socket.getsockname()[1], self._manager_options(keys)
        candidate = ""
        if etcd:  # others may have it, too; whose directory this is is known, so that it need not wait for itself
            candidate = known.get("candidate") or f"{socket.gethostname()}_{self.clock.uuid()}"
        parts = await self._start_parts(lambda: Parts(server, self.clock, options, kubelet_port, candidate))
        from pilothouse.nodes import kubelet

        endpoint = await kubelet.serve(lambda: self._parts.nodes, self.clock, kubelet_socket, kubelet_context)
        self._undo.append(endpoint.stop)
        await parts.nodes.nodes.wait_synced()
        wanted = self.options.nodes if self.options.nodes is not None else (None if known else NODES_DEFAULT)
        if wanted is not None:
            say(f"{wanted} nodes" if wanted != 1 else "1 node")
            await parts.nodes.register(wanted)
        await self._nodes_ready(parts.nodes, wanted or 0)
        remembered = {**known, "name": directory.name, "port": self.port, "etcd": etcd, "api": api}
        directory.remember({**remembered, "candidate": candidate} if candidate else remembered)
        directory.register()
        directory.tell(self.port, ready=True)

    async def _start_parts(self, make: Callable[[], Parts]) -> Parts:
        """Starts them, and others in their place each time they lost their lead, as upstream's end and are started again."""
        self.parts = parts = make()
        await parts.start()

        async def replace() -> None:
            while True:
                await self._parts.lost.wait()
                await self._parts.stop()
                self.parts = make()
                await self.parts.start()

        replacing = asyncio.create_task(replace(), name="parts")

        async def stop() -> None:
            replacing.cancel()
            await asyncio.gather(replacing, return_exceptions=True)
            await self._parts.stop()

        self._undo.append(stop)
        return parts

    @property
    def _parts(self) -> Parts:
        assert self.parts is not None
        return self.parts

    async def _unlock(self) -> None:
        self.directory.untell()
        self.directory.unlock()

    def _listen(self, remembered: int | None) -> socket.socket:
        """The port asked for; else the one of the last time; else the first free one from 6443 on."""
        wanted = self.options.port if self.options.port is not None else remembered
        candidates = [wanted] if wanted is not None else range(FIRST_PORT, FIRST_PORT + _PORTS_TRIED)
        for port in candidates:
            try:
                return socket.create_server((HOST, port))
            except PermissionError:
                raise ClusterError(
                    f"no permission to listen on port {port}; choose one above 1023 with --port"
                ) from None
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise ClusterError(f"cannot listen on {HOST}:{port}: {error.strerror}") from None
        if wanted is not None:
            raise ClusterError(
                f"port {wanted} of {HOST} is in use; stop what listens there or choose another with --port"
            )
        last = FIRST_PORT + _PORTS_TRIED - 1
        raise ClusterError(f"all ports from {FIRST_PORT} to {last} are in use; choose another with --port")

    async def _start_server(
        self,
        store: Store,
        others: Mapping[tuple[str, str], Store],
        config: Config,
        listening: socket.socket,
        context: ssl.SSLContext,
    ) -> APIServer:
        from pilothouse.apiserver import http
        from pilothouse.apiserver.server import APIServer
        from pilothouse.store.interface import StoreError

        server = APIServer(store, self.clock, config, others)
        try:
            await server.start()
        except StoreError as error:
            await server.stop()
            raise ClusterError(f"the store failed: {error}") from None
        self._undo.append(server.stop)
        front = await http.serve(server, ssl_context=context, sock=listening)
        self._undo.append(front.stop)
        return server

    def _config(self, keys: pki.Pki, api: Mapping[str, str]) -> Config:
        from pilothouse.apiserver import features, runtimeconfig
        from pilothouse.apiserver.config import Config

        try:
            feature_gates = features.parse(api.get("feature_gates", ""))
            runtime_config = runtimeconfig.parse(api.get("runtime_config", ""))
        except features.BadFlag as error:
            raise ClusterError(str(error)) from None
        return Config(
            service_cluster_ip_ranges=(SERVICE_NETWORK,), advertise_address=HOST, advertise_port=self.port,
            client_ca=keys["ca.crt"], service_account_keys=(keys["sa.pub"],), service_account_signing_key=keys["sa.key"],
            service_account_issuer="https://kubernetes.default.svc.cluster.local",
            runtime_config=runtime_config, feature_gates=feature_gates,
        )  # fmt: skip

    def _manager_options(self, keys: pki.Pki) -> dict[str, Any]:
        from pilothouse.nodes.machine import CLUSTER_NETWORK

        return {
            "root-ca": keys["ca.crt"],
            "cluster-signing-cert": keys["ca.crt"],
            "cluster-signing-key": keys["ca.key"],
            "service-account-private-key": keys["sa.key"],
            "cluster-cidr": str(CLUSTER_NETWORK),
            "service-cluster-ip-range": SERVICE_NETWORK,
        }

    async def _nodes_ready(self, nodes: NodeSimulator, wanted: int) -> None:
        """All nodes that are switched on are Ready and free of the taint that says otherwise."""
        deadline_s = self.clock.monotonic() + _READY_S
        while True:
            known = nodes.nodes.lister.list()
            self.node_count = len(known)
            if len(known) >= wanted and all(is_ready(node) for node in known):
                return
            if self.clock.monotonic() > deadline_s:
                slow = [n["metadata"]["name"] for n in known if not is_ready(n)]
                raise ClusterError(
                    f"{len(slow) or wanted - len(known)} nodes are not ready after {_READY_S:.0f} s; see {self.directory.log}"
                )
            await self.clock.sleep(_POLL_S)

    async def stop(self) -> None:
        """Stops the parts in the reverse order of their start."""
        while self._undo:
            undo = self._undo.pop()
            try:
                await undo()
            except Exception:
                log.exception("stopping")


def is_ready(node: dict[str, Any]) -> bool:
    """Ready and not tainted for it, or stopped on purpose."""
    from pilothouse.nodes.machine import is_on, is_simulated

    if not is_simulated(node) or not is_on(node):
        return True
    conditions = (node.get("status") or {}).get("conditions") or ()
    if not any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions):
        return False
    taints = node["spec"].get("taints") or ()
    return not any(t.get("key") in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable") for t in taints)
