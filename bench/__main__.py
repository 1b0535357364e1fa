"""The command line of the benchmarks."""

from __future__ import annotations

from pathlib import Path

import click

from bench import start as start_bench


@click.group()
def main() -> None:
    """Ours beside upstream's, side by side on this machine."""


@main.command()
@click.option("--rounds", default=5, show_default=True, help="How often each is started.")
@click.option(
    "--peers", envvar="PILOTHOUSE_PEERS", type=click.Path(path_type=Path), default=Path(".peers/bin"), show_default=True,
    help="Upstream's programs (see ./dev peers).",
)  # fmt: skip
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def start(rounds: int, peers: Path, output: str) -> None:
    """Time to ready, and resident memory then."""
    for program in ("etcd", "kube-apiserver"):
        if not (peers / program).is_file():
            raise click.ClickException(
                f"{peers / program} is missing; build upstream's programs with: ./dev peers etcd kube-apiserver"
            )
    start_bench.run(rounds, peers.absolute(), output)


if __name__ == "__main__":
    main()
