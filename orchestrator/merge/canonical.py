"""When two answers are the same: choices by their letter, numbers by their value, texts by their words."""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation
from unicodedata import normalize

from orchestrator.messages import Question

__all__ = ["canonical", "same"]

LONGEST_NUMBER = 60
_NUMBER = re.compile(r"[-+]?[$€£]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d+)?(?:e[-+]?\d{1,3})?%?")

_ENDS = re.compile(r"""[).:;*"`\]]|[,'-](?!\w)|\s*[(–]|\s+-""")


def canonical(text: str, question: Question) -> str | None:
    """The form in which answers are compared; None where it is not one of the question's choices."""
    if question.choices:  # a letter on a line of its own is a choice, whatever stands below it
        return _choice(_flat(text.strip().partition("\n")[0]), question.choices)
    plain = _flat(text)
    number = _number(plain)
    return number if number is not None else plain.casefold().rstrip(".! ")


def same(one: str, other: str, question: Question) -> bool:
    """Whether two answers are equal; what is no choice equals nothing but itself."""
    first, second = canonical(one, question), canonical(other, question)
    return one == other if first is None or second is None else first == second


def _flat(text: str) -> str:
    return " ".join(normalize("NFKC", text).split())


def _choice(plain: str, choices: tuple[str, ...]) -> str | None:
    """The choice that a text begins with or is: `B`, `b)`, `(B)`, `B. because …`."""
    bare = plain.strip("\"'*`([ ")
    for choice in sorted(choices, key=len, reverse=True):
        if bare.casefold() == choice.casefold():
            return choice
        head, rest = bare[: len(choice)], bare[len(choice) :]
        if rest and head.casefold() == choice.casefold() and _ends_choice(rest):
            return choice
    return None


def _ends_choice(rest: str) -> bool:
    """Whether what follows a letter shows that it was a choice and not a word: `A) …`, not `A chart …` or `I'm …`."""
    return _ENDS.match(rest) is not None


def _number(plain: str) -> str | None:
    """The value of a text that is a number and nothing else."""
    bare = plain.rstrip(". ").replace("−", "-")
    if (
        not bare
        or len(bare) > LONGEST_NUMBER
        or not any(c.isdigit() for c in bare)
        or not _NUMBER.fullmatch(bare.lower())
    ):
        return None
    percent = bare.endswith("%")
    try:
        value = Decimal(bare.strip("%").translate({ord(c): None for c in "$€£,"}))
    except InvalidOperation:
        return None
    exact = value.normalize(Context(prec=LONGEST_NUMBER))
    plainest = format(exact, "f") if abs(exact.adjusted()) < LONGEST_NUMBER else str(exact)
    return ("0" if value == 0 else plainest) + ("%" if percent else "")
