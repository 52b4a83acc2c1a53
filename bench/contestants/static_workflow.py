"""Static workflows: a LangGraph for each topology, with the fallbacks that a careful engineer codes beforehand.

Every stage tries its first expert, then its second. Where nobody is left it does what was decided when it was written:
refunds become tickets, trips become flights, too few verdicts hold the post; a message that nobody can send and a
verdict that nobody can give are skipped, since the rest of the work is done. Risk rules are edges.
"""
# langgraph leaves parameters of its own types open:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable
from operator import or_
from typing import Annotated, Any, Protocol, TypedDict

from contestants.desk import Desk, Outcome, amount
from langgraph.graph import END, START, StateGraph
from pydantic import JsonValue

from orchestrator.errors import AttemptError

VERDICTS = "image", "text", "history", "toxicity", "spam"


class State(TypedDict, total=False):
    """What the nodes hand on."""

    there: Annotated[dict[str, JsonValue], or_]
    """Artifacts by name; one that nobody could give is not there."""
    outcome: Outcome


class Node(Protocol):
    """A node, as langgraph wants it."""

    async def __call__(self, state: State) -> State:
        """What the node adds to the state."""
        ...


def stage(desk: Desk, artifact: str, first: str, *others: str) -> Node:
    """A node that asks one expert after the other and goes on without the artifact where none can give it."""

    async def node(state: State) -> State:
        del state
        for number, tool in enumerate((first, *others)):
            desk.reroutes += number > 0
            try:
                return {"there": {artifact: await desk.use(tool)}}
            except AttemptError:
                continue
        return {}

    return node


def ends(outcome: Outcome) -> Node:
    """A node in which a run ends."""

    async def node(state: State) -> State:
        del state
        return {"outcome": outcome}

    return node


def has(state: State, *artifacts: str) -> bool:
    """Whether all of these are there."""
    return set(artifacts) <= set(state.get("there", {}))


def which(*artifacts: str, then: str, otherwise: str) -> Callable[[State], str]:
    """An edge that hangs on whether artifacts are there."""
    return lambda state: then if has(state, *artifacts) else otherwise


async def together(state: State) -> State:
    """A node in which branches meet."""
    del state
    return {}


def support(desk: Desk) -> StateGraph[State, Any, State, State]:
    """Look up, pay back, tell."""

    def after_look_up(state: State) -> str:
        if not has(state, "order"):
            return "nothing"
        return "person" if amount(state.get("there", {})["order"], "amount") > 10_000 else "pay"

    graph = StateGraph(State)
    graph.add_node("look_up", stage(desk, "order", "crm"))
    graph.add_node("pay", stage(desk, "refund", "stripe", "razorpay"))
    graph.add_node("tell", stage(desk, "customer_told", "email", "sms"))
    graph.add_node("ticket", stage(desk, "refund_ticket", "helpdesk"))
    graph.add_node("told", ends(Outcome("answered", "customer_told")))
    graph.add_node("left", ends(Outcome("degraded", "refund_ticket", "the refund was left to a person")))
    graph.add_node("person", ends(Outcome("escalated", "customer_told", "the amount is for a person to decide")))
    graph.add_node("nothing", ends(Outcome("escalated", "customer_told", "the order or the ticket failed")))
    graph.add_edge(START, "look_up")
    graph.add_conditional_edges("look_up", after_look_up, ["pay", "person", "nothing"])
    graph.add_conditional_edges("pay", which("refund", then="tell", otherwise="ticket"), ["tell", "ticket"])
    graph.add_edge("tell", "told")
    graph.add_conditional_edges("ticket", which("refund_ticket", then="left", otherwise="nothing"), ["left", "nothing"])
    return ending(graph, "told", "left", "person", "nothing")


def travel(desk: Desk) -> StateGraph[State, Any, State, State]:
    """Price, book the flight, hotel and car side by side, confirm."""

    def after_quote(state: State) -> str:
        if not has(state, "offer"):
            return "nothing"
        return "person" if amount(state.get("there", {})["offer"], "price") > 5_000 else "flight"

    def after_flight(state: State) -> list[str]:
        return ["hotel", "car"] if has(state, "flight") else ["nothing"]

    graph = StateGraph(State)
    graph.add_node("quote", stage(desk, "offer", "quote"))
    graph.add_node("flight", stage(desk, "flight", "flights", "flights_backup"))
    graph.add_node("hotel", stage(desk, "hotel", "hotels", "hostels"))
    graph.add_node("car", stage(desk, "car", "cars"))
    graph.add_node("together", together)
    graph.add_node("confirm", stage(desk, "trip", "confirm", "confirm_by_mail"))
    graph.add_node("ticket", stage(desk, "flight_only", "ticket"))
    graph.add_node("done", ends(Outcome("answered", "trip")))
    graph.add_node("flown", ends(Outcome("degraded", "flight_only", "hotel or car could not be booked")))
    graph.add_node("person", ends(Outcome("escalated", "trip", "the price is for a person to decide")))
    graph.add_node("nothing", ends(Outcome("escalated", "trip", "no offer, flight or ticket")))
    graph.add_edge(START, "quote")
    graph.add_conditional_edges("quote", after_quote, ["flight", "person", "nothing"])
    graph.add_conditional_edges("flight", after_flight, ["hotel", "car", "nothing"])
    graph.add_edge(["hotel", "car"], "together")
    graph.add_conditional_edges(
        "together", which("hotel", "car", then="confirm", otherwise="ticket"), ["confirm", "ticket"]
    )
    graph.add_edge("confirm", "done")
    graph.add_conditional_edges("ticket", which("flight_only", then="flown", otherwise="nothing"), ["flown", "nothing"])
    return ending(graph, "done", "flown", "person", "nothing")


def moderation(desk: Desk) -> StateGraph[State, Any, State, State]:
    """Five verdicts side by side, then an action on two or more of them."""

    def after_verdicts(state: State) -> str:
        there = state.get("there", {})
        if amount(there.get("text_verdict"), "toxicity") > 0.9:
            return "person"
        return "queue" if len(there) >= 2 else "hold"

    graph = StateGraph(State)
    for name in VERDICTS:
        graph.add_node(name, stage(desk, f"{name}_verdict", name))
        graph.add_edge(START, name)
    graph.add_node("together", together)
    graph.add_edge(list(VERDICTS), "together")
    graph.add_node("queue", stage(desk, "action", "queue"))
    graph.add_node("hold", stage(desk, "held", "hold"))
    graph.add_node("acted", ends(Outcome("answered", "action")))
    graph.add_node("kept", ends(Outcome("degraded", "held", "too few verdicts: held for a person")))
    graph.add_node("person", ends(Outcome("escalated", "action", "the post is toxic: for a person to decide")))
    graph.add_node("nothing", ends(Outcome("escalated", "action", "neither acted nor held")))
    graph.add_conditional_edges("together", after_verdicts, ["queue", "hold", "person"])
    graph.add_conditional_edges("queue", which("action", then="acted", otherwise="hold"), ["acted", "hold"])
    graph.add_conditional_edges("hold", which("held", then="kept", otherwise="nothing"), ["kept", "nothing"])
    return ending(graph, "acted", "kept", "person", "nothing")


def ending(graph: StateGraph[State, Any, State, State], *last: str) -> StateGraph[State, Any, State, State]:
    """The graph with its last nodes led to its end."""
    for name in last:
        graph.add_edge(name, END)
    return graph


WORKFLOWS = {"support pipeline": support, "travel graph": travel, "moderation fan-out": moderation}


async def static_workflow(desk: Desk) -> Outcome:
    """One walk through the graph of the case's topology."""
    compiled = WORKFLOWS[desk.world.suite.name](desk).compile()
    return (await compiled.ainvoke({"there": {}}))["outcome"]
