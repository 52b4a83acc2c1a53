"""When two answers are the same, for each kind of task: choices, numbers, short texts, code, JSON, free text."""

from __future__ import annotations

import ast
import json
import re
import string
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeVar, cast
from unicodedata import normalize

from orchestrator.merge.numbers import number_form, stated_number
from orchestrator.messages import Question

__all__ = ["FREE_TEXT_F1", "Form", "canonical", "form_of", "grouped", "same", "token_f1"]

Form = Literal["choice", "number", "short", "code", "json", "free"]
"""What kind of thing an answer is, and so how two are compared."""
FREE_TEXT_F1 = 0.8
"""Share of words in common (F1 of tokens) from which on two free texts count as the same answer."""
LONGEST_CODE = 50_000
"""Characters of a program that is read as one; a longer one is compared by its lines."""

FORMS: Mapping[str, Form] = MappingProxyType(
    {"number": "number", "math": "number", "code": "code", "json": "json", "free": "free", "free_text": "free"}
)
"""The form of an answer by the kind of its question; any other kind, and none, is a short text."""

Item = TypeVar("Item")
_ENDS = re.compile(r"""[).:;*"`\]]|[,'-](?!\w)|\s*[(–]|\s+-""")
_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def form_of(question: Question) -> Form:
    """How answers to a question are compared: by its choices where it has any, else by its kind."""
    return "choice" if question.choices else FORMS.get(question.kind or "", "short")


def canonical(text: str, question: Question) -> str | None:
    """The form in which answers are compared; None where it is blank, or not one of the question's choices."""
    form = form_of(question)
    if form == "choice":  # a letter on a line of its own is a choice, whatever stands below it
        return _choice(_flat(text.strip().partition("\n")[0]), question.choices)
    return _WAYS[form](text) or None


def same(one: str, other: str, question: Question) -> bool:
    """Whether two answers are equal; what is no answer at all equals nothing but itself."""
    first, second = canonical(one, question), canonical(other, question)
    if first is None or second is None:
        return one == other
    return _alike(first, second, form_of(question))


def grouped(items: Iterable[Item], text: Callable[[Item], str], question: Question) -> list[tuple[str, list[Item]]]:
    """The items by their answer, each group with its canonical form; what is no answer is in none.

    Likeness of free texts is not transitive: a text joins the first group whose first member it is like, so that the
    groups hang on the order of the items alone.
    """
    form = form_of(question)
    found: dict[str, list[Item]] = {}
    for item in items:
        key = canonical(text(item), question)
        if key is None:
            continue
        if form == "free" and key not in found:
            key = next((other for other in found if _alike(key, other, form)), key)
        found.setdefault(key, []).append(item)
    return list(found.items())


def token_f1(one: str, other: str) -> float:
    """The harmonic mean of the shares of words that two texts have in common; 1 where both have none.

    Words are SQuAD's: lower case, without punctuation and articles (Rajpurkar et al., EMNLP 2016, §6.1).
    """
    first, second = _words(one), _words(other)
    if not first or not second:
        return float(first == second)
    return 2 * (Counter(first) & Counter(second)).total() / (len(first) + len(second))


def _alike(first: str, second: str, form: Form) -> bool:
    return first == second or (form == "free" and token_f1(first, second) >= FREE_TEXT_F1)


def _flat(text: str) -> str:
    return " ".join(normalize("NFKC", text).split())


def _words(text: str) -> list[str]:
    plain = text.lower().translate(_PUNCTUATION)
    return re.sub(r"\b(a|an|the)\b", " ", plain).split()


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


def _short(text: str) -> str:
    plain = _flat(text)
    number = number_form(plain)
    return number if number is not None else plain.casefold().rstrip(".! ")


def _number(text: str) -> str:
    """The number that the text states; its words where it states none."""
    return stated_number(normalize("NFKC", text)) or _short(text)


def _free(text: str) -> str:
    return " ".join(_words(_flat(text))) or _short(text)


def _code(text: str) -> str:
    """A program without its fence; of Python also without comments and layout."""
    plain = _unfenced(text)
    if len(plain) <= LONGEST_CODE and (parsed := _python(plain)) is not None:
        return parsed
    return "\n".join(line.rstrip() for line in plain.strip().splitlines() if line.strip())


def _python(text: str) -> str | None:
    """The program as Python itself writes it; None where it is none. Nothing of it is run."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd escapes in strings, which are the answer's own
        try:
            return ast.unparse(ast.parse(text)).strip()
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _json(text: str) -> str:
    """JSON with its keys in order and its numbers by value; other text as it is."""
    for found in (text, _unfenced(text)):
        try:
            return _written(json.loads(found, parse_int=Decimal, parse_float=Decimal, parse_constant=str))
        except (ValueError, RecursionError, ArithmeticError):
            continue
    return _short(text)


def _written(value: object) -> str:
    match value:
        case dict():
            table = cast("dict[str, object]", value)
            return "{" + ",".join(f"{json.dumps(key)}:{_written(table[key])}" for key in sorted(table)) + "}"
        case list():
            return "[" + ",".join(map(_written, cast("list[object]", value))) + "]"
        case Decimal():
            return number_form(str(value)) or str(value)
        case _:
            return json.dumps(value)


def _unfenced(text: str) -> str:
    """The one fenced block of a text, or the longest of several; the text itself where there is none."""
    blocks: Sequence[str] = _FENCED.findall(text)
    return max(blocks, key=len) if blocks else text


_WAYS: Mapping[Form, Callable[[str], str]] = MappingProxyType(
    {"number": _number, "short": _short, "code": _code, "json": _json, "free": _free}
)
