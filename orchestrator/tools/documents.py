"""Passages of a folder of documents, the words that matter in a question, and how a find is quoted."""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import ToolError
from orchestrator.tools import calculations, dates, quantities
from orchestrator.tools.base import CANNOT, Claim, Resources

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Passage", "best", "claim_search", "passages", "quotation", "search_words", "stem", "words_of"]

LOG = logging.getLogger(__name__)

SUFFIXES = frozenset(
    {".cfg", ".csv", ".html", ".ini", ".json", ".log", ".markdown", ".md", ".org", ".py", ".rst", ".tex", ".toml"}
    | {".txt", ".yaml", ".yml"}
)
MAX_FILES = 2_000
MAX_FILE_BYTES = 1_000_000
MAX_BYTES = 20_000_000
MAX_QUESTION = 2_000
MAX_WORDS = 32
MAX_LINES = 12
"""Lines of one passage; a longer paragraph is cut."""
MAX_QUOTE = 400
ENOUGH = 0.6
"""Share of the question's words that a passage must hold to be an answer."""

WORD = re.compile(r"[^\W_]+")
HEADING = re.compile(r"#{1,6} +(.+)")
STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be been before but by can could did do does each find for from
    give had has have he her his how i if in into is it its just kind let like look many may me more most much must my
    no nor not of on or our out over per please say says search shall she should show so some such tell than that the
    their them then there these they this those to too under up us very was we were what when where which while who
    whom whose why will with would you your d ll re s t ve get gets got""".split()  # noqa: SIM905 - reads better
)

FOUND = Claim(0.6)
NO_FOLDER = Claim(0.0, "no folder of documents: --docs DIR")


@dataclass(frozen=True)
class Passage:
    """A few lines of a document that belong together."""

    file: str
    """Relative to the folder, with forward slashes."""
    line: int
    """Number of the first line, from 1."""
    lines: tuple[str, ...]
    heading: str = ""
    """The headings above it, which say what it is about."""

    @cached_property
    def words(self) -> frozenset[str]:
        """Stems of its words and of its headings'."""
        return _stems(" ".join((self.heading, *self.lines)))


def claim_search(question: str, resources: Resources) -> Claim:
    """Whether there is something to look up, and somewhere to look; reads no file."""
    if not search_words(question) or _computed(question):
        return CANNOT
    if resources.docs is None:
        return NO_FOLDER
    return FOUND if resources.docs.is_dir() else Claim(0.0, f"{resources.docs} is no folder")


def _computed(question: str) -> bool:
    """Whether other tools can read the question as something to compute."""
    if calculations.read(question) or quantities.read(question):
        return True
    return dates.claim(question, Resources()).p > 0


def search_words(question: str) -> dict[str, str]:
    """The words of a question that carry meaning, by their stems; none where it is too long to be one."""
    if len(question) > MAX_QUESTION:
        return {}
    found = {stem(word): word for word in words_of(question) if word not in STOP_WORDS}
    if len(found) > MAX_WORDS or not any(len(word) > 2 and word.isalpha() for word in found.values()):
        return {}
    return found


def words_of(text: str) -> list[str]:
    """Every word in lower case."""
    return WORD.findall(text.lower())


@lru_cache(maxsize=10_000)
def stem(word: str) -> str:
    """A word without the commonest English endings, so that "policies" finds "policy"."""
    if not word.isascii() or len(word) < 4:
        return word
    for ending, instead in (("ies", "y"), ("ied", "y"), ("sses", "ss"), ("ing", ""), ("ed", ""), ("s", "")):
        rest = word.removesuffix(ending)
        if rest != word and len(rest) > 2 and not (ending == "s" and rest[-1] in "su"):
            return _undoubled(rest + instead).removesuffix("e")
    return word.removesuffix("e")


def best(wanted: Mapping[str, str], ranked: Sequence[Passage]) -> Passage:
    """The passage that holds most of the wanted words, the better ranked first; `ToolError` where none holds enough."""
    if not ranked:
        raise ToolError(f"nothing in the documents on: {', '.join(wanted.values())}")
    held, passage = max(((_held(wanted, each), each) for each in ranked), key=lambda pair: pair[0])
    if held < ENOUGH * len(wanted):
        missing = ", ".join(word for stemmed, word in wanted.items() if stemmed not in passage.words)
        raise ToolError(f"no passage says enough: the nearest, {passage.file}:{passage.line}, lacks {missing}")
    return passage


def _held(wanted: Mapping[str, str], passage: Passage) -> int:
    return len(passage.words & wanted.keys())


def quotation(wanted: Mapping[str, str], passage: Passage) -> str:
    """The passage on one line, then the file and the line in it that has most of the wanted words."""
    hits = [len(_stems(line) & wanted.keys()) for line in passage.lines]
    at = hits.index(max(hits))
    text = " ".join(" ".join(passage.lines).split())
    if len(text) > MAX_QUOTE:
        text = " ".join(" ".join(passage.lines[at:]).split())
    if len(text) > MAX_QUOTE:
        text = text[:MAX_QUOTE].rsplit(" ", 1)[0] + " ..."
    return f"{text} ({passage.file}:{passage.line + at})"


def passages(folder: Path) -> list[Passage]:
    """Every passage of the folder's text files, in order of path and line."""
    found: list[Passage] = []
    total = 0
    for count, path in enumerate(_files(folder)):
        if count >= MAX_FILES or total >= MAX_BYTES:
            LOG.debug("search stops before %s: limit of files or bytes", path)
            break
        text = _text(path)
        total += len(text)
        found += _split(path.relative_to(folder).as_posix(), text)
    return found


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if name.startswith(".") or path.suffix.lower() not in SUFFIXES or path.is_symlink():
                LOG.debug("search leaves out %s: hidden, a link or no text", path)
            else:
                yield path


def _text(path: Path) -> str:
    """The file's text; nothing where it is too large, binary or unreadable."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            LOG.debug("search leaves out %s: more than %d bytes", path, MAX_FILE_BYTES)
            return ""
        raw = path.read_bytes()
    except OSError as error:
        LOG.debug("search leaves out %s: %s", path, error)
        return ""
    if b"\0" in raw[:8192]:
        LOG.debug("search leaves out %s: binary", path)
        return ""
    return raw.decode("utf-8-sig", errors="replace")


def _split(file: str, text: str) -> Iterator[Passage]:
    """Paragraphs, cut where they are long; a Markdown heading belongs to all that follow it."""
    headings: list[tuple[int, str]] = []
    block: list[str] = []
    start = 1
    for number, line in enumerate([*text.splitlines(), ""], 1):
        heading = HEADING.fullmatch(line.strip()) if file.endswith((".md", ".markdown")) else None
        if block and (heading or not line.strip() or len(block) == MAX_LINES):
            yield Passage(file, start, tuple(block), " / ".join(title for _, title in headings))
            block = []
        if heading:
            level = len(line.strip()) - len(line.strip().lstrip("#"))
            headings = [*(known for known in headings if known[0] < level), (level, heading[1])]
        elif line.strip():
            start = start if block else number
            block.append(line)


def _stems(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words_of(text))


def _undoubled(word: str) -> str:
    """A stem such as "stopp" without its doubled consonant."""
    return word[:-1] if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "aeiouls" else word
