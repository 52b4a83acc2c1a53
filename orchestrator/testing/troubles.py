"""Faults on purpose, by agent: attempts that fail, and tries with which something goes wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast, get_args

from orchestrator.errors import ConfigError, FailureKind, nearest
from orchestrator.providers import FAULTS, Completion, FaultName, Injection, Request, ScriptProvider
from orchestrator.providers.script import Line
from orchestrator.runtime import Faults

__all__ = ["Disturbance", "Script", "disturb", "faults"]

Lines = Mapping[str, Sequence[Line] | Callable[[Request], str | Completion]]
Script = Callable[[Lines], ScriptProvider]
"""What the fixture `script` is: lines by model in, a provider out that must have said them all when the test ends."""

Wrong = FaultName | Injection
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class _Plan(Generic[Value]):
    """What is to happen to the first of something, the second and so on, or to all."""

    steps: tuple[Value | None, ...]
    always: bool
    """Its one step is every step."""

    def at(self, number: int) -> Value | None:
        """The step of this number, from 1; None where all goes well."""
        if self.always:
            return self.steps[0]
        return self.steps[number - 1] if number <= len(self.steps) else None

    @property
    def length(self) -> int:
        """How many it takes until each fault was played."""
        return max((number for number, step in enumerate(self.steps, start=1) if step is not None), default=0)


def faults(failing: Mapping[str, FailureKind | Sequence[FailureKind | None]]) -> Faults:
    """What `Orchestrator(faults=…)` takes: how an agent's attempts fail, without anybody being called.

    One kind fails every attempt of a run; a list says of the first, the second and so on how it fails, or None where
    it goes well, as all after its end do. Raises `ConfigError` for a kind that there is not; the orchestrator does so
    for an agent that it has not.
    """
    return _Failing({agent: _plan(given, get_args(FailureKind), agent) for agent, given in failing.items()})


@dataclass(frozen=True, slots=True)
class _Failing:
    """Attempts that fail as planned."""

    plans: Mapping[str, _Plan[FailureKind]]

    @property
    def aimed_at(self) -> tuple[str, ...]:
        """Agents that have a plan."""
        return tuple(self.plans)

    def __call__(self, agent: str, attempt: int, case: str | None) -> FailureKind | None:
        """How an agent's attempt fails, if it does."""
        del case
        plan = self.plans.get(agent)
        return plan.at(attempt) if plan else None


def disturb(wrong: Mapping[str, Wrong | Sequence[Wrong | None]]) -> Disturbance:
    """What `Orchestrator(disturb=…)` takes: what goes wrong with an agent's tries.

    A name of `FAULTS`, or an `Injection`, which says more, spoils every try; a list the first, the second and so on,
    counted over all runs; None there, and what comes after its end, goes well. Raises `ConfigError` for a name that
    there is not; the orchestrator does so for an agent that it has not.
    """
    return Disturbance({agent: _plan(given, FAULTS, agent) for agent, given in wrong.items()})


class Disturbance:
    """Faults that are played try by try; `finish` holds that all that were listed have been. `disturb` makes it."""

    def __init__(self, plans: Mapping[str, _Plan[Wrong]]) -> None:
        self._plans = plans
        self.tries: Counter[str] = Counter()
        """Tries by agent, spoiled or not."""
        self.played: list[tuple[str, Injection]] = []
        """What went wrong, oldest first."""

    @property
    def aimed_at(self) -> tuple[str, ...]:
        """Agents that something is planned for."""
        return tuple(self._plans)

    def __call__(self, agent: str) -> Injection | None:
        """What goes wrong with the next try of an agent."""
        self.tries[agent] += 1
        plan = self._plans.get(agent)
        wrong = plan.at(self.tries[agent]) if plan else None
        if wrong is None:
            return None
        injection = wrong if isinstance(wrong, Injection) else Injection(wrong)
        self.played.append((agent, injection))
        return injection

    def finish(self) -> None:
        """Raise AssertionError where a fault was never played: a test that means to see it saw nothing."""
        left = [name for name, plan in self._plans.items() if self.tries[name] < plan.length]
        if left:
            raise AssertionError(f"faults were never played: of {', '.join(left)}")


def _plan(given: object, known: Sequence[str], agent: str) -> _Plan[Any]:
    """Raises `ConfigError` for a name that is none of those known."""
    always = not isinstance(given, (list, tuple))
    steps: tuple[object, ...] = (given,) if always else tuple(cast("Sequence[object]", given))
    for each in steps:
        if not (each is None or isinstance(each, Injection) or each in known):
            expected, suggestion = "one of " + ", ".join(known), nearest(str(each), known)
            raise ConfigError(f"there is no fault `{each}`", field=agent, expected=expected, suggestion=suggestion)
    return _Plan(steps, always)
