"""Both ways to search: what they quote, what they leave out, and that no question can break them."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import ToolError
from orchestrator.tools import documents, scan, search
from orchestrator.tools.base import Claim, Resources
from tests.tools_cases import RESOURCES

if TYPE_CHECKING:
    from types import ModuleType

BOTH = [search, scan]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "sub" / "a.md").write_text(
        "# Zebras\n\nThey are striped.\n\n## Food\nGrass, mostly.\n# Lions\nThey hunt.", encoding="utf-8"
    )
    (tmp_path / "b.txt").write_bytes("\ufeffOkapis are striped on the legs.\r\nThey live in forests.".encode())
    (tmp_path / ".hidden" / "c.md").write_text("secret okapis", encoding="utf-8")
    (tmp_path / ".d.md").write_text("secret okapis", encoding="utf-8")
    (tmp_path / "e.bin").write_text("binary okapis", encoding="utf-8")
    (tmp_path / "f.txt").write_bytes(b"null okapis\0")
    (tmp_path / "g.txt").write_bytes(b"caf\xe9 okapis")
    return tmp_path


@pytest.mark.parametrize("module", BOTH)
@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("do lions sleep", "no passage says enough: the nearest, sub/a.md:8, lacks sleep"),
        ("what do zebras eat as food", "Grass, mostly. (sub/a.md:6)"),
        ("zebra food", "Grass, mostly. (sub/a.md:6)"),
        ("do lions hunt?", "They hunt. (sub/a.md:8)"),
        ("where do okapis live?", "Okapis are striped on the legs. They live in forests. (b.txt:1)"),
        ("which live in forests", "Okapis are striped on the legs. They live in forests. (b.txt:2)"),
        ("okapis in a café", "no passage says enough: the nearest, g.txt:1, lacks café"),
        ("secret hidden binary", "nothing in the documents on: secret, hidden, binary"),
    ],
)
def test_passages_are_quoted_with_file_and_line(module: ModuleType, question: str, answer: str, folder: Path) -> None:
    try:
        said = module.answer(question, Resources(docs=folder))
    except ToolError as error:
        said = str(error)
    assert said == answer


@pytest.mark.parametrize("module", BOTH)
def test_claim_depends_on_words_and_folder(module: ModuleType, folder: Path) -> None:
    there = Resources(docs=folder)
    assert module.claim("where do okapis live?", there).p > 0.5
    assert module.claim("where do okapis live?", Resources()) == Claim(0.0, "no folder of documents: --docs DIR")
    assert module.claim("where do okapis live?", Resources(docs=folder / "b.txt")).why.endswith("is no folder")
    for question in ("2 + 2", "", "what is it?", "3 hours in minutes", "What weekday is 2026-12-25?", "word " * 500):
        assert module.claim(question, there) == Claim(0.0)
    assert module.claim(" ".join(f"word{number}" for number in range(40)), there) == Claim(0.0)


@pytest.mark.parametrize("module", BOTH)
def test_answer_needs_words_and_a_folder(module: ModuleType, folder: Path) -> None:
    with pytest.raises(ToolError, match="no folder of documents: --docs DIR"):
        module.answer("where do okapis live?", Resources())
    with pytest.raises(ToolError, match="there is no word to look up"):
        module.answer("?", Resources(docs=folder))


@given(st.text(max_size=200))
@settings(max_examples=100)
def test_no_text_breaks_the_search(question: str) -> None:
    for module in BOTH:
        with suppress(ToolError):
            assert module.answer(question, RESOURCES)


SYNTAX = '"{0}" NEAR({0} leave, 2) AND ^annual* OR NOT heading : (a - b) + `{0}` --'


@pytest.mark.parametrize("word", ['"', "*", "NEAR", "AND", "OR", "NOT", "^", ":", "body", "passages", "rank", "-"])
def test_search_syntax_is_mere_text(word: str) -> None:
    with suppress(ToolError):
        assert "(" in search.answer(SYNTAX.format(word), RESOURCES)


def test_limits_are_kept_and_logged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="orchestrator.tools.documents")
    monkeypatch.setattr(documents, "MAX_FILE_BYTES", 30)
    assert [passage.file for passage in documents.passages(folder)] == ["g.txt"]
    monkeypatch.setattr(documents, "MAX_FILES", 0)
    assert documents.passages(folder) == []
    assert "more than 30 bytes" in caplog.text
    assert "limit of files or bytes" in caplog.text
    assert "binary" in caplog.text


def test_unreadable_files_are_left_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert documents.passages(folder) == []


def test_links_are_not_followed(folder: Path) -> None:
    (folder / "link.txt").symlink_to(folder / ".d.md")
    assert "link.txt" not in {passage.file for passage in documents.passages(folder)}


def test_long_paragraphs_are_cut(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("\n".join(f"line {number} filler" for number in range(30)), encoding="utf-8")
    found = documents.passages(tmp_path)
    assert [passage.line for passage in found] == [1, 13, 25]


def test_long_quotations_start_near_the_hit(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text(f"{'padding ' * 80}\nthe okapi sleeps\n{'more ' * 200}", encoding="utf-8")
    answer = scan.answer("okapi sleeps", Resources(docs=tmp_path))
    assert answer.startswith("the okapi sleeps more")
    assert answer.endswith(" ... (long.txt:2)")


def test_sqlite_without_full_text_index_is_a_tool_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "TABLE", "CREATE VIRTUAL TABLE passages USING nothing_such(body)")
    with pytest.raises(ToolError, match="no full-text index") as caught:
        search.answer("annual leave", RESOURCES)
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)


@pytest.mark.parametrize(
    ("word", "like"),
    [
        ("policies", "policy"),
        ("clocks", "clock"),
        ("stopped", "stop"),
        ("stopping", "stop"),
        ("hired", "hire"),
        ("carried", "carry"),
        ("passes", "pass"),
        ("employees", "employee"),
        ("handed", "hand"),
    ],
)
def test_stems_join_forms_of_a_word(word: str, like: str) -> None:
    assert documents.stem(word) == documents.stem(like)


@pytest.mark.parametrize(("one", "other"), [("new", "news"), ("bus", "buses"), ("class", "clas"), ("red", "r")])
def test_short_words_stay_themselves(one: str, other: str) -> None:
    assert documents.stem(one) == one or documents.stem(one) != documents.stem(other)
