"""The commands and their options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from pilothouse import __version__
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError

F = TypeVar("F", bound=Callable[..., Any])


class _Group(click.Group):
    """Commands in the order of their definition; failures in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ClusterError as error:
            raise click.ClickException(str(error)) from None


def _cluster(command: F) -> F:
    """The options that say which cluster is meant."""
    command = click.option(
        "--data-dir", metavar="DIR", help="The cluster's directory (default: below $XDG_DATA_HOME)."
    )(command)
    return click.option("--name", help="The cluster's name (default: default).")(command)


def _etcd(command: F) -> F:
    """kube-apiserver's options for an etcd cluster. They are remembered with the cluster."""
    for option, metavar, text in (
        (
            "--etcd-servers-overrides", "G/R#URL;URL,…",
            "Keep some resources in etcd clusters of their own, for example /events#http://10.0.0.9:2379.",
        ),
        ("--etcd-prefix", "PATH", "What the cluster's keys in etcd begin with (default: /registry)."),
        ("--etcd-keyfile", "FILE", "The key of --etcd-certfile."),
        ("--etcd-certfile", "FILE", "The client certificate for etcd."),
        ("--etcd-cafile", "FILE", "Who signs the etcd servers' certificates."),
        (
            "--etcd-servers", "URLS",
            "Keep the state in this etcd cluster: its members' addresses, with commas between (empty: in the embedded store).",
        ),
    ):  # fmt: skip
        command = click.option(option, metavar=metavar, help=text)(command)
    return command


def _api(command: F) -> F:
    """kube-apiserver's options for what is served. They are remembered with the cluster."""
    for option, metavar, text in (
        ("--feature-gates", "A=true,B=false", "Open or close upstream's feature gates (also AllAlpha, AllBeta)."),
        (
            "--runtime-config", "API=true|false,…",
            "Serve or leave out built-in APIs: api/all, api/ga, api/beta, api/alpha, GROUP/VERSION, GROUP/VERSION/RESOURCE.",
        ),
    ):  # fmt: skip
        command = click.option(option, metavar=metavar, help=text)(command)
    return command


def _given(options: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in options.items() if value is not None}


def _output(command: F) -> F:
    kinds = click.Choice(["text", "json"])
    return click.option("-o", "--output", type=kinds, default="text", show_default=True, help="Format.")(command)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="pilothouse")
def root() -> None:
    """A Kubernetes 1.37 control plane with simulated nodes, in one process.

    \b
    pilothouse up                     start a cluster, ready for kubectl; Ctrl-C stops it
    pilothouse up --nodes 1000        the same with 1,000 nodes
    pilothouse up --name b --detach   another one beside it, in the background
    pilothouse down --name b          stop it; its state stays
    """


@root.command()
@_cluster
@click.option(
    "--nodes", type=click.IntRange(0, 32_000), metavar="N", help="Have at least N simulated nodes (a new cluster: 3)."
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="The API server's port (default: the last one, or the first free from 6443).",
)
@_etcd
@_api
@click.option(
    "--kubeconfig",
    is_flag=False,
    flag_value="",
    metavar="[FILE]",
    help="Merge a context into your kubeconfig (or FILE), and make it the current one.",
)
@click.option("--detach", is_flag=True, help="Return once the cluster is ready; it goes on in the background.")
@click.option("-v", "--verbose", is_flag=True, help="Log what the parts do, on standard error.")
def up(
    name: str | None, data_dir: str | None, nodes: int | None, port: int | None, kubeconfig: str | None, detach: bool,
    verbose: bool, runtime_config: str | None, feature_gates: str | None, **etcd: str | None,
) -> None:  # fmt: skip
    """Start a cluster.

    \b
    Examples:
      pilothouse up
      pilothouse up --nodes 1000 --port 7443
      pilothouse up --name test --detach --kubeconfig
      pilothouse up --etcd-servers https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379 \\
        --etcd-cafile ca.crt --etcd-certfile client.crt --etcd-keyfile client.key
    """
    from pilothouse.cli import up as command

    directory = ClusterDirectory.of(name, data_dir)
    api = {"runtime_config": runtime_config, "feature_gates": feature_gates}
    settings = command.Settings(nodes, port, kubeconfig, verbose, _given(etcd), _given(api))
    (command.in_background if detach else command.in_foreground)(directory, settings)


@root.command()
@_cluster
def down(name: str | None, data_dir: str | None) -> None:
    """Stop a cluster. Its state stays for the next `up`."""
    from pilothouse.cli import clusters

    clusters.down(ClusterDirectory.of(name, data_dir))


@root.command()
@_cluster
@_output
def status(name: str | None, data_dir: str | None, output: str) -> None:
    """Show how a cluster is. Exit code 0: ready, 3: not running, 1: running but not ready."""
    from pilothouse.cli import clusters

    raise SystemExit(clusters.status(ClusterDirectory.of(name, data_dir), output))


@root.command("list")
@_output
def list_(output: str) -> None:
    """List the clusters of this user."""
    from pilothouse.cli import clusters

    clusters.list_all(output)


@root.command()
@_cluster
def delete(name: str | None, data_dir: str | None) -> None:
    """Stop a cluster and delete it with all its data."""
    from pilothouse.cli import clusters

    clusters.delete(ClusterDirectory.of(name, data_dir))


@root.group()
def node() -> None:
    """Switch simulated nodes off and on."""


@node.command("stop")
@click.argument("node_name", metavar="NODE")
@_cluster
def node_stop(node_name: str, name: str | None, data_dir: str | None) -> None:
    """Switch a simulated node off without a word, as if its plug were pulled.

    40 s after its last heartbeat it is NotReady and tainted unreachable; 5 min later its pods are evicted.
    """
    from pilothouse.cli import nodes

    nodes.switch(ClusterDirectory.of(name, data_dir), node_name, on=False)


@node.command("start")
@click.argument("node_name", metavar="NODE")
@_cluster
def node_start(node_name: str, name: str | None, data_dir: str | None) -> None:
    """Switch a simulated node on again."""
    from pilothouse.cli import nodes

    nodes.switch(ClusterDirectory.of(name, data_dir), node_name, on=True)


@root.group()
def snapshot() -> None:
    """Save and restore a cluster's state, in etcd's form: etcdctl and etcdutl take these files, and these commands theirs."""


@snapshot.command("save")
@click.argument("file")
@_cluster
@click.option(
    "--endpoint", metavar="URL", help="Of this etcd server (real etcd, or pilothouse etcd), not of a cluster."
)
@click.option("--cacert", metavar="FILE", help="Who signs the etcd server's certificate.")
@click.option("--cert", metavar="FILE", help="The client certificate for the etcd server.")
@click.option("--key", metavar="FILE", help="The key of --cert.")
@click.option(
    "--user", metavar="NAME[:PASSWORD]", help="Who asks, where the etcd server has users (prompts for a password)."
)
@_output
def snapshot_save(
    file: str, name: str | None, data_dir: str | None, endpoint: str | None, cacert: str | None, cert: str | None,
    key: str | None, user: str | None, output: str,
) -> None:  # fmt: skip
    """Save the state of a cluster, running or not, to FILE.

    \b
    Examples:
      pilothouse snapshot save before-upgrade.db
      pilothouse snapshot save --name test /backup/test.db
      pilothouse snapshot save --endpoint https://10.0.0.1:2379 --cacert ca.crt --cert client.crt --key client.key etcd.db
    """
    from pilothouse.cli import snapshots

    if not endpoint and (cacert or cert or key or user):
        raise ClusterError("--cacert, --cert, --key and --user go with --endpoint")
    if user and ":" not in user:
        user = f"{user}:{click.prompt('Password', hide_input=True, err=True)}"
    given = {"etcd_servers": endpoint, "etcd_cafile": cacert, "etcd_certfile": cert, "etcd_keyfile": key, "user": user}
    etcd = {name: value for name, value in given.items() if value}
    snapshots.save(ClusterDirectory.of(name, data_dir), file, etcd, output)


@snapshot.command("restore")
@click.argument("file")
@_cluster
@click.option("--etcd-data-dir", metavar="DIR", help="Into a data directory of pilothouse etcd, not into a cluster.")
@click.option(
    "--skip-hash-check", is_flag=True, help="FILE was copied out of etcd's data directory: it has no checksum."
)
@_output
def snapshot_restore(
    file: str, name: str | None, data_dir: str | None, etcd_data_dir: str | None, skip_hash_check: bool, output: str
) -> None:
    """Make the state of a cluster of FILE. Nothing is overwritten: the cluster must not have any yet.

    \b
    Examples:
      pilothouse snapshot restore --name second before-upgrade.db && pilothouse up --name second
      pilothouse snapshot restore --etcd-data-dir /var/lib/pilothouse-etcd etcd.db
    """
    from pilothouse.cli import snapshots

    snapshots.restore(ClusterDirectory.of(name, data_dir), file, etcd_data_dir, not skip_hash_check, output)


@snapshot.command("status")
@click.argument("file")
@_output
def snapshot_status(file: str, output: str) -> None:
    """Read all of FILE and say what is in it.

    \b
    Example:
      pilothouse snapshot status before-upgrade.db -o json
    """
    from pilothouse.cli import snapshots

    snapshots.status(file, output)


@root.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FLAG ...]")
def etcd(arguments: tuple[str, ...]) -> None:
    """Serve the embedded store as etcd (v3), for etcdctl, etcd's client libraries and upstream's kube-apiserver.

    The flags are etcd's, as are the environment variables (ETCD_DATA_DIR for --data-dir) and the configuration file:

    \b
      --name NAME                        the member's name (default: default)
      --data-dir DIR                     where the data is (default: NAME.etcd)
      --listen-client-urls URLS          where to serve (default: http://localhost:2379)
      --advertise-client-urls URLS       what clients are told (default: where it serves)
      --listen-metrics-urls URLS         serve /metrics, /health, /livez and /readyz there, too
      --cert-file, --key-file FILE       the server's certificate and key, for https URLs
      --trusted-ca-file FILE             who signs clients' certificates
      --client-cert-auth                 clients need a certificate; its common name is the user
      --quota-backend-bytes N            raise the NOSPACE alarm there (default: 2 GiB; less than 0: never)
      --auto-compaction-mode MODE        periodic or revision
      --auto-compaction-retention X      for example 10m, 5 (hours), or a number of revisions (default: 0, off)
      --max-request-bytes N              default: 1572864
      --max-txn-ops N                    default: 128
      --snapshot-count N                 revisions after which a snapshot replaces the log (0: by its size)
      --auth-token KIND                  simple, or jwt,sign-method=RS256,priv-key=FILE,pub-key=FILE,ttl=5m
      --log-level LEVEL                  debug, info, warn or error
      --config-file FILE                 all of this as YAML; other flags and variables are ignored then

    \b
    Examples:
      pilothouse etcd --data-dir /var/lib/pilothouse-etcd
      pilothouse etcd --listen-client-urls https://0.0.0.0:2379 --advertise-client-urls https://10.0.0.1:2379 \\
          --cert-file server.crt --key-file server.key --trusted-ca-file ca.crt --client-cert-auth
      etcdctl --endpoints 127.0.0.1:2379 put greeting hello
    """
    from pilothouse.cli import etcd as command

    command.run(list(arguments))
