"""Arithmetic expressions as a small syntax tree, read by recursive descent and never evaluated here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar, cast

from orchestrator.tools.numerals import NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Binary",
    "Call",
    "FunctionName",
    "Negative",
    "Node",
    "Number",
    "OperatorName",
    "Percent",
    "Symbol",
    "Unreadable",
    "nodes",
    "parse",
    "symbols",
]

Inner = TypeVar("Inner")
OperatorName = Literal["+", "-", "*", "/", "^", "mod"]
FunctionName = Literal["sqrt", "cbrt", "abs", "factorial", "gcd", "lcm"]

MAX_DEPTH = 40
MAX_NODES = 250
MAX_LITERAL = 400
MAX_EXPONENT = 400

FUNCTIONS: dict[str, int | None] = {"sqrt": 1, "cbrt": 1, "abs": 1, "factorial": 1, "gcd": None, "lcm": None}
"""How many operands each function takes; None means two or more."""
SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}


class Unreadable(ValueError):
    """The text is no expression of ours; `why` is set where it is one, but beyond our bounds."""

    def __init__(self, why: str = "") -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written: its digits without the point, and how many of them follow the point."""

    digits: int
    places: int = 0
    """Decimal places; negative where zeros follow, as in 5 million."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """A variable of one letter."""

    name: str


@dataclass(frozen=True, slots=True)
class Negative:
    """Minus something."""

    of: Node


@dataclass(frozen=True, slots=True)
class Percent:
    """Something per hundred."""

    of: Node


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and what joins them."""

    operator: OperatorName
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Call:
    """A named function of one or more operands."""

    name: FunctionName
    arguments: tuple[Node, ...]


Node = Number | Symbol | Negative | Percent | Binary | Call

TOKEN = re.compile(rf"({NUMBER})(?:e([-+]?[0-9]{{1,4}})(?![0-9a-z]))?|([a-z]+)|(\*\*|[-+*/^%!(),])|(\S)")


@dataclass(frozen=True, slots=True)
class Token:
    """One word of an expression."""

    kind: Literal["number", "name", "symbol", "end"]
    text: str
    number: Number = Number(0)


def parse(text: str) -> Node:
    """The tree of the whole text, or `Unreadable`."""
    return _Parser(list(_tokens(text.lower()))).whole()


def nodes(root: Node) -> Iterator[Node]:
    """Every node of the tree."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(_children(node))


def symbols(root: Node) -> frozenset[str]:
    """The names of the variables in the tree."""
    return frozenset(node.name for node in nodes(root) if isinstance(node, Symbol))


def _children(node: Node) -> tuple[Node, ...]:
    match node:
        case Negative(of) | Percent(of):
            return (of,)
        case Binary(_, left, right):
            return (left, right)
        case Call(_, arguments):
            return arguments
        case _:
            return ()


def _tokens(text: str) -> Iterator[Token]:
    for found in TOKEN.finditer(text):
        number, exponent, name, symbol, _ = found.groups()
        if number:
            yield Token("number", found.group(), _number(number.replace(",", ""), int(exponent or 0)))
        elif name:
            yield Token("name", name)
        elif symbol:
            yield Token("symbol", "^" if symbol == "**" else symbol)
        else:
            raise Unreadable
    yield Token("end", "")


def _number(bare: str, exponent: int) -> Number:
    if len(bare) > MAX_LITERAL or abs(exponent) > MAX_EXPONENT:
        raise Unreadable(f"a number of more than {MAX_LITERAL} digits")
    whole, _, decimals = bare.partition(".")
    return Number(int(whole + decimals), len(decimals) - exponent)


class _Parser:
    """Recursive descent, from sums down to single values; left to right, powers right to left."""

    def __init__(self, tokens: list[Token]) -> None:
        if len(tokens) > MAX_NODES:
            raise Unreadable(f"an expression of more than {MAX_NODES} parts")
        self.tokens = tokens
        self.at = 0
        self.depth = 0

    def whole(self) -> Node:
        root = self.sum()
        if self.next.kind != "end":
            raise Unreadable
        return root

    @property
    def next(self) -> Token:
        return self.tokens[self.at]

    def take(self, *texts: str) -> str | None:
        """The next token's text if it is one of these, and step over it."""
        if self.next.text in texts and self.next.kind in ("symbol", "name"):
            self.at += 1
            return self.tokens[self.at - 1].text
        return None

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"parentheses nested more than {MAX_DEPTH} deep")
        left = self.product()
        while operator := self.take("+", "-"):
            right = self.product()
            if _is_percent(left) or _is_percent(right):
                raise Unreadable("a percentage added to a number: say of what it is a percentage")
            left = Binary(cast("OperatorName", operator), left, right)
        self.depth -= 1
        return left

    def product(self) -> Node:
        left = self.signed()
        while True:
            if operator := self.take("*", "/", "mod"):
                left = Binary(cast("OperatorName", operator), left, self.signed())
            elif _is_share(left) and self.take("of"):
                left = Binary("*", left, self.signed())
            elif self.take("%"):
                left = Binary("mod", left, self.signed())
            elif self.starts_factor():
                left = Binary("*", left, self.power())
            else:
                return left

    def starts_factor(self) -> bool:
        """Whether the next token continues a product with no sign between, as in 2x or 3(x + 1)."""
        token = self.next
        before = self.tokens[self.at - 1]
        if token.kind == "name":
            return len(token.text) == 1 or token.text in FUNCTIONS
        return token.text == "(" and not (before.kind == "name" and before.text in FUNCTIONS)

    def signed(self) -> Node:
        if self.take("+", "-") == "-":
            self.nest()
            inner = self.signed()
            self.depth -= 1
            return Negative(inner)
        return self.power()

    def nest(self) -> None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unreadable(f"an expression nested more than {MAX_DEPTH} deep")

    def power(self) -> Node:
        base = self.postfix()
        if self.take("^"):
            self.nest()
            base = Binary("^", base, self.signed())
            self.depth -= 1
        return base

    def postfix(self) -> Node:
        node = self.value()
        while True:
            if self.take("!", "factorial"):
                node = Call("factorial", (node,))
            elif self.next.text == "%" and not self.starts_value(self.tokens[self.at + 1]):
                self.at += 1
                node = Percent(node)
            else:
                return node

    def starts_value(self, token: Token) -> bool:
        """Whether a value follows, so that the % before it means the remainder."""
        if token.kind == "name":
            return len(token.text) == 1 or token.text in FUNCTIONS
        return token.kind == "number" or token.text == "("

    def value(self) -> Node:
        token = self.next
        self.at += 1
        if token.kind == "number":
            return self.scaled(token.number)
        if token.kind == "name":
            return self.named(token.text)
        if token.text == "(":
            return self.close(self.sum())
        raise Unreadable

    def scaled(self, number: Number) -> Number:
        while scale := self.take(*SCALES):
            number = Number(number.digits, number.places - SCALES[scale])
        return number

    def named(self, name: str) -> Node:
        if len(name) == 1:
            return Symbol(name)
        if name not in FUNCTIONS:
            raise Unreadable
        arguments = self.arguments()
        if len(arguments) < 2 if FUNCTIONS[name] is None else len(arguments) != FUNCTIONS[name]:
            raise Unreadable
        return Call(cast("FunctionName", name), arguments)

    def arguments(self) -> tuple[Node, ...]:
        self.nest()
        if not self.take("("):
            found = (self.take("-") and Negative(self.power())) or self.power()
            self.depth -= 1
            return (found,)
        given = [self.sum()]
        while self.take(","):
            given.append(self.sum())
        self.depth -= 1
        return self.close(tuple(given))

    def close(self, inner: Inner) -> Inner:
        if not self.take(")"):
            raise Unreadable
        return inner


def _is_percent(node: Node) -> bool:
    return isinstance(node, Percent) or (isinstance(node, Negative) and _is_percent(node.of))


def _is_share(node: Node) -> bool:
    """Whether "of" may follow: 17% of, 2/3 of, 10% of 50% of."""
    if isinstance(node, Binary) and node.operator == "*":
        return _is_percent(node.right)
    return _is_percent(node) or (isinstance(node, Binary) and node.operator == "/")
