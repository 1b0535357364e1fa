"""The command line. Each command is one module, imported when it is called: `pilothouse --help` loads none of the cluster."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry of the `pilothouse` program. A ClusterError becomes one sentence and exit code 1."""
    from pilothouse.cli.commands import root

    root.main(prog_name="pilothouse", windows_expand_args=False)
    sys.exit(0)
