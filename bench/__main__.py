"""The command line of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from bench import api as api_bench
from bench import etcd as etcd_bench
from bench import start as start_bench
from bench import store as store_bench


@click.group()
def main() -> None:
    """Ours beside upstream's, side by side on this machine."""


def _require(peers: Path) -> Path:
    for program in ("etcd", "kube-apiserver"):
        if not (peers / program).is_file():
            raise click.ClickException(
                f"{peers / program} is missing; build upstream's programs with: ./dev peers etcd kube-apiserver"
            )
    return peers.absolute()


_PEERS = click.option(
    "--peers", envvar="PILOTHOUSE_PEERS", type=click.Path(path_type=Path), default=Path(".peers/bin"), show_default=True,
    help="Upstream's programs (see ./dev peers).",
)  # fmt: skip
_OUTPUT = click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)


@main.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is started.")
@_PEERS
@_OUTPUT
def start(rounds: int, peers: Path, output: str) -> None:
    """Time to ready, and resident memory then."""
    start_bench.run(rounds, _require(peers), output)


@main.command()
@click.option("--rounds", default=3, show_default=True, help="How often each row is measured.")
@click.option("--only", multiple=True, help="Rows whose name contains this; `memory` for the memory with many pods.")
@click.option("--quick", is_flag=True, help="A fifth of the requests, a tenth of the pods.")
@click.option("--objects", default=100_000, show_default=True, help="Pods of the memory row.")
@click.option("--alone", is_flag=True, help="Ours only, without upstream's beside it.")
@_PEERS
@_OUTPUT
def api(
    rounds: int, only: tuple[str, ...], quick: bool, objects: int, alone: bool, peers: Path, output: str
) -> None:  # fmt: skip
    """Requests, watches and memory of the API server."""
    api_bench.run(rounds, None if alone else _require(peers), output, only, quick, objects)


@main.command()
@click.option("--rounds", default=3, show_default=True, help="How often each row is measured.")
@click.option("--seconds", default=3.0, show_default=True, help="How long each takes.")
@click.option("--only", multiple=True, help="Rows whose name contains this.")
@_PEERS
@_OUTPUT
def etcd(rounds: int, seconds: float, only: tuple[str, ...], peers: Path, output: str) -> None:
    """`pilothouse etcd` over gRPC, beside real etcd."""
    etcd_bench.run(rounds, _require(peers), output, only, seconds)


@main.command()
@click.option("--rounds", default=3, show_default=True, help="How often each row is measured.")
@click.option("--seconds", default=3.0, show_default=True, help="How long each takes.")
@click.option("--only", multiple=True, help="Rows whose name contains this.")
@click.option("--keys", default=1_000_000, show_default=True, help="For opening, memory and disk; 0 leaves these out.")
@_PEERS
@_OUTPUT
def store(rounds: int, seconds: float, only: tuple[str, ...], keys: int, peers: Path, output: str) -> None:
    """The embedded store in process, beside real etcd over gRPC."""
    store_bench.run(rounds, _require(peers), output, only, seconds, keys)


if __name__ == "__main__":
    main()
