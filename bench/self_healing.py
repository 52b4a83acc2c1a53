"""The 19 scenarios of self-healing over three systems, against one simulated world, in one run.

Scenarios: S1 to S7, T1 to T6 and M1 to M6 of N. Bholani, "Graph-Based Self-Healing Tool Routing" (arXiv 2603.01548),
as `evals/self_healing` has them. Systems: ours, by `orchestrator.chaos.run_suite`; a ReAct loop whose model decides
every step; a static LangGraph workflow with coded fallbacks. All see the same faults and are held to the same outcomes.
Tool calls are counted by the world, with those that a fault swallowed; effects too. Nothing is assumed.

A loss is something that a tool failed to give and that nobody else gave. It is silent where the run neither names it
nor stops, nor says that it reached a lower goal; of ours, where a failed attempt has no outcome in the trace. Exit
code 3 where ours misses the gate of 19 of 19, at most seven LLM calls, nothing silent, no effect doubled.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from contestants.desk import Desk, Outcome
from contestants.react import react
from contestants.static_workflow import static_workflow
from startup import ROOT

from orchestrator.chaos import CaseResult, Suite, load_suite, run_suite
from orchestrator.chaos.runner import outcome_faults
from orchestrator.chaos.suite import Case
from orchestrator.chaos.world import LeapingLoop, World

OURS, REACT, STATIC = "orchestrator", "ReAct loop", "static LangGraph"
MOST_CONTROL_CALLS = 7
UNMET = 3
PUBLISHED = {
    OURS: "SHR: 19 of 19 correct, 9 LLM calls, 66 tool calls, 13 reroutes, 0 silent",
    REACT: "19 of 19 correct, 123 LLM calls, 87 tool calls (the sum of its own table; its text says 93), 0 silent",
    STATIC: "16 of 19 correct, 0 LLM calls, 87 tool calls, 24 reroutes, 3 silent (S6, S7, T6)",
}
"""What the paper says of the three, on its own tools."""


@dataclass(frozen=True, slots=True)
class Row:
    """One case under one system."""

    case: str
    system: str
    came: str
    faults: tuple[str, ...]
    """Where it is not as expected."""
    demoted: bool
    llm_calls: int
    tool_calls: int
    reroutes: int
    silent: int
    doubled: int

    @property
    def correct(self) -> bool:
        """Whether it is as expected."""
        return not self.faults


def of_ours(result: CaseResult) -> Row:
    """A case of `run_suite` as a row."""
    return Row(
        result.name,
        OURS,
        f"{result.status}: {result.goal}",
        result.faults,
        result.demoted,
        result.control_calls,
        result.tries,
        result.reroutes,
        result.silent,
        result.doubled,
    )


def losses(world: World) -> set[str]:
    """Artifacts that somebody failed to give and nobody gave."""
    agents = world.suite.pool.agents
    failed = {agents[name].produces for name, tries in world.tries.items() if tries > world.calls[name]}
    return failed - {agents[name].produces for name in world.calls}


def unsaid(world: World, outcome: Outcome) -> set[str]:
    """Losses that nobody is told of."""
    if outcome.status == "escalated" or outcome.goal != world.suite.pool.goals[0]:
        return set()
    return {lost for lost in losses(world) if lost not in outcome.said}


def faults(world: World, outcome: Outcome, silent: set[str]) -> Iterator[str]:
    """Where an outcome is not as expected: the suite's own rules, and that a person decides before any effect."""
    yield from outcome_faults(world.case, world, outcome.status, outcome.goal)
    yield from (f"nobody is told that {lost} is missing" for lost in sorted(silent))
    if world.case.expect.status == "escalated" and world.effects:
        yield "had an effect before a person could decide"


def of_other(suite: Suite, case: Case, name: str, system: Callable[[Desk], Awaitable[Outcome]]) -> Row:
    """A case under a system that drives the experts itself."""
    with asyncio.Runner(loop_factory=LeapingLoop) as runner:
        world = World(suite, case, runner.get_loop().time)
        desk = Desk(world)
        outcome = runner.run(_awaited(system(desk)))
    silent = unsaid(world, outcome)
    return Row(
        case.name,
        name,
        f"{outcome.status}: {outcome.goal}",
        tuple(faults(world, outcome, silent)),
        outcome.status == "degraded" and outcome.goal != suite.pool.goals[0],
        desk.llm_calls,
        world.tries.total(),
        desk.reroutes,
        len(silent),
        world.doubled,
    )


async def _awaited(outcome: Awaitable[Outcome]) -> Outcome:
    return await outcome


def rows() -> list[Row]:
    """All cases under all systems."""
    found: list[Row] = []
    for path in sorted((ROOT / "evals" / "self_healing").glob("*.toml")):
        suite = load_suite(path)
        for case, result in zip(suite.cases, run_suite(suite).cases, strict=True):
            found += [of_ours(result), of_other(suite, case, REACT, react)]
            found.append(of_other(suite, case, STATIC, static_workflow))
    return found


def total(all_rows: Sequence[Row], system: str) -> dict[str, int]:
    """A system's columns, summed."""
    mine = [row for row in all_rows if row.system == system]
    counts = ("correct", "demoted", "llm_calls", "tool_calls", "reroutes", "silent", "doubled")
    return {"cases": len(mine), **{count: sum(int(getattr(row, count)) for row in mine) for count in counts}}


def passed(ours: dict[str, int]) -> bool:
    """The issue's gate."""
    wrong = ours["cases"] - ours["correct"] + ours["silent"] + ours["doubled"]
    return ours["cases"] == 19 and wrong == 0 and ours["llm_calls"] <= MOST_CONTROL_CALLS


def say(all_rows: Sequence[Row]) -> None:
    """Print the table, the sums, and the published figures beside them."""
    shape = "{:<52}{:<18}{:<26}{:>8}{:>8}{:>6}{:>6}{:>9}{:>7}{:>8}"
    print(shape.format("", "", "came of it", "correct", "demoted", "LLM", "tools", "reroutes", "silent", "doubled"))
    for row in all_rows:
        correct = "yes" if row.correct else "no"
        counts = (row.llm_calls, row.tool_calls, row.reroutes, row.silent, row.doubled)
        case = row.case if row.system == OURS else ""
        print(shape.format(case, row.system, row.came, correct, "yes" if row.demoted else "", *counts))
    for name in (OURS, REACT, STATIC):
        sums = total(all_rows, name)
        cases = sums.pop("cases")
        print(shape.format(f"all {cases}", name, "", *sums.values()))
        print(f"  published: {PUBLISHED[name]}")
    for row in all_rows:
        if row.faults:
            print(f"{row.system}, {row.case}: {'; '.join(row.faults)}")
    print(f"gate: 19 of 19, at most {MOST_CONTROL_CALLS} LLM calls, none silent, none doubled")


def main() -> None:
    """Parse the flags, run, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print every row and the sums as JSON")
    options = parser.parse_args()
    found = rows()
    sums = {name: total(found, name) for name in (OURS, REACT, STATIC)}
    if options.json:
        print(json.dumps({"rows": [asdict(row) for row in found], "totals": sums}, indent=2))
    else:
        say(found)
    raise SystemExit(0 if passed(sums[OURS]) else UNMET)


if __name__ == "__main__":
    main()
