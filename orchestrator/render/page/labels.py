"""Places the names of points so that none lies over another name, a point or, where it can be helped, a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, hypot, pi, sin

__all__ = ["Anchor", "Box", "Placed", "place"]

RINGS = (12.0, 22.0, 36.0, 54.0, 76.0, 104.0, 140.0)
"""Distances from a point, in pixels, at which its name is tried."""
ROUND = 16
"""Directions that are tried at each distance."""
EM = 0.61
"""Mean width of a character, as a share of the font's size."""
TOUCHES = 1_000.0
"""What it costs to lie over a name or a point: more than any distance."""
CROSSES = 36.0
"""What it costs to lie over a line."""
STRANGE = 150.0
"""What it costs to lie nearer to another point than to its own."""
DISTURBS = 60.0
"""What a name may cost that need not be shown."""
NEAR = 17.0
"""Pixels to which a name still seems to belong to its point without a line between them."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels."""

    left: float
    top: float
    right: float
    bottom: float

    def touches(self, other: Box) -> bool:
        """Whether the two share any place."""
        apart = (
            self.right <= other.left or other.right <= self.left or self.bottom <= other.top or other.bottom <= self.top
        )
        return not apart

    def within(self, other: Box) -> bool:
        """Whether it lies in the other whole."""
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.top >= other.top
            and self.bottom <= other.bottom
        )


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point that wants its name shown."""

    x: float
    y: float
    text: str
    must: bool = True
    """Whether its name is shown even where nothing is free."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a name goes."""

    anchor: Anchor
    box: Box
    line: bool
    """Whether it lies so far off that it needs a line to its point."""


def place(
    anchors: Sequence[Anchor], taken: Sequence[Box], lines: Sequence[Box], area: Box, *, size: float
) -> list[Placed]:
    """Every name where it disturbs least, the first ones first; one that need not be shown and has no room is not."""
    solid, placed = list(taken), list[Placed]()
    for anchor in anchors:
        others = [each for each in anchors if each is not anchor]
        tried = [
            (_cost(box, anchor, solid, lines) + STRANGE * _strange(box, anchor, others), number, box)
            for number, box in enumerate(_boxes(anchor, area, size))
        ]
        cost, _, box = min(tried, default=(TOUCHES, 0, None))
        if box is None or (cost > DISTURBS and not anchor.must):
            continue
        solid.append(box)
        placed.append(Placed(anchor, box, _distance(anchor, box) > NEAR))
    return placed


def _boxes(anchor: Anchor, area: Box, size: float) -> list[Box]:
    """Where a name may go, inside the area, nearest first."""
    wide, high = len(anchor.text) * size * EM, size * 1.2
    found: list[Box] = []
    for ring in RINGS:
        for turn in range(ROUND):
            angle = 2 * pi * turn / ROUND
            side = max(-1.0, min(1.0, 1.5 * cos(angle)))  # a name beside its point begins or ends at the point
            x = anchor.x + ring * cos(angle) + wide / 2 * side
            y = anchor.y + ring * sin(angle)
            found.append(Box(x - wide / 2, y - high / 2, x + wide / 2, y + high / 2))
    return [box for box in found if box.within(area)]


def _cost(box: Box, anchor: Anchor, solid: Sequence[Box], lines: Sequence[Box]) -> float:
    touched = sum(box.touches(each) for each in solid)
    crossed = sum(box.touches(each) for each in lines)
    return touched * TOUCHES + crossed * CROSSES + _distance(anchor, box)


def _strange(box: Box, anchor: Anchor, others: Sequence[Anchor]) -> bool:
    """Whether a reader would take the name for another point's."""
    return any(_distance(other, box) < _distance(anchor, box) for other in others)


def _distance(anchor: Anchor, box: Box) -> float:
    """From a point to the nearest place of a box."""
    across = max(box.left - anchor.x, 0.0, anchor.x - box.right)
    down = max(box.top - anchor.y, 0.0, anchor.y - box.bottom)
    return hypot(across, down)
