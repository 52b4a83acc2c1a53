"""Random pools under random troubles over time: every run keeps the rules, and every plan costs what it must.

A world that breaks a rule is seen again by `live(draw_world(SEED))`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator import Budget, Decision, Orchestrator
from orchestrator.chaos.world import LeapingLoop
from orchestrator.runtime import Clocks
from orchestrator.trace import read_trace, verify
from tests.random_costs import FEW, Averages
from tests.random_ends import at_the_end
from tests.random_rules import Watcher
from tests.random_worlds import HANDED, QUESTION, World, draw_world

LONGEST = 20_000.0
"""Simulated seconds after which a run hangs."""
WRITTEN = 10
"""One world in so many writes its traces, which are verified."""
AT_A_TIME, ALL_AT_A_TIME = 250, 500
"""Worlds of one test."""


@dataclass(frozen=True, slots=True)
class Lived:
    """What came of a world."""

    decisions: tuple[Decision, ...]
    watchers: tuple[Watcher, ...]
    faults: tuple[str, ...]


def live(world: World, folder: Path | None = None) -> Lived:
    """Put the question to a world's pool as often as it says, on a clock that leaps."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        world.clock = runner.get_loop().time
        return runner.run(_lived(world, folder))


async def _lived(world: World, folder: Path | None) -> Lived:
    orchestrator = _orchestrator(world, folder)
    averages = Averages()
    watchers = [Watcher(number, world, orchestrator.health, averages) for number in range(world.asked)]

    async def asked(watcher: Watcher) -> Decision:
        HANDED.set(watcher.handed)
        return await orchestrator.run(QUESTION, listeners=[watcher])

    async with asyncio.timeout(LONGEST):
        if world.side_by_side:
            decisions = await asyncio.gather(*map(asked, watchers))
        else:
            decisions = [await asked(watcher) for watcher in watchers]
    pairs = zip(watchers, decisions, strict=True)
    faults = [fault for watcher, decision in pairs for fault in at_the_end(watcher, decision)]
    faults += [f"{goal} was done {times} times" for (_, goal), times in world.effects.items() if times > 1]
    if folder is not None:
        traces = [(read_trace(folder / f"{each.run_id}.jsonl"), each.head) for each in decisions]
        faults += [fault for trace, head in traces for fault in verify(trace, head=head).faults]
    return Lived(tuple(decisions), tuple(watchers), tuple(faults))


def _orchestrator(world: World, folder: Path | None) -> Orchestrator:
    ids = iter(range(world.asked))
    return Orchestrator(
        world.pool(),
        budget=Budget(usd=world.usd, seconds=world.deadline),
        analyses=world.analyses,
        prefer=world.preference,
        providers={"openai": world},
        trace=False if folder is None else folder,
        disturb=world.disturb,
        clocks=Clocks(world.clock, world.clock),
        new_id=lambda: f"{world.seed}-{next(ids)}",
        seed=world.seed,
    )


def hold(seeds: range, folder: Path) -> None:
    """Live through the worlds of some seeds: none breaks a rule, and among them all kinds of ends are met."""
    broken: dict[int, tuple[str, ...]] = {}
    met: Counter[str] = Counter()
    for seed in seeds:
        world = draw_world(seed)
        lived = live(world, None if seed % WRITTEN else folder)
        if lived.faults:
            broken[seed] = lived.faults
        met.update(decision.status for decision in lived.decisions)
        met["few" if len(world.experts) <= FEW else "many"] += 1
        for watcher in lived.watchers:
            met += watcher.counted
            met.update(watcher.ends)
    assert broken == {}
    ends = {"answered", "degraded", "lost", "limit", "in doubt"}
    assert {"few", "many", "rerouted", "demoted", "superseded", "escalated", "waited", *ends} <= met.keys()


@pytest.mark.parametrize("first", range(0, 1_000, AT_A_TIME))
def test_a_thousand_worlds_keep_the_rules(first: int, tmp_path: Path) -> None:
    hold(range(first, first + AT_A_TIME), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 10_000, ALL_AT_A_TIME))
def test_ten_thousand_worlds_keep_the_rules(first: int, tmp_path: Path) -> None:
    hold(range(first, first + ALL_AT_A_TIME), tmp_path)


def test_a_world_is_lived_through_the_same_way_each_time() -> None:
    for seed in range(20):
        assert live(draw_world(seed)).decisions == live(draw_world(seed)).decisions
