"""The plot of cost against quality as SVG: every system with its intervals, and the hull of the single models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from orchestrator.evals.curves import Point, quality_at
from orchestrator.render.page.figures import Dot, Role, model_of
from orchestrator.render.page.labels import Anchor, Box, Placed, place
from orchestrator.render.page.scale import WIDE, Scale, cost_scale, dollars, score_scale

__all__ = ["Canvas", "plot", "wants_log"]

ORDER: tuple[Role, ...] = ("router", "single", "bound", "baseline", "placebo")
"""Whose name comes first where several stand at one place."""
RADIUS = 7.0
NAMED = 52
"""Characters of the names of one place that are written out."""
CURVE = 24
"""Pieces of a straight line that a logarithmic axis bends."""
SAME = 2.0
"""Pixels within which points count as one place."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """How large the drawing is, in pixels at its natural size."""

    name: str
    width: float
    height: float
    size: float
    """Of letters."""
    crowded: bool
    """Whether names of points that matter less may be left out."""


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place in the drawing and who stands there."""

    x: float
    y: float
    dots: tuple[Dot, ...]


@dataclass(frozen=True, slots=True)
class _Frame:
    """The axes, and the places beside them for costs that they cannot show."""

    x: Scale
    y: Scale
    canvas: Canvas
    priced: bool
    """Whether anything costs anything."""
    free: float | None
    """Where what costs nothing stands, where a logarithmic axis has no place for it."""
    unknown: float | None

    def of(self, dot: Dot) -> tuple[float, float]:
        """The place of a system."""
        return self.cost(dot.cost), self.y.at(dot.score)

    def cost(self, usd: float | None) -> float:
        """The place of a cost."""
        if usd is None and self.unknown is not None:
            return self.unknown
        if not usd and self.free is not None:
            return self.free
        return self.x.at(usd or 0.0)


def wants_log(dots: Sequence[Dot]) -> bool:
    """Whether costs lie so far apart that a logarithmic axis shows them better."""
    costs = [each.cost for each in dots if each.cost]
    return bool(costs) and max(costs) / min(costs) >= WIDE


def plot(dots: Sequence[Dot], hull: Sequence[Point], canvas: Canvas, *, log: bool) -> str:
    """The drawing: a group of class `point` for each system, whatever is known of its cost."""
    frame = _frame(dots, canvas, log=log)
    spots = _spots(dots, frame)
    kind = "log" if log else "linear"
    name = f"{canvas.name}-{kind}"
    told = f"Score against cost per question of {len(dots)} systems, with 95 % intervals; the cost axis is {kind}."
    head = (
        f'<svg class="plot {canvas.name} {kind}" viewBox="0 0 {canvas.width:g} {canvas.height:g}" role="group" '
        f'aria-labelledby="{name}-title {name}-desc"><title id="{name}-title">Cost and quality</title>'
        f'<desc id="{name}-desc">{escape(told)}</desc>'
    )
    parts = [_axes(frame), _hull(hull, frame), *(_bars(dot, frame) for dot in dots)]
    parts += [_spot(spot) for spot in spots]
    parts += [_label(each) for each in _labels(spots, dots, hull, frame)]
    return head + "".join(parts) + "</svg>"


def _frame(dots: Sequence[Dot], canvas: Canvas, *, log: bool) -> _Frame:
    left, right = 3.4 * canvas.size, canvas.width - 2.6 * canvas.size  # half a tick of the axis has room beside it
    top, bottom = 2.4 * canvas.size, canvas.height - 4.2 * canvas.size
    free = unknown = None
    if any(each.cost is None for each in dots):
        unknown, right = right, right - 60
    if not any(each.cost for each in dots):
        free = (left + right) / 2
    elif log and any(each.cost == 0 for each in dots):
        free, left = left + 24, left + 52
    ends = [end for each in dots for end in (each.ci.low, each.ci.high, each.score)]
    costs = [cost for each in dots for cost in (each.cost, each.cost_ci and each.cost_ci.high) if cost]
    y = score_scale([max(0.0, min(1.0, each)) for each in ends], bottom, top)
    return _Frame(cost_scale(costs, left, right, log=log), y, canvas, bool(costs), free, unknown)


def _spots(dots: Sequence[Dot], frame: _Frame) -> list[_Spot]:
    """Systems by place, those of the routers last, so that they are drawn over the others."""
    found: list[list[Dot]] = []
    for dot in sorted(dots, key=lambda each: ORDER.index(each.role)):
        near = [group for group in found if _near(frame.of(group[0]), frame.of(dot))]
        near[0].append(dot) if near else found.append([dot])
    spots = [_Spot(*frame.of(group[0]), tuple(group)) for group in found]
    return sorted(spots, key=lambda spot: -ORDER.index(spot.dots[0].role))


def _near(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) <= SAME and abs(one[1] - other[1]) <= SAME


def _axes(frame: _Frame) -> str:
    x, y, size = frame.x, frame.y, frame.canvas.size
    left, right = min(x.start, frame.free or x.start) - 6, frame.canvas.width - size
    parts: list[str] = []
    for tick in y.ticks:
        at = y.at(tick)
        parts.append(f'<line class="grid" x1="{left:.1f}" x2="{right:.1f}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{left - 6:.1f}" y="{at + size / 3:.1f}" text-anchor="end">{tick:.2f}</text>'
        )
    marks = [(x.at(tick), dollars(tick)) for tick in x.ticks] if frame.priced else []
    if frame.free is not None:
        marks = [(frame.free, "$0"), *marks]
    if frame.unknown is not None:
        marks.append((frame.unknown, "unknown"))
    for at, text in marks:
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{y.end:.1f}" y2="{y.start:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{y.start + 1.9 * size:.1f}" text-anchor="middle">{text}</text>'
        )
    middle = (x.start + x.end) / 2
    below = y.start + 3.5 * size
    name = "USD per question" + (", logarithmic" if x.log else "")
    parts.append(f'<text class="axis" x="{middle:.1f}" y="{below:.1f}" text-anchor="middle">{name}</text>')
    parts.append(f'<text class="axis" x="2" y="{size:.1f}">score</text>')
    return "".join(parts)


def _hull(hull: Sequence[Point], frame: _Frame) -> str:
    """The hull, bent where the axis is logarithmic, and flat beyond its end."""
    path = _path(hull, frame)
    if not path:
        return ""
    points = " ".join(f"{x:.1f},{y:.1f}" for x, y in path)
    end = f"{path[-1][0]:.1f},{path[-1][1]:.1f} {frame.x.end:.1f},{path[-1][1]:.1f}"
    return f'<polyline class="hull" points="{points}"/><polyline class="hull beyond" points="{end}"/>'


def _path(hull: Sequence[Point], frame: _Frame) -> list[tuple[float, float]]:
    found = [(frame.cost(hull[0].cost), frame.y.at(hull[0].quality))] if hull else []
    for left, right in pairwise(hull):
        for piece in range(1, CURVE + 1):
            cost = _between(max(left.cost, frame.x.low), right.cost, piece / CURVE, log=frame.x.log)
            found.append((frame.cost(cost), frame.y.at(quality_at(hull, cost))))
    return found


def _between(low: float, high: float, share: float, *, log: bool) -> float:
    return low * (high / low) ** share if log and low else low + (high - low) * share


def _bars(dot: Dot, frame: _Frame) -> str:
    """The intervals of a system: of its score, and of its cost where that is known."""
    x, y = frame.of(dot)
    found = [f'<path class="ci" d="M{x:.1f} {frame.y.at(dot.ci.low):.1f}V{frame.y.at(dot.ci.high):.1f}"/>']
    if dot.cost_ci is not None and dot.cost:
        low, high = frame.x.at(max(dot.cost_ci.low, 0.0)), frame.x.at(dot.cost_ci.high)
        found.append(f'<path class="ci" d="M{low:.1f} {y:.1f}H{high:.1f}"/>')
    return f'<g class="bars {dot.role}">{"".join(found)}</g>'


def _spot(spot: _Spot) -> str:
    """Who stands at a place: the first is on top and speaks for all."""
    told = " · ".join(_told(dot) for dot in spot.dots)
    marks = [_mark(dot, spot, told if place_ == 0 else None) for place_, dot in enumerate(spot.dots)]
    return "".join(reversed(marks))


def _told(dot: Dot) -> str:
    cost = "cost unknown" if dot.cost is None else f"{dollars(dot.cost)} a question"
    note = f" ({dot.note})" if dot.note and dot.note != model_of(dot.name) else ""
    return f"{model_of(dot.name)}: score {dot.score:.4f} [{dot.ci.low:.3f}, {dot.ci.high:.3f}], {cost}{note}"


def _mark(dot: Dot, spot: _Spot, told: str | None) -> str:
    shapes = {
        "router": f'<circle r="{RADIUS:g}"/>',
        "single": '<rect x="-4.5" y="-4.5" width="9" height="9" rx="1"/>',
        "baseline": '<path d="M0 -7.5L7.5 0L0 7.5L-7.5 0Z"/>',
        "bound": '<path d="M0 -8L7.5 6H-7.5Z"/>',
        "placebo": '<path d="M-5 -5L5 5M-5 5L5 -5"/>',
    }
    speaks = f' tabindex="0" role="img" aria-label="{escape(told)}" data-tip="{escape(told)}"' if told else ""
    area = '<circle class="touch" r="14"/>' if told else ""
    at = f'transform="translate({spot.x:.1f} {spot.y:.1f})"'
    return f'<g class="point {dot.role}" {at}{speaks}>{area}{shapes[dot.role]}</g>'


def _labels(spots: Sequence[_Spot], dots: Sequence[Dot], hull: Sequence[Point], frame: _Frame) -> list[Placed]:
    canvas = frame.canvas
    corners = {(point.cost, point.quality) for point in hull}
    ranked = sorted(spots, key=lambda spot: (ORDER.index(spot.dots[0].role), spot.x))
    anchors = [
        Anchor(spot.x, spot.y, _text(spot.dots, canvas), _matters(spot, corners) or not canvas.crowded)
        for spot in ranked
    ]
    solid = [Box(spot.x - 8, spot.y - 8, spot.x + 8, spot.y + 8) for spot in spots]
    area = Box(min(frame.x.start, frame.free or frame.x.start) - 8, 2, canvas.width - 2, frame.y.start - 2)
    return place(anchors, solid, _lines(dots, hull, frame), area, size=canvas.size)


def _matters(spot: _Spot, corners: set[tuple[float, float]]) -> bool:
    """Whether a name is to be read whatever the room: routers, and the corners of the hull."""
    return any(dot.role == "router" or (dot.cost, dot.score) in corners for dot in spot.dots)


def _text(dots: Sequence[Dot], canvas: Canvas) -> str:
    """The names at one place, the last ones counted where there are many."""
    names = [_short(model_of(dot.name), 20 if canvas.crowded else 34) for dot in dots]
    most = 1
    while not canvas.crowded and most < len(names) and len(" = ".join(names[: most + 1])) <= NAMED:
        most += 1
    more = f" +{len(names) - most}" if len(names) > most else ""
    return " = ".join(names[:most]) + more


def _short(name: str, most: int) -> str:
    """A name without the folder it stands in, where it is long."""
    name = name.rpartition("/")[2] if len(name) > most else name
    return name if len(name) <= most else name[: most - 1] + "…"


def _lines(dots: Sequence[Dot], hull: Sequence[Point], frame: _Frame) -> list[Box]:
    """What a name had better not lie over: intervals, and the hull in small pieces."""
    found: list[Box] = []
    for dot in dots:
        x, y = frame.of(dot)
        found.append(Box(x - 1, frame.y.at(dot.ci.high), x + 1, frame.y.at(dot.ci.low)))
        if dot.cost_ci is not None and dot.cost:
            found.append(Box(frame.x.at(max(dot.cost_ci.low, 0.0)), y - 1, frame.x.at(dot.cost_ci.high), y + 1))
    for (x1, y1), (x2, y2) in pairwise(_path(hull, frame)):
        found.append(Box(min(x1, x2) - 1, min(y1, y2) - 1, max(x1, x2) + 1, max(y1, y2) + 1))
    return found


def _label(placed: Placed) -> str:
    box, anchor = placed.box, placed.anchor
    y, middle = (box.top + box.bottom) / 2, (box.left + box.right) / 2
    side, x = "middle", middle
    if box.left >= anchor.x or box.right <= anchor.x:  # the end that is next to the point stays where it is
        side, x = ("start", box.left) if box.left >= anchor.x else ("end", box.right)
    text = f'<text class="name" x="{x:.1f}" y="{y:.1f}" dy="0.35em" text-anchor="{side}">{escape(anchor.text)}</text>'
    if not placed.line:
        return text
    end_x = min(max(anchor.x, box.left), box.right)
    end_y = min(max(anchor.y, box.top), box.bottom)
    return f'<path class="leader" d="M{anchor.x:.1f} {anchor.y:.1f}L{end_x:.1f} {end_y:.1f}"/>{text}'
