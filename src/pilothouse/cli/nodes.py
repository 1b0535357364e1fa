"""`pilothouse node stop|start`."""

from __future__ import annotations

import click

from pilothouse.api.objects import Obj
from pilothouse.bootstrap.directory import ClusterDirectory
from pilothouse.bootstrap.failures import ClusterError
from pilothouse.cli.access import ask
from pilothouse.client import Client
from pilothouse.nodes.machine import POWER, is_simulated


def switch(directory: ClusterDirectory, name: str, *, on: bool) -> None:
    """Raises ClusterError for a node that is absent or real."""

    async def change(client: Client) -> Obj:
        nodes = client.resource("", "v1", "nodes")
        node = await nodes.get(name)
        if not is_simulated(node):
            raise ClusterError(f'node "{name}" is a real one; only simulated nodes can be switched')
        return await nodes.patch(name, "", {"metadata": {"annotations": {POWER: None if on else "off"}}})

    ask(directory, change)
    click.echo(f"node/{name} {'started' if on else 'stopped'}")
