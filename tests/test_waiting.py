"""Experts that all cool down: who is waited for, and when nobody is."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import Budget, Orchestrator
from orchestrator.errors import RateLimited
from orchestrator.health import Health
from orchestrator.runtime import Clocks
from tests.fake_clock import FakeClock
from tests.runs import Ran, ask
from tests.staff import Book


def after_cooldowns(folder: Path, *, good: float, weak: float, seconds: float | None) -> tuple[Ran, list[float]]:
    """A run over a good and a weak expert that cool down for so long, and how long it slept."""
    clock, book = FakeClock(), Book()
    health = Health(clock)
    for name, cooldown in (("good", good), ("weak", weak)):
        number, _ = health.admit(f"tool:{name}")
        assert number is not None
        health.failed(f"tool:{name}", number, RateLimited("later", retry_after=cooldown))
    orchestrator = Orchestrator(
        [book.expert("good", skill=0.9), book.expert("weak", skill=0.3)],
        health=health, budget=Budget(seconds=seconds), trace=folder, clocks=Clocks(clock, clock), sleep=clock.sleep,
    )  # fmt: skip
    return ask(orchestrator, folder), clock.waits


class Creeping(FakeClock):
    """A clock that moves on whenever somebody looks."""

    def __call__(self) -> float:
        """Tell the time."""
        self.now += 0.001
        return self.now


def test_a_breaker_that_lets_go_between_two_looks_ends_no_run(tmp_path: Path) -> None:
    """Whatever the moment: before the plan, between the plan and what is made of its failing, or in the wait."""
    for milliseconds in range(1, 60):
        book, clock = Book(), Creeping()
        health, folder = Health(clock), tmp_path / str(milliseconds)
        number, _ = health.admit("tool:only")
        assert number is not None
        health.failed("tool:only", number, RateLimited("later", retry_after=milliseconds / 1000))
        orchestrator = Orchestrator(
            [book.expert("only")], health=health, trace=folder, clocks=Clocks(clock, clock), sleep=clock.sleep
        )
        ran = ask(orchestrator, folder)
        assert (ran.decision.status, ran.decision.answer) == ("answered", "only"), milliseconds


@pytest.mark.parametrize(
    ("seconds", "answer", "slept"),
    [
        (None, "good", 42.0),  # worth the wait: 0.9 at 42 s weighs less than 0.3 at 17 s
        (50.0, "good", 42.0),
        (42.0, "weak", 17.0),  # a wait that ends with the run's time is none
        (25.0, "weak", 17.0),
    ],
)
def test_a_run_waits_for_the_best_of_those_that_its_time_allows(
    seconds: float | None, answer: str, slept: float, tmp_path: Path
) -> None:
    ran, waits = after_cooldowns(tmp_path, good=42.0, weak=17.0, seconds=seconds)
    assert (ran.decision.answer, ran.decision.status, waits) == (answer, "answered", [slept])


@pytest.mark.parametrize("seconds", [17.0, 5.0])
def test_a_run_without_the_time_for_anybody_escalates_at_once_and_names_the_moment(
    seconds: float, tmp_path: Path
) -> None:
    ran, waits = after_cooldowns(tmp_path, good=42.0, weak=17.0, seconds=seconds)
    assert (ran.decision.status, waits) == ("escalated", [])
    helps = [reason for reason in ran.decision.reasons if reason.startswith("would help: asking again from")]
    assert [reason.split()[-4] for reason in helps] == ["good", "weak"]


def test_without_a_limit_of_its_own_a_run_waits_a_minute_at_most(tmp_path: Path) -> None:
    ran, waits = after_cooldowns(tmp_path, good=61.0, weak=59.0, seconds=None)
    assert (ran.decision.answer, waits) == ("weak", [59.0])
    ran, waits = after_cooldowns(tmp_path / "longer", good=61.0, weak=60.0, seconds=None)
    assert (ran.decision.status, waits) == ("escalated", [])
