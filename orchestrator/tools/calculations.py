"""What a question asks to be calculated, solved or rewritten; read once for both ways to compute."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from orchestrator.tools.expressions import Binary, Call, Node, Number, Percent, Unreadable, nodes, parse, symbols
from orchestrator.tools.limits import MAX_TEXT
from orchestrator.tools.numerals import PLAIN, Form
from orchestrator.tools.wordings import normalise, split_form, split_list, to_signs, unwrap, verb_to_signs

__all__ = ["Calculation", "Equations", "Refused", "Request", "Rewriting", "read"]


@dataclass(frozen=True, slots=True)
class Calculation:
    """One number is asked for."""

    root: Node
    form: Form


@dataclass(frozen=True, slots=True)
class Equations:
    """Unknowns are asked for; each pair holds both sides of an equation."""

    pairs: tuple[tuple[Node, Node], ...]
    unknowns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rewriting:
    """An expression is wanted in another shape."""

    verb: Literal["simplify", "expand", "factor"]
    root: Node


@dataclass(frozen=True, slots=True)
class Refused:
    """It is mathematics, but beyond our bounds or ambiguous."""

    why: str


Request = Calculation | Equations | Rewriting | Refused

LETTERS = r"([a-z](?:(?:,| and|, and) [a-z])*)"
SOLVE = re.compile(rf"solve(?: for {LETTERS})?\b[\s,:]*(?:the |this |these )?(?:system|equations?)?[\s,:]*")
UNKNOWN = re.compile(rf"{LETTERS},? (?:if|when|where|given|such that|so that|for which) (.+)")
ROOTS = re.compile(r"(?:all )?(?:real )?(?:roots?|zeros?|zeroes|solutions?) (?:of|to) (?:the equation )?(.+)")
WANTED = re.compile(rf"(.+) for {LETTERS}")
REWRITE = re.compile(r"(simplify|reduce|expand|multiply out|factor|factori[sz]e)(?: out)?(?: completely)?[\s:]+(.+)")
VERBS: dict[str, Literal["simplify", "expand", "factor"]] = {
    "simplify": "simplify",
    "reduce": "simplify",
    "expand": "expand",
    "multiply out": "expand",
    "factor": "factor",
    "factorise": "factor",
    "factorize": "factor",
}
OUT_OF = re.compile(r"^([0-9]+) out of ([0-9]+)$")
DIGITS_ONLY = re.compile(r"[-+*/^().,!%= 0-9]*")


NO_SUBTRACTION = re.compile(
    r"(?<![0-9])(?:[0-9]{4}([-/])[0-9]{1,2}\1[0-9]{1,2}|[0-9]{1,2}([-/])[0-9]{1,2}\2[0-9]{4}|[0-9]{3}-[0-9]{3}-[0-9]{4})"
    r"(?![0-9])"
)
"""Dates and telephone numbers, which look like sums."""


@lru_cache(maxsize=128)
def read(question: str) -> Request | None:
    """What the question asks, or None where it is no mathematics of ours."""
    if len(question) > MAX_TEXT:
        return _too_long(question[:MAX_TEXT])
    text = unwrap(normalise(question))
    if not text or len(text) > MAX_TEXT or NO_SUBTRACTION.search(text):
        return None
    try:
        return _equations(text) or _rewriting(text) or _calculation(text)
    except Unreadable as problem:
        return Refused(problem.why) if problem.why else None


def _too_long(beginning: str) -> Refused | None:
    text = unwrap(" ".join(beginning.lower().split()))
    if text and DIGITS_ONLY.fullmatch(text):
        return Refused(f"a calculation of more than {MAX_TEXT:,} characters")
    return None


def _calculation(text: str) -> Calculation | None:
    body, form = split_form(text)
    if form.style == "percent":
        body = OUT_OF.sub(r"\1/\2", body)
    verb = verb_to_signs(body)
    signs, percent = verb or (body, False)
    root = parse(to_signs(signs))
    if symbols(root) or (isinstance(root, Number) and form == PLAIN):
        return None
    if percent and form.style == "plain":
        form = Form("percent", form.places, form.figures)
    if form == PLAIN and _all_fractions(root):
        form = Form("fraction")
    return Calculation(root, form)


def _all_fractions(root: Node) -> bool:
    """Whether two or more fractions, and no decimals or percentages, were given: then one is wanted."""
    found = list(nodes(root))
    if any(isinstance(node, Percent | Call) or (isinstance(node, Number) and node.places) for node in found):
        return False
    return sum(_is_fraction(node) for node in found) > 1


def _is_fraction(node: Node) -> bool:
    return (
        isinstance(node, Binary)
        and node.operator == "/"
        and isinstance(node.left, Number)
        and isinstance(node.right, Number)
    )


def _rewriting(text: str) -> Rewriting | Calculation | None:
    found = REWRITE.fullmatch(text)
    if not found or verb_to_signs(split_form(text)[0]):  # "reduce 80 by 25%" is no fraction to be reduced
        return None
    verb, root = VERBS[found.group(1)], parse(to_signs(found.group(2), variables=True))
    if symbols(root):
        return Rewriting(verb, root)
    if verb != "simplify":
        return None
    if any(isinstance(node, Call) for node in nodes(root)):
        return Rewriting(verb, root)
    return Calculation(root, Form("fraction"))


def _equations(text: str) -> Equations | None:
    body, wanted, zero = _solving(text)
    sides = [to_signs(piece, variables=True).split("=") for piece in split_list(body)]
    if zero and len(sides) == 1 and len(sides[0]) == 1:
        sides[0].append("0")
    if any(len(pair) != 2 for pair in sides):
        return None
    pairs = tuple((parse(left), parse(right)) for left, right in sides)
    found = sorted(frozenset[str]().union(*(symbols(side) for pair in pairs for side in pair)))
    return _wanted(pairs, wanted, found) if found else None


def _solving(text: str) -> tuple[str, list[str], bool]:
    """The equations' text, the unknowns that it names, and whether "= 0" may be left out."""
    if found := UNKNOWN.fullmatch(text):
        return found.group(2), _letters(found.group(1)), False
    if found := ROOTS.fullmatch(text):
        return found.group(1), [], True
    found = SOLVE.match(text)
    named = _letters(found.group(1)) if found and found.group(1) else []
    body = text[found.end() :] if found else text
    if not named and (tail := WANTED.fullmatch(body)):
        body, named = tail.group(1), _letters(tail.group(2))
    return body, named, found is not None


def _letters(text: str) -> list[str]:
    return re.findall(r"\b[a-z]\b", text)


def _wanted(pairs: tuple[tuple[Node, Node], ...], named: list[str], found: list[str]) -> Equations:
    if unknown := [name for name in named if name not in found]:
        raise Unreadable(f"`{unknown[0]}` does not occur in the equation")
    if not named and len(found) > len(pairs):
        raise Unreadable(f"more unknowns ({', '.join(found)}) than equations: say which one to solve for")
    return Equations(pairs, tuple(named or found))
