"""The sections of the page, from the verdict to the cases."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from orchestrator.evals.comparison import Comparison
from orchestrator.evals.systems import Summary, Sureness
from orchestrator.render.page.figures import Dot, Shown, model_of, role_of
from orchestrator.render.page.plot import Canvas, plot, wants_log
from orchestrator.render.page.scale import dollars
from orchestrator.render.page.tags import bar, signed, table, tag, text

__all__ = [
    "cases_section",
    "comparisons_section",
    "domains_section",
    "foot",
    "head",
    "plot_section",
    "remarks_section",
    "shares_section",
    "sureness_section",
    "systems_section",
]

CANVASES = (
    Canvas("wide", width=980, height=520, size=12.5, crowded=False),
    Canvas("narrow", width=358, height=400, size=11.5, crowded=True),
)
LEGEND = {
    "router": "router",
    "single": "single model",
    "baseline": "baseline",
    "bound": "bound: knows the outcome",
    "placebo": "placebo: choices dealt to the wrong questions",
}
SHARES = 12
"""Models that are shown of one system."""


def head(shown: Shown) -> str:
    """The verdict first, then the figures it rests on."""
    report = shown.report
    told, _, why = report.verdict.partition(": ")
    kind = "yes" if told == "route" else "no"
    eyebrow = tag("p", f"Eval of {tag('strong', text(report.suite))} · run {text(report.run)}", cls="eyebrow")
    title = tag("h1", text(told[:1].upper() + told[1:]), cls=f"verdict {kind}")
    lead = tag("p", text(why), cls="lead") if why else ""
    more = [reason for reason in report.reasons if reason not in report.verdict]
    reasons = tag("ul", "".join(tag("li", text(each)) for each in more), cls="reasons") if more else ""
    gates = "".join(tag("li", text(gate)) for gate in report.gates)
    broken = (
        tag("div", tag("h2", "Gates that do not hold") + tag("ul", gates), cls="broken", role="note") if gates else ""
    )
    return tag("header", eyebrow + title + lead + reasons + _tiles(shown) + broken, cls="top")


def _tiles(shown: Shown) -> str:
    """The figures of the first router, large."""
    router = next(iter(shown.routers), None)
    if router is None:
        return ""
    ci = f"95 %: {router.score_ci.low:.3f} to {router.score_ci.high:.3f}"
    tiles = [("Score of " + router.name, f"{router.score:.4f}", ci)]
    cost = "" if router.cost_usd is None else f"{dollars(router.cost_usd)} in all"
    tiles.append(("Cost per question", dollars(router.cost_per_question), cost or "not every cost is known"))
    beside = next((each for each in shown.report.comparisons if each.a == router.name), None)
    if beside is not None:
        ci = f"95 %: {signed(beside.ci.low)} to {signed(beside.ci.high)}"
        tiles.append((f"Score beside {model_of(beside.b)}", signed(beside.delta), ci))
    errors = "no errors" if not router.errors else f"{router.errors} errors, counted as wrong"
    tiles.append(("Cases", f"{router.n:,}", errors))
    return tag("dl", "".join(tag("div", _tile(*tile)) for tile in tiles), cls="tiles")


def _tile(name: str, value: str, below: str) -> str:
    return tag("dt", text(name)) + tag("dd", tag("strong", text(value)) + tag("span", text(below)))


def plot_section(shown: Shown) -> str:
    """The plot in two sizes and with two axes; which of them shows is a matter of style."""
    dots, hull = shown.dots(), shown.hull()
    if not dots:
        return ""
    log = wants_log(dots)
    axes = (True, False) if any(dot.cost for dot in dots) else (False,)
    drawn = "".join(plot(dots, hull, canvas, log=each) for canvas in CANVASES for each in axes)
    toggles = (
        tag("span", "Cost axis:") + _toggle("log", "logarithmic", on=log) + _toggle("linear", "linear", on=not log)
    )
    toggles = toggles if len(axes) > 1 else ""
    roles = [role for role in LEGEND if any(dot.role == role for dot in dots)]
    legend = "".join(tag("li", _mark(role) + LEGEND[role]) for role in roles)
    if hull:
        legend += tag(
            "li",
            '<svg viewBox="0 0 26 12"><path class="hull" d="M1 10L25 2"/></svg>zero router: mixes of single models',
        )
    said = "Up is better, left is cheaper; lines are 95&nbsp;% intervals. Point at a mark, or tap it, for its figures."
    return _section(
        "plot",
        "Cost and quality",
        tag("p", said + _unpriced(dots), cls="hint")
        + tag("div", toggles + tag("div", drawn, cls="drawings"), cls="axes")
        + tag("ul", legend, cls="legend"),
    )


def _toggle(kind: str, name: str, *, on: bool) -> str:
    checked = " checked" if on else ""
    return f'<input type="radio" name="axis" id="axis-{kind}"{checked}>' + tag("label", name, **{"for": f"axis-{kind}"})


def _mark(role: str) -> str:
    shapes = {
        "router": '<circle r="6"/>',
        "single": '<rect x="-4.5" y="-4.5" width="9" height="9" rx="1"/>',
        "baseline": '<path d="M0 -6.5L6.5 0L0 6.5L-6.5 0Z"/>',
        "bound": '<path d="M0 -7L6.5 5H-6.5Z"/>',
        "placebo": '<path d="M-5 -5L5 5M-5 5L5 -5"/>',
    }
    return f'<svg viewBox="-9 -9 18 18" aria-hidden="true"><g class="key {role}">{shapes[role]}</g></svg>'


def _unpriced(dots: Iterable[Dot]) -> str:
    unknown = sum(dot.cost is None for dot in dots)
    return f" The cost of {unknown} is unknown: they stand at the right edge." if unknown else ""


def systems_section(shown: Shown) -> str:
    """The table of systems, routers first."""
    header = (
        *("System", "Score, 95 %", "USD per question", "USD per correct", "Cases", "Errors"),
        *("Control calls", "Reroutes", "Seconds p50", "p95", "Answered by"),
    )
    rows = [(role_of(each), _cells(each)) for each in shown.report.systems]
    return _section("systems", "Systems", table("Every system, routers first", header, rows, cls="systems"))


def _cells(each: Summary) -> list[str]:
    note = tag("small", text(each.note)) if each.note and each.note != model_of(each.name) else ""
    shares = [] if role_of(each) == "single" else list(each.shares.items())
    asked = ", ".join(f"{name} {share:.0%}" for name, share in shares[:2])
    more = f" and {len(shares) - 2} more" if len(shares) > 2 else ""
    cells = [
        _exact(each.cost_per_question),
        _exact(each.cost_per_correct),
        f"{each.n:,}",
        str(each.errors),
        str(each.control_calls),
        str(each.reroutes),
        _seconds(each.latency_p50),
        _seconds(each.latency_p95),
        asked + more,
    ]
    prefix = tag("i", "model:") if role_of(each) == "single" else ""
    score = f"{each.score:.4f}" + _below(f"{each.score_ci.low:.3f} to {each.score_ci.high:.3f}")
    return [prefix + text(model_of(each.name)) + note, score, *(text(cell) for cell in cells)]


def sureness_section(shown: Shown) -> str:
    """How sure systems are of their decisions, and what that is worth; nothing where none says."""
    rows = [(role_of(each), _sure(each, each.sureness)) for each in shown.report.systems if each.sureness is not None]
    if not rows:
        return ""
    header = ("System", "Abstained", "Answered", "Score of these", "With confidence", "ECE", "AUROC")
    said = (
        "An abstention counts as a failure in every score above. ECE is the mean distance of confidence and score, "
        "AUROC the chance that a right decision is surer than a wrong one."
    )
    body = tag("p", said, cls="hint") + table("How sure the systems are", header, rows, cls="systems sureness")
    return _section("confidence", "Confidence", body)


def _sure(each: Summary, found: Sureness) -> list[str]:
    answered = f"{found.answered:,}" + _below(f"coverage {found.coverage:.1%}")
    figures = (found.score_answered, found.ece, found.auroc)
    right, ece, ranked = ("" if value is None else f"{value:.4f}" for value in figures)
    return [text(model_of(each.name)), f"{found.abstained:,}", answered, right, f"{found.n:,}", ece, ranked]


def comparisons_section(shown: Shown) -> str:
    """Who was compared with whom, and whether they can be told apart."""
    found = shown.report.comparisons
    if not found:
        return ""
    header = ("Comparison", "Score, 95 %", "p", "Test", "USD per question, 95 %", "In words")
    rows = [("won" if each.winner == each.a else "lost" if each.winner else "", _compared(each)) for each in found]
    said = "Differences on shared cases, paired; p after Holm's correction."
    return _section(
        "comparisons", "Comparisons", tag("p", said, cls="hint") + table("Comparisons", header, rows, cls="comparisons")
    )


def _compared(each: Comparison) -> list[str]:
    score = signed(each.delta) + _below(f"{signed(each.ci.low)} to {signed(each.ci.high)}")
    cost = "?" if each.cost_delta is None else signed(each.cost_delta, 6)
    if each.cost_ci is not None:
        cost += _below(f"{signed(each.cost_ci.low, 6)} to {signed(each.cost_ci.high, 6)}")
    p = f"{each.p_adjusted:.3f}" if each.p_adjusted >= 0.001 else "< 0.001"
    name = f"{model_of(each.a)} − {model_of(each.b)}"
    return [text(name), score, text(p), text(each.test), cost, text(each.words)]


def domains_section(shown: Shown) -> str:
    """A card for each domain: the routers beside the best single model."""
    found = shown.domains()
    if not found:
        return _section("domains", "By domain", tag("p", "The cases carry no label of task or kind.", cls="hint"))
    best = shown.best
    cards: list[str] = []
    for domain in found:
        rows = "".join(
            tag(
                "tr",
                tag("th", text(_bar_name(each.name, best)), scope="row")
                + tag("td", bar(each.score, _bar_role(each.name), ci=each.ci), cls="bars")
                + tag("td", f"{each.score:.3f}" + tag("small", f" {each.ci.low:.2f} to {each.ci.high:.2f}")),
            )
            for each in domain.bars
        )
        count = tag("small", f" {domain.cases:,} {'case' if domain.cases == 1 else 'cases'}")
        cards.append(tag("table", tag("caption", text(domain.label) + count) + tag("tbody", rows), cls="card"))
    beside = " beside the best single model" if best else ""
    said = f"Mean score of each router{beside}, with 95 % intervals."
    return _section("domains", "By domain", tag("p", said, cls="hint") + tag("div", "".join(cards), cls="cards"))


def _bar_name(name: str, best: Summary | None) -> str:
    if not name.startswith("model:"):
        return name
    return f"{model_of(name)} (best single)" if best else model_of(name)


def _bar_role(name: str) -> str:
    return "single" if name.startswith("model:") else "router"


def shares_section(shown: Shown) -> str:
    """Whom each router had answer, beside the oracle's share; other mixes below."""
    systems = shown.report.systems
    oracle = {name: share for each in systems if each.name == "oracle" for name, share in each.shares.items()}
    mixes = [each for each in systems if role_of(each) in ("baseline", "bound") and len(each.shares) > 1]
    cards = "".join(_share_card(each, oracle) for each in shown.routers if each.shares)
    if not cards:
        return ""
    others = "".join(_share_card(each, oracle) for each in mixes)
    more = tag("summary", f"{len(mixes)} baselines that ask several") + tag("div", others, cls="cards") if mixes else ""
    said = "Share of the questions that each model answered." + (
        " The mark is the oracle's share: the cheapest model that is right." if oracle else ""
    )
    body = tag("p", said, cls="hint") + tag("div", cards, cls="cards")
    return _section("shares", "Who answered", body + (tag("details", more) if more else ""))


def _share_card(each: Summary, marks: Mapping[str, float]) -> str:
    names = [*each.shares, *(name for name in marks if name not in each.shares)]
    rows = "".join(
        tag(
            "tr",
            tag("th", text(name), scope="row")
            + tag("td", bar(each.shares.get(name, 0.0), role_of(each), tick=marks.get(name)), cls="bars")
            + tag("td", f"{each.shares.get(name, 0.0):.1%}"),
        )
        for name in names[:SHARES]
    )
    left = len(names) - SHARES
    more = tag("small", f" · {left} more models are not shown") if left > 0 else ""
    return tag("table", tag("caption", text(each.name) + more) + tag("tbody", rows), cls="card")


def remarks_section(shown: Shown) -> str:
    """What a reader has to know: notes of the report, and baselines that could not be worked out."""
    notes = "".join(tag("li", text(note)) for note in shown.report.notes)
    left = "".join(
        tag("li", f"{tag('strong', text(each.name))}: {text(each.reason)}") for each in shown.report.left_out
    )
    found = (tag("ul", notes) if notes else "") + (tag("h3", "Left out") + tag("ul", left) if left else "")
    return _section("notes", "Notes", found) if found else ""


def cases_section(shown: Shown) -> str:
    """The frame of the list of cases; the script fills it."""
    if not shown.rows:
        return _section("cases", "Cases", tag("p", "No case was finished."))
    count = len(shown.cases)
    runs = "" if len(shown.rows) == count else f", {len(shown.rows):,} runs of them"
    said = f"{count:,} {'case' if count == 1 else 'cases'}{runs}. Each opens with its trace."
    if not any(row.done.trace for row in shown.rows):
        said += " No traces were kept."
    script = "<noscript><p>The list of cases needs JavaScript; it is in this file, nothing is loaded.</p></noscript>"
    columns = (
        ("case", "Case", ""),
        ("score", "Score", "number"),
        ("cost", "USD", "number"),
        ("seconds", "Took", "number"),
    )
    heads = "".join(
        tag("th", tag("button", label, type="button", data_sort=key), scope="col", cls=kind or None)
        for key, label, kind in columns
    )
    heads += tag("th", "Asked", scope="col") + tag("th", "Why", scope="col")
    frame = tag("caption", "Cases as the filters leave them") + tag("thead", tag("tr", heads)) + tag("tbody", id="rows")
    more = tag("button", "Show more", type="button", id="more", hidden="hidden")
    controls = tag("form", "", id="filters", role="search", aria_label="Filter the cases")
    count_line = tag("p", "", id="count", cls="hint", aria_live="polite")
    body = tag("p", text(said), cls="hint") + script + controls + count_line
    return _section("cases", "Cases", body + tag("table", frame, cls="cases", id="list") + more)


def foot(shown: Shown) -> str:
    """By what the run is known, and how to look at it in the terminal."""
    report = shown.report
    command = f"orchestrator eval verify {report.run} --head {report.head}"
    return tag(
        "footer",
        tag("p", f"Run {text(report.run)}, frozen with head {tag('code', text(report.head))}.")
        + tag("p", f"Check it: {tag('code', text(command))}"),
    )


def _section(name: str, title: str, body: str) -> str:
    return tag("section", tag("h2", title, id=f"{name}-title") + body, id=name, aria_labelledby=f"{name}-title")


def _exact(usd: float | None) -> str:
    return "?" if usd is None else f"${usd:.6f}" if 1e-5 <= usd < 1 else dollars(usd)


def _below(words: str) -> str:
    """Words in a line of their own, small."""
    return tag("small", text(words))


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
