"""Puts the page together: whatever came from outside is escaped, or packed so that it holds no mark of HTML."""

from __future__ import annotations

from base64 import b64encode
from functools import cache
from hashlib import sha256
from pathlib import Path
from string import Template

from orchestrator.render.page.cases import index, packed, packets
from orchestrator.render.page.figures import Shown
from orchestrator.render.page.sections import (
    cases_section,
    comparisons_section,
    domains_section,
    foot,
    head,
    plot_section,
    remarks_section,
    shares_section,
    sureness_section,
    systems_section,
)
from orchestrator.render.page.tags import tag, text

__all__ = ["page"]


def page(shown: Shown) -> str:
    """The whole file: it needs nothing beside it, reads from a disk, and asks no network for anything."""
    script = _part("page.js")
    digest = b64encode(sha256(script.encode()).digest()).decode()
    sections = (
        head(shown),
        plot_section(shown),
        systems_section(shown),
        sureness_section(shown),
        comparisons_section(shown),
        domains_section(shown),
        shares_section(shown),
        remarks_section(shown),
        cases_section(shown),
        foot(shown),
    )
    whole = Template(_part("page.html")).substitute(
        title=text(f"{shown.report.suite}: {shown.report.verdict.partition(':')[0]}"),
        script_hash=f"sha256-{digest}",
        style=_part("page.css"),
        body="\n".join(each for each in sections if each),
        data=_data(shown),
        script=script,
    )
    return whole.encode("utf-8", "replace").decode()  # half surrogates, which no UTF-8 can hold


def _data(shown: Shown) -> str:
    """The cases as blocks that no browser runs; their letters are those of base64."""
    listed = tag("script", packed(index(shown)), type="text/plain", id="index")
    return "\n".join([listed, *(tag("script", each, type="text/plain", cls="packet") for each in packets(shown))])


@cache
def _part(name: str) -> str:
    return (Path(__file__).parent / name).read_text(encoding="utf-8")
