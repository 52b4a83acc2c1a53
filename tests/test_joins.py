"""Joins and fan-out: branches side by side, nothing reached twice, what a join may do and did without."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator import (
    Agent,
    ConfigError,
    Goal,
    Model,
    Orchestrator,
    Pool,
    Route,
    ToolError,
    Turn,
    View,
    expert,
    load_folder,
)
from orchestrator.trace.events import AttemptStarted, Planned
from tests.conftest import Cli
from tests.experts import Sold, Vendor
from tests.routing import Stage, answers, routes
from tests.runs import QUESTION, Ran, ask
from tests.staff import Book, conduct, until

ILL = ToolError("ill")


def test_a_branch_goes_on_while_the_other_is_still_at_its_first_stage(tmp_path: Path) -> None:
    book = Book()

    async def slow() -> str:
        await until(book.ends("second"))
        return "slow"

    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("first", produces="half"),
        book.expert("second", consumes=("half",), produces="right"),
        book.expert("both", consumes=("left", "right")),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("both", "answered")
    assert book.log.index("-second") < book.log.index("-slow")
    assert book.log[-2:] == ["+both", "-both"]
    assert max(book.calls.values()) == 1


def test_branches_wait_for_each_other_without_standing_in_each_others_way(tmp_path: Path) -> None:
    book = Book()

    def met(other: str) -> object:
        async def meet() -> str:
            await until(book.starts(other))
            return "met"

        return meet

    members = [
        book.expert("a1", met("b1"), produces="x1"),
        book.expert("b1", met("a1"), produces="y1"),
        book.expert("a2", met("b2"), consumes=("x1",), produces="x2"),
        book.expert("b2", met("a2"), consumes=("y1",), produces="y2"),
        book.expert("both", consumes=("x2", "y2")),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.decision.answer == "both"
    assert ran.decision.failed == ()


def test_a_failure_is_rerouted_while_its_sibling_is_still_at_work(tmp_path: Path) -> None:
    book = Book()

    async def slow() -> str:
        await until(book.starts("spare"))
        return "slow"

    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("broken", ILL, produces="right", skill=0.9),
        book.expert("spare", produces="right", skill=0.3),
        book.expert("both", consumes=("left", "right")),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert (ran.decision.status, ran.decision.reasons) == ("answered", ("rerouted: broken → spare (tool)",))
    assert ran.outcomes() == [("broken", "rerouted")]
    assert book.log.index("+spare") < book.log.index("-slow")
    assert book.calls == {"slow": 1, "broken": 1, "spare": 1, "both": 1}


def test_a_failure_whose_way_round_needs_what_is_being_made_waits_for_it(tmp_path: Path) -> None:
    book = Book()

    async def slow() -> str:
        await until(book.ends("broken"))
        return "slow"

    members = [
        book.expert("slow", slow, produces="left"),
        book.expert("broken", ILL, produces="right", skill=0.9),
        book.expert("mirror", consumes=("left",), produces="right", skill=0.9),
        book.expert("both", consumes=("left", "right")),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("both", "answered")
    assert ran.outcomes() == [("broken", "rerouted")]
    assert book.inputs["mirror"] == [{"left": "slow"}]
    assert max(book.calls.values()) == 1


def test_a_stage_that_two_branches_share_is_made_once(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("base", produces="base"),
        book.expert("a", consumes=("base",), produces="x"),
        book.expert("b", consumes=("base",), produces="y"),
        book.expert("both", consumes=("x", "y")),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.decision.status == "answered"
    assert book.calls == {"base": 1, "a": 1, "b": 1, "both": 1}


def test_what_is_being_made_for_one_is_not_made_again_for_whoever_fails_beside_it(tmp_path: Path) -> None:
    """The way round `broken` starts with what `base` is making just now: it waits, and asks no sibling of `base`."""
    book = Book()

    async def slow() -> str:
        await until(book.ends("broken"))
        return "slow"

    members = [
        book.expert("base", slow, produces="base", skill=0.9),
        book.expert("other_base", produces="base", skill=0.8),
        book.expert("a", consumes=("base",), produces="x"),
        book.expert("broken", ILL, produces="y", skill=0.9),
        book.expert("b", consumes=("base",), produces="y"),
        book.expert("both", consumes=("x", "y")),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.decision.status == "answered"
    assert book.calls == {"base": 1, "broken": 1, "a": 1, "b": 1, "both": 1}


def test_a_goal_that_a_sibling_reached_is_left_alone(tmp_path: Path) -> None:
    """A router of one's own sends two experts after the same passages: one is asked, the other is not needed."""
    book = Book()

    def twice(view: View) -> Turn:
        if view.state.gives("answer"):
            return Turn(())
        if view.state.gives("passages"):
            return Turn((Route("write"),))
        return Turn((Route("search", toward=Goal("passages")), Route("scan", toward=Goal("passages"))))

    members = [
        book.expert("search", produces="passages"),
        book.expert("scan", produces="passages"),
        book.expert("spare", produces="passages", skill=0.4),
        book.expert("write", consumes=("passages",)),
    ]
    ran = ask(Orchestrator(members, router=twice, trace=tmp_path), tmp_path)
    assert ran.decision.answer == "write"
    assert ran.outcomes() == []
    assert book.calls == {"search": 1, "write": 1}


def test_two_experts_after_one_goal_reach_it_once(tmp_path: Path) -> None:
    """Whoever comes second finds the goal reached: it never counts as reached again."""
    book = Book()

    def twice(view: View) -> Turn:
        if view.state.gives("passages"):
            return Turn(())
        return Turn((Route("search", toward=Goal("passages")), Route("scan", toward=Goal("passages"))))

    members = [book.expert("search", produces="passages"), book.expert("scan", produces="passages")]
    ran = ask(Orchestrator(Pool(members, goals=["passages"]), router=twice, trace=tmp_path), tmp_path)
    assert ran.decision.status == "answered"


def test_a_goal_that_is_reached_is_not_reached_again_whoever_a_router_of_ones_own_asks(tmp_path: Path) -> None:
    """Turn by turn it asks for the same passages: of who gave them, of another, of two at once."""
    book = Book()
    turns = [["search"], ["search"], ["scan"], ["scan", "spare"], ["write"], ["write", "draft"]]

    def insists(view: View) -> Turn:
        asked = turns.pop(0) if turns and not view.state.halted else []
        artifact = {"write": "answer", "draft": "answer"}
        return Turn(tuple(Route(name, toward=Goal(artifact.get(name, "passages"))) for name in asked))

    members = [
        *(book.expert(name, produces="passages") for name in ("search", "scan", "spare")),
        *(book.expert(name, consumes=("passages",)) for name in ("write", "draft")),
    ]
    ran = ask(Orchestrator(members, router=insists, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.called()) == ("write", ["search", "write"])
    assert book.calls == {"search": 1, "write": 1}
    reached = [event.goal for event in ran.of(AttemptStarted)]
    assert reached == [Goal("passages"), Goal("answer")]


def test_a_router_that_asks_for_a_stage_and_for_what_needs_it_has_the_stage_made_once(tmp_path: Path) -> None:
    """In one turn: `write`, whose way begins with passages by `search`, and `scan`, which gives passages as well."""
    book = Book()
    members = [
        book.expert("search", produces="passages", skill=0.9),
        book.expert("scan", produces="passages", skill=0.5),
        book.expert("write", consumes=("passages",)),
    ]
    said = [routes("tools", ("write", "why?"), ("scan", "why?")), answers("tools", "so")]
    ran = Stage(tmp_path, {"router": said}, members=members).run()
    assert ran.decision.answer == "so"
    passages = [event.goal for event in ran.of(AttemptStarted) if event.goal.artifact == "passages"]
    assert len(passages) == len(set(passages))
    assert book.calls["write"] == 1


def test_planning_goes_on_from_what_is_there(tmp_path: Path) -> None:
    """From the start `guess` would beat `draft`; with the passages there it does not."""
    book = Book()
    members = [
        book.expert("search", produces="passages", skill=0.5),
        book.expert("write", ILL, consumes=("passages",), skill=0.9),
        book.expert("draft", consumes=("passages",), skill=0.4),
        book.expert("guess", skill=0.3),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("draft", "answered")
    assert book.calls == {"search": 1, "write": 1, "draft": 1}


def test_a_join_that_fails_is_replaced_and_its_branches_are_not_made_again(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("l1", produces="left0"),
        book.expert("l2", consumes=("left0",), produces="left"),
        book.expert("r", produces="right"),
        book.expert("both", ILL, consumes=("left", "right"), skill=0.9),
        book.expert("pair", consumes=("left", "right"), skill=0.3),
    ]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.reasons) == ("pair", ("rerouted: both → pair (tool)",))
    assert book.calls == {"l1": 1, "l2": 1, "r": 1, "both": 1, "pair": 1}
    assert book.inputs["pair"] == [{"left": "l2", "right": "r"}]


def test_analyses_share_what_comes_before_them(tmp_path: Path) -> None:
    book = Book()
    members = [
        book.expert("search", produces="passages"),
        *(book.expert(name, consumes=("passages",)) for name in ("a", "b", "c")),
    ]
    ran = ask(Orchestrator(members, analyses=3, trace=tmp_path), tmp_path)
    assert ran.decision.status == "answered"
    assert book.calls == {"search": 1, "a": 1, "b": 1, "c": 1}
    assert [event.goal.slot for event in ran.of(AttemptStarted) if event.goal.artifact == "answer"] == [1, 2, 3]


def _noted(book: Book, draft_needs: str, notes: object = "noted") -> list[Agent]:
    return [
        book.expert("note", notes, produces="notes"),
        book.expert("draft", consumes=(draft_needs,), produces="draft"),
        book.expert("write", consumes=("draft",), optional=("notes",)),
    ]


def test_an_optional_input_is_passed_where_it_is_there(tmp_path: Path) -> None:
    book = Book()
    ran = ask(conduct(_noted(book, "notes"), tmp_path), tmp_path)
    assert book.inputs["write"] == [{"draft": "draft", "notes": "noted"}]
    assert (ran.decision.status, ran.decision.reasons) == ("answered", ())


def test_an_optional_input_is_never_planned_for(tmp_path: Path) -> None:
    book = Book()
    ran = ask(conduct(_noted(book, "question"), tmp_path), tmp_path)
    assert book.inputs["write"] == [{"draft": "draft"}]
    assert book.calls["note"] == 0
    assert (ran.decision.status, ran.decision.reasons) == ("answered", ())
    assert [
        candidate.agent for event in ran.of(Planned) for candidate in event.candidates if "note" in candidate.agent
    ] == []


def test_an_optional_input_that_failed_is_named(tmp_path: Path) -> None:
    book = Book()
    members = [*_noted(book, "notes", ILL), book.expert("sketch", produces="draft", skill=0.2)]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("write", "degraded")
    assert book.inputs["write"] == [{"draft": "sketch"}]
    assert ran.decision.reasons[0] == "write went without notes: note failed (tool)"


@pytest.mark.parametrize("there", [True, False])
def test_a_parameter_with_a_default_is_an_optional_input(there: bool, tmp_path: Path) -> None:
    book = Book()
    given: list[object] = []

    @expert
    def write(draft: str, notes: str = "no notes") -> str:
        given.append(notes)
        return draft

    members = [*_noted(book, "notes" if there else "question")[:2], write]
    assert ask(Orchestrator(members, trace=tmp_path), tmp_path).decision.status == "answered"
    assert given == ["noted" if there else "no notes"]


def test_a_parameter_without_a_default_gets_none_for_what_is_not_there(tmp_path: Path) -> None:
    book = Book()
    given: list[object] = []

    def write(draft: str, notes: str | None) -> str:
        given.append(notes)
        return draft

    members = [*_noted(book, "question")[:2], Agent(name="write", tool=write, consumes=("draft",), optional=("notes",))]
    assert ask(Orchestrator(members, trace=tmp_path), tmp_path).decision.status == "answered"
    assert given == [None]


def test_a_model_is_shown_an_optional_input_where_it_is_there(tmp_path: Path) -> None:
    for needed, shown in (("notes", True), ("question", False)):
        book, vendor = Book(), Vendor({"m": Sold("done")})
        writer = Agent(name="writer", model="openai:m", consumes=("draft",), optional=("notes",))
        members = [Model(name="openai:m", free=True), *_noted(book, needed)[:2], writer]
        ran = ask(Orchestrator(members, providers={"openai": vendor}, trace=tmp_path), tmp_path)
        assert ran.decision.answer == "done"
        (request,) = vendor.asked
        assert ("noted" in request.messages[-1].content) is shown
        assert "draft" in request.messages[-1].content


def _two_of_three(book: Book, *broken: str, needs: int = 2) -> list[Agent]:
    """Three experts of falling skill, and a join of any two of them."""
    skills = {"a": 0.9, "b": 0.8, "c": 0.7}
    members = [book.expert(n, *([ILL] if n in broken else []), produces=f"by_{n}", skill=s) for n, s in skills.items()]
    return [*members, book.expert("join", consumes=("by_a", "by_b", "by_c"), needs=needs)]


def test_only_the_two_cheapest_of_three_are_tried(tmp_path: Path) -> None:
    book = Book()
    ran = ask(conduct(_two_of_three(book), tmp_path), tmp_path)
    assert book.calls == {"a": 1, "b": 1, "join": 1}
    assert book.inputs["join"] == [{"by_a": "a", "by_b": "b"}]
    assert (ran.decision.answer, ran.decision.status, ran.decision.reasons) == ("join", "answered", ())


@pytest.mark.parametrize(("broken", "left"), [("a", ("b", "c")), ("b", ("a", "c"))])
def test_the_third_steps_in_where_one_fails(broken: str, left: tuple[str, str], tmp_path: Path) -> None:
    book = Book()
    ran = ask(conduct(_two_of_three(book, broken), tmp_path), tmp_path)
    assert book.calls == {"a": 1, "b": 1, "c": 1, "join": 1}
    assert book.inputs["join"] == [{f"by_{name}": name for name in left}]
    assert (ran.decision.answer, ran.decision.status) == ("join", "degraded")
    assert ran.decision.reasons == (
        f"join went without by_{broken}: {broken} failed (tool)",
        f"rerouted: {broken} → c (tool)",
    )
    assert ran.outcomes() == [(broken, "rerouted")]


def test_the_third_steps_in_while_the_second_is_still_at_work(tmp_path: Path) -> None:
    book = Book()

    async def slow() -> str:
        await until(book.starts("c"))
        return "b"

    members = _two_of_three(book, "a")
    members[1] = book.expert("b", slow, produces="by_b", skill=0.8)
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.decision.answer == "join"
    assert book.log.index("+c") < book.log.index("-b") < book.log.index("+join")
    assert book.inputs["join"] == [{"by_b": "b", "by_c": "c"}]


def test_a_join_gets_everything_that_is_there_beyond_what_it_needs(tmp_path: Path) -> None:
    """A third input that was made for something else is passed on, and nothing is missing."""
    book = Book()
    members = _two_of_three(book)
    members[3] = book.expert("join", consumes=("by_a", "by_b", "by_c", "extra"), needs=3)
    members.append(book.expert("more", consumes=("by_c",), produces="extra", skill=1.0))
    members[2] = book.expert("c", produces="by_c", skill=1.0)
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert ran.decision.status == "answered"
    assert book.calls == {"c": 1, "more": 1, "a": 1, "join": 1}
    assert book.inputs["join"] == [{"by_a": "a", "by_c": "c", "extra": "more"}]


def test_an_input_that_somebody_else_gave_is_not_missing(tmp_path: Path) -> None:
    book = Book()
    members = [*_two_of_three(book, "a"), book.expert("a2", "a2", produces="by_a", skill=0.85)]
    ran = ask(conduct(members, tmp_path), tmp_path)
    assert book.inputs["join"] == [{"by_a": "a2", "by_b": "b"}]
    assert (ran.decision.status, ran.decision.reasons) == ("answered", ("rerouted: a → a2 (tool)",))
    assert book.calls["c"] == 0


def test_a_join_without_enough_inputs_is_given_up_with_every_cause(tmp_path: Path) -> None:
    book = Book()
    ran = ask(conduct(_two_of_three(book, "a", "c"), tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == (None, "escalated")
    assert [each.agent for each in ran.decision.failed] == ["a", "c"]
    assert ran.outcomes() == [("a", "rerouted"), ("c", "escalated")]
    assert book.calls["join"] == 0
    tried = [reason for reason in ran.decision.reasons if reason.startswith("tried: ")]
    assert [reason.split()[1] for reason in tried] == ["a", "c"]


def test_what_only_a_lost_join_went_without_is_not_held_against_the_next(tmp_path: Path) -> None:
    """The join that went without broke down; what replaced it needed nothing that failed."""
    book = Book()
    members = _two_of_three(book, "a")
    members[3] = book.expert("join", ILL, consumes=("by_a", "by_b", "by_c"), needs=2, skill=0.9)
    ran = ask(conduct([*members, book.expert("guess", skill=0.1)], tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.status) == ("guess", "answered")


POOL = """
[pool]
goals = ["answer"]

[agents.a]
tool = "work.py:a"
produces = "by_a"
skill = 0.9

[agents.b]
tool = "work.py:b"
produces = "by_b"
skill = 0.8

[agents.c]
tool = "work.py:c"
produces = "by_c"
skill = 0.7

[agents.join]
tool = "work.py:join"
consumes = ["by_a", "by_b", "by_c"]
needs = 2
optional = ["notes"]

[agents.note]
tool = "work.py:note"
produces = "notes"
"""
WORK = """
from orchestrator import ToolError


def a(question):
    raise ToolError("a is ill")


def b(question):
    return "B"


def c(question):
    return "C"


def note(question):
    return "N"


def join(by_a, by_b, by_c, notes="none"):
    return f"{by_a} {by_b} {by_c} {notes}"
"""


def _written(folder: Path, pool: str = POOL) -> Path:
    folder.mkdir()
    (folder / "pool.toml").write_text(pool)
    (folder / "work.py").write_text(WORK)
    return folder


def test_a_pool_in_toml_joins_and_its_trace_verifies(cli: Cli, tmp_path: Path) -> None:
    folder = _written(tmp_path / "agents")
    ran: Ran = ask(Orchestrator(load_folder(folder), trace=tmp_path / "runs"), tmp_path / "runs")
    assert (ran.decision.answer, ran.decision.status) == ("None B C none", "degraded")
    assert ran.decision.reasons[0] == "join went without by_a: a failed (tool)"
    (path,) = (tmp_path / "runs").glob("*.jsonl")
    verified = cli("trace", "verify", str(path), "--head", str(ran.decision.head))
    assert (verified.returncode, "anchored" in verified.stdout) == (0, True), verified.stdout + verified.stderr


@pytest.mark.parametrize(
    ("line", "instead", "field", "told"),
    [
        ("needs = 2", "needs = 4", "agents.join", "needs 4 of the 3"),
        ("needs = 2", "needs = 0", "agents.join.needs", "at least 1"),
        ("needs = 2", 'needs = "two"', "agents.join.needs", "a whole number"),
        ('optional = ["notes"]', 'optional = ["nots"]', "agents.join.", "did you mean `notes`?"),
        ('optional = ["notes"]', 'optional = ["by_a"]', "agents.join", "by_a"),
        ('optional = ["notes"]', 'optional = ["notes", "notes"]', "agents.join.optional", "each name once"),
        ('optional = ["notes"]', 'optionl = ["notes"]', "agents.join.optionl", "did you mean `optional`?"),
    ],
)
def test_broken_joins_in_toml_are_named(line: str, instead: str, field: str, told: str, tmp_path: Path) -> None:
    folder = _written(tmp_path / "agents", POOL.replace(line, instead))
    with pytest.raises(ConfigError) as caught:
        Orchestrator(load_folder(folder), trace=False)
    assert "pool.toml" in str(caught.value.file)
    assert str(caught.value.field).startswith(field)
    assert told in str(caught.value)


def test_an_optional_input_that_nobody_gives_is_named_by_its_own_field(tmp_path: Path) -> None:
    folder = _written(tmp_path / "agents", POOL.replace('optional = ["notes"]', 'optional = ["nots"]'))
    with pytest.raises(ConfigError) as caught:
        load_folder(folder)
    assert caught.value.field == "agents.join.optional"


def test_a_join_in_python_needs_no_more_than_it_says(tmp_path: Path) -> None:
    book = Book()
    given: list[tuple[object, object]] = []

    @expert(needs=1)
    def either(by_a: str | None, by_b: str | None) -> str:
        given.append((by_a, by_b))
        return by_a or by_b or "nothing"

    ran = ask(Orchestrator([*_two_of_three(book)[:2], either], trace=tmp_path), tmp_path, QUESTION)
    assert (ran.decision.answer, given) == ("a", [("a", None)])
    assert book.calls == {"a": 1}
