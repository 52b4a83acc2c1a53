"""The English of calculations turned into the signs of expressions, by fixed phrases only."""

from __future__ import annotations

import re
import unicodedata

from orchestrator.tools.everyday import everyday_to_signs, words_to_signs
from orchestrator.tools.numerals import Form, Style

__all__ = ["digits", "normalise", "split_form", "split_list", "to_signs", "unwrap", "verb_to_signs"]

SIGNS = str.maketrans(
    {
        "×": "*",
        "✕": "*",
        "·": "*",
        "⋅": "*",
        "∙": "*",
        "÷": " divided by ",
        "∕": "/",
        "⁄": "/",
        "−": "-",
        "–": "-",
        "’": "'",
    }
    | {"√": " sqrt ", "∛": " cbrt ", "％": "%"}
)
RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
VULGAR = {"½": "1/2", "⅓": "1/3", "⅔": "2/3", "¼": "1/4", "¾": "3/4", "⅕": "1/5", "⅖": "2/5", "⅛": "1/8", "⅜": "3/8"}

SMALL = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBER_WORD = re.compile(
    rf"\b(?:({'|'.join(TENS)})(?:[- ]({'|'.join(SMALL[1:10])}))?|({'|'.join(SMALL)}))\b(?!-)", re.IGNORECASE
)
PERCENT = re.compile(r"(?:(?<=[0-9)])|(?<=\b[a-z])(?<!(?:as|is|to|in) a)) ?(?:percent|per cent|pct)\b(?! ?[0-9(])")
"""The word behind a number or a variable, not an article; between two numbers it would be the sign of a remainder."""
ONE_OF = re.compile(r"\b(half )?a (?=(?:hundred|thousand|million|billion|trillion)\b)")

LEADS = re.compile(
    r"(?:please|(?:can|could|would) you|what is|what's|whats|what are|what does|what do|how (?:much|many) (?:is|are)|"
    r"calculate|compute|evaluate|work out|find|determine|tell me|give me|show me|i need|"
    r"the value of|value of|the result of|result of|the answer to|hey|hi|hello|round|convert|write|express|change|"
    r"turn|the)\b[\s,:]*"
)
TRAILS = re.compile(r" (?:please|thanks|equals?|equal to|be|make|come to|is|give)$")
ENDS = " ?.,;:="
MIXED = re.compile(r"(?<![0-9.,] )(?<![0-9.,/^])([0-9]{1,9}) ([0-9]{1,9})/([0-9]{1,9})(?![0-9.,]*[0-9])")
CURRENCY = re.compile(r"([$€£])\s?(?=[0-9.])")

PHRASES = {
    "multiplied by": "*", "times": "*", "divided by": "/", "over": "/", "plus": "+", "added to": "+", "minus": "-",
    "less": "-", "take away": "-", "to the power of": "^", "to the power": "^", "raised to the power of": "^",
    "raised to": "^", "squared": "^2", "cubed": "^3", "modulo": " mod ", "modulus": " mod ",
    "the square root of": " sqrt ", "square root of": " sqrt ", "the cube root of": " cbrt ", "cube root of": " cbrt ",
    "sqrt of": " sqrt ", "root of": " sqrt ", "the factorial of": " factorial ", "factorial of": " factorial ",
    "absolute value of": " abs ", "the absolute value of": " abs ", "half of": "1/2 of ", "twice": "2* ",
    "double": "2* ", "triple": "3* ", "quadruple": "4* ", "is equal to": "=", "equals": "=", "a dozen": "12",
}  # fmt: skip
PHRASE = re.compile(rf"\b(?:{'|'.join(sorted(PHRASES, key=len, reverse=True))})\b")

DIVISOR = re.compile(r"\b(?:divided by|over) ([0-9]+/[0-9]+)(?![0-9.,/^%!]|,[0-9])")
"""A fraction behind a word for division is the divisor as a whole; from left to right it would be split."""

POWER_OF_FRACTION = re.compile(
    r"(?<![0-9.,/^*])(?<![/^*] )([0-9]+/[0-9]+)(?= (?:squared|cubed|(?:raised )?to the power|raised to)\b)"
)
"""A fraction before a word for a power is meant as a whole; the sign would take its denominator alone."""

PLACES = r"(?:decimal places?|decimals|decimal digits?|places?|dp|d\.p)"
FIGURES = r"(?:significant (?:figures?|digits?)|sig\.? figs?|s\.?f)"
TO = r"(?:,? ?(?:rounded|correct|accurate|exact)?,? ?(?:to|off to|in|as|into|with|expressed as|written as) )"
FORMS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"{TO}(?:an? |the |its )*(?:lowest terms|simplest (?:form|terms))$"), "fraction"),
    (re.compile(rf"{TO}(?:an? )?(?:(?:reduced|simplified|exact|proper|improper|common) )?fraction$"), "fraction"),
    (re.compile(rf"{TO}(?:an? )?mixed (?:number|fraction|numeral)$"), "mixed"),
    (re.compile(rf"{TO}(?:an? )?decimal(?: number| fraction)?$"), "decimal"),
    (re.compile(rf"{TO}(?:an? )?(?:percentage|percent|per cent|%)$"), "percent"),
    (re.compile(rf"{TO}([0-9]{{1,3}}) ?{PLACES}$"), "places"),
    (re.compile(rf"{TO}([0-9]{{1,3}}) ?{FIGURES}$"), "figures"),
    (re.compile(rf"{TO}the nearest ([a-z]+(?: number)?)$"), "nearest"),
)
NEAREST = {
    "whole number": 0, "integer": 0, "whole": 0, "one": 0, "unit": 0, "tenth": 1, "hundredth": 2, "cent": 2,
    "penny": 2, "thousandth": 3, "ten": -1, "hundred": -2, "thousand": -3, "million": -6,
}  # fmt: skip

STYLES: tuple[Style, ...] = ("percent", "mixed", "fraction", "decimal")

OPERAND = r"(-?[0-9][0-9.,/!]*%?|\([^()]*\))"
VERBS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern.replace("N", OPERAND)), template)
    for pattern, template in (
        ("add N (?:and|to|with) N", "({0})+({1})"),
        ("(?:subtract|take|deduct) N (?:away )?from N", "({1})-({0})"),
        ("multiply N (?:by|and|with|times) N", "({0})*({1})"),
        ("divide N (?:by|with) N", "({0})/({1})"),
        ("(?:difference (?:between|of)) N and N", "abs(({0})-({1}))"),
        ("quotient of N and N", "({0})/({1})"),
        ("remainder (?:when|of|if) N (?:is )?(?:divided by|/) N", "({0}) mod ({1})"),
        ("square N", "({0})^2"),
        ("cube N", "({0})^3"),
    )
)
SHARES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern.replace("N", OPERAND)), template)
    for pattern, template in (
        ("N is (?:what|which) (?:percent|percentage|per cent|%) of N", "({0})/({1})"),
        ("(?:what |which )?(?:percent|percentage|per cent|%) of N is N", "({1})/({0})"),
        ("N (?:as|is) an? (?:percentage|percent) of N", "({0})/({1})"),
    )
)
LISTS: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"(?:(?:sum|total) of|add(?: up| together)?|sum(?: up)?) (.+?)(?: together)?"), "+", "{}"),
    (re.compile(r"(?:product of|multiply) (.+?)(?: together)?"), "*", "{}"),
    (re.compile(r"(?:average|mean) of (.+)"), "+", "({})/{count}"),
    (re.compile(r"(?:gcd|hcf|greatest common divisor|highest common factor) of (.+)"), ", ", "gcd({})"),
    (re.compile(r"(?:lcm|(?:least|lowest) common multiple) of (.+)"), ", ", "lcm({})"),
)


def normalise(question: str) -> str:
    """Lower case, ASCII signs, number words as digits, single blanks."""
    text = re.sub(r"[⁰¹²³⁴-⁹⁻]+", lambda found: f"^({found.group().translate(RAISED)})", question.translate(SIGNS))
    text = re.sub(f"([0-9]*) ?([{''.join(VULGAR)}])", _vulgar, text)
    text = " ".join(unicodedata.normalize("NFKC", text).lower().split())
    text = digits(text)
    text = ONE_OF.sub(lambda found: "0.5 " if found[1] else "1 ", PERCENT.sub("%", text))
    text = MIXED.sub(r"(\1+\2/\3)", text)
    if len(set(CURRENCY.findall(text))) == 1:
        text = CURRENCY.sub("", text)
    return re.sub(r"\b(gcd|lcm) ?\(([^() ]*)\)", lambda found: found.group().replace(",", ", "), text)


def digits(text: str) -> str:
    """The text with its number words as digits."""
    return NUMBER_WORD.sub(_digits, text)


def unwrap(text: str) -> str:
    """The text without "what is", "please", question marks and the like at its ends."""
    for _ in range(12):
        shorter = TRAILS.sub("", text[lead.end() if (lead := LEADS.match(text)) else 0 :].rstrip(ENDS)).strip()
        if shorter == text:
            break
        text = shorter
    return text


def split_form(text: str) -> tuple[str, Form]:
    """The text without its wishes at the end, such as "as a fraction" or "to 2 decimal places"."""
    wishes: dict[str, str] = {}
    while found := next(((name, hit) for regex, name in FORMS if (hit := regex.search(text))), None):
        name, hit = found
        if name in wishes or (name == "nearest" and hit.group(1) not in NEAREST):
            break
        wishes[name] = hit.group(1) if hit.groups() else ""
        text = text[: hit.start()].strip()
    return text, _form(wishes)


def verb_to_signs(text: str) -> tuple[str, bool] | None:
    """Turn "add 5 and 7" into "(5)+(7)", and say whether a percentage was asked for; None where no verb leads."""
    if everyday := everyday_to_signs(text):
        return everyday
    for table, percent in ((VERBS, False), (SHARES, True)):
        for regex, template in table:
            if found := regex.fullmatch(text):
                return template.format(*found.groups()), percent
    for regex, joint, template in LISTS:
        if found := regex.fullmatch(text):
            items = split_list(found.group(1))
            if len(items) > 1 and all(re.fullmatch(OPERAND, item) for item in items):
                return template.format(joint.join(f"({item})" for item in items), count=len(items)), False
    return None


def split_list(text: str) -> list[str]:
    """The items of "3, 4 and 1,000"; a comma between digits is a thousands separator."""
    return [item.strip() for item in re.split(r",? and |, |,(?![0-9]{3}(?![0-9]))|;", text)]


def to_signs(text: str, *, variables: bool = False) -> str:
    """The text with every known phrase as its sign; without variables an x between numbers multiplies."""
    text = POWER_OF_FRACTION.sub(r"(\1)", DIVISOR.sub(r"/(\1)", words_to_signs(text)))
    text = PHRASE.sub(lambda found: PHRASES[found.group()], text)
    if not variables and not re.search(r"(?<![0-9)% ])x|x(?! ?[-0-9(])", text):
        return text.replace("x", "*")
    return text


def _form(wishes: dict[str, str]) -> Form:
    styles: list[Style] = [style for style in STYLES if style in wishes]
    places = int(wishes["places"]) if "places" in wishes else None
    if "nearest" in wishes:
        places = NEAREST[wishes["nearest"]]
    return Form(styles[0] if styles else "plain", places, int(wishes["figures"]) if "figures" in wishes else None)


def _digits(found: re.Match[str]) -> str:
    tens, units, small = (str(word).lower() if word else "" for word in found.groups())
    if not tens:
        return str(SMALL.index(small))
    return str(20 + 10 * TENS.index(tens) + (SMALL.index(units) if units else 0))


def _vulgar(found: re.Match[str]) -> str:
    whole, fraction = found.group(1), VULGAR[found.group(2)]
    return f"({whole}+{fraction})" if whole else f" {fraction} "
