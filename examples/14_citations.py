"""Retrieval with citations: passages from a folder, quoted by number, and a lower goal where nothing is found.

Prints:
    cited_answer: The moon pulls the tides. [sea.md] (answered)
    answer: Nothing in the folder says so. (degraded)
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from orchestrator import Orchestrator, Pool, Resources, ToolError, expert


@expert(produces="passages", skill=0.9)
def find(question: str, places: Resources) -> list[str]:
    words = {word.strip("?.,").lower() for word in question.split() if len(word) > 3}
    files = sorted((places.docs or Path()).glob("*.md"))
    lines = [(path.name, line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    found = [f"{line} [{name}]" for name, line in lines if words & set(line.lower().strip(".").split())]
    if not found:
        raise ToolError("no passage says anything on it")
    return found


@expert(produces="cited_answer", skill=0.9)
def cite(passages: list[str]) -> str:
    return passages[0]


@expert(produces="answer", skill=0.4)
def admit(question: str) -> str:
    return "Nothing in the folder says so."


with TemporaryDirectory() as folder:
    Path(folder, "sea.md").write_text("The moon pulls the tides.\n", encoding="utf-8")
    desk = Orchestrator(Pool([find, cite, admit], goals=["cited_answer", "answer"]), resources=Resources(Path(folder)))
    for question in ("What pulls the tides?", "Who painted Guernica?"):
        decision = desk.run_sync(question)
        print(f"{decision.goal}: {decision.answer} ({decision.status})")
