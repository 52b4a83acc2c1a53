"""A router of one's own in ten lines: ask the careful expert only where two quick ones do not agree.

Prints:
    an easy one: 12, supported by quick, quicker; 2 turns
    a hard one: 12.5, supported by careful; 3 turns
"""

from orchestrator import Answer, Orchestrator, Route, Think, Turn, View, expert


@expert
def quick(question: str) -> str:
    return "12" if "easy" in question else "11"


@expert
def quicker(question: str) -> str:
    return "12"


@expert
def careful(question: str) -> str:
    return "12.5"


def doubtful(view: View) -> Turn:
    said = [reply.text for reply in view.replies]
    if not said:
        return Turn((Think("two quick opinions"), Route("quick"), Route("quicker")))
    if len(said) == 2 and said[0] != said[1]:
        return Turn((Think("they differ"), Route("careful")))
    return Turn((Answer(said[-1]),))


for question in ("an easy one", "a hard one"):
    decision = Orchestrator([quick, quicker, careful], router=doubtful).run_sync(question)
    print(f"{question}: {decision.answer}, supported by {', '.join(decision.support)}; {decision.turns} turns")
