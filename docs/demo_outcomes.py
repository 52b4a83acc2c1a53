"""Outcomes of the suite `recorded_demo`: models, prices, answers and scores are invented, nobody was asked anything.

What is planted: one model is best at sums and another at spelling, so that a router which tells the two kinds of
question apart does better than any single model. Which questions a model gets right within a task is chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from operator import add, mul, sub
from random import Random
from typing import Literal, NamedTuple

Task = Literal["sums", "spelling"]
Outcome = dict[str, object]

SIZES: Mapping[Literal["train", "test"], int] = {"train": 32, "test": 16}
"""Questions per task; train is large enough for forty neighbours to be mostly of one task."""
SEED = "recorded_demo"


class Invented(NamedTuple):
    """A model that does not exist."""

    prices: tuple[str, str]
    """USD per 1M tokens of input and of output."""
    output: tuple[int, int]
    """Fewest and most tokens of output."""
    sums: int
    """Of sixteen sums, how many it gets right."""
    spelling: int
    """Of sixteen words to spell, how many it gets right."""


MODELS: Mapping[str, Invented] = {
    "demo-small": Invented(("0.10", "0.40"), (4, 12), sums=8, spelling=7),
    "demo-medium": Invented(("0.50", "2.00"), (6, 20), sums=11, spelling=9),
    "demo-speller": Invented(("0.80", "3.20"), (4, 14), sums=6, spelling=15),
    "demo-large": Invented(("3.00", "15.00"), (20, 60), sums=15, spelling=10),
}

WORDS = """
    anchor apron arrow autumn badger basket beacon blanket bridge bucket candle canvas carpet cherry cinder circus
    copper cradle dragon ember engine fabric falcon feather ferry fiddle garden ginger goblet hammer harbour helmet
    island jacket kettle ladder lantern magnet marble meadow mirror needle orchard paddle pebble pepper pillow rocket
""".split()  # noqa: SIM905 - reads better
STORIES = (
    ("A shelf holds {0} boxes with {1} screws in each. How many screws is that?", mul),
    ("Of {0} chairs, {1} are broken. How many are whole?", sub),
    ("A bus with {0} people on it takes up {1} more. How many are on it now?", add),
    ("A ticket costs {1} pounds. What do {0} people pay, in pounds?", mul),
)


def records() -> Iterator[dict[str, object]]:
    """Every record of the file."""
    draw = Random(SEED)
    tasks: dict[Task, list[tuple[str, str]]] = {"sums": list(_sums(draw)), "spelling": list(_words(draw))}
    for split, size in SIZES.items():
        for task, asked in tasks.items():
            mine, tasks[task] = asked[:size], asked[size:]
            right = {name: _right(model, task, size, draw) for name, model in MODELS.items()}
            for place, (question, answer) in enumerate(mine):
                outcomes = {name: _outcome(name, question, answer, draw, right=place in right[name]) for name in MODELS}
                yield {
                    "id": f"{task}-{split}-{place + 1:02}",
                    "benchmark": "synthetic demo",
                    "task": task,
                    "split": split,
                    "question": question,
                    "kind": "math" if task == "sums" else "free",
                    "choices": None,
                    "reference": answer,
                    "outcomes": outcomes,
                }


def _sums(draw: Random) -> Iterator[tuple[str, str]]:
    """Little stories about two numbers, with their answers; no two have the same numbers."""
    for place, pair in enumerate(draw.sample(range(400), sum(SIZES.values()))):
        one, other = 25 + pair // 20, 4 + pair % 20
        story, combine = STORIES[place % len(STORIES)]
        yield story.format(one, other), str(combine(one, other))


def _words(draw: Random) -> Iterator[tuple[str, str]]:
    """Words to write backwards."""
    yield from ((f"Write the word {word} backwards.", word[::-1]) for word in draw.sample(WORDS, sum(SIZES.values())))


def _right(model: Invented, task: Task, size: int, draw: Random) -> set[int]:
    """Which of so many questions of a task a model gets right."""
    of_sixteen = model.sums if task == "sums" else model.spelling
    return set(draw.sample(range(size), of_sixteen * size // 16))


def _outcome(name: str, question: str, answer: str, draw: Random, *, right: bool) -> Outcome:
    """What a model is made to have said, what it cost, and its score."""
    model = MODELS[name]
    tokens = len(question) // 4 + 9, draw.randint(*model.output)
    cost = sum((Decimal(price) * count for price, count in zip(model.prices, tokens, strict=True)), Decimal(0))
    return {
        "score": 1.0 if right else 0.0,
        "cost_usd": float(cost / 1_000_000),
        "response": answer if right else _wrong(answer, draw),
        "input_tokens": tokens[0],
        "output_tokens": tokens[1],
    }


def _wrong(answer: str, draw: Random) -> str:
    """Something near the answer: another number, or two neighbouring letters the wrong way round."""
    if answer.isdigit():
        return str(int(answer) + draw.choice((-10, -1, 1, 2, 10)))
    return draw.choice(_swaps(answer))


def _swaps(word: str) -> Sequence[str]:
    """The word with two unlike neighbours exchanged, in every way there is."""
    pairs = range(len(word) - 1)
    return [word[:at] + word[at + 1] + word[at] + word[at + 2 :] for at in pairs if word[at] != word[at + 1]]
