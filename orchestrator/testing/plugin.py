"""The pytest plugin: fixtures for tests of pipelines, and a network that ends at loopback where a suite asks for it.

pytest loads it wherever this package is installed, so all that takes time is imported on use.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from orchestrator.testing import FakeClock, Script, ScriptProvider
    from orchestrator.testing.troubles import Lines

__all__ = [
    "block_network",
    "fake_clock",
    "pytest_addoption",
    "pytest_collection_finish",
    "pytest_configure",
    "script",
]

NAME = "thinkroute_block_network"
"""Of the marker and of the ini option."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options have our name in them: other plugins have a `--block-network` of their own."""
    group = parser.getgroup("thinkroute")
    what = "fail tests that reach for anything beyond loopback"
    group.addoption("--thinkroute-block-network", action="store_true", default=False, help=what)
    parser.addini(NAME, what, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker, for suites with strict markers."""
    told = "(blocked=True): whether this test fails when it reaches for anything beyond loopback"
    config.addinivalue_line("markers", f"{NAME}{told}")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Watch the tests where the suite asks for it, or one of them does."""
    config = session.config
    everywhere = bool(config.getoption("--thinkroute-block-network")) or bool(config.getini(NAME))
    if everywhere or any(item.get_closest_marker(NAME) for item in session.items):
        from orchestrator.testing.blocking import Blocking

        config.pluginmanager.register(Blocking(NAME, everywhere=everywhere), NAME)


@pytest.fixture
def script() -> Generator[Script]:
    """Makes a `ScriptProvider` of lines by model; the test fails where a line was left unsaid at its end."""
    from orchestrator.testing import ScriptProvider

    made: list[ScriptProvider] = []

    def scripted(lines: Lines) -> ScriptProvider:
        made.append(ScriptProvider(lines))
        return made[-1]

    yield scripted
    for provider in made:
        provider.finish()


@pytest.fixture
def fake_clock() -> FakeClock:
    """A clock whose sleeps take no time."""
    from orchestrator.testing import FakeClock

    return FakeClock()


@pytest.fixture
def block_network() -> Generator[list[str]]:
    """Refuses connections beyond loopback during a test, which fails where there were any."""
    from orchestrator.testing.network import block_network

    with block_network() as refused:
        yield refused
    if refused:
        pytest.fail(f"the test reached for {', '.join(dict.fromkeys(refused))}", pytrace=False)
