"""`--slow` runs the tests that take minutes too."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes is the machine's affair: tests measure no time.
settings.register_profile("pilothouse", deadline=None)
settings.load_profile("pilothouse")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow as well")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--slow"):
        return
    slow = pytest.mark.skip(reason="slow: run with --slow")
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(slow)
