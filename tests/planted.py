"""Made-up outcome files in which we know what there is to know: whether routing pays, and by how much."""

from __future__ import annotations

from random import Random

from orchestrator.evals.matrix import Matrix, matrix_of
from orchestrator.providers import RecordedFile, recorded_from

COSTS = {"large": 0.004, "medium": 0.002, "small": 0.0005}
"""USD a question, before the length of the question is counted."""
TOPICS = {
    "law": ["court", "contract", "clause", "judge", "appeal"],
    "code": ["python", "loop", "stack", "compile", "array"],
    "birds": ["wing", "nest", "feather", "heron", "migrate"],
}
FILLER = ["which", "of", "these", "would", "be", "said", "to", "hold", "about", "every", "other", "one"]
SKILLED = {"large": ("law", 0.92, 0.55), "medium": ("code", 0.92, 0.55), "small": ("birds", 0.92, 0.4)}
"""Model: the topic it is good at, how often it is right there, and elsewhere."""
ALIKE = {"large": 0.72, "medium": 0.7, "small": 0.62}
"""How often each model is right, whatever is asked."""


def planted_file(seed: int, *, informed: bool, cases: int = 500, labelled: bool = False) -> RecordedFile:
    """Outcomes in which the right model depends on the question (`informed`), or in which scores are only noisy."""
    draw = Random(f"planted {seed} {informed}")
    return recorded_from(
        f"planted-{seed}.jsonl",
        ((f"record {number}", _record(draw, number, informed=informed, labelled=labelled)) for number in range(cases)),
    )


def planted(seed: int, *, informed: bool, cases: int = 500, labelled: bool = False) -> Matrix:
    """The matrix of such a file."""
    return matrix_of(planted_file(seed, informed=informed, cases=cases, labelled=labelled))


def _record(draw: Random, number: int, *, informed: bool, labelled: bool) -> dict[str, object]:
    topic = draw.choice(sorted(TOPICS))
    words = [*draw.sample(TOPICS[topic], 2), *draw.sample(FILLER, 5)]
    draw.shuffle(words)
    outcomes: dict[str, object] = {}
    for model, cost in COSTS.items():
        favourite, there, elsewhere = SKILLED[model]
        p = (there if topic == favourite else elsewhere) if informed else ALIKE[model]
        outcomes[model] = {
            "score": float(draw.random() < p),
            "cost_usd": cost * draw.uniform(0.7, 1.3),
            "response": "A",
        }
    return {
        "id": f"case-{number:04}",
        "question": " ".join(words),
        "split": "train" if number % 2 else "test",
        "task": topic if labelled else None,
        "outcomes": outcomes,
    }
