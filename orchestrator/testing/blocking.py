"""Keeps tests from reaching beyond loopback; loaded by the plugin in suites that ask for it, and in no others."""

from __future__ import annotations

from collections.abc import Generator

import pytest

from orchestrator.testing.network import block_network

__all__ = ["Blocking"]


class Blocking:
    """Blocks the network during set-up, call and tear-down of tests, and fails those that reached for it.

    They fail also where the error was swallowed: whoever goes round a failed expert goes round a blocked network, too.
    """

    def __init__(self, marker: str, *, everywhere: bool) -> None:
        self._marker = marker
        self._everywhere = everywhere

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Block while fixtures are set up."""
        return (yield from self._blocked(item, "setup"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """Block while the test runs."""
        return (yield from self._blocked(item, "call"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Block while fixtures are torn down."""
        return (yield from self._blocked(item, "teardown"))

    def _blocked(self, item: pytest.Item, when: str) -> Generator[None, object, object]:
        if not self._applies(item):
            return (yield)
        with block_network() as refused:
            try:
                given = yield
            finally:
                if refused:
                    item.add_report_section(when, "network", "refused: " + ", ".join(dict.fromkeys(refused)))
        if refused:
            pytest.fail(f"the test reached for {', '.join(dict.fromkeys(refused))}", pytrace=False)
        return given

    def _applies(self, item: pytest.Item) -> bool:
        mark = item.get_closest_marker(self._marker)
        if mark is None:
            return self._everywhere
        return bool(mark.kwargs.get("blocked", mark.args[0] if mark.args else True))
