"""Cheapest plans: held to networkx where every expert has one input, and to brute force over derivation trees."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from itertools import combinations
from math import inf, isclose

import networkx as nx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from orchestrator.graph import CapabilityGraph, Capable, Plan, Ways

Weights = Mapping[str, "float | None"]
Change = Weights | frozenset[str] | str
"""New weights, artifacts that are there from now on, or a goal to aim at."""
ARTIFACTS = ("a", "b", "c", "d", "e")
GOAL = "e"

weights = st.one_of(
    st.none(),
    st.just(0.0),
    st.integers(0, 4).map(float),  # few values, so that many plans cost the same
    st.floats(0, 100, allow_nan=False, allow_subnormal=False),
)


@st.composite
def worlds(
    draw: st.DrawFn, *, most_inputs: int, most_experts: int, fewest_inputs: int = 1
) -> tuple[list[Capable], Weights]:
    """Experts with inputs and a weight each, some of them joins; artifacts may produce each other in a circle."""
    count = draw(st.integers(1, most_experts))
    experts: list[Capable] = []
    for number in range(count):
        produces = draw(st.sampled_from(ARTIFACTS[1:]))
        others = [artifact for artifact in ARTIFACTS if artifact != produces]
        consumes = draw(st.lists(st.sampled_from(others), min_size=fewest_inputs, max_size=most_inputs, unique=True))
        optional = [artifact for artifact in others if artifact not in consumes and draw(st.booleans())]
        needs = draw(st.none() | st.integers(1, len(consumes))) if consumes else None
        experts.append(Capable(f"x{number}", tuple(consumes), produces, tuple(optional), needs))
    return experts, {expert.name: draw(weights) for expert in experts}


def trees(
    goal: str, have: frozenset[str], experts: list[Capable], weight: Weights, path: frozenset[str] = frozenset()
) -> Iterator[float]:
    """The weight of every derivation tree of an artifact in which no artifact stands below itself."""
    if goal in have:
        yield 0.0
        return
    for expert in experts:
        own = weight[expert.name]
        if expert.produces != goal or own is None:
            continue
        above = path | {goal}
        below = {
            needed: set[float]() if needed in above else set(trees(needed, have, experts, weight, above))
            for needed in expert.consumes
        }
        for inputs in combinations(expert.consumes, expert.needs or len(expert.consumes)):
            sums = {own}
            for needed in inputs:
                sums = {one + other for one in sums for other in below[needed]}
            yield from sums


def near(one: float, other: float) -> bool:
    """Whether two sums are equal but for the rounding of floats; the graph's own are exact down to 2**-100."""
    return isclose(one, other, rel_tol=1e-12, abs_tol=1e-25)


def walk(plan: Plan, have: set[str], experts: list[Capable], weight: Weights) -> float:
    """Take the steps in order, each with its inputs at hand; returns what they weigh, each counted once."""
    known = {expert.name: expert for expert in experts}
    there, total = set(have), 0.0
    for step in plan.steps:
        expert, own = known[step.agent], weight[step.agent]
        assert own is not None, "a hidden expert is in the plan"
        assert step.produces == expert.produces
        assert step.consumes == tuple(artifact for artifact in expert.consumes if artifact in step.consumes)
        assert len(step.consumes) == (expert.needs or len(expert.consumes))
        assert set(step.consumes) <= there, f"{step.agent} comes before its inputs"
        assert step.produces not in there, f"{step.produces} is produced again"
        there.add(step.produces)
        total += own
    assert plan.goal in there
    return total


@given(world=worlds(most_inputs=1, most_experts=16))
def test_cost_equals_networkx_where_experts_have_one_input(world: tuple[list[Capable], Weights]) -> None:
    experts, weight = world
    drawn: nx.DiGraph[str] = nx.DiGraph()
    drawn.add_nodes_from(ARTIFACTS)
    for expert in experts:  # the weight of an expert stands on the edge into its node; None hides it
        drawn.add_edge(expert.consumes[0], f"expert {expert.name}", weight=weight[expert.name])
        drawn.add_edge(f"expert {expert.name}", expert.produces, weight=0.0)

    def seen(_from: str, _to: str, data: Mapping[str, float | None]) -> float | None:
        return data["weight"]

    plan = CapabilityGraph(experts).plan(GOAL, {"a"}, weight.get)
    try:
        length = nx.dijkstra_path_length(drawn, "a", GOAL, weight=seen)
    except nx.NetworkXNoPath:
        assert plan is None
    else:
        assert plan is not None
        assert near(plan.weight, length)
        assert near(walk(plan, {"a"}, experts, weight), plan.shared_weight)


@settings(max_examples=150)
@given(
    world=worlds(most_inputs=3, most_experts=8), have=st.sets(st.sampled_from(ARTIFACTS[:3]), max_size=2).map(frozenset)
)
def test_cost_equals_brute_force_over_derivation_trees(
    world: tuple[list[Capable], Weights], have: frozenset[str]
) -> None:
    experts, weight = world
    graph = CapabilityGraph(experts)
    ways = graph.search(have, weight.get)
    for goal in ARTIFACTS:
        cheapest = min(trees(goal, have, experts, weight), default=None)
        plan = graph.plan(goal, have, weight.get)
        if cheapest is None:
            assert plan is None
            assert ways.cost(goal) is None
            continue
        assert plan is not None
        assert near(plan.weight, cheapest)
        assert ways.plan(goal) == plan, "a search of everything finds what a search of the goal finds"
        shared = walk(plan, set(have), experts, weight)
        assert near(shared, plan.shared_weight)
        assert plan.shared_weight <= plan.weight


@given(world=worlds(most_inputs=3, most_experts=8), seed=st.integers(0, 99))
def test_plans_do_not_hang_on_the_order_of_construction(world: tuple[list[Capable], Weights], seed: int) -> None:
    experts, weight = world
    shuffled = random.Random(seed).sample(experts, len(experts))
    one, other = CapabilityGraph(experts), CapabilityGraph(shuffled)
    for goal in ARTIFACTS:
        assert one.plan(goal, {"a"}, weight.get) == other.plan(goal, {"a"}, weight.get)
    assert one.to_mermaid() == other.to_mermaid()


@given(world=worlds(most_inputs=3, most_experts=8))
def test_ready_steps_lead_to_the_goal(world: tuple[list[Capable], Weights]) -> None:
    experts, weight = world
    plan = CapabilityGraph(experts).plan(GOAL, {"a"}, weight.get)
    have, taken = {"a"}, 0
    while plan is not None and GOAL not in have:
        ready = plan.ready(have)
        assert ready, "nothing can be done, and the goal is not there"
        taken += len(ready)
        have |= {step.produces for step in ready}
    assert plan is None or taken == len(plan.steps)


@given(world=worlds(most_inputs=3, most_experts=8))
@example(([Capable("x0", ("a",), "e")], {"x0": 1.0}))
def test_the_way_through_an_expert_is_never_cheaper_than_the_plan(world: tuple[list[Capable], Weights]) -> None:
    experts, weight = world
    graph = CapabilityGraph(experts)
    ways = graph.search({"a"}, weight.get)
    through = [ways.through(expert, weight[expert.name]) for expert in graph.producers(GOAL)]
    known = [cost for cost in through if cost is not None]
    assert min(known, default=None) == ways.cost(GOAL)


@given(world=worlds(most_inputs=3, most_experts=8))
def test_optional_inputs_change_nothing(world: tuple[list[Capable], Weights]) -> None:
    experts, weight = world
    bare = [Capable(expert.name, expert.consumes, expert.produces, needs=expert.needs) for expert in experts]
    for goal in ARTIFACTS:
        with_them = CapabilityGraph(experts).plan(goal, {"a"}, weight.get)
        assert with_them == CapabilityGraph(bare).plan(goal, {"a"}, weight.get)


@st.composite
def changes(draw: st.DrawFn, weight: Weights) -> Change:
    """One change: some fail, some get dearer or cheaper, something is there, or a goal is aimed at."""
    return draw(
        st.dictionaries(st.sampled_from(sorted(weight)), weights, min_size=1, max_size=3)
        | st.sampled_from(sorted(weight)).map(lambda name: {name: None})
        | st.sampled_from(sorted(weight)).map(lambda name: {name: (weight[name] or 0.0) + 1.0})
        | st.sampled_from(ARTIFACTS).map(lambda artifact: frozenset({artifact}))
        | st.sampled_from(ARTIFACTS)
    )


def take(change: Change, ways: Ways, have: set[str], weight: dict[str, float | None]) -> None:
    """Tell kept ways of a change, and note it."""
    if isinstance(change, str):
        ways.aim(change)
    elif isinstance(change, frozenset):
        ways.add(change)
        have |= change
    else:
        weight |= change
        ways.change(change)


@settings(max_examples=250, deadline=None)
@given(world=worlds(most_inputs=4, most_experts=14, fewest_inputs=0), data=st.data())
def test_kept_ways_answer_as_a_new_search_after_any_changes(
    world: tuple[list[Capable], Weights], data: st.DataObject
) -> None:
    experts, weight, have = world[0], dict(world[1]), {"a"}
    asked: list[str] = []

    def weigh(name: str) -> float | None:
        asked.append(name)
        return weight[name]

    graph = CapabilityGraph(experts)
    ways = graph.search(have, weigh)
    if data.draw(st.booleans(), "aimed"):
        ways.aim(GOAL)
    for _ in range(data.draw(st.integers(1, 8), "changes")):
        take(data.draw(changes(weight), "change"), ways, have, weight)
        new = graph.search(have, weight.get)
        for goal in data.draw(st.just([GOAL]) | st.lists(st.sampled_from(ARTIFACTS), unique=True), "plans asked for"):
            assert ways.plan(goal) == new.plan(goal) == graph.plan(goal, have, weight.get)
        if data.draw(st.booleans(), "costs asked for"):
            assert [ways.cost(artifact) for artifact in ARTIFACTS] == [new.cost(artifact) for artifact in ARTIFACTS]
            for expert in experts:
                assert ways.through(expert, weight[expert.name]) == new.through(expert, weight[expert.name])
    assert len(asked) == len(set(asked)), "nobody is asked twice"


@settings(max_examples=100, deadline=None)
@given(world=worlds(most_inputs=3, most_experts=8), data=st.data())
def test_plans_after_changes_equal_brute_force(world: tuple[list[Capable], Weights], data: st.DataObject) -> None:
    experts, weight, have = world[0], dict(world[1]), {"a"}
    ways = CapabilityGraph(experts).search(have, weight.get)
    ways.aim(GOAL)
    for _ in range(data.draw(st.integers(1, 4), "changes")):
        take(data.draw(changes(weight), "change"), ways, have, weight)
        cheapest = min(trees(GOAL, frozenset(have), experts, weight), default=None)
        plan = ways.plan(GOAL)
        assert (plan is None) == (cheapest is None)
        if plan is not None and cheapest is not None:
            assert near(plan.weight, cheapest)
            assert near(walk(plan, have, experts, weight), plan.shared_weight)


def layered(rng: random.Random, layers: int, width: int) -> tuple[list[Capable], dict[str, float | None]]:
    """Experts in layers, each of whom may work on what some of the layer before give, some of them on two of it."""
    experts: list[Capable] = []
    for layer in range(layers):
        for number in range(width):
            inputs = rng.sample([f"a{layer}-{other}" for other in range(width)], rng.randint(1, 4)) if layer else ["a"]
            product = GOAL if layer == layers - 1 else f"a{layer + 1}-{number}"
            needs = min(len(inputs), rng.choice((1, 1, 1, 2)))
            experts.append(Capable(f"x{layer}-{number}", tuple(inputs), product, needs=needs))
    return experts, {expert.name: float(rng.randint(1, 9)) for expert in experts}


@pytest.mark.parametrize("seed", range(12))
def test_failures_and_recoveries_on_a_layered_graph(seed: int) -> None:
    rng = random.Random(seed)
    experts, weight = layered(rng, layers=8, width=8)
    graph = CapabilityGraph(experts)
    kept, aimed = graph.search({"a"}, weight.get), graph.search({"a"}, weight.get)
    aimed.aim(GOAL)
    plan = graph.plan(GOAL, {"a"}, weight.get)
    failures = 0
    while plan is not None:
        change: dict[str, float | None] = {rng.choice(plan.steps).agent: None}
        failures += 1
        if not failures % 4:  # one gets cheaper, or comes back
            change[rng.choice(experts).name] = float(rng.randint(0, 9))
        weight |= change
        kept.change(change)
        aimed.change(change)
        plan = graph.plan(GOAL, {"a"}, weight.get)
        assert kept.plan(GOAL) == plan
        assert aimed.plan(GOAL) == plan
        if not failures % 7:
            aimed.aim(GOAL)
    assert failures >= 8


def fixed(*experts: Capable) -> CapabilityGraph:
    """A graph of the named experts, built last to first."""
    return CapabilityGraph(reversed(experts))


def steps(plan: Plan | None) -> list[str]:
    """The agents of a plan in walking order."""
    return [step.agent for step in plan.steps] if plan else []


def test_a_shared_stage_is_counted_at_each_use_and_walked_once() -> None:
    graph = fixed(
        Capable("fetch", ("question",), "page"),
        Capable("text", ("page",), "passages"),
        Capable("rows", ("page",), "table"),
        Capable("join", ("passages", "table"), "answer"),
    )
    plan = graph.plan("answer", {"question"}, {"fetch": 5.0, "text": 1.0, "rows": 2.0, "join": 0.5}.get)
    assert plan is not None
    assert steps(plan) == ["fetch", "text", "rows", "join"]
    assert (plan.weight, plan.shared_weight) == (13.5, 8.5)


def test_equal_costs_prefer_fewer_stages_then_the_name() -> None:
    graph = fixed(
        Capable("aa", ("question",), "note"),
        Capable("ab", ("note",), "answer"),
        Capable("y", ("question",), "answer"),
        Capable("z", ("question",), "answer"),
    )
    weight = {"aa": 0.0, "ab": 1.0, "y": 1.0, "z": 1.0}
    assert steps(graph.plan("answer", {"question"}, weight.get)) == ["y"]
    assert steps(graph.plan("answer", {"question"}, {**weight, "y": None}.get)) == ["z"]
    assert steps(graph.plan("answer", {"question"}, {**weight, "y": 1.01, "z": 1.01}.get)) == ["aa", "ab"]


def test_what_is_there_is_not_produced_again() -> None:
    graph = fixed(Capable("one", ("question",), "note"), Capable("two", ("note",), "answer"))
    weight = {"one": 1.0, "two": 1.0}
    assert steps(graph.plan("answer", {"question", "note"}, weight.get)) == ["two"]
    plan = graph.plan("answer", {"answer"}, weight.get)
    assert plan == Plan("answer", (), 0.0, 0.0)


@pytest.mark.parametrize("hidden", [None, inf])
def test_an_expert_of_no_or_infinite_weight_is_not_there(hidden: float | None) -> None:
    graph = fixed(Capable("one", ("question",), "answer"), Capable("two", ("question",), "answer"))
    assert steps(graph.plan("answer", {"question"}, {"one": hidden, "two": 9.0}.get)) == ["two"]
    assert graph.plan("answer", {"question"}, {"one": hidden, "two": hidden}.get) is None


@pytest.mark.parametrize("weight", [-1.0, -1e-12, float("nan"), -inf])
def test_a_negative_weight_is_refused(weight: float) -> None:
    graph = fixed(Capable("one", ("question",), "answer"))
    with pytest.raises(ValueError, match=r"weight of one is .*, must not be negative"):
        graph.plan("answer", {"question"}, {"one": weight}.get)


def test_circles_do_not_lead_anywhere() -> None:
    graph = fixed(Capable("egg", ("hen",), "egg"), Capable("hen", ("egg",), "hen"), Capable("cook", ("egg",), "answer"))
    weight = dict.fromkeys(["egg", "hen", "cook"], 0.0)
    assert graph.plan("answer", {"question"}, weight.get) is None
    assert steps(graph.plan("answer", {"hen"}, weight.get)) == ["egg", "cook"]


def test_a_goal_that_nobody_produces_has_no_plan() -> None:
    graph = fixed(Capable("one", ("question",), "answer"))
    assert graph.plan("poem", {"question"}, {"one": 1.0}.get) is None
    assert graph.producers("poem") == ()
    assert CapabilityGraph([]).plan("answer", {"question"}, lambda _: 1.0) is None


def test_an_expert_without_inputs_is_always_ready() -> None:
    graph = fixed(Capable("clock", (), "now"), Capable("tell", ("question", "now"), "answer"))
    plan = graph.plan("answer", {"question"}, {"clock": 0.5, "tell": 1.0}.get)
    assert plan is not None
    assert steps(plan) == ["clock", "tell"]
    assert (plan.weight, [step.agent for step in plan.ready({"question"})]) == (1.5, ["clock"])


JOIN = (
    Capable("a", ("question",), "left"),
    Capable("b", ("question",), "middle"),
    Capable("c", ("question",), "right"),
    Capable("join", ("left", "middle", "right"), "answer", needs=2),
)


def test_a_join_takes_the_cheapest_inputs_that_do() -> None:
    graph = fixed(*JOIN)
    weight: Weights = {"a": 3.0, "b": 1.0, "c": 2.0, "join": 0.5}
    plan = graph.plan("answer", {"question"}, weight.get)
    assert plan is not None
    assert (steps(plan), plan.weight) == (["b", "c", "join"], 3.5)
    assert plan.steps[-1].consumes == ("middle", "right")
    assert [step.agent for step in plan.ready({"question"})] == ["b", "c"]
    assert plan.ready({"question", "left", "middle"}) == plan.steps[1:2], "the join was planned with another input"
    assert [step.agent for step in plan.ready({"question", "middle", "right"})] == ["join"]


def test_a_join_takes_another_input_when_one_fails_and_ends_when_too_few_are_left() -> None:
    graph = fixed(*JOIN)
    weight: Weights = {"a": 3.0, "b": 1.0, "c": 2.0, "join": 0.5}
    plan = graph.plan("answer", {"question"}, {**weight, "c": None}.get)
    assert plan is not None
    assert (steps(plan), plan.steps[-1].consumes, plan.weight) == (["a", "b", "join"], ("left", "middle"), 4.5)
    assert graph.plan("answer", {"question"}, {**weight, "c": None, "b": None}.get) is None


def test_a_join_takes_first_what_is_there() -> None:
    graph = fixed(*JOIN)
    weight: Weights = {"a": 3.0, "b": 1.0, "c": 2.0, "join": 0.5}
    one = graph.plan("answer", {"question", "left"}, weight.get)
    assert one is not None
    assert (steps(one), one.steps[-1].consumes, one.weight) == (["b", "join"], ("left", "middle"), 1.5)
    two = graph.plan("answer", {"question", "right", "left"}, weight.get)
    assert two is not None
    assert (steps(two), two.steps[-1].consumes, two.weight) == (["join"], ("left", "right"), 0.5)
    all_three = graph.plan("answer", {"right", "middle", "left"}, weight.get)
    assert all_three is not None
    assert all_three.steps[-1].consumes == ("left", "middle"), "equal in all else, the names decide"


def test_equal_inputs_of_a_join_are_chosen_by_fewer_stages_then_the_name_of_who_gives_them() -> None:
    graph = fixed(
        Capable("start", ("question",), "draft"),
        Capable("aa", ("draft",), "long"),
        Capable("z", ("question",), "early"),
        Capable("y", ("question",), "late"),
        Capable("join", ("early", "long", "late"), "answer", needs=1),
        Capable("pair", ("early", "long", "late"), "poem", needs=2),
    )
    weight = {"start": 0.0, "aa": 1.0, "z": 1.0, "y": 1.0, "join": 0.0, "pair": 0.0}
    assert steps(graph.plan("answer", {"question"}, weight.get)) == ["y", "join"]
    assert steps(graph.plan("poem", {"question"}, weight.get)) == ["z", "y", "pair"]


def test_the_way_through_a_join_counts_its_cheapest_inputs() -> None:
    direct = Capable("direct", ("question",), "answer")
    graph = fixed(*JOIN, direct)
    ways = graph.search({"question"}, {"a": 3.0, "b": 1.0, "c": 2.0, "join": 0.5, "direct": 1.0}.get)
    assert (ways.through(JOIN[-1], 0.5), ways.through(direct, 1.0)) == (3.5, 1.0)
    assert ways.through(JOIN[-1], None) is None
    few = graph.search({"question"}, {"a": 3.0, "join": 0.5, "direct": 1.0}.get)
    assert few.through(JOIN[-1], 0.5) is None


def test_a_join_is_weighed_once_and_only_when_enough_inputs_are_reached() -> None:
    asked: list[str] = []

    def weight(name: str) -> float | None:
        asked.append(name)
        return None if name in "bc" else 1.0

    fixed(*JOIN).search({"question"}, weight)
    assert asked == ["a", "b", "c"]
    asked.clear()
    fixed(*JOIN).search({"left", "middle", "right"}, weight)
    assert asked == ["join"]


def test_a_join_may_stand_in_a_circle() -> None:
    graph = fixed(
        Capable("first", ("question",), "draft"),
        Capable("better", ("draft", "review"), "text", needs=1),
        Capable("critic", ("text",), "review"),
    )
    weight = {"first": 1.0, "better": 1.0, "critic": 0.0}
    assert steps(graph.plan("review", {"question"}, weight.get)) == ["first", "better", "critic"]
    assert graph.plan("review", {"question"}, {"better": 1.0, "critic": 0.0}.get) is None


@pytest.mark.parametrize(
    ("consumes", "optional", "needs", "told"),
    [
        (("a", "b"), (), 0, "join needs 0 of its 2 inputs"),
        (("a", "b"), (), 3, "join needs 3 of its 2 inputs"),
        ((), ("a",), 1, "join needs 1 of its 0 inputs"),
        (("a", "a"), (), None, "join names an input twice: a, a"),
        (("a",), ("b", "a"), None, "join names an input twice: a, b, a"),
    ],
)
def test_inputs_that_cannot_be_are_refused(
    consumes: tuple[str, ...], optional: tuple[str, ...], needs: int | None, told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        Capable("join", consumes, "answer", optional, needs)


def test_two_experts_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="two experts are called join"):
        fixed(Capable("join", ("a",), "answer"), Capable("join", ("b",), "answer"))


def test_what_is_there_may_be_named_twice() -> None:
    graph = fixed(Capable("join", ("a", "b"), "answer"))
    assert graph.plan("answer", ["a", "a"], {"join": 1.0}.get) is None


def test_a_long_chain_needs_no_deep_stack() -> None:
    chain = [Capable(f"x{number:05}", (f"a{number}",), f"a{number + 1}") for number in range(5_000)]
    plan = CapabilityGraph(chain).plan("a5000", {"a0"}, lambda _: 1.0)
    assert plan is not None
    assert (plan.weight, len(plan.steps)) == (5_000.0, 5_000)


def test_an_expert_is_weighed_once_in_a_search() -> None:
    graph = fixed(Capable("one", ("a", "b"), "answer"), Capable("two", ("answer",), "poem"))
    asked: list[str] = []

    def weight(name: str) -> float:
        asked.append(name)
        return 1.0

    graph.search({"a", "b"}, weight)
    assert asked == ["one", "two"]


@pytest.mark.parametrize("aimed", [False, True])
def test_ways_go_round_failures_and_come_back(aimed: bool) -> None:
    graph = fixed(*JOIN, Capable("direct", ("question",), "answer"))
    ways = graph.search({"question"}, {"a": 3.0, "b": 1.0, "c": 2.0, "join": 0.5, "direct": 4.0}.get)
    if aimed:
        ways.aim("answer")
    assert steps(ways.plan("answer")) == ["b", "c", "join"]
    ways.change({"c": None})
    assert steps(ways.plan("answer")) == ["direct"]
    ways.change({"direct": 9.0})
    assert steps(ways.plan("answer")) == ["a", "b", "join"]
    ways.change({"b": None, "direct": inf})
    assert ways.plan("answer") is None
    assert ways.cost("answer") is None
    ways.change({"c": 2.0})
    assert steps(ways.plan("answer")) == ["a", "c", "join"]
    ways.add({"left", "note"})
    plan = ways.plan("answer")
    assert plan is not None
    assert (steps(plan), plan.weight, ways.cost("left"), ways.cost("note")) == (["c", "join"], 2.5, 0.0, 0.0)
    ways.change({"c": 0.0})
    assert ways.cost("answer") == 0.5


def test_a_change_asks_only_those_who_come_into_question() -> None:
    graph = fixed(
        Capable("first", ("question",), "note"),
        Capable("late", ("draft",), "note"),
        Capable("draft", ("question",), "draft"),
        Capable("poet", ("rhyme",), "poem"),
    )
    asked: list[str] = []

    def weight(name: str) -> float:
        asked.append(name)
        return {"first": 1.0, "late": 1.0, "draft": 2.0, "poet": 1.0}[name]

    ways = graph.search({"question"}, weight)
    assert asked == ["draft", "first"]
    ways.change({"draft": 3.0})
    assert (ways.cost("note"), asked) == (1.0, ["draft", "first"])
    ways.change({"first": None})
    assert (ways.cost("note"), asked) == (4.0, ["draft", "first", "late"])
    ways.add(["rhyme"])
    assert (ways.cost("poem"), asked) == (1.0, ["draft", "first", "late", "poet"])


def test_changes_of_nobody_and_to_nonsense_are_refused() -> None:
    ways = fixed(Capable("one", ("question",), "answer")).search({"question"}, {"one": 1.0}.get)
    with pytest.raises(KeyError, match="two"):
        ways.change({"two": 1.0})
    with pytest.raises(ValueError, match=r"weight of one is -2.0, must not be negative"):
        ways.change({"one": -2.0})
    assert ways.cost("answer") == 1.0


def test_a_goal_may_be_aimed_at_that_is_there_or_that_nobody_produces() -> None:
    ways = fixed(Capable("one", ("question",), "answer")).search({"question"}, {"one": 1.0}.get)
    for goal, told in (("question", Plan("question", (), 0.0, 0.0)), ("poem", None)):
        ways.aim(goal)
        ways.change({"one": 2.0})
        assert ways.plan(goal) == told
        assert ways.cost("answer") == 2.0


def test_the_order_of_a_sum_breaks_no_tie() -> None:
    up, down = (0.1, 0.2, 0.3), (0.3, 0.2, 0.1)
    assert sum(up) != sum(down), "as floats they differ"
    experts = [
        Capable(f"{end}{number}", (f"{way}{number}" if number else "question",), f"{way}{number + 1}")
        for way, end in (("up", "z"), ("down", "y"))
        for number in range(3)
    ]
    last = Capable("last", ("up3", "down3"), "answer", needs=1)
    weight = {f"z{number}": up[number] for number in range(3)} | {f"y{number}": down[number] for number in range(3)}
    plan = fixed(*experts, last).plan("answer", {"question"}, {**weight, "last": 0.0}.get)
    assert steps(plan) == ["y0", "y1", "y2", "last"]


def test_a_cost_that_no_float_can_hold_is_infinite() -> None:
    def doubling(times: int) -> Plan | None:
        experts = [Capable("x", ("question",), "a0")]
        for number in range(times):
            experts += [
                Capable(f"l{number}", (f"a{number}",), f"left{number}"),
                Capable(f"r{number}", (f"a{number}",), f"right{number}"),
                Capable(f"j{number}", (f"left{number}", f"right{number}"), f"a{number + 1}"),
            ]
        return CapabilityGraph(experts).plan(f"a{times}", {"question"}, lambda name: float(name == "x"))

    plan = doubling(900)
    assert plan is not None
    assert (plan.weight, plan.shared_weight) == (2.0**900, 1.0)
    assert doubling(1_100) is None


def test_a_join_and_an_optional_input_are_drawn() -> None:
    graph = fixed(Capable("join", ("left", "middle", "right"), "answer", ("hints",), needs=2))
    drawn = graph.to_networkx()
    assert drawn.nodes["expert:join"] == {"kind": "expert", "label": "join", "needs": 2}
    assert {artifact: data["optional"] for artifact, _, data in drawn.in_edges("expert:join", data=True)} == {
        "artifact:hints": True,
        "artifact:left": False,
        "artifact:middle": False,
        "artifact:right": False,
    }
    assert graph.to_mermaid().splitlines() == [
        "flowchart LR",
        '  a0(["answer"])',
        '  a1(["hints"])',
        '  a2(["left"])',
        '  a3(["middle"])',
        '  a4(["right"])',
        '  e0["join (2 of 3)"]',
        "  a2 --> e0",
        "  a3 --> e0",
        "  a4 --> e0",
        "  a1 -.-> e0",
        "  e0 --> a0",
    ]


def test_the_graph_is_given_out_for_networkx_and_mermaid() -> None:
    graph = fixed(Capable("cook", ("egg", "question"), "answer"), Capable("hen", ("question",), "egg"))
    drawn = graph.to_networkx()
    assert {name: drawn.nodes[name]["kind"] for name in drawn} == {
        "expert:cook": "expert",
        "expert:hen": "expert",
        "artifact:answer": "artifact",
        "artifact:egg": "artifact",
        "artifact:question": "artifact",
    }
    assert set(drawn.edges) == {
        ("artifact:egg", "expert:cook"),
        ("artifact:question", "expert:cook"),
        ("expert:cook", "artifact:answer"),
        ("artifact:question", "expert:hen"),
        ("expert:hen", "artifact:egg"),
    }
    assert graph.to_mermaid().splitlines() == [
        "flowchart LR",
        '  a0(["answer"])',
        '  a1(["egg"])',
        '  a2(["question"])',
        '  e0["cook"]',
        "  a1 --> e0",
        "  a2 --> e0",
        "  e0 --> a0",
        '  e1["hen"]',
        "  a2 --> e1",
        "  e1 --> a1",
    ]
