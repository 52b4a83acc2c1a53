"""Merges by name: built in, at a place of one's own, offered by a package; from Python and the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from orchestrator import ConfigError, Orchestrator, Pool
from orchestrator.merge import ASKING, MERGES, Vote, found_merge
from tests.conftest import Cli
from tests.experts import giving
from tests.routing import scripted
from tests.runs import ask

OWN = '''"""Merges of one's own."""


def last(question, replies):
    """The last in the alphabet."""
    return max(reply.text for reply in replies)


class Strange:
    """No merge."""


nothing = 5
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file with merges."""
    path = tmp_path / "mine.py"
    path.write_text(OWN, encoding="utf-8")
    return path


def test_every_name_is_found() -> None:
    assert [found_merge(name).name for name in MERGES] == list(MERGES)
    assert found_merge("vote:3") == Vote(quorum=3)
    pool = Pool([scripted("merger"), giving("a")], merger="script:merger")
    for name in (*MERGES, *ASKING, "vote:2"):
        assert Orchestrator(pool, merge=name, trace=False).pool is pool


def test_a_merge_at_a_place_of_ones_own(own: Path, tmp_path: Path) -> None:
    members = [giving("a", "1"), giving("b", "2")]
    ran = ask(Orchestrator(members, merge=f"{own}:last", analyses=2, trace=tmp_path), tmp_path)
    assert (ran.decision.answer, ran.decision.method) == ("2", "last")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("votes", "there is no merge `votes`; expected one of best, first, .* did you mean `vote`"),
        ("refin", "did you mean `refine`"),
        ("vote:0", "cannot be 0"),
        ("vote:many", "there is no merge `vote:many`"),
        ("nowhere.at_all:last", "`nowhere.at_all:last` cannot be loaded: No module named 'nowhere'"),
        ("{own}:lats", "cannot be loaded: module .* has no attribute 'lats'"),
        ("{own}:Strange", "is no merge; expected an object with a name and an async `merge`, or a function"),
        ("{own}:nothing", "5 is no merge"),
        ("{own}x.py:last", "there is no such file"),
    ],
)
def test_what_is_no_merge_is_told(name: str, told: str, own: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^`merge[^`]*`: .*{told}"):
        found_merge(name.format(own=own))


def test_packages_offer_merges(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own.parent / "mine-1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n", encoding="utf-8")
    (folder / "entry_points.txt").write_text("[orchestrator.merges]\nlast-one = mine:last\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", [str(own.parent), *sys.path])
    assert found_merge("last-one").name == "last"
    with pytest.raises(ConfigError, match=r"last-one.* did you mean `last-one`"):
        found_merge("last-on")


def test_the_command_line_takes_every_name(own: Path, cli: Cli) -> None:
    asked = ("run", "72 °F in Celsius", "--analyses", "2", "--json", "--no-trace")
    told = [json.loads(cli(*asked, "--merge", name).stdout) for name in ("weighted", "vote:2", f"{own}:last")]
    assert [each["method"] for each in told] == ["weighted", "vote:2", "last"]
    done = cli(*asked, "--merge", "votes")
    assert (done.returncode, "did you mean `vote`" in done.stderr) == (2, True)
