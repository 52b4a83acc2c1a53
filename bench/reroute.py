"""A tool fails: how long until the new plan is there, beside shortest paths by networkx, rustworkx and scipy.

Graphs are layered, as many layers as tools in each; a tool may be followed by five of the next layer. Each tool of the
cheapest plan (at most 20 of them, evenly spread) fails in turn, and is taken back before the next one fails. Timed is
marking the failure and getting the new way: for ours `change` and `plan`, which gives steps and both weights; for the
others the removal of the node (scipy: infinite weights on the edges into it) and the path as nodes, looked up by
number. Not timed are building graphs, a first search, restoring, and turning numbers into names. Ours comes three
times: *aimed*, with bounds toward the goal kept from before the failure; *repaired*, with the costs of all artifacts
kept exact; *afresh*, a search until the goal is reached, which asks every weight again. All must find the same way.

To networkx, rustworkx and scipy a tool is a node. To us it is an expert who consumes the product of any one of those
that it may follow, `needs = 1`, so that the numbers of nodes and edges are the same. The second table has joins, which
are beyond a shortest path: in every fifth layer each tool needs two, half of them two given inputs and half any two of
what they may follow. rustworkx and scipy are installed into an environment of their own only when asked for:
`python bench/reroute.py --peers`; rustworkx has a second row for its A*, which a user could feed with costs to go
found beforehand. Contestants take turns round by round. Each figure is the median over tools of the medians over
rounds; those of the quickest and the slowest tool stand in brackets.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import median
from time import perf_counter

from reroute_peers import GOAL, START, Contestant, Edge, peers
from startup import ROOT, peer_python

from orchestrator.graph import CapabilityGraph, Capable, Plan

SIZES = 20, 100, 1_000, 10_000
WAYS_OUT = 5
HOW = "aimed", "repaired", "afresh"
MOST_FAILURES = 20
LEAST_WORK = 1_000
"""Smaller graphs are gone through several times in a round, so that a turn is more than waking up."""


@dataclass(frozen=True, slots=True)
class World:
    """A layered graph of tools."""

    experts: list[Capable]
    weight: dict[str, float]
    edges: list[Edge]


def layered(size: int, *, joins: bool, seed: int) -> World:
    """So many tools in as many layers as each has tools, weights between 0.1 and 2."""
    rng = random.Random(seed)
    layers = round(sqrt(size))
    width = size // layers
    names = [[f"t{layer:03}-{number:03}" for number in range(width)] for layer in range(layers)]
    before: dict[str, list[str]] = {name: [START] for name in names[0]}
    for layer in range(layers - 1):
        for name in names[layer]:
            for follower in rng.sample(names[layer + 1], min(WAYS_OUT, width)):
                before.setdefault(follower, []).append(name)
    weight = {name: rng.uniform(0.1, 2) for name in before}
    last = [name for name in names[-1] if name in before]
    experts: list[Capable] = []
    for name, inputs in before.items():
        produces = GOAL if name in last else name
        join = joins and int(name[1:4]) % 5 == 4 and len(inputs) > 1
        both = join and rng.random() < 0.5
        consumes = tuple(rng.sample(inputs, 2) if both else inputs)
        experts.append(Capable(name, consumes, produces, needs=None if both else 1 + join))
    edges = [(one, name, weight[name]) for name, inputs in before.items() for one in inputs]
    return World(experts, weight, edges + [(name, GOAL, 0.0) for name in last])


class Ours:
    """Ways kept over failures; with bounds where aimed."""

    def __init__(self, world: World, *, aimed: bool) -> None:
        self.name = "ours, aimed" if aimed else "ours, repaired"
        self.weight = world.weight
        self.ways = CapabilityGraph(world.experts).search({START}, world.weight.get)
        if aimed:
            self.ways.aim(GOAL)

    def reroute(self, tool: str) -> Plan | None:
        """The plan without it."""
        self.ways.change({tool: None})
        return self.ways.plan(GOAL)

    def tools(self, found: Plan) -> list[str]:
        """Who takes the steps."""
        return [step.agent for step in found.steps]

    def restore(self, tool: str) -> None:
        """Its weight; costs are made exact again where they are kept so."""
        self.ways.change({tool: self.weight[tool]})
        self.ways.plan(GOAL)


class Afresh:
    """A whole search for each plan."""

    name = "ours, afresh"

    def __init__(self, world: World) -> None:
        self.weight: dict[str, float | None] = {**world.weight}
        self.whole = world.weight
        self.graph = CapabilityGraph(world.experts)

    def reroute(self, tool: str) -> Plan | None:
        """The plan without it."""
        self.weight[tool] = None
        return self.graph.plan(GOAL, {START}, self.weight.get)

    def tools(self, found: Plan) -> list[str]:
        """Who takes the steps."""
        return [step.agent for step in found.steps]

    def restore(self, tool: str) -> None:
        """Its weight."""
        self.weight[tool] = self.whole[tool]


def contestants(world: World, *, joins: bool) -> list[Contestant]:
    """Ours, and the peers where there are no joins."""
    ours: list[Contestant] = [Ours(world, aimed=True), Ours(world, aimed=False), Afresh(world)]
    return ours if joins else ours + peers(world.edges)


def failing(world: World) -> list[str]:
    """The tools that fail: those of the cheapest plan without which there is another."""
    graph = CapabilityGraph(world.experts)
    plan = graph.plan(GOAL, {START}, world.weight.get)
    names = [step.agent for step in plan.steps] if plan else []
    spread = names[:: -(-len(names) // MOST_FAILURES)]
    return [name for name in spread if graph.plan(GOAL, {START}, {**world.weight, name: None}.get)]


def touched(world: World, tool: str) -> int:
    """How many artifacts cost something else without a tool."""
    ways = CapabilityGraph(world.experts).search({START}, world.weight.get)
    artifacts = {expert.produces for expert in world.experts}
    before = {artifact: ways.cost(artifact) for artifact in artifacts}
    ways.change({tool: None})
    return sum(ways.cost(artifact) != before[artifact] for artifact in artifacts)


def measure(world: World, rounds: int, *, joins: bool) -> dict[str, dict[str, float]]:
    """Milliseconds by contestant and tool, medians over rounds, after one that is not measured."""
    competing, tools = contestants(world, joins=joins), failing(world)
    times: dict[str, dict[str, list[float]]] = {one.name: {tool: [] for tool in tools} for one in competing}
    ways: dict[str, dict[str, list[str]]] = {}
    for turn in range(rounds + 1):
        for one in competing:
            for tool in tools * max(1, LEAST_WORK // len(world.experts)):
                started = perf_counter()
                found = one.reroute(tool)
                taken = perf_counter() - started
                ways.setdefault(tool, {})[one.name] = one.tools(found)
                one.restore(tool)
                if turn:
                    times[one.name][tool].append(taken * 1000)
    for tool, found_by in ways.items():
        if any(way != found_by["ours, afresh"] for way in found_by.values()):
            raise SystemExit(f"not all found the same way without {tool}")
    return {name: {tool: median(taken) for tool, taken in by_tool.items()} for name, by_tool in times.items()}


def say(size: int, times: dict[str, dict[str, float]]) -> None:
    """Print one row for each contestant."""
    ours = median(times["ours, aimed"].values())
    for name, by_tool in times.items():
        taken = [*by_tool.values()]
        ratio = f"{median(taken) / ours:8.1f}"
        print(f"{size:>7,}  {name:<28}{median(taken):>10.4f}  ({min(taken):.4f}–{max(taken):.4f}){ratio:>12}")


def say_growth(world: World, times: dict[str, dict[str, float]]) -> None:
    """Print how times grow with the number of artifacts that a failure touches."""
    rows = sorted((touched(world, tool), tool) for tool in times["ours, aimed"])
    print("  artifacts touched, and ms aimed, repaired, afresh:")
    for count, tool in rows[:: max(1, len(rows) // 6)]:
        print(f"  {count:>7,}" + "".join(f"{times[f'ours, {how}'][tool]:>10.4f}" for how in HOW))


def verdict(times: dict[str, dict[str, float]], size: int) -> list[str]:
    """What the issue asks for, and how it came out."""
    ours = median(times["ours, aimed"].values())
    found: list[str] = []
    for name, by_tool in times.items():
        if name.startswith("rustworkx"):
            found.append(f"{size:,}: {median(by_tool.values()) / ours:.1f} times as fast as rustworkx (goal: over 1)")
        if name.startswith("networkx") and size == max(SIZES):
            found.append(f"{size:,}: 1/{median(by_tool.values()) / ours:.0f} of networkx's time (goal: at most 1/20)")
    return found


def compete(sizes: Sequence[int], rounds: int, *, seed: int) -> None:
    """Measure and print both tables."""
    print(
        f"Python {sys.version.split()[0]}, {os.cpu_count()} cores, medians of {rounds} interleaved rounds, seed {seed}"
    )
    goals: list[str] = []
    for joins in (False, True):
        print(f"\n{'with joins' if joins else 'without joins'}: ms until the new plan, ratio to ours, aimed")
        for size in sizes:
            world = layered(size, joins=joins, seed=seed)
            times = measure(world, rounds, joins=joins)
            say(size, times)
            if size == max(sizes):
                say_growth(world, times)
            goals += verdict(times, size)
    print("\n" + "\n".join(goals))
    if not any("rustworkx" in goal for goal in goals):
        print("rustworkx, scipy: skipped, they are installed only with --peers")


def main() -> None:
    """Parse the flags; measure and report, with --peers in the environment that has them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="measured rounds")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="how many tools")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--peers", action="store_true", help="install rustworkx and scipy too (needs a package index)")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bench", help="where they are installed")
    options = parser.parse_args()
    if options.peers:
        constraints = "--constraint", str(ROOT / "constraints.txt")
        python = peer_python("rustworkx", options.cache, "scipy", "networkx", *constraints)
        again = [str(python), __file__, *(flag for flag in sys.argv[1:] if flag != "--peers")]
        raise SystemExit(subprocess.run(again, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode)
    compete(options.sizes, options.rounds, seed=options.seed)


if __name__ == "__main__":
    main()
